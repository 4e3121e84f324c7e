"""The export files of other programs, as they write them, without a --map file."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector import runs
from connector.imports import import_file
from models.errors import UsageError
from tests.stages.hand_shop import derive, new_store, row, shop_config

FILES = {
    ("contacts", "Shopify's customer export"):
        "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Default Address Company,Default Address City,"
        "Default Address Province Code,Default Address Country Code,Default Address Zip,Phone,Total Spent,Total "
        "Orders,Note,Tags\n"
        "'77,Ann,Lee,Ann@x.de,yes,,Bonn,NW,DE,53111,+4930123456,10.00,1,,\"vip, tea\"\n",
    ("contacts", "Mailchimp's audience export"):
        "Email Address,First Name,Last Name,Birthday,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,"
        "CONFIRM_TIME,CC,REGION,LAST_CHANGED,LEID,EUID,TAGS\n"
        'ann@x.de,Ann,Lee,03/21,4,2024-01-02 10:00:00,,2024-01-02 10:00:00,DE,NW,2025-01-01 00:00:00,1,2,"vip, tea"\n',
    ("contacts", "HubSpot's contact export"):
        "Record ID,First Name,Last Name,Email,Phone Number,Contact owner,Lead Status,Create Date,City,Country/Region\n"
        "501,Ann,Lee,ann@x.de,,,Open,2024-01-02 10:00,Bonn,DE\n",
    ("contacts", "Brevo's contact export"):
        "CONTACT ID;EMAIL;FIRSTNAME;LASTNAME;SMS;ADDED_TIME;MODIFIED_TIME\n9;ann@x.de;Ann;Lee;4930123456;02-01-2024 "
        "10:00:00;\n",
    ("contacts", "Constant Contact's contact export"):
        "Email address,Email status,First name,Last name,Company,City - Home,Country - Home,Created At\n"
        "ann@x.de,Active,Ann,Lee,,Bonn,DE,2024-01-02 10:00:00 +0100\n",
    ("orders", "a WooCommerce order export"):
        "Order Number,Order Status,Order Date,First Name (Billing),Email (Billing),Order Total Amount,Order "
        "Currency,Item Name,Quantity\n"
        "12,Completed,2026-01-05 10:00,Ann,ann@x.de,20.00,EUR,Mug,1\n12,,,,,,,Cup,2\n",
    ("orders", "Shopify's order export"):
        "Name,Email,Financial Status,Paid at,Currency,Subtotal,Shipping,Taxes,Total,Discount Amount,Created "
        "at,Lineitem quantity,"
        "Lineitem name,Lineitem price,Lineitem sku\n"
        "#1001,ann@x.de,paid,2026-01-05 10:00:00 +0100,EUR,18.00,2.00,3.00,20.00,0.00,2026-01-05 10:00:00 +0100,1,Mug,8.00,M1\n"
        "#1001,ann@x.de,,,,,,,,,,2,Cup,5.00,C1\n",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "title"), FILES)
def test_export_files_are_recognised_by_their_headers(tmp_path, kind: str, title: str):
    file = tmp_path / "export.csv"
    file.write_text(FILES[kind, title])
    store, config = new_store(), shop_config()

    found = import_file(store, config, kind, file, runs.begin(store, "import", None))

    assert any(title in note for note in found.notes), found.notes
    assert (found.count.stored, found.count.set_aside) == (1, 0), found.set_aside
    if kind == "contacts":
        stored = store.rows("SELECT * FROM contacts")[0]
        assert (stored["email"], stored["first_name"]) == ("ann@x.de", "Ann")
    else:
        assert store.sql("SELECT total, email FROM orders") == [(Decimal(20), "ann@x.de")]
        assert any("further lines" in note for note in found.notes) and any("order_lines" in note for note in found.notes)


def test_orders_and_their_lines_come_from_one_export(tmp_path):
    file = tmp_path / "orders_export.csv"
    file.write_text(FILES["orders", "Shopify's order export"])
    store, config = new_store(), shop_config()
    for kind in ("orders", "order_lines"):
        import_file(store, config, kind, file, runs.begin(store, "import", None))
    derive(store, config)

    found = row(store, "import", "ann@x.de")

    assert (found["orders_total"], found["revenue_total"], found["items_total"]) == (1, Decimal(20), 3)


def test_an_analytics_report_has_no_person_in_it(tmp_path):
    file = tmp_path / "pages.csv"
    file.write_text("Page path,Views,Users,Date\n/home,10,4,2026-01-01\n")
    store = new_store()

    with pytest.raises(UsageError, match="no person in it"):
        import_file(store, shop_config(), "events", file, runs.begin(store, "import", None))


def test_carts_and_subscriptions_come_in(tmp_path):
    carts, contracts = tmp_path / "carts.csv", tmp_path / "subscriptions.csv"
    carts.write_text("cart_id,email,date,amount\n1,ann@x.de,2026-06-28 10:00,30.00\n")
    contracts.write_text(
        "subscription_id,email,plan,started_at,renews_at,status\ns1,ann@x.de,Big,2026-01-01,2026-07-10,active\n"
    )
    store, config = new_store(), shop_config()
    import_file(store, config, "carts", carts, runs.begin(store, "import", None))
    import_file(store, config, "subscriptions", contracts, runs.begin(store, "import", None))
    derive(store, config)

    found = row(store, "import", "ann@x.de")

    assert (found["has_cart_abandoned_7d"], found["subscription_plan"], found["days_to_renewal"]) == (True, "Big", 9)
