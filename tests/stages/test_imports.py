"""Importing a shop's own files: recognised, exact, repeatable, and nothing lost."""

from __future__ import annotations

import gzip
import json
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from connector import imports
from connector.config import Config, Shop
from connector.imports import Imported
from connector.profile import attribute_columns
from connector.store import Store
from models.errors import ConfigError, UsageError

CONFIG = Config(shop=Shop(timezone="Pacific/Auckland", currency="NZD"))


@pytest.fixture
def store() -> Any:
    with Store(":memory:", threads=1) as opened:
        yield opened


def load(
    store: Store, folder: Path, kind: str, text: str | bytes, *, name: str = "in.csv", map_text: str = "", run: str = "r1"
) -> Imported:
    file = folder / name
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    map_file = folder / "map.toml" if map_text else None
    if map_file:
        map_file.write_text(map_text)
    return imports.import_file(store, CONFIG, kind, file, run, map_file=map_file)


def numbers(found: Imported) -> tuple[int, int, int, int]:
    c = found.count
    return c.fetched, c.stored, c.unchanged, c.set_aside


ORDERS = "customer_id,order_id,date,amount\n00012,A1,2026-01-31,10.50\n00012,A2,2026-02-01,0\n7,A3,2026-02-02,\n"


def test_orders_keep_leading_zeros_exact_amounts_and_the_shops_day(store: Store, tmp_path: Path) -> None:
    assert numbers(load(store, tmp_path, "orders", ORDERS)) == (3, 3, 0, 0)
    assert store.sql("SELECT contact_id, order_id, ordered_at, total, currency FROM orders ORDER BY order_id") == [
        ("00012", "A1", datetime(2026, 1, 30, 23), Decimal("10.5000"), "NZD"),
        ("00012", "A2", datetime(2026, 1, 31, 23), Decimal(0), "NZD"),
        ("7", "A3", datetime(2026, 2, 1, 23), None, "NZD"),
    ]
    assert store.sql("SELECT source, stream, contact_id FROM contacts ORDER BY 3") == [
        ("import", "import:customers", "00012"), ("import", "import:customers", "7"),
    ]  # fmt: skip


def test_the_same_file_twice_changes_nothing_and_a_changed_row_only_itself(store: Store, tmp_path: Path) -> None:
    load(store, tmp_path, "orders", ORDERS)
    before = store.sql("SELECT * FROM orders ORDER BY ALL")
    assert numbers(load(store, tmp_path, "orders", ORDERS, run="r2")) == (3, 0, 3, 0)
    assert store.sql("SELECT * FROM orders ORDER BY ALL") == before
    assert numbers(load(store, tmp_path, "orders", ORDERS.replace("10.50", "11"), run="r3")) == (3, 1, 2, 0)
    assert store.sql("SELECT record_id, first_run, changed_run FROM source_records ORDER BY 1")[0] == ("A1", "r1", "r3")
    assert store.value("SELECT sum(total) FROM orders") == 11


def test_identical_rows_without_an_id_are_separate_orders(store: Store, tmp_path: Path) -> None:
    text = "customer_id,date,amount\n1,2026-01-01,5\n1,2026-01-01,5\n2,2026-01-01,5\n"
    assert numbers(load(store, tmp_path, "orders", text)) == (3, 3, 0, 0)
    assert numbers(load(store, tmp_path, "orders", text)) == (3, 0, 3, 0)
    reordered = "customer_id,date,amount\n2,2026-01-01,5\n1,2026-01-01,5\n1,2026-01-01,5\n1,2026-01-01,5\n"
    assert numbers(load(store, tmp_path, "orders", reordered)) == (4, 1, 3, 0)


def test_bad_rows_are_set_aside_with_their_line_and_reason_and_known_the_next_time(store: Store, tmp_path: Path) -> None:
    text = 'customer_id,date,amount\n1,2026-01-01,5\n2,soon,5\n"3\nx",2026-01-01,five\n'
    text += ",2026-01-01,5\n5,2026-01-01\n6,2026-01-01,6\n"
    found = load(store, tmp_path, "orders", text)
    assert numbers(found) == (6, 2, 0, 4)
    assert found.set_aside == [
        (3, "date: not a date"), (4, "amount: not a number"), (6, "customer_id: missing"),
        (7, "2 values where the header names 3 columns"),
    ]  # fmt: skip
    assert found.count.new_set_aside == 4
    assert load(store, tmp_path, "orders", text, run="r2").count.new_set_aside == 0
    assert store.value("SELECT count(*) FROM set_aside WHERE first_run = 'r1' AND last_run = 'r2'") == 4


