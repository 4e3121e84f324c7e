"""Files as shops and public collections of shop data write them: read rightly, or refused with what to do."""

from __future__ import annotations

import json
import zipfile
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from connector import first_config
from connector.config import Config, Shop
from connector.imports import Imported, import_file
from connector.imports_csv import AGAIN, INSIDE, OPEN
from connector.imports_told import TOTALS
from connector.store import Store
from models.errors import ConfigError, UsageError
from tests.stages.hand_shop import derive, new_store, row, shop_config

CONFIG = Config(shop=Shop(timezone="UTC", currency="EUR"))


@pytest.fixture
def store() -> Any:
    with Store(":memory:", threads=1) as opened:
        yield opened


def load(
    store: Store, folder: Path, kind: str, text: str, *, name: str = "in.csv", words: str = "", run: str = "r1"
) -> Imported:
    (folder / name).write_text(text, encoding="utf-8")
    (folder / "map.toml").write_text(words)
    return import_file(store, CONFIG, kind, folder / name, run, map_file=folder / "map.toml" if words else None)


def said(found: Imported) -> str:
    return " ".join(found.notes)


@pytest.mark.parametrize("heading", ["Order Total", "order_value", "Total Amount", "payment_value", "Bestellwert"])
def test_what_an_order_costs_is_read_under_the_names_shops_give_it(store: Store, tmp_path: Path, heading: str) -> None:
    found = load(store, tmp_path, "orders", f"order_id,customer_id,date,{heading}\n1,A,2025-01-01,10.50\n")

    assert store.sql("SELECT net FROM orders") == [(Decimal("10.5"),)]
    assert "In this file: 1 order of 1 customer, 2025-01-01 to 2025-01-01, together 10.50 EUR." in found.notes


def test_orders_without_a_column_of_money_say_so_until_their_lines_come(tmp_path: Path) -> None:
    store, config = new_store(), shop_config(timezone="UTC", currency="EUR")
    found = load(store, tmp_path, "orders", "order_id,customer_id,date,cost of all\n1,A,2025-01-01,3.00\n2,B,2025-01-02,4.00\n")
    assert "their money is not known. Is it 'cost of all'?" in said(found)

    load(store, tmp_path, "order_lines", "order_id,sku,quantity,price\n1,M,2,5.00\n1,P,1,1.50\n")
    assert store.sql("SELECT order_id, total, net FROM orders ORDER BY 1") == [("1", None, Decimal("11.5")), ("2", None, None)]
    derive(store, config)
    assert (row(store, "import", "A")["revenue_total"], row(store, "import", "B")["revenue_total"]) == (Decimal("11.5"), 0)
    load(store, tmp_path, "order_lines", "order_id,sku,quantity,price\n1,M,3,5.00\n")
    assert store.sql("SELECT net FROM orders ORDER BY order_id") == [(Decimal(15),), (None,)]


def test_a_total_on_every_row_counts_once_and_keeps_the_products_where_it_adds_up(tmp_path: Path) -> None:
    head = "order_id,customer_id,date,product,quantity,price,order_total\n"
    adds_up = head + "1,A,2025-01-03,Mug,2,5.00,18.00\n1,A,2025-01-03,Plate,1,8.00,18.00\n2,B,2025-01-04,Mug,1,5.00,5.00\n"
    with_shipping = adds_up.replace("18.00", "22.90").replace("5.00,5.00", "5.00,9.90")

    for text, kind, money in ((adds_up, "order_lines", ["5", "18"]), (with_shipping, "orders", ["9.9", "22.9"])):
        store = new_store()
        found = load(store, tmp_path, "orders", text)
        assert found.count.stream == f"import:{kind}"
        assert store.sql("SELECT net FROM orders ORDER BY net") == [(Decimal(m),) for m in money]
    assert "order counts once, as its last row tells it" in said(found)


def test_the_household_of_a_till_is_a_customer_and_its_days_count_from_the_day_the_owner_names(
    store: Store, tmp_path: Path
) -> None:
    text = "household_key,BASKET_ID,DAY,PRODUCT_ID,QUANTITY,SALES_VALUE\n2375,1,1,M,1,1.39\n2375,1,1,P,1,0.82\n1364,2,300,M,1,2.19\n"
    with pytest.raises(UsageError, match=r"'DAY' holds numbers \(1 to 300\) and no dates.*day_one = "):
        load(store, tmp_path, "orders", text)

    load(store, tmp_path, "orders", text, words='day_one = "2024-03-01"')
    assert store.sql("SELECT contact_id, ordered_at, net FROM orders ORDER BY order_id") == [
        ("2375", datetime(2024, 3, 1, 12), Decimal("2.21")), ("1364", datetime(2024, 12, 25, 12), Decimal("2.19")),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="day_one must be a date"):
        load(store, tmp_path, "orders", text, words='day_one = "the first"')


