"""What is offered to whom, and why: what cannot be bought never, new things and offers where they fit, and no word untrue."""

from __future__ import annotations

import csv
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connector import score, score_files, score_products
from connector.clock import as_of, local_day, now_utc
from connector.config import Config, Privacy
from connector.identity import identify
from connector.score_data import load
from connector.store import Store
from models.scores.catalogue import Catalogue
from models.scores.history import Lines
from models.scores.recommend import LIKE, NEW, Recommender, bestsellers, bought_of
from tests.stages.hand_shop import contact, line, new_store, order, shop_config

TODAY = date(2026, 7, 1)
NOON = datetime(2026, 7, 1, 12)
KINDS = ("Dark roast", "Light roast", "Tea")
PEOPLE = 90
Offered = dict[int, dict[str, str]]
"""Person -> product id -> why."""


def product(product_id: str, title: str = "", category: str | None = None, **values: Any) -> dict[str, Any]:
    base = {"source": "shopify", "stream": "products", "record_id": product_id, "product_id": product_id}
    return base | {"title": title or product_id, "category": category, "status": "active", "currency": "EUR"} | values


def shop(*products: dict[str, Any], people: int = PEOPLE) -> Store:
    """Person p buys two of the four products of kind p % 3, in turn, every 12 days; the last time on the day before today."""
    store = new_store()
    store.insert("contacts", [contact("shopify", f"c{p}") for p in range(people)])
    bought = [(p, n, f"{KINDS[p % 3]} {(p // 3 + n % 2) % 4}") for p in range(people) for n in range(10)]
    store.insert("orders", [
        order("shopify", f"o{p}-{n}", f"c{p}", (TODAY - timedelta(days=1 + p % 9 + 12 * n)).isoformat(), "10") for p, n, _ in bought
    ])  # fmt: skip
    store.insert("order_lines", [line("shopify", f"o{p}-{n}", title, KINDS[p % 3], "10") for p, n, title in bought])
    store.insert("products", list(products))
    return store


def offered(store: Store, config: Config | None = None, day: date | None = None) -> tuple[Offered, dict[str, Any]]:
    """What everybody is offered: as of noon of today, or of an earlier day."""
    config = config or shop_config()
    identify(store, config)
    data = load(store, config, as_of(day, config.shop.timezone, NOON))
    made = score_products.make(data)
    assert made is not None and made.reasons is not None
    number = dict(store.sql("SELECT person_id, CAST(substr(contact_id, 2) AS INTEGER) FROM person_links"))
    return {
        number[p]: {r["product_id"]: r["why"] for r in reasons} for p, reasons in zip(data.people, made.reasons, strict=True)
    }, made.card


def everything(found: Offered) -> set[str]:
    return {p for products in found.values() for p in products}


CANNOT_BE_BOUGHT: dict[str, dict[str, Any]] = {
    "tea 0": {"status": "archived"}, "tea 1": {"status": "draft"}, "tea 2": {"status": "unlisted"},
    "light roast 0": {"is_gift_card": True}, "light roast 1": {"stock": "0"}, "light roast 2": {"stock": "-3"},
    "dark roast 0": {"status": "Out of stock"},
}  # fmt: skip
CAN_BE_BOUGHT: dict[str, dict[str, Any]] = {
    "tea 3": {"status": None}, "light roast 3": {"stock": None}, "dark roast 1": {"stock": "1"},
}  # fmt: skip


@pytest.mark.parametrize("people", [PEOPLE, 30])
def test_what_cannot_be_bought_is_offered_to_nobody_whether_the_model_or_the_rule_is_given(people: int) -> None:
    found, card = offered(shop(*(product(p, **v) for p, v in (CANNOT_BE_BOUGHT | CAN_BE_BOUGHT).items()), people=people))
    assert card["is_published"] == (people == PEOPLE)
    assert everything(found) == {*CAN_BE_BOUGHT, "dark roast 2", "dark roast 3"}, "what nobody says lets a product be bought"
    assert "6 products that cannot be bought today" in card["lines"][-1]


def test_a_product_its_platform_has_deleted_is_offered_to_nobody() -> None:
    store = shop(product("tea 0"))
    gone = {"source": "shopify", "stream": "products", "record_id": "tea 0", "state": "gone"}
    store.insert("source_records", [gone | {"content_hash": 0, "record_key": 1, "snapshot_hash": 0}])
    assert "tea 0" not in everything(offered(store)[0])