def test_a_set_aside_order_is_let_go_when_its_row_has_been_mended(store: Store, tmp_path: Path) -> None:
    load(store, tmp_path, "orders", ORDERS.replace("10.50", "ten"))
    assert store.sql("SELECT record_id, line, reason FROM set_aside") == [("A1", 2, "amount: not a number")]
    load(store, tmp_path, "orders", ORDERS, run="r2")
    assert store.value("SELECT count(*) FROM set_aside") == 0


def test_decimal_commas_and_day_first_dates_are_detected_and_told(store: Store, tmp_path: Path) -> None:
    text = "Kunden-Nr;date;amount\n1;31.01.2026;1.234,50 €\n2;01.02.2026 13:45;12,5\n3;02.02.26;7\n"
    found = load(store, tmp_path, "orders", text.encode("cp1252"), map_text='customer_id = "Kunden-Nr"')
    assert numbers(found) == (3, 3, 0, 0)
    assert store.sql("SELECT total, ordered_at FROM orders ORDER BY contact_id") == [
        (Decimal("1234.5"), datetime(2026, 1, 30, 23)), (Decimal("12.5"), datetime(2026, 2, 1, 0, 45)),
        (Decimal(7), datetime(2026, 2, 1, 23)),
    ]  # fmt: skip
    assert found.notes[:3] == ("Format: semicolon-separated, cp1252.", "Numbers: decimal comma.", "date: day first.")


def test_month_first_is_seen_by_a_day_above_twelve_or_said_in_the_map(store: Store, tmp_path: Path) -> None:
    load(store, tmp_path, "orders", "customer_id,date,amount\n1,01/31/2026,1\n")
    found = load(store, tmp_path, "orders", "customer_id,date,amount\n2,01/02/2026 1:05 PM,2\n", map_text='date_order = "mdy"')
    assert store.sql("SELECT ordered_at FROM orders ORDER BY total") == [
        (datetime(2026, 1, 30, 23),),
        (datetime(2026, 1, 2, 0, 5),),
    ]
    assert not [n for n in found.notes if "cannot tell" in n]


def test_common_names_are_recognised_and_shown(store: Store, tmp_path: Path) -> None:
    text = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    text += "536365,085123A,Holder,6,12/13/2010 8:26,2.55,17850.0,UK\n536365,71053,Lantern,6,12/13/2010 8:26,3.39,17850.0,UK\n"
    found = load(store, tmp_path, "order_lines", text)
    assert found.columns == {
        "customer_id": "CustomerID", "order_id": "InvoiceNo", "product_id": "StockCode", "quantity": "Quantity",
        "price": "UnitPrice", "date": "InvoiceDate", "product": "Description",
    }  # fmt: skip
    assert store.sql("SELECT product_id, amount, contact_id FROM order_lines ORDER BY 1") == [
        ("085123A", Decimal("15.3"), "17850"), ("71053", Decimal("20.34"), "17850"),
    ]  # fmt: skip
    assert store.sql("SELECT stream, order_id, total FROM orders") == [("import:orders_from_lines", "536365", Decimal("35.64"))]


def test_the_lines_of_an_order_are_one_record_and_an_orders_file_replaces_the_sum(store: Store, tmp_path: Path) -> None:
    lines = "order_id,product_id,quantity,amount,date\nA1,p1,1,3,2026-01-01\nA1,p2,2,4,2026-01-01\nA2,p1,1,3,2026-01-01\n"
    assert numbers(load(store, tmp_path, "order_lines", lines)) == (3, 3, 0, 0)
    assert numbers(load(store, tmp_path, "order_lines", lines.replace("A1,p2,2,4", "A1,p2,2,5"))) == (3, 2, 1, 0)
    assert store.sql("SELECT order_id, line_id, amount::INT FROM order_lines ORDER BY 1, 2") == [
        ("A1", "1", 3),
        ("A1", "2", 5),
        ("A2", "1", 3),
    ]
    load(store, tmp_path, "orders", ORDERS)
    assert store.sql("SELECT order_id, total::INT FROM orders WHERE stream = 'import:orders_from_lines'") == []
    assert store.value("SELECT total FROM orders WHERE order_id = 'A1'") == Decimal("10.5")


