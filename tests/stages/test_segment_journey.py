"""A grocer's year of real purchases: twenty segments equal to what pandas computes directly from the files."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from connector import runs
from connector.clock import as_of
from connector.identity import identify
from connector.imports import import_file
from connector.profile import build
from connector.segment import evaluate, resolve
from tests.stages.hand_shop import new_store, shop_config

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data" / "complete_journey"
DAY = date(2018, 1, 1)

pytestmark = pytest.mark.nightly


def test_twenty_segments_equal_pandas():
    if not FOLDER.exists():
        pytest.skip("the Complete Journey files are not beside the repository")
    import pandas as pd

    store = new_store()
    rules = RULES()
    config = shop_config(
        *({"name": name, "where": where} for name, (where, _) in rules.items()), timezone="UTC", currency="USD"
    )
    for kind in ("orders", "order_lines"):
        found = import_file(store, config, kind, FOLDER / f"{kind}.parquet", runs.begin(store, "import", None))
        assert found.count.set_aside == 0
        assert found.count.stored == {"orders": 155_848, "order_lines": 1_469_307}[kind]
    identify(store, config)
    moment = as_of(DAY, "UTC")
    assert build(store, config, moment) == 2469
    counts = evaluate(store, config, resolve(config), moment, "r1")

    orders = pd.read_parquet(FOLDER / "orders.parquet") if _has_arrow() else _frame("orders")
    lines = _frame("order_lines")
    orders = orders[orders["ts"] < "2018-01-01"]
    lines = lines[lines["basket_id"].isin(orders["basket_id"])].merge(orders[["basket_id", "ts"]], on="basket_id")
    facts = Facts(orders, lines)
    names = dict(store.sql("SELECT person_id, contact_id FROM person_links WHERE source = 'import'"))
    members: dict[str, set[str]] = {c.segment: set() for c in counts}
    for segment, person in store.sql("SELECT segment, person_id FROM members"):
        members[segment].add(names[person])

    assert len(orders) == 155_848 - 86 and int((orders["amount"] == 0).sum()) <= 478
    assert len(rules) >= 20
    for name, (where, expected) in rules.items():
        assert members[name] == expected(facts), where


def _has_arrow() -> bool:
    from importlib.util import find_spec

    return find_spec("pyarrow") is not None


def _frame(name: str):
    import duckdb

    return duckdb.execute("SELECT * FROM read_parquet(?)", [str(FOLDER / f"{name}.parquet")]).df()


class Facts:
    """Per household: what pandas makes of the files."""

    def __init__(self, orders, lines) -> None:
        import pandas as pd

        self.orders, self.lines = orders, lines
        self.ago = (pd.Timestamp(DAY) - orders["ts"].dt.normalize()).dt.days
        self.lines_ago = (pd.Timestamp(DAY) - lines["ts"].dt.normalize()).dt.days
        self.everybody = set(orders["customer_id"])
        self.n = orders.groupby("customer_id").size()
        self.money = orders.groupby("customer_id")["amount"].sum().round(2)
        self.last = self.ago.groupby(orders["customer_id"]).min()
        self.first = self.ago.groupby(orders["customer_id"]).max()

    def of(self, series, test) -> set[str]:
        return set(series[test(series)].index)

    def recent(self, days: int):
        return self.orders[self.ago <= days].groupby("customer_id").size()

    def bought(self, department: str, days: int = 10_000, least: int = 1) -> set[str]:
        rows = self.lines[(self.lines["product_category"] == department) & (self.lines_ago <= days)]
        return self.of(rows.groupby("customer_id")["basket_id"].nunique(), lambda s: s >= least)


def RULES():
    return {
        "many": ("orders_total >= 100", lambda f: f.of(f.n, lambda s: s >= 100)),
        "once": ("orders_total = 1", lambda f: f.of(f.n, lambda s: s == 1)),
        "spenders": ("revenue_total > 2000", lambda f: f.of(f.money, lambda s: s > 2000)),
        "small": ("revenue_total <= 100", lambda f: f.of(f.money, lambda s: s <= 100)),
        "month": ("orders_30d > 0", lambda f: set(f.recent(30).index)),
        "busy quarter": ("orders_90d >= 30", lambda f: f.of(f.recent(90), lambda s: s >= 30)),
        "quiet": ("days_since_order > 60", lambda f: f.of(f.last, lambda s: s > 60)),
        "fresh": ("days_since_order <= 3", lambda f: f.of(f.last, lambda s: s <= 3)),
        "new": ("days_since_first_order <= 90", lambda f: f.of(f.first, lambda s: s <= 90)),
        "not new": ("not days_since_first_order <= 90", lambda f: f.everybody - f.of(f.first, lambda s: s <= 90)),
        "large baskets": ("aov >= 50", lambda f: f.of((f.money / f.n), lambda s: s >= 50)),
        "top tenth": ("spend_rank_pct <= 10", lambda f: set(
            f.money.to_frame("m").assign(n=f.n).sort_values(["m", "n"], ascending=False).head(len(f.money) // 10).index)),
        "milk": ("bought(category => 'FLUID MILK PRODUCTS')", lambda f: f.bought("FLUID MILK PRODUCTS")),
        "milk month": ("bought(category => 'FLUID MILK PRODUCTS', days => 30) >= 4",
                       lambda f: f.bought("FLUID MILK PRODUCTS", 30, 4)),
        "bread not milk": ("bought(category => 'BAKED BREAD/BUNS/ROLLS', days => 90) and not bought(category => "
                           "'FLUID MILK PRODUCTS', days => 90)",
                           lambda f: f.bought("BAKED BREAD/BUNS/ROLLS", 90) - f.bought("FLUID MILK PRODUCTS", 90)),
        "no cheese": ("not bought(category => 'CHEESE')", lambda f: f.everybody - f.bought("CHEESE")),
        "free": ("ordered(max_total => 0)", lambda f: set(f.orders[f.orders["amount"] <= 0]["customer_id"])),
        "big tickets": ("ordered(min_total => 150, days => 180) >= 2", lambda f: f.of(
            f.orders[(f.ago <= 180) & (f.orders["amount"] >= 150)].groupby("customer_id").size(), lambda s: s >= 2)),
        "spent lately": ("spent(days => 30) > 300", lambda f: f.of(
            f.orders[f.ago <= 30].groupby("customer_id")["amount"].sum().round(2), lambda s: s > 300)),
        "soft drinks spend": ("spent(category => 'SOFT DRINKS') > 100", lambda f: f.of(
            f.lines[f.lines["product_category"] == "SOFT DRINKS"].groupby("customer_id")["sales_value"].sum().round(2),
            lambda s: s > 100)),
        "last soft drink": ("last(event => 'bought', category => 'SOFT DRINKS') > 60", lambda f: f.of(
            f.lines_ago[f.lines["product_category"] == "SOFT DRINKS"].groupby(f.lines["customer_id"]).min(), lambda s: s > 60)),
        "everybody": ("true", lambda f: f.everybody),
    }  # fmt: skip
