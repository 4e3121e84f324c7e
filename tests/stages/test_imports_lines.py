"""Files of orders with one row a product, as shop and till programs write them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from connector import runs
from connector.imports import Imported, import_file
from connector.store import Store
from tests.stages.hand_shop import derive, new_store, row, shop_config

RETAIL = (
    "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
    "536365,85123A,Holder,6,12/1/2010 8:26,2.55,17850,United Kingdom\n"
    "536365,71053,Lantern,6,12/1/2010 8:26,3.39,17850,United Kingdom\n"
    "536370,22728,Clock,24,12/13/2010 8:45,3.75,12583,France\n"
    "C536379,85123A,Holder,-2,12/14/2010 9:41,2.55,17850,United Kingdom\n"
    "C536380,22728,Clock,-1,12/14/2010 9:50,0,12583,France\n"
    "536414,22139,,56,12/14/2010 11:52,0.5,,United Kingdom\n"
)


def imported(folder: Path, kind: str, text: str) -> tuple[Store, Imported]:
    file = folder / "in.csv"
    file.write_text(text)
    store, config = new_store(), shop_config(timezone="Europe/London", currency="GBP")
    found = import_file(store, config, kind, file, runs.begin(store, "import", None))
    derive(store, config)
    return store, found


@pytest.mark.parametrize("kind", ["orders", "order_lines"])
@pytest.mark.parametrize("price", ["UnitPrice", "Price"])
def test_a_row_a_product_gives_the_money_of_whole_orders_and_of_returns(tmp_path: Path, kind: str, price: str) -> None:
    store, found = imported(tmp_path, kind, RETAIL.replace("UnitPrice", price))

    assert (found.count.stored, found.count.set_aside) == (6, 0), found.set_aside
    assert any("read as order_lines" in n for n in found.notes) is (kind == "orders")
    assert store.sql("SELECT order_id, total, strftime(ordered_at, '%m-%d %H:%M'), is_cancelled FROM orders ORDER BY 1") == [
        ("536365", Decimal("35.64"), "12-01 08:26", False), ("536370", Decimal(90), "12-13 08:45", False),
        ("536414", Decimal(28), "12-14 11:52", False), ("C536379", Decimal("-5.1"), "12-14 09:41", False),
        ("C536380", Decimal(0), "12-14 09:50", True),
    ]  # fmt: skip
    buyer, other = row(store, "import", "17850"), row(store, "import", "12583")
    assert (buyer["orders_total"], buyer["revenue_total"], str(buyer["last_order_on"])) == (1, Decimal("30.54"), "2010-12-01")
    assert (other["orders_total"], other["revenue_total"], other["items_total"]) == (1, Decimal(90), 24)


@pytest.mark.parametrize("kind", ["orders", "order_lines"])
def test_a_total_on_every_row_of_an_order_is_the_orders_and_one_that_varies_the_lines(tmp_path: Path, kind: str) -> None:
    head = "order_id,email,date,sku,quantity,unit price,total\n"
    alike = head + "1,a@x.de,2026-01-05,M,2,4.00,13.00\n1,a@x.de,2026-01-05,C,1,5.00,13.00\n"
    varied = head + "1,a@x.de,2026-01-05,M,2,4.00,8.00\n1,a@x.de,2026-01-05,C,1,5.00,5.00\n"

    assert row(imported(tmp_path, kind, varied)[0], "import", "a@x.de")["revenue_total"] == 13
    assert row(imported(tmp_path, kind, alike)[0], "import", "a@x.de")["revenue_total"] == 13


def test_a_file_with_a_row_an_order_stays_one_of_orders(tmp_path: Path) -> None:
    text = "order_id,name,email,date,price,number\n1,Ann,a@x.de,2026-01-05,13.00,7\n2,Ann,a@x.de,2026-02-05,5.00,8\n"

    store, found = imported(tmp_path, "orders", text)

    assert found.count.stream == "import:orders"
    assert store.sql("SELECT total FROM orders ORDER BY 1") == [(Decimal(5),), (Decimal(13),)]


def test_the_address_in_a_file_of_lines_is_the_buyers(tmp_path: Path) -> None:
    text = (
        "order_id,customer_id,email,date,sku,quantity,unit price\n1,77,Ann@x.de,2026-01-05,M,2,4.00\n2,77,,2026-01-06,M,1,4\n"
    )

    store, _ = imported(tmp_path, "order_lines", text)

    assert store.sql("SELECT contact_id, email FROM contacts") == [("77", "ann@x.de")]
    assert row(store, "import", "77")["has_email"] is True