def test_a_contacts_file_takes_the_place_of_contacts_made_from_orders(store: Store, tmp_path: Path) -> None:
    load(
        store,
        tmp_path,
        "orders",
        "customer_id,email,date,amount\n1,A@X.de,2026-01-01,5\n,b@x.de,2026-01-01,5\n3,nonsense,2026-01-01,1\n",
    )
    assert store.sql("SELECT contact_id, email FROM contacts ORDER BY 1") == [
        ("1", "a@x.de"),
        ("3", None),
        ("b@x.de", "b@x.de"),
    ]
    load(store, tmp_path, "contacts", "customer_id,email,first name,tags\n1,A@X.de,Ann,vip; press\n")
    assert store.sql("SELECT stream, contact_id, first_name, tags FROM contacts ORDER BY 2") == [
        ("import:contacts", "1", "Ann", '["vip","press"]'), ("import:customers", "3", None, None),
        ("import:customers", "b@x.de", None, None),
    ]  # fmt: skip
    assert store.sql("SELECT contact_id, value FROM identifiers ORDER BY 1") == [("1", "a@x.de"), ("b@x.de", "b@x.de")]


def test_times_with_and_without_a_zone(store: Store, tmp_path: Path) -> None:
    text = (
        "customer_id,kind,date\n1,login,2026-01-01T10:00:00Z\n2,login,2026-01-01 10:00:00\n3,login,2026-01-01T10:00:00+02:00\n"
    )
    load(store, tmp_path, "events", text)
    assert [t for (t,) in store.sql("SELECT occurred_at FROM events ORDER BY contact_id")] == [
        datetime(2026, 1, 1, 10), datetime(2025, 12, 31, 21), datetime(2026, 1, 1, 8),
    ]  # fmt: skip


