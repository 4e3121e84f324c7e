"""From the store to the signs beside orders: by the shop's days, before the date, of those who may be profiled."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pytest

from connector import score_data, score_signs
from connector.config import Config
from connector.score_data import EPOCH
from connector.store import Store
from models.scores import signs
from models.scores.signs import KINDS
from tests.stages.hand_shop import contact, derive, event, new_store, order, shop_config

DAY = date(2026, 7, 1)


@pytest.fixture
def store() -> Store:
    made = new_store()
    made.insert("contacts", [contact("import", c, email=f"{c}@shop.example") for c in ("ana", "bo")])
    made.insert("orders", [
        order("import", "o1", "ana", "2026-03-01", "40.00", discount="0.00", country="DE"),
        order("import", "o2", "ana", "2026-05-01", "40.00", discount="4.00", country="AT"),
        order("import", "o3", "bo", "2026-06-01", "40.00"),
        order("import", "o4", "bo", "2026-06-20", "40.00", is_cancelled=True, discount="9.00"),
    ])  # fmt: skip
    made.insert("events", [
        event("import", "ana", "sent", "2026-04-01"), event("import", "ana", "sent", "2026-05-02"),
        event("import", "ana", "open", "2026-05-02"), event("import", "ana", "open", "2026-05-03", is_machine=True),
        event("import", "ana", "click", "2026-05-02 22:30:00"),
        event("import", "ana", "rating", "2026-05-10", value="2.5"), event("import", "bo", "ticket", "2026-06-02"),
        event("import", "bo", "login", "2026-06-03"), event("import", "bo", "product_view", "2026-06-03 08:00:00"),
        event("import", "bo", "page_view", "2026-06-03 09:00:00"), event("import", "bo", "unsubscribe", "2026-06-05"),
        event("import", "bo", "ticket", "2026-07-15"),
    ])  # fmt: skip
    base = {"source": "import", "stream": "carts"}
    made.insert("carts", [
        base | {"record_id": "k1", "cart_id": "k1", "contact_id": "bo", "started_at": "2026-05-20 10:00:00"},
        base | {"record_id": "k2", "cart_id": "k2", "contact_id": "bo", "started_at": "2026-06-09 23:00:00"},
    ])  # fmt: skip
    base = {"source": "import", "stream": "subscriptions", "contact_id": "ana", "started_at": "2026-01-05 10:00:00"}
    made.insert("subscriptions", [
        base | {"record_id": "s1", "subscription_id": "s1", "cancelled_at": "2026-06-06 10:00:00"},
        base | {"record_id": "s2", "subscription_id": "s2", "cancelled_at": "2026-08-06 10:00:00"},
    ])  # fmt: skip
    return made


def loaded(store: Store, config: Config, day: date = DAY) -> set[tuple[str, str, str, float]]:
    moment = derive(store, config, day)
    data = score_data.load(store, config, moment)
    names = {
        p: str(store.value("SELECT contact_id FROM person_links WHERE person_id = ? ORDER BY ALL", [p])) for p in data.people
    }
    found = data.signs
    assert found is not None
    rows = zip(found.person.tolist(), found.day.tolist(), found.kind.tolist(), found.value.tolist(), strict=True)
    return {(names[data.people[p]], KINDS[k], str(score_data.date_of(d)), _said(k, v)) for p, d, k, v in rows}


def _said(kind: int, value: float) -> Any:
    until = kind in (signs.CART, signs.CONTRACT) and np.isfinite(value)
    return str(score_data.date_of(int(value))) if until else value


def test_every_kind_of_sign_is_read_by_the_shops_days(store: Store) -> None:
    assert loaded(store, shop_config()) == {
        ("ana", "mailed", "2026-04-01", 1), ("ana", "answer", "2026-05-02", 1), ("ana", "answer", "2026-05-03", 1),
        ("ana", "rating", "2026-05-10", 2.5), ("ana", "discount", "2026-03-01", 0), ("ana", "discount", "2026-05-01", 1),
        ("ana", "country", "2026-03-01", 6869), ("ana", "country", "2026-05-01", 6584),
        ("ana", "contract", "2026-01-05", "2026-06-06"), ("ana", "contract", "2026-01-05", "2026-08-06"),
        ("bo", "ticket", "2026-06-02", 1), ("bo", "login", "2026-06-03", 1), ("bo", "visit", "2026-06-03", 2),
        ("bo", "left", "2026-06-05", 1), ("bo", "cart", "2026-05-20", "2026-06-01"), ("bo", "cart", "2026-06-10", np.inf),
    }  # fmt: skip


def test_an_earlier_date_sees_none_of_what_came_later(store: Store) -> None:
    then = loaded(store, shop_config(), date(2026, 6, 1))
    assert max(day for _, _, day, _ in then) < "2026-06-01" and {who for who, *_ in then} == {"ana"}


def test_a_shop_of_which_only_orders_are_known_has_no_signs() -> None:
    store, config = new_store(), shop_config()
    store.insert("orders", [order("import", "o1", "ana", "2026-03-01", "40.00", email="ana@shop.example")])
    assert score_signs.load(store, config, derive(store, config), []) is None
    assert (DAY - EPOCH).days == score_data.load(store, config, derive(store, config)).cutoff