@pytest.mark.parametrize("status", ["archived", "active"])
def test_what_is_withdrawn_where_it_is_sold_is_not_offered_by_the_name_it_has_in_a_copy(status: str) -> None:
    store = shop(product("tea 0", "Tea 0", status=status))
    copy = {"source": "mailchimp", "stream": "shop_products", "status": None}
    store.insert("contacts", [contact("mailchimp", "c500")])
    store.insert("orders", [order("mailchimp", "m1", "c500", "2026-06-25", "10", stream="shop_orders")])
    store.insert("order_lines", [line("mailchimp", "m1", "Tea 0", "Tea", "10", product_id="m/0", stream="shop_orders")])
    store.insert("products", [product("m/0", "Tea 0", **copy), product("m/1", "Tea 1", **copy)])
    ids = everything(offered(store)[0])
    assert ids & {"tea 0", "m/0"} == (set() if status == "archived" else {"tea 0", "m/0"})
    assert "m/1" not in ids, "it is sold already, under the shop's own number"


def test_new_products_and_those_on_offer_go_to_whom_they_suit() -> None:
    found, _ = offered(
        shop(
            product("n1", "Fresh Harvest", KINDS[0], created_at="2026-06-20 08:00:00"),
            product("n2", "Old Stock", KINDS[0], created_at="2026-01-20 08:00:00", price="9", list_price="9"),
            product("light roast 3", "Light roast 3", KINDS[1], price="9", list_price="12.5"),
        )
    )
    dark, light, tea = ([found[p] for p in found if p % 3 == kind] for kind in range(3))
    assert all(f["n1"] == "new in Dark roast" for f in dark)
    assert {f.get("n1") for f in (*light, *tea)} == {None}
    is_own = [f["light roast 3"] == "bought before; on offer now: 9.00 instead of 12.50 EUR" for f in light]
    told = [f["light roast 3"] == "on offer in Light roast: 9.00 instead of 12.50 EUR" for f in light]
    assert (sum(is_own), sum(told)) == (14, 16)
    assert not any("on offer in" in why for f in (*dark, *tea) for why in f.values())
    assert not any("n2" in p for f in (*light, *tea) for p in f), "neither new nor on offer, and like nothing they bought"


def test_a_product_without_history_is_offered_by_what_it_is_like_and_says_so() -> None:
    like = product("x1", "Smoked reserve", KINDS[0], created_at="2026-01-05 08:00:00")
    words = product("x2", "Tea 3 tin", None, created_at=None)
    other = product("x3", "Hand grinder", "Equipment", created_at="2026-01-05 08:00:00")
    found, _ = offered(shop(like, words, other))
    for person, products in found.items():
        own = {p for p in products if products[p] == "bought before"}
        if person % 3 == 0:
            name = products["x1"].removeprefix("like ").removesuffix(", which was bought; no sales of its own to go by yet")
            assert name.lower() in own
        else:
            assert "x1" not in products
        assert "x3" not in products
    assert "x2" in {p for f in found.values() for p in f if f[p].startswith("like Tea 3, which was bought")}


def test_nothing_is_offered_before_it_was_there_and_what_has_no_date_counts_today_alone() -> None:
    store = shop(
        product("n1", "Fresh Harvest", KINDS[0], created_at="2026-06-20 08:00:00"),
        product("x1", "Undated", KINDS[0], created_at=None),
        product("tea 0", status="archived"), product("tea 1", stock="0"),
        product("light roast 3", price="9", list_price="12.5"), product("dark roast 0", is_gift_card=True),
    )  # fmt: skip
    before, card = offered(store, day=date(2026, 6, 20))
    assert not everything(before) & {"n1", "x1", "dark roast 0"} and {"tea 0", "tea 1"} <= everything(before)
    assert not any("offer" in why for f in before.values() for why in f.values())
    assert "Nobody knows what was in stock" in card["lines"][-1]
    after, _ = offered(store, day=date(2026, 6, 21))
    assert any(f.get("n1") == "new in Dark roast" for f in after.values()) and "x1" not in everything(after)
    late, _ = offered(store, day=local_day(now_utc(), shop_config().shop.timezone))
    assert not everything(late) & {"tea 0", "tea 1"}, "an as-of day that is today"


def test_sensitive_products_are_offered_to_nobody_by_any_way_and_speak_for_nothing() -> None:
    config = shop_config().model_copy(update={"privacy": Privacy(sensitive_products=("pregnancy",))})
    store = shop(
        product("n1", "Pregnancy tea", KINDS[2], created_at="2026-06-20 08:00:00"),
        product("folic 400", "Folic 400", KINDS[2], created_at="2026-06-20 08:00:00"),
        product("n2", "Folic 800", "Pregnancy", created_at="2026-06-20 08:00:00"),
        product("x2", "Folic 400 forte", None),
    )  # fmt: skip
    store.insert("orders", [order("shopify", "s1", "c2", "2026-06-01", "10")])
    store.insert("order_lines", [line("shopify", "s1", "Folic 400", "Pregnancy", "10")])
    found, _ = offered(store, config)
    assert everything(found) == {f"{k.lower()} {n}" for k in KINDS for n in range(4)}
    assert not any("olic" in why or "regnancy" in why for f in found.values() for why in f.values())
    assert {"n1", "folic 400"} <= everything(offered(store)[0])