def test_excel_parquet_json_lines_and_compressed_files_say_the_same(store: Store, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    rows: list[list[Any]] = [["customer_id", "order_id", "date", "amount"], ["00012", "A1", datetime(2026, 1, 31), 10.5]]
    rows += [["00012", "A2", datetime(2026, 2, 1), 0], ["7", "A3", datetime(2026, 2, 2), None]]
    for row in rows:
        book.active.append(row)  # type: ignore[union-attr]  # a new workbook has a sheet
    book.save(tmp_path / "in.xlsx")
    with store.staged() as folder:
        (folder / "o.csv").write_text(ORDERS)
        given = f"read_csv('{folder / 'o.csv'}', types = {{customer_id: 'VARCHAR'}})"
        store.sql(f"COPY (SELECT * FROM {given}) TO '{folder / 'in.parquet'}'")
        (tmp_path / "in.parquet").write_bytes((folder / "in.parquet").read_bytes())
    json_lines = (
        '{"customer_id": "00012", "order_id": "A1", "date": "2026-01-31", "amount": 10.5}\n'
        '{"order_id": "A2", "customer_id": "00012", "date": "2026-02-01", "amount": 0}\n\n'
        '{"customer_id": "7", "order_id": "A3", "date": "2026-02-02", "amount": null}\n[1]\n'
    )
    load(store, tmp_path, "orders", ORDERS)
    assert numbers(imports.import_file(store, CONFIG, "orders", tmp_path / "in.xlsx", "r")) == (3, 0, 3, 0)
    assert numbers(imports.import_file(store, CONFIG, "orders", tmp_path / "in.parquet", "r")) == (3, 0, 3, 0)
    assert numbers(load(store, tmp_path, "orders", gzip.compress(ORDERS.encode("utf-16")), name="in.csv.gz")) == (3, 0, 3, 0)
    found = load(store, tmp_path, "orders", json_lines, name="in.jsonl")
    assert (numbers(found), found.set_aside) == ((4, 0, 3, 1), [(5, "not a JSON object")])


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        ("order", ORDERS, "Did you mean 'orders'?"),
        ("orders", "customer_id,amount\n1,2\n", "orders need a column date. The file has: customer_id, amount"),
        ("orders", "", "is empty"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_in_words(store: Store, tmp_path: Path, kind: str, text: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(store, tmp_path, kind, text)
    assert says in str(caught.value)


def test_a_mistake_in_the_map_names_the_nearest_column(store: Store, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'customer_id'"):
        load(store, tmp_path, "orders", ORDERS, map_text='custmer_id = "x"')
    with pytest.raises(UsageError, match="no column 'x' for customer_id"):
        load(store, tmp_path, "orders", ORDERS, map_text='customer_id = "x"')


def test_products_carts_and_subscriptions(store: Store, tmp_path: Path) -> None:
    load(store, tmp_path, "products", "stock_code,product_category,price\n007,Tea,3.5\n")
    load(store, tmp_path, "carts", "cart_id,customer_id,date,total\nc1,1,2026-01-01,9\n")
    load(store, tmp_path, "subscriptions", "customer_id,plan,started_at,status\n1,Monthly,2026-01-01,active\n")
    assert store.sql("SELECT product_id, category, price FROM products") == [("007", "Tea", Decimal("3.5"))]
    assert store.sql("SELECT cart_id, contact_id FROM carts") == [("c1", "1")]
    assert store.sql("SELECT plan, subscription_id IS NULL FROM subscriptions") == [("Monthly", True)]


def test_products_tell_stock_usual_price_and_since_when_and_words_are_as_good_as_numbers(store: Store, tmp_path: Path) -> None:
    rows = ["1,12,9.5,12.50,2026-06-20", "2,0,9.5,,", "3,out of stock,9.5,,", "4,unlimited,9.5,,", "5,,9.5,,"]
    load(store, tmp_path, "products", "product_id,inventory,price,compare_at_price,created_at\n" + "\n".join(rows) + "\n")
    assert store.sql("SELECT product_id, stock, list_price, CAST(created_at AS DATE) FROM products ORDER BY 1") == [
        ("1", Decimal(12), Decimal("12.5"), date(2026, 6, 20)), ("2", Decimal(0), None, None), ("3", Decimal(0), None, None),
        ("4", None, None, None), ("5", None, None, None),
    ]  # fmt: skip


def test_columns_of_the_owners_become_attributes_and_birthdays_are_read_in_every_form(store: Store, tmp_path: Path) -> None:
    text = 'email;Geburtstag;Birthday;Favourite "Roast";Consent;tags\n'
    text += "a@x.de;;31.12.1965;dark;yes;[]\nb@x.de;;04.05.90;;no;\nc@x.de;;05/04;=1+1;;\nd@x.de;;1990-05-04 00:00:00;;;\n"

    found = load(store, tmp_path, "contacts", text)

    assert store.sql("SELECT email, birthday, attributes FROM contacts ORDER BY 1") == [
        ("a@x.de", "1965-12-31", '{"Favourite Roast":"dark"}'), ("b@x.de", "1990-05-04", None),
        ("c@x.de", "05/04", '{"Favourite Roast":"=1+1"}'), ("d@x.de", "1990-05-04", None),
    ]  # fmt: skip
    assert any("Favourite Roast" in n for n in found.notes) and any("Consent" in n and "Not read" in n for n in found.notes)


def test_numbers_and_days_of_the_owners_columns_are_read_as_the_file_writes_them(store: Store, tmp_path: Path) -> None:
    text = "email;Punkte;Umsatz;Seit;Bis;Version;Kennzahl;Satz;Teile\n"
    text += "a@x.de;3,5;1.234;31.12.2025;31/12/2025 08:30;1.2;00123;1,2 oder 3;10-12-14\n"
    text += "b@x.de;4;-2.000,50;01.02.2026;;1.3;00124;4;\nc@x.de;;;;;;;;\n"
    found = load(store, tmp_path, "contacts", text)

    (a,), (b,), (c,) = store.sql("SELECT attributes FROM contacts ORDER BY email")
    assert json.loads(a) == {"Punkte": "3.5", "Umsatz": "1234", "Seit": "2025-12-31", "Bis": "2025-12-31", "Version": "1.2",
                             "Kennzahl": "00123", "Satz": "1,2 oder 3", "Teile": "10-12-14"}  # fmt: skip
    assert (json.loads(b)["Umsatz"], json.loads(b)["Seit"], c) == ("-2000.50", "2026-02-01", None)
    assert {x.name: x.sql_type for x in attribute_columns(store)} == {
        "punkte": "DOUBLE", "umsatz": "DOUBLE", "seit": "DATE", "bis": "DATE", "version": "DOUBLE", "kennzahl": "DOUBLE",
        "satz": "VARCHAR", "teile": "VARCHAR",
    }  # fmt: skip
    assert {"Punkte, Umsatz: decimal comma.", "Seit: day first.", "Bis: day first."} <= set(found.notes)

    american = 'email,Score,Since\nz@x.de,"1,234",12/31/2025\n'
    load(store, tmp_path, "contacts", american)
    assert json.loads(store.value("SELECT attributes FROM contacts WHERE email = 'z@x.de'")) == {
        "Score": "1234", "Since": "2025-12-31"
    }  # fmt: skip
    load(store, tmp_path, "contacts", american, map_text='decimal = ","\n')
    assert '"Score":"1.234"' in store.value("SELECT attributes FROM contacts WHERE email = 'z@x.de'")


def test_of_two_columns_with_one_name_in_rules_the_first_is_read_and_the_second_told(store: Store, tmp_path: Path) -> None:
    found = load(store, tmp_path, "contacts", "email,Shoe Size,shoe-size,Shoe Size\na@x.de,40,41,42\n")

    assert store.value("SELECT attributes FROM contacts") == '{"Shoe Size":"40"}'
    told = [n for n in found.notes if "one name in rules (shoe_size)" in n]
    assert len(told) == 2 and "'Shoe Size' and 'shoe-size'" in told[0]

    load(store, tmp_path, "contacts", "email,SHOE SIZE\nb@x.de,43\n")
    (column,) = attribute_columns(store)
    assert column.name == "shoe_size" and "'Shoe Size' has the same name in rules and is not read" in column.meaning


def test_lists_of_json_lines_become_words(store: Store, tmp_path: Path) -> None:
    load(store, tmp_path, "contacts", '{"email": "a@x.de", "tags": ["vip", "tea club"]}\n', name="in.jsonl")
    assert store.sql("SELECT tags FROM contacts") == [('["vip","tea club"]',)]


@pytest.mark.parametrize("broken", ["\n", "\r", "\r\n", "\n\n\r"])
def test_a_line_break_within_a_cell_is_kept(store: Store, tmp_path: Path, broken: str) -> None:
    found = load(store, tmp_path, "contacts", f'email,company,city\na@x.de,Tea,"Weg 1{broken}Bonn"\nb@x.de,,Ulm\n')
    assert numbers(found) == (2, 2, 0, 0)
    assert store.sql("SELECT city FROM contacts ORDER BY email") == [(f"Weg 1{broken}Bonn",), ("Ulm",)]


def test_a_spreadsheets_line_about_the_separator_and_utf_16_without_a_mark(store: Store, tmp_path: Path) -> None:
    text = "sep=;\r\ncustomer_id;date;amount;order_id\r\n1;2026-01-31;1,50;A\r\n1;never;1,50;B\r\n"
    found = load(store, tmp_path, "orders", text)
    assert (numbers(found), found.set_aside) == ((2, 1, 0, 1), [(4, "date: not a date")])
    for encoding in ("utf-16-le", "utf-16-be"):
        assert numbers(load(store, tmp_path, "orders", text.encode(encoding))) == (2, 0, 1, 1)


def test_addresses_are_taken_out_of_what_people_write_around_them(store: Store, tmp_path: Path) -> None:
    given = [
        "Ann <Ann@X.de>",
        "mailto:bob@x.de",
        "cy@x.de.",
        "o'neil+a@sub.x.de",
        "m\u00fcller@x.de",
        "dee@@x.de",
        "a b@x.de",
        "@x",
    ]
    found = load(store, tmp_path, "contacts", "customer_id,email\n" + "".join(f"{i},{a}\n" for i, a in enumerate(given)))
    addresses = [a for (a,) in store.sql("SELECT email FROM contacts ORDER BY contact_id")]
    assert addresses == ["ann@x.de", "bob@x.de", "cy@x.de", "o'neil+a@sub.x.de", "m\u00fcller@x.de", None, None, None]
    assert "3 values in the e-mail column are no addresses; their rows are kept without one." in found.notes


def test_currencies_in_small_letters_and_as_signs_are_the_same_currency(store: Store, tmp_path: Path) -> None:
    given = ["NZD", "nzd", "€", "eur", "£", ""]
    text = "customer_id,date,amount,currency\n" + "".join(f"{i},2026-01-01,5,{c}\n" for i, c in enumerate(given))
    load(store, tmp_path, "orders", text)
    found = [c for (c,) in store.sql("SELECT currency FROM orders ORDER BY contact_id")]
    assert found == ["NZD", "NZD", "EUR", "EUR", "GBP", "NZD"]


def test_kinds_of_events_are_known_or_set_aside(store: Store, tmp_path: Path) -> None:
    given = ["Survey", "page view", "Page-Views", "ticket ", "surveyy"]
    found = load(
        store, tmp_path, "events", "email,kind,date\n" + "".join(f"a{i}@x.de,{k},2026-01-01\n" for i, k in enumerate(given))
    )
    assert store.sql("SELECT kind FROM events ORDER BY email") == [("survey",), ("page_view",), ("page_view",), ("ticket",)]
    assert found.set_aside[0][0] == 6 and "no kind of event we know (sent," in found.set_aside[0][1]


def test_a_later_file_of_the_same_people_changes_only_what_it_speaks_of(store: Store, tmp_path: Path) -> None:
    first = "email,first name,city,tags,Colour,Size\na@x.de,Ann,Bonn,vip,red,L\nb@x.de,Bob,Ulm,,,\n"
    load(store, tmp_path, "contacts", first)
    load(store, tmp_path, "contacts", "email,city,Colour,Shoe\na@x.de,Köln,blue,40\n")
    assert store.sql("SELECT email, first_name, city, tags, attributes FROM contacts ORDER BY 1") == [
        ("a@x.de", "Ann", "Köln", '["vip"]', '{"Size":"L","Colour":"blue","Shoe":"40"}'), ("b@x.de", "Bob", "Ulm", None, None),
    ]  # fmt: skip
    load(store, tmp_path, "contacts", first)
    assert store.sql("SELECT city FROM contacts WHERE email = 'a@x.de'") == [("Bonn",)]
    assert store.sql("SELECT count(*), count(DISTINCT value) FROM identifiers") == [(2, 2)]


def test_an_amount_that_names_its_currency_has_it_and_none_that_contradicts_its_row(store: Store, tmp_path: Path) -> None:
    given = ["USD 100", "100 $", "1,000.50EUR", "€ 7", "8"]
    text = "order_id,customer_id,date,amount\n" + "".join(f'{i},c,2026-01-01,"{a}"\n' for i, a in enumerate(given))
    load(store, tmp_path, "orders", text)
    assert store.sql("SELECT total::DOUBLE, currency FROM orders ORDER BY order_id") == [
        (100, "USD"), (100, "NZD"), (1000.5, "EUR"), (7, "EUR"), (8, "NZD"),
    ]  # fmt: skip

    rows = [("USD 1", "USD"), ("1 USD", "eur"), ("1 $", "CAD"), ("$1", "EUR"), ("1", "gbp"), ("£1", "")]
    text = "order_id,customer_id,date,amount,currency\n" + "".join(
        f"x{i},c,2026-01-01,{a},{c}\n" for i, (a, c) in enumerate(rows)
    )
    found = load(store, tmp_path, "orders", text)
    assert [line for line, _ in found.set_aside] == [3, 5] and "another one" in found.set_aside[0][1]
    assert store.sql("SELECT currency FROM orders WHERE order_id LIKE 'x%' ORDER BY order_id") == [
        ("USD",), ("CAD",), ("GBP",), ("GBP",),
    ]  # fmt: skip


def test_countries_are_one_however_a_file_names_them(store: Store, tmp_path: Path) -> None:
    given = ["Germany", "deutschland", "DE", "de", "United Kingdom", "UK", "USA", " Pays-Bas", "Nowhere"]
    load(store, tmp_path, "contacts", "email,country\n" + "".join(f"{i}@x.de,{c}\n" for i, c in enumerate(given)))
    found = [c for (c,) in store.sql("SELECT country FROM contacts ORDER BY email")]
    assert found == ["DE", "DE", "DE", "DE", "GB", "GB", "US", "NL", "Nowhere"]


def test_rows_above_the_header_of_a_sheet_are_passed_over(store: Store, tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in [["Orders of January"], [], ["customer_id", "date", "amount"], ["7", "2026-01-05", 5], ["8", "never", 6]]:
        book.active.append(row)  # type: ignore[union-attr]  # a new workbook has a sheet
    book.save(tmp_path / "in.xlsx")
    found = imports.import_file(store, CONFIG, "orders", tmp_path / "in.xlsx", "r")
    assert (numbers(found), found.set_aside) == ((2, 1, 0, 1), [(5, "date: not a date")])


def test_an_object_where_an_id_belongs_is_set_aside(store: Store, tmp_path: Path) -> None:
    text = '{"customer_id": {"id": 5}, "date": "2026-01-05"}\n{"customer_id": "{5F-1}", "date": "2026-01-05"}\n'
    found = load(store, tmp_path, "orders", text, name="in.jsonl")
    assert (numbers(found), found.set_aside) == ((2, 1, 0, 1), [(1, "customer_id: a JSON object and no id")])


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
def test_a_file_without_names_of_columns_is_refused_without_repeating_whom_it_names(
    store: Store, tmp_path: Path, name: str
) -> None:
    text = "ann@x.de;Ann\nbob@x.de;Bob\n" if name.endswith("csv") else '{"ann@x.de": "Ann", "email": "a@x.de"}\n'
    with pytest.raises(UsageError, match="Put a line with their names") as refused:
        load(store, tmp_path, "contacts", text, name=name)
    assert "ann" not in str(refused.value).lower()


@pytest.mark.parametrize(
    ("word", "kind"),
    [("Unsubscribed", "unsubscribe"), ("opt-out", "unsubscribe"), ("Opted out", "unsubscribe"), ("Unsub", "unsubscribe"),
     ("Spam complaint", "complaint"), ("spam report", "complaint"), ("Marked as spam", "complaint"), ("abuse", "complaint")],
)  # fmt: skip
def test_a_no_in_a_file_of_events_is_heard_in_other_programs_words(store: Store, tmp_path: Path, word: str, kind: str) -> None:
    load(store, tmp_path, "events", f"email,kind,date\nana@shop.example,{word},2026-05-01\n")
    assert store.sql("SELECT kind FROM events") == [(kind,)]


def test_how_a_subscription_stands_is_read_in_other_programs_words(store: Store, tmp_path: Path) -> None:
    words = ["Active", "wc-on-hold", "Canceled", "Past due", "", "n/a", "Pending Cancel", "gekündigt", "odd one", "EXPIRED"]
    rows = "".join(f"s{i},a@x.de,2026-01-01,{'2026-03-01' if w == 'n/a' else ''},{w}\n" for i, w in enumerate(words))
    found = load(store, tmp_path, "subscriptions", f"subscription_id,email,started_at,cancelled_at,status\n{rows}")

    assert [s for (s,) in store.sql("SELECT status FROM subscriptions ORDER BY subscription_id")] == [
        "active", "paused", "cancelled", "failed", "active", "cancelled", "active", "cancelled", "odd one", "expired",
    ]  # fmt: skip
    assert sum("1 subscriptions have a status we do not know" in note for note in found.notes) == 1


def test_a_subscription_of_which_nothing_but_its_begin_is_known_runs(store: Store, tmp_path: Path) -> None:
    load(store, tmp_path, "subscriptions", "subscription_id,email,started_at\ns1,a@x.de,2026-01-01\n")

    assert store.sql("SELECT status FROM subscriptions") == [("active",)]