@pytest.mark.parametrize(
    ("cell", "at"),
    [
        ("46024", "2026-01-02 12:00:00"), ("45658.5", "2025-01-01 12:00:00"), ("1735689600", "2025-01-01 00:00:00"),
        ("1735689600500", "2025-01-01 00:00:00.500000"), ("05-Mar-2025", "2025-03-05 12:00:00"),
        ('"Sun, 09 Mar 2025 10:00:00 +0200"', "2025-03-09 08:00:00"), ("2019-10-01 10:30:00 UTC", "2019-10-01 10:30:00"),
        ("1/5/2025 11:30:00 PM", "2025-05-01 23:30:00"), ("1/5/2025 12:05 AM", "2025-05-01 00:05:00"),
        ("2025-01-05 10:30 p.m.", "2025-01-05 22:30:00"), ('"March 5, 2025"', "2025-03-05 12:00:00"),
    ],
)  # fmt: skip
def test_days_of_spreadsheets_seconds_and_afternoons_are_read(store: Store, tmp_path: Path, cell: str, at: str) -> None:
    found = load(store, tmp_path, "orders", f"customer_id,date,amount\nA,{cell},1\n")

    assert found.set_aside == []
    assert [str(t) for (t,) in store.sql("SELECT ordered_at FROM orders")] == [at]


def test_one_column_of_dates_is_the_date_and_of_several_the_owner_says_which(store: Store, tmp_path: Path) -> None:
    found = load(store, tmp_path, "orders", "customer_id,when_it_was,amount\nA,2025-01-05,1\n")
    assert "'when_it_was' is the only column of dates" in said(found)
    assert found.columns["date"] == "when_it_was"

    with pytest.raises(UsageError, match=r"'approved', 'delivered' hold dates.*date = \"approved\""):
        load(store, tmp_path, "orders", "customer_id,approved,delivered,amount\nA,2025-01-05,2025-01-07,1\n")
    found = load(store, tmp_path, "orders", "customer_id,time,order_purchase_timestamp,amount\nA,10:30,2025-01-05 10:30:00,1\n")
    assert found.columns["date"] == "order_purchase_timestamp"


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("($5.00)", "-5"), ("$ (1,005.00)", "-1005"), ("(12)", "-12"), ("5.00-", "-5"), ("−5.00", "-5"), ("1’000.00", "1000"),
        ("1\u00a0234.50 kr", "1234.5"), ("12.-", "12"), ('"1,23,456.00"', "123456"), ("$-3.50", "-3.5"),
    ],
)  # fmt: skip
def test_amounts_are_read_as_bookkeepers_write_them(store: Store, tmp_path: Path, cell: str, amount: str) -> None:
    cell = cell if cell.startswith('"') else f'"{cell}"'
    found = load(store, tmp_path, "orders", f"customer_id,date,amount\nA,2025-01-01,{cell}\n")

    assert found.set_aside == []
    assert store.sql("SELECT total FROM orders") == [(Decimal(amount),)]


def test_reais_are_no_dollars(store: Store, tmp_path: Path) -> None:
    text = 'customer_id,date,amount\nA,2025-01-01,"R$ 10,50"\n'
    load(store, tmp_path, "orders", text)
    assert store.sql("SELECT currency, total FROM orders") == [("BRL", Decimal("10.5"))]

    first_config.write_where_none(tmp_path / "rollcall.toml", "orders", tmp_path / "in.csv", None)
    assert 'currency = "BRL"' in (tmp_path / "rollcall.toml").read_text()