def test_a_shop_that_has_just_moved_here_has_no_new_products() -> None:
    names = [f"{k} {n}" for k in KINDS for n in range(4)]
    moved = [product(t.lower(), t, created_at="2026-06-25 08:00:00") for t in names]
    more = [product(f"x{n}", f"More {n}", KINDS[0], created_at="2026-06-25 08:00:00") for n in range(30)]
    found, _ = offered(shop(*moved, *more))
    assert everything(found) > {t.lower() for t in names}, "what was sold before its date was there"
    assert not any(why.startswith("new") for f in found.values() for why in f.values())


def launches(people: int, seed: int = 4) -> tuple[Lines, Catalogue, int]:
    """Everybody buys within one of six categories, some things again; a product a week comes new to each category."""
    random = np.random.default_rng(seed)
    day = np.array([0] * 60 + [7 * w for w in range(1, 53) for _ in range(6)], dtype=np.int64)
    category = np.arange(len(day), dtype=np.int64) % 6
    rows: list[tuple[int, int, int, int]] = []
    for person in range(people):
        own: list[int] = []
        for at in np.flatnonzero(random.random(364) < 0.03):
            there = np.flatnonzero((category == person % 6) & (day <= at) & (day > at - 200))
            again = own and random.random() < 0.4
            own.append(int(random.choice(own if again else there)))
            rows.append((person, int(at), own[-1], person % 6))
    columns = [np.array(c, dtype=np.int64) for c in zip(*rows, strict=True)]
    lines = Lines.of(*columns[:3], np.ones(len(rows)), np.ones(len(rows)), columns[3])
    none, false = np.full(len(day), np.nan), np.zeros(len(day), dtype=bool)
    words = tuple(frozenset((f"p{n}",)) for n in range(len(day)))
    return lines, Catalogue(words, category, np.full(len(day), -1), none, none, day, false, false), 330


def test_where_people_buy_what_is_new_the_places_kept_for_it_bring_purchases() -> None:
    lines, catalogue, cutoff = launches(400)
    without, known = Recommender().fit(lines, cutoff).predict(), Recommender().fit(lines, cutoff, catalogue).predict()
    ours, before = (float(bought_of(o, lines, cutoff, 30).mean()) for o in (known, without))
    assert ours > before
    born = np.where(known.product >= 0, catalogue.created[known.product], -1)
    assert (born < cutoff).all() and {NEW, LIKE} >= set(known.why[(born >= cutoff - 7) & (known.why > 2)].tolist()) > set()
    cut = Recommender().fit(lines.before(cutoff), cutoff, catalogue).predict()
    assert np.array_equal(cut.product, known.product) and np.array_equal(cut.why, known.why)


def lines_of(rows: list[tuple[int, int, int, int]]) -> Lines:
    person, day, product, pieces = (np.array(c, dtype=np.int64) for c in zip(*rows, strict=True))
    return Lines.of(person, day, product, pieces.astype(float), pieces.astype(float))


def test_of_ten_counts_what_was_bought_however_few_products_the_shop_has() -> None:
    lines = lines_of([(p, d, (p + k) % 6, 1) for p in range(60) for d in (10, 50) for k in range(3)])
    offers = Recommender().fit(lines, 40).predict()
    assert offers.product.shape == (60, 6)
    assert bought_of(offers, lines, 40, 30).tolist() == [3.0] * 60


def test_what_comes_back_is_no_bestseller() -> None:
    lines = lines_of([(p, 90, 1, 1) for p in range(3)] + [(p, 90, 2, 1) for p in range(2)] + [(p, 95, 2, -1) for p in range(9)])
    assert bestsellers(lines, 100, np.arange(1)).product[0].tolist() == [1, 2]


def test_who_is_given_bestsellers_for_want_of_known_purchases_is_told_so_beside_a_published_score(tmp_path: Path) -> None:
    store, config = shop(), shop_config()
    store.insert("contacts", [contact("shopify", "c500")])
    store.insert("orders", [order("shopify", "x", "c500", "2026-06-20", "10")])
    identify(store, config)
    moment = as_of(None, config.shop.timezone, NOON)
    data = load(store, config, moment)
    made = score_products.make(data)
    assert made is not None and made.card["is_published"]
    score.keep(store, made, data.people, moment, "r1")
    score_files.write(store, config, moment, tmp_path, 90)
    with (tmp_path / "recommendations.csv").open(newline="", encoding="utf-8") as file:
        told = {(r["customer_id"] == "c500", r["status"]) for r in csv.DictReader(file)}
    assert told == {(True, score_files.RULE), (False, "")}
