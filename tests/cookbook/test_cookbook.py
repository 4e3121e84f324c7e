"""The cookbook's own blocks on small shops; the expected names were written before the rules."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from connector.clock import as_of
from connector.config import load
from connector.identity import identify
from connector.profile import build
from connector.segment import check_all, evaluate, resolve
from tests.cookbook import guide_tables
from tests.stages.hand_shop import DAY, contact, event, line, new_store, order, shop_config

ROOT = Path(__file__).resolve().parents[2]

EXPECTED = {
    "Bakery": {
        "Cake customers": "cake fan", "Everyday treats": "bread pastry", "Cake enthusiasts": "fan", "Pastry lovers": "pastry",
        "New with cake interest": "looker", "New with pastry interest": "browser",
    },
    "Bookstore": {
        "History readers": "historian clicker viewer", "Science fiction readers": "scifi", "Literary gifts": "giver",
        "Fiction readers": "giver novelist", "Non-fiction readers": "essayist",
        "Engaged readers": "clicker", "Sleeping readers": "sleeper",
    },
    "Coffee subscription": {
        "High satisfaction": "happy", "Neutral or low": "sad silent", "Unrated but engaged": "regular",
        "Renewing unhappy": "sad", "Risk: high": "sad regular", "Risk: medium": "silent", "Risk: low": "happy",
        "Unhappy and leaving": "sad",
    },
    "Coffee club": {
        "Dark-roast lovers": "dark leaving", "Fruity and bright fans": "fruity", "Ready for a new blend": "curious",
        "Dark-roast lovers at risk": "leaving",
    },
    "First steps": {
        "New customers": "newbie", "Repeat customers": "repeat", "Inactive": "sleeper", "Came by the website form": "form",
        "Came by social media": "social", "Everyone else": "other",
    },
}  # fmt: skip
"""Recipe -> segment -> who is in it."""

KNOWN = {"created_at": "2024-01-01 00:00:00"}


class Shop:
    def __init__(self, people: str, **fields):
        self.store = new_store()
        self.store.insert(
            "contacts", [contact("shopify", p, email=f"{p}@x.de", **KNOWN, **fields.get(p, {})) for p in people.split()]
        )
        self.number = 0
        self.scores: list[tuple[str, str, str, float]] = []

    def buys(self, person, category, title=None, day="2026-05-01"):
        self.number += 1
        self.store.insert("orders", [order("shopify", f"o{self.number}", person, day, "20")])
        self.store.insert("order_lines", [line("shopify", f"o{self.number}", title or category, category, "20")])

    def does(self, person, kind, times=1, **values):
        for _ in range(times):
            self.number += 1
            row = event("shopify", person, kind, values.pop("day", "2026-06-15"), **values)
            self.store.insert("events", [row | {"record_id": f"e{self.number}"}])

    def subscribes(self, *people):
        self.store.insert("consents", [
            {"source": "shopify", "contact_id": p, "channel": "email", "topic": "", "status": "subscribed"}
            for p in people])  # fmt: skip

    def derived(self, config):
        """Identity, then predictions where `score` leaves them, then the profile."""
        moment = as_of(DAY, config.shop.timezone)
        identify(self.store, config)
        people = dict(self.store.sql("SELECT contact_id, person_id FROM person_links"))
        if self.scores:
            self.store.insert("scores", [
                {"score": score, "person_id": people[p], "tier": tier, "value": value, "cutoff": str(DAY), "horizon_days": 90,
                 "is_published": True} for p, score, tier, value in self.scores])  # fmt: skip
        build(self.store, config, moment)
        return moment


def bakery():
    shop = Shop("cake fan bread pastry looker browser stranger")
    shop.buys("cake", "Custom cakes")
    shop.buys("fan", "Custom cakes")
    shop.does("fan", "page_view", 3, category="Custom cakes")
    shop.does("cake", "page_view", 2, category="Custom cakes")
    shop.buys("bread", "Bread")
    shop.buys("pastry", "Pastries")
    shop.does("pastry", "page_view", 2, category="Pastries")
    shop.does("pastry", "page_view", 1, category="Bread")
    shop.does("looker", "page_view", category="Custom cakes")
    shop.does("browser", "page_view", category="Bread")
    return shop


def bookstore():
    shop = Shop("historian clicker viewer scifi giver sleeper nobody novelist essayist")
    shop.buys("historian", "History")
    shop.buys("scifi", "Science fiction")
    shop.buys("giver", "Fiction", "Jane Austen gift box")
    shop.does("clicker", "click", 2, url="https://books.example/history/rome")
    shop.does("novelist", "click", 2, url="https://books.example/fiction/austen")
    shop.does("essayist", "click", 2, url="https://books.example/non-fiction/essays")
    shop.does("scifi", "page_view", 2, category="History")
    shop.does("viewer", "page_view", 3, category="History")
    shop.does("sleeper", "sent", day="2026-03-01")
    shop.subscribes("clicker", "sleeper")
    return shop


def coffee():
    shop = Shop("happy sad silent regular")
    shop.does("happy", "rating", value="5")
    shop.does("sad", "rating", value="2")
    shop.does("regular", "login", 5)
    shop.does("happy", "login", 5)
    shop.does("silent", "login", 4)
    contract = {"source": "shopify", "status": "active", "started_at": "2026-01-01 00:00:00"}
    shop.store.insert("subscriptions", [
        contract | {"subscription_id": p, "contact_id": p, "renews_at": f"2026-07-{d} "
            f"00:00:00"} for p, d in (("sad", 10), ("happy", 10))])  # fmt: skip
    shop.scores += [("sad", "churn", "high", 0.9), ("regular", "churn", "high", 0.9), ("silent", "churn", "medium", 0.5),
                    ("happy", "churn", "low", 0.1)]  # fmt: skip
    return shop


def club():
    shop = Shop("dark leaving unsure fruity curious keen")
    for person, taste, sure in (("dark", "Dark roast", 0.8), ("leaving", "Dark roast", 0.6), ("unsure", "Dark roast", 0.3),
                                ("fruity", "Fruity and bright", 0.5), ("curious", "New blends", 0.3),
                                ("keen", "New blends", 0.3)):  # fmt: skip
        shop.scores.append((person, "next_category", taste, sure))
    shop.scores += [("curious", "purchase_30d", "high", 0.5), ("keen", "purchase_30d", "low", 0.1)]
    shop.scores += [("leaving", "churn", "high", 0.9), ("fruity", "churn", "high", 0.9), ("dark", "churn", "low", 0.1)]
    return shop


def first_steps():
    sources = {"form": {"signup_source": "website form"}, "social": {"signup_source": "social media"}}
    shop = Shop("newbie repeat sleeper form social other", **sources)
    shop.buys("newbie", "Tea", day="2026-06-20")
    shop.buys("repeat", "Tea", day="2026-01-01")
    shop.buys("repeat", "Tea", day="2026-02-01")
    shop.does("sleeper", "sent", day="2026-03-01")
    shop.subscribes("sleeper")
    return shop


SHOPS = {
    "Bakery": bakery, "Bookstore": bookstore, "Coffee subscription": coffee, "Coffee club": club, "First steps": first_steps,
}  # fmt: skip


def blocks(title: str) -> str:
    text = (ROOT / "docs" / "cookbook.md").read_text()
    part = text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]
    return "\n".join(re.findall(r"```toml\n(.*?)```", part, re.S))


def recipe(title: str) -> list[dict]:
    return tomllib.loads(blocks(title))["segment"]


OWN = """[shop]
name = "A shop"
timezone = "Europe/Berlin"
currency = "EUR"