def test_whole_numbers_that_a_program_wrote_with_a_point_are_the_same_ids(store: Store, tmp_path: Path) -> None:
    text = "customer_id,date,amount\n12345.0,2025-01-01,1\n12345,2025-01-02,1\nnan,2025-01-03,1\n"
    found = load(store, tmp_path, "orders", text)
    assert store.sql("SELECT DISTINCT contact_id FROM orders") == [("12345",)]
    assert found.set_aside == [(4, "customer_id: missing")]

    load(store, tmp_path, "orders", "customer_id,date,amount\n00123,2025-01-01,1\n1.50,2025-01-02,1\n7.0,2025-01-02,1\n")
    assert store.sql("SELECT contact_id FROM orders WHERE contact_id <> '12345' ORDER BY 1") == [
        ("00123",),
        ("1.50",),
        ("7.0",),
    ]


def test_an_open_quotation_mark_takes_its_own_line_alone(store: Store, tmp_path: Path) -> None:
    notes = {20: '"he said', 30: '"closed\nlater"', 35: "x", 37: '"a" b'}
    rows = "".join(f"{i},C{i},2025-01-05,10.00,{notes.get(i, 'fine')}\n" for i in range(1, 41))
    found = load(store, tmp_path, "orders", "order_id,customer_id,date,amount,note\n" + rows)

    assert (found.count.fetched, found.count.stored, found.count.set_aside) == (40, 38, 2)
    assert found.set_aside == [(21, OPEN), (39, INSIDE)]
    assert found.reasons == [(OPEN, 1), (INSIDE, 1)] or found.reasons == [(INSIDE, 1), (OPEN, 1)]


def test_a_quotation_mark_closed_by_that_of_a_later_row_swallows_no_rows(store: Store, tmp_path: Path) -> None:
    text = 'order_id,customer_id,date,note\n1,A,2025-01-01,"open\n2,B,2025-01-02,fine\n3,C,2025-01-03,"\n4,D,2025-01-04,fine\n'
    found = load(store, tmp_path, "orders", text)

    assert [o for (o,) in store.sql("SELECT order_id FROM orders ORDER BY 1")] == ["2", "4"]
    assert [n for n, _ in found.set_aside] == [2, 4]


def test_names_again_sums_below_titles_above_and_signs_behind_are_no_orders(store: Store, tmp_path: Path) -> None:
    text = (
        "Orders of 2025\n\norder_id,customer_id,date,amount\n1,A,2025-01-01,10.00,\norder_id,customer_id,date,amount\n"
        "2,B,2025-01-02,20.00\nGrand Total,,,30.00\n"
    )
    found = load(store, tmp_path, "orders", text)

    assert store.sql("SELECT sum(net), count(*) FROM orders") == [(Decimal(30), 2)]
    assert found.set_aside == [(5, AGAIN), (7, TOTALS)]
    assert "Lines above the names of the columns, not read: 2." in said(found)


ORDERS = [
    {"order_id": "1", "customer": {"id": "0012", "email": "a@x.de"}, "date": "2025-01-01", "amount": 10.5},
    {"order_id": "2", "customer": {"id": "0013"}, "date": "2025-01-02T10:00:00Z", "amount": 20},
]


@pytest.mark.parametrize(
    "text",
    [json.dumps(ORDERS), json.dumps(ORDERS, indent=2), json.dumps({"count": 2, "orders": ORDERS}), "\n".join(map(json.dumps, ORDERS)),
     json.dumps({"orders": ORDERS}, indent=1), "\n".join(json.dumps(o, indent=1) for o in ORDERS)],
)  # fmt: skip
def test_json_is_read_as_a_list_as_an_answer_and_as_lines(store: Store, tmp_path: Path, text: str) -> None:
    found = load(store, tmp_path, "orders", text, name="in.json")

    assert (found.count.fetched, found.count.set_aside) == (2, 0)
    assert store.sql("SELECT order_id, contact_id, email, total FROM orders ORDER BY 1") == [
        ("1", "0012", "a@x.de", Decimal("10.5")), ("2", "0013", None, Decimal(20)),
    ]  # fmt: skip


