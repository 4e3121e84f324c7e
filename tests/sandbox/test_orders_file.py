"""Any file of orders becomes a shop: what a row means, to the cent, and what is said about a row that means nothing."""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.sandbox.orders_file import OrdersFileError, load_orders
from connector.sandbox.shop import Purchase, Shop
from connector.sandbox.shopify import ShopifySimulator

CDNOW = Path(__file__).resolve().parents[2] / "../shared/data/cdnow/transactions.csv.gz"


def loaded(folder: Path, *rows: str, header: str = "customer_id,date,amount") -> Shop:
    path = folder / "orders.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return load_orders(path)


def net(purchases: list[Purchase]) -> Decimal:
    return sum((p.total - p.refunded for p in purchases), Decimal(0))


def money(*pairs: tuple[int, int]) -> list[tuple[Decimal, Decimal]]:
    return [(Decimal(one), Decimal(two)) for one, two in pairs]


@pytest.mark.skipif(not CDNOW.exists(), reason="the CDNOW file is not beside this checkout")
def test_cdnow_arrives_whole_with_its_identical_rows_apart() -> None:
    shop = load_orders(CDNOW)
    assert (len(shop.purchases), len(shop.customers)) == (69_659, 23_570)
    assert net(shop.purchases) == Decimal("2500315.63")
    rows = Counter((p.customer_id, p.at, p.total, p.lines[0].quantity) for p in shop.purchases)
    assert sum(count - 1 for count in rows.values()) == 255
    assert sum(p.total == 0 for p in shop.purchases) == 80
    assert shop.customers[0].customer_id == "00001"


def test_a_row_is_a_paid_order_at_noon_and_everybody_is_subscribed_everywhere(tmp_path: Path) -> None:
    shop = loaded(tmp_path, "00007,2026-01-02,11.770")
    (order,), (person,) = shop.purchases, shop.customers
    assert (order.at, order.total, order.customer_id) == (datetime(2026, 1, 2, 12), Decimal("11.77"), "00007")
    assert (person.email, sorted(person.on)) == ("00007@shop.example", ["hubspot", "mailchimp", "shopify"])
    assert person.consent == {"shopify": "SUBSCRIBED", "mailchimp": "subscribed", "hubspot": "opted_in"}
    assert order.on == {"shopify"} and shop.history_scope and shop.timezone == "UTC"


def test_rows_with_one_order_id_are_its_lines_and_columns_may_stand_anywhere(tmp_path: Path) -> None:
    shop = loaded(
        tmp_path,
        "x,5.00,2,A1,Beans,Coffee,c1,2026-01-02 08:30:00,C1@Example.org",
        "y,7.50,,A1,Cup,Ware,c1,2026-01-02 08:30:00,",
        "z,1.00,1,A1,,,c2,2026-01-02T10:00:00+02:00,",
        header="ignored,amount,quantity,order_id,product,category,customer_id,date,email",
    )
    one, two = shop.purchases
    assert (two.order_id, two.total, [(n.title, n.quantity) for n in two.lines]) == (
        "A1",
        Decimal("12.50"),
        [("Beans", 2), ("Cup", 1)],
    )
    assert (one.customer_id, one.at) == ("c2", datetime(2026, 1, 2, 8))
    assert [p.title for p in shop.products] == ["Beans", "Cup"]
    assert {c.customer_id: c.email for c in shop.customers} == {"c1": "c1@example.org", "c2": "c2@shop.example"}


def test_two_customers_never_share_an_address(tmp_path: Path) -> None:
    header = "customer_id,date,amount,email"
    shop = loaded(
        tmp_path,
        "a,2026-01-01,1,x@y.example",
        "b,2026-01-01,1,X@y.example",
        "A,2026-01-01,1,",
        "b!,2026-01-01,1,",
        header=header,
    )
    addresses = [c.email for c in shop.customers]
    assert addresses == ["x@y.example", "b@shop.example", "a@shop.example", "b-2@shop.example"]