[mailchimp]
token = "env:MAILCHIMP_API_KEY"
audience = "a1b2c3d4e5"

"""


@pytest.mark.parametrize("title", EXPECTED)
def test_a_recipe_pasted_into_a_configuration_is_understood(title: str, tmp_path: Path):
    path = tmp_path / "rollcall.toml"
    path.write_text(OWN + blocks(title))

    assert [s.name for s in load(path).segment] == [s["name"] for s in recipe(title)]


@pytest.mark.parametrize("title", EXPECTED)
def test_a_recipe_finds_exactly_who_it_says(title: str):
    shop, config = SHOPS[title](), shop_config(*recipe(title))

    evaluate(shop.store, config, resolve(config), shop.derived(config), "r1")

    names = dict(shop.store.sql("SELECT person_id, contact_id FROM person_links"))
    found: dict[str, set[str]] = {s["name"]: set() for s in recipe(title)}
    for segment, person in shop.store.sql("SELECT segment, person_id FROM members"):
        found[segment].add(names[person])
    assert found == {name: set(people.split()) for name, people in EXPECTED[title].items()}


def test_every_recipe_is_tested():
    titles = re.findall(r"^## (.+)$", (ROOT / "docs" / "cookbook.md").read_text(), re.M)
    assert titles == list(EXPECTED)


def test_the_tables_of_the_guide_are_those_of_the_code():
    assert guide_tables.DOCS.read_text() == guide_tables.filled(guide_tables.DOCS.read_text()), (
        "run python tests/cookbook/guide_tables.py"
    )


def test_the_rules_of_the_guide_are_valid():
    text = (ROOT / "docs" / "segments.md").read_text().split("## The language")[1].split("## Measures")[0]
    rules = [r for row in re.findall(r"^\| (`.+?) \|", text, re.M) for r in re.findall(r"`([^`]+)`", row)]
    whole = [r for r in rules if re.search(r"[<>=]|like|between| in |null|^segment|^everyone|^list_has", r)]

    config = shop_config(
        {"name": "VIP", "where": "orders_total > 3"}, *({"name": f"r{i}", "where": r} for i, r in enumerate(whole))
    )

    assert len(whole) >= 15
    check_all(None, config, [s for s in resolve(config) if "everyone_else" not in s.where])