def test_a_list_that_ends_too_early_gives_what_is_whole(store: Store, tmp_path: Path) -> None:
    found = load(store, tmp_path, "orders", json.dumps(ORDERS, indent=0)[:-9], name="in.json")

    assert (found.count.stored, found.count.set_aside) == (1, 1)
    assert found.set_aside[0][1].startswith("the file ends within this record")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("in.csv", "00001,1997-01-01,11.77\n00002,1997-01-12,12.00\n", "holds values where the names of the columns should"),
        ("in.csv", "order_id,product_id,price\n1,M,2.00\n", "import order_lines FILE"),
        ("in.json", "[]", "holds no JSON objects"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(store: Store, tmp_path: Path, name: str, text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says) as refused:
        load(store, tmp_path, "orders", text, name=name)
    assert "11.77" not in str(refused.value)


def test_an_archive_is_to_be_unpacked(store: Store, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as packed:
        packed.writestr("orders.csv", "customer_id,date,amount\n")
    with pytest.raises(UsageError, match="Unpack it"):
        import_file(store, CONFIG, "orders", tmp_path / "in.zip", "r1")


def test_refunded_is_a_sum_or_is_told_to_be_none(store: Store, tmp_path: Path) -> None:
    load(store, tmp_path, "orders", "order_id,customer_id,date,amount,refunded\n1,A,2025-01-01,80,30\n2,A,2025-01-02,10,\n")
    assert store.sql("SELECT net FROM orders ORDER BY order_id") == [(Decimal(50),), (Decimal(10),)]

    found = load(store, tmp_path, "orders", "order_id,customer_id,date,amount,refunded\n1,A,2025-01-01,80,no\n")
    assert (found.count.set_aside, "'refunded' holds no numbers" in said(found)) == (0, True)


def test_words_for_yes_and_no_are_yes_and_no_in_columns_new_to_the_store(store: Store, tmp_path: Path) -> None:
    found = load(store, tmp_path, "contacts", "email,Club,Grade\na@x.de,ja,Y\nb@x.de,Nein,Y\nc@x.de,,\n")
    assert "Club: yes or no" in said(found)
    kept = "SELECT email, attributes FROM contacts ORDER BY 1"
    assert [json.loads(a) if a else None for _, a in store.sql(kept)] == [
        {"Club": "true", "Grade": "Y"}, {"Club": "false", "Grade": "Y"}, None,
    ]  # fmt: skip

    load(store, tmp_path, "contacts", "email,Club,Grade\nc@x.de,ja,N\nd@x.de,ja,Y\n", run="r2")
    assert [json.loads(a) for _, a in store.sql(kept)][2:] == [{"Club": "true", "Grade": "N"}, {"Club": "true", "Grade": "Y"}]


def test_a_kind_of_event_nobody_knows_is_named_with_what_to_do_about_a_no(store: Store, tmp_path: Path) -> None:
    found = load(
        store,
        tmp_path,
        "events",
        "email,event,date\na@x.de,Abgemeldet,2025-01-01\nb@x.de,left us,2025-01-02\nc@x.de,left us,2025-01-03\n",
    )
    assert store.sql("SELECT kind FROM events") == [("unsubscribe",)]
    assert "'left us' (2)" in said(found) and "replace it in the file by unsubscribe" in said(found)


def test_what_came_in_is_told_in_all(store: Store, tmp_path: Path) -> None:
    text = (
        "Invoice,StockCode,Quantity,InvoiceDate,Price,Customer ID\n1,M,6,2010-12-01 08:26:00,2.50,17850.0\n"
        "1,P,1,2010-12-01 08:26:00,5.00,17850.0\nC2,M,-2,2010-12-03 10:00:00,2.50,17850.0\n3,M,1,2010-12-02 10:00:00,2.50,\n"
    )
    found = load(store, tmp_path, "orders", text)
    assert (
        "In this file: 2 orders of 1 customer, 2010-12-01 to 2010-12-03, together 17.50 EUR; 1 return taken off." in found.notes
    )
    assert "1 order names no customer: it belongs to nobody." in found.notes

    mixed = "order_id,customer_id,date,amount,currency,status\n1,A,2025-01-01,100,EUR,paid\n2,A,2025-01-02,50,USD,paid\n"
    found = load(store, tmp_path, "orders", mixed + "3,B,2025-01-03,7,EUR,cancelled\n")
    assert (
        "In this file: 2 orders of 1 customer, 2025-01-01 to 2025-01-03, together 100.00 EUR + 50.00 USD; 1 more cancelled."
        in (found.notes)
    )
    assert "1 order is in another currency than the shop's EUR: its money is kept apart." in found.notes


def test_money_that_no_column_tells_is_not_called_nothing(store: Store, tmp_path: Path) -> None:
    found = load(store, tmp_path, "orders", "order_id,customer_id,date,status\n1,A,2025-01-01,paid\n2,B,2025-01-02,cancelled\n")
    assert "In this file: 1 order of 1 customer, 2025-01-01 to 2025-01-02; 1 more cancelled." in found.notes