def test_a_refund_goes_to_the_latest_earlier_order_that_can_bear_it(tmp_path: Path) -> None:
    shop = loaded(tmp_path, "c,2026-01-01,50", "c,2026-01-02,60", "c,2026-01-03,10", "c,2026-01-04,-55", "c,2026-01-05,70")
    assert [(p.total, p.refunded) for p in shop.purchases] == money((50, 0), (60, 55), (10, 0), (70, 0))
    assert shop.purchases[1].refunds == [(datetime(2026, 1, 4, 12), Decimal(55))]


def test_a_line_taken_back_within_an_order_is_that_orders_refund(tmp_path: Path) -> None:
    shop = loaded(tmp_path, "c,2026-01-01,50,A", "c,2026-01-01,-20,A", header="customer_id,date,amount,order_id")
    assert [(p.total, p.refunded) for p in shop.purchases] == money((50, 20))
    assert len(shop.purchases[0].lines) == 1


def test_a_refund_that_no_order_can_bear_is_a_return_of_its_own(tmp_path: Path) -> None:
    shop = loaded(tmp_path, "c,2026-01-01,50", "c,2026-01-02,-80", "d,2026-01-03,-5")
    assert [p.customer_id for p in shop.purchases] == ["c", "c", "d"]
    assert [(p.total, p.refunded) for p in shop.purchases] == money((50, 50), (0, 30), (0, 5))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("ab"), st.integers(1, 9), st.decimals(-99, 99, places=2), st.sampled_from(["", "o1", "o2"])),
        min_size=1,
        max_size=25,
    )
)
def test_what_remains_of_all_orders_is_the_sum_of_the_file(
    rows: list[tuple[str, int, Decimal, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [f"{who},2026-01-{day:02d},{amount},{order}" for who, day, amount, order in rows]
    shop = loaded(tmp_path_factory.mktemp("orders"), *lines, header="customer_id,date,amount,order_id")
    assert net(shop.purchases) == sum(r[2] for r in rows)
    assert all(p.total >= 0 for p in shop.purchases)
    simulator = ShopifySimulator(lambda: datetime(2026, 11, 21))
    simulator.load(shop)
    assert Decimal(simulator.dump()["net_total"]) == net(shop.purchases)


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (",2026-01-01,1", "customer_id is empty"),
        ("c,yesterday,1", "date is not a date"),
        ("c,2026-01-01,free", "amount is not a number"),
        ("c,2026-01-01,nan", "amount is not a number"),
        ("c,2026-01-01", "2 cells, the header has 3"),
    ],
)
def test_a_row_that_means_nothing_is_named_by_its_line(row: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(OrdersFileError, match="line 3") as e:
        loaded(tmp_path, "c,2026-01-01,1", row)
    assert words in str(e.value)


def test_a_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(OrdersFileError, match="no column amount"):
        loaded(tmp_path, "c,2026-01-01", header="customer_id,date")
    with pytest.raises(OrdersFileError, match="no orders"):
        loaded(tmp_path)
    with pytest.raises(OrdersFileError, match="There is no file"):
        load_orders(tmp_path / "nowhere.csv")
    broken = tmp_path / "broken.csv.gz"
    broken.write_bytes(gzip.compress(b"customer_id,date,amount\nc,2026-01-01,1\n" * 99)[:-12])
    with pytest.raises(OrdersFileError, match="cannot be read"):
        load_orders(broken)
    (tmp_path / "x.parquet").write_bytes(b"no parquet")
    with pytest.raises(OrdersFileError, match="no Parquet"):
        load_orders(tmp_path / "x.parquet")


def test_parquet_keeps_ids_days_and_cents(tmp_path: Path) -> None:
    path = tmp_path / "orders.parquet"
    duckdb.execute(
        f"""COPY (SELECT '007' AS customer_id, DATE '2026-01-02' AS date, 0.1 + 0.2::DOUBLE AS amount, 1 AS other
        UNION ALL SELECT '008', DATE '2026-01-03', 12.345::DOUBLE, 2) TO '{path}' (FORMAT parquet)"""
    )
    shop = load_orders(path)
    assert [(p.customer_id, p.at, p.total) for p in shop.purchases] == [
        ("007", datetime(2026, 1, 2, 12), Decimal("0.3")),
        ("008", datetime(2026, 1, 3, 12), Decimal("12.345")),
    ]
