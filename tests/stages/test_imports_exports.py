"""The export files of other programs, as they write them, without a --map file."""

from __future__ import annotations

from decimal import Decimal

import pytest

from connector import runs
from connector.imports import import_file
from models.errors import ConfigError, UsageError
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


@pytest.mark.parametrize(
    ("cells", "price"), [("12.90,EUR", Decimal("12.90")), ("12.90,", Decimal("12.90")), ("12.90,USD", None)]
)
def test_what_a_subscription_costs_is_known_in_the_shops_currency(tmp_path, cells, price):
    contracts = tmp_path / "subscriptions.csv"
    contracts.write_text(
        f"subscription_id,email,plan,started_at,status,price,currency\ns1,ann@x.de,Big,2026-01-01,active,{cells}\n"
        "s0,ann@x.de,Small,2025-01-01,cancelled,99,EUR\n"
    )
    store, config = new_store(), shop_config()
    import_file(store, config, "subscriptions", contracts, runs.begin(store, "import", None))
    derive(store, config)

    assert row(store, "import", "ann@x.de")["subscription_price"] == price


def imported(folder, *files: tuple[str, str]):
    """A store with these files, as (kind, text), read and derived."""
    store, config = new_store(), shop_config()
    for number, (kind, text) in enumerate(files):
        file = folder / f"{number}.csv"
        file.write_text(text)
        found = import_file(store, config, kind, file, runs.begin(store, "import", None))
        assert found.count.set_aside == 0, found.set_aside
    derive(store, config)
    return store


def test_refunds_and_cancellations_in_order_exports_leave_what_was_kept(tmp_path):
    shopify = (
        "Name,Email,Financial Status,Currency,Total,Created at,Lineitem name,Refunded Amount,Cancelled at\n"
        "#1,ann@x.de,paid,EUR,100.00,2026-01-05 10:00:00 +0100,Mug,0.00,\n"
        "#2,ann@x.de,partially_refunded,EUR,80.00,2026-01-06 10:00:00 +0100,Mug,30.00,\n"
        "#3,ann@x.de,refunded,EUR,60.00,2026-01-07 10:00:00 +0100,Mug,60.00,\n"
        "#4,ann@x.de,refunded,EUR,40.00,2026-01-08 10:00:00 +0100,Mug,40.00,2026-01-09 10:00:00 +0100\n"
    )
    woo = (
        "Order Number,Order Status,Order Date,Email (Billing),Order Total Amount,Order Refund Amount,Item Name\n"
        "5,Completed,2026-02-01 10:00,bob@x.de,50.00,-20.00,Mug\n6,Failed,2026-02-02 10:00,bob@x.de,70.00,,Mug\n"
        "7,wc-cancelled,2026-02-03 10:00,bob@x.de,70.00,,Mug\n"
    )
    own = "order_id,email,date,amount,status\n8,cy@x.de,2026-01-01,25,Refunded\n9,cy@x.de,2026-01-02,10,paid\n"

    store = imported(tmp_path, ("orders", shopify), ("orders", woo), ("orders", own))

    for who, orders, money, refunded in (("ann", 3, 150, 2), ("bob", 1, 30, 1), ("cy", 2, 10, 1)):
        found = row(store, "import", f"{who}@x.de")
        seen = (found["orders_total"], found["revenue_total"], found["refunded_orders"])
        assert seen == (orders, Decimal(money), refunded), who


def test_odd_cells_of_exports_are_read_as_the_programs_mean_them(tmp_path):
    shopify = (
        "Customer ID,First Name,Last Name,Email,Accepts Email Marketing,Total Spent,Total Orders,Default Address Zip,"
        "Default Address Phone,Phone\n'77,Ann,Lee,ann@x.de,yes,1,1,'01067,'+4930123456,\n"
    )
    mailchimp = (
        "Email Address,First Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,LATITUDE,LONGITUDE,LEID,TAGS,Favourite Flavour\n"
        'bob@x.de,Bob,4,2024-01-02 10:00:00,1.2.3.4,50.73,7.1,1,"""vip"",""tea club""",Mocha\n'
        "cy@x.de,Cy,4,2024-01-02 10:00:00,,0,0,2,,\n"
    )

    hubspot = "Record ID,First Name,Email,Create Date,Lifecycle Stage\n9,Di,di@x.de,2024-01-02,Marketing Qualified Lead\n"
    brevo = "CONTACT ID;EMAIL;FIRSTNAME;ADDED_TIME\n9;ed@x.de;Ed;02-01-2024 10:00:00\n"

    store = imported(tmp_path, *(("contacts", text) for text in (shopify, mailchimp, hubspot, brevo)))

    ann, bob, cy = (row(store, "import", i) for i in ("77", "bob@x.de", "cy@x.de"))
    assert (ann["postcode"], ann["has_phone"]) == ("01067", True)
    assert (bob["tags"], bob["favourite_flavour"], "optin_ip" in bob) == (["tea club", "vip"], "Mocha", False)
    assert store.sql("SELECT latitude FROM contacts WHERE contact_id IN ('bob@x.de', 'cy@x.de') ORDER BY 1") == [
        (50.73,),
        (None,),
    ]
    assert cy["favourite_flavour"] is None
    assert row(store, "import", "hubspot:9")["lifecycle_stage"] == "marketingqualifiedlead"
    assert row(store, "import", "brevo:9")["lifecycle_stage"] is None, "another program's person of the same number"


def test_further_lines_of_an_order_have_the_currency_of_the_order(tmp_path):
    text = (
        "Name,Email,Financial Status,Currency,Total,Created at,Lineitem name,Lineitem price,Lineitem quantity,Lineitem sku\n"
        "#1,ann@x.de,paid,USD,30.00,2026-01-05 10:00:00 +0100,Mug,10.00,1,M\n#1,ann@x.de,,,,,Cup,20.00,1,C\n"
        "#2,ann@x.de,paid,EUR,8.00,2026-01-06 10:00:00 +0100,Mug,3.00,1,M\n#2,ann@x.de,,,,,Cup,5.00,1,C\n"
    )

    store = imported(tmp_path, ("orders", text), ("order_lines", text))

    assert store.sql("SELECT sum(amount) FROM fact_lines") == [(Decimal(8),)]


def test_a_line_of_shopifys_order_export_costs_its_price_and_not_the_orders_total(tmp_path):
    text = (
        "Name,Email,Financial Status,Currency,Total,Created at,Lineitem name,Lineitem price,Lineitem quantity,Lineitem sku,"
        "Lineitem discount\n#1,ann@x.de,paid,EUR,28.00,2026-01-05 10:00:00 +0100,Mug,10.00,1,M,2.00\n"
        "#1,ann@x.de,,,,,Cup,10.00,2,C,0.00\n"
    )

    store = imported(tmp_path, ("order_lines", text))

    assert store.sql("SELECT title, amount FROM order_lines ORDER BY 1") == [("Cup", Decimal(20)), ("Mug", Decimal(8))]
    assert store.sql("SELECT total FROM orders") == [(Decimal(28),)], "made of all its lines, dated or not"


def test_additional_addresses_of_a_hubspot_export_are_the_persons_too_until_one_says_otherwise(tmp_path):
    head = "Record ID,First Name,Email,Additional email addresses,Create Date,Number of Employees\n"
    first = head + "9,Di,di@x.de,Old@x.de; di@home.example,2024-01-02,51-200\n"
    shop = "customer_id,email\n77,di@home.example\n78,old@x.de\n"

    store = imported(tmp_path, ("contacts", first), ("contacts", shop))

    assert row(store, "import", "77")["person_id"] == row(store, "import", "hubspot:9")["person_id"]
    assert row(store, "import", "78")["company_size"] == 51
    short = "Record ID,First Name,Email,Create Date\n9,Dina,di@x.de,2024-01-02\n"
    kept = imported(tmp_path, ("contacts", first), ("contacts", short))
    assert kept.sql("SELECT value FROM identifiers WHERE NOT is_main ORDER BY 1") == [("di@home.example",), ("old@x.de",)]
    gone = imported(tmp_path, ("contacts", first), ("contacts", first.replace("Old@x.de; ", "")))
    assert gone.sql("SELECT value FROM identifiers ORDER BY 1") == [("di@home.example",), ("di@x.de",)]


def test_the_number_in_a_brevo_export_has_the_code_of_its_country(tmp_path):
    text = "CONTACT ID;EMAIL;FIRSTNAME;SMS;WHATSAPP;ADDED_TIME\n9;ed@x.de;Ed;33612345678;;02-01-2024 10:00:00\n"
    text += "10;fay@x.de;Fay;;+33687654321;02-01-2024 10:00:00\n11;gus@x.de;Gus;0612345678;;02-01-2024 10:00:00\n"

    store = imported(tmp_path, ("contacts", text))

    assert store.sql("SELECT phone FROM contacts ORDER BY email") == [("+33612345678",), ("+33687654321",), ("0612345678",)]


def test_a_survey_without_a_column_of_kinds_is_read_as_one(tmp_path):
    answers, words = tmp_path / "form.csv", tmp_path / "map.toml"
    answers.write_text(
        "Timestamp,Email Address,How satisfied are you?,Which tea?\n2026-06-01 09:12:33,ann@x.de,4,Assam\n"
        "2026-06-02 09:12:33,bob@x.de,2,Darjeeling\n"
    )
    store, config = new_store(), shop_config()
    with pytest.raises(UsageError, match='every_row = "survey"'):
        import_file(store, config, "events", answers, runs.begin(store, "import", None))
    words.write_text('every_row = "survey"\nvalue = "How satisfied are you?"\ntext = "Which tea?"\n')

    found = import_file(store, config, "events", answers, runs.begin(store, "import", None), map_file=words)
    derive(store, config)

    assert "Every row is one of the kind survey, as the --map file says." in found.notes
    ann = row(store, "import", "ann@x.de")
    assert (ann["avg_survey_score"], ann["last_survey_answer"]) == (4.0, "Assam")


def test_every_row_is_a_kind_of_event_we_know(tmp_path):
    answers, words = tmp_path / "form.csv", tmp_path / "map.toml"
    answers.write_text("Timestamp,Email Address\n2026-06-01,ann@x.de\n")
    for kind, text in (("events", 'every_row = "poll"'), ("orders", 'every_row = "survey"')):
        words.write_text(text)
        with pytest.raises(ConfigError, match="every_row"):
            import_file(new_store(), shop_config(), kind, answers, runs.begin(new_store(), "import", None), map_file=words)


@pytest.mark.parametrize(("written", "kind"), [
    ("survey_answer", "survey"), ("Survey response", "survey"), ("review", "rating"), ("pageview", "page_view"),
    ("Viewed product", "product_view"), ("email_opened", "open"), ("clicked", "click"), ("form submission", "form"),
    ("Support-Ticket", "ticket"), ("signed_out", None), ("unsubscribed", "unsubscribe"), ("log_in", "login"),
])  # fmt: skip
def test_kinds_of_events_are_read_in_other_programs_words(tmp_path, written, kind):
    file = tmp_path / "events.csv"
    file.write_text(f"email,kind,date\nann@x.de,{written},2026-06-01\n")
    store = new_store()

    import_file(store, shop_config(), "events", file, runs.begin(store, "import", None))

    assert store.sql("SELECT kind FROM events") == ([(kind,)] if kind else [])


def test_german_headings_are_read(tmp_path):
    people, orders = tmp_path / "kunden.csv", tmp_path / "bestellungen.csv"
    people.write_text(
        "E-Mail;Vorname;Ort;Telefon;Geburtstag;Geschlecht;Beruf;E-Mail-Marketing;Newsletter;VIP;Mitgliedschaft\n"
        "ann@x.de;Ann;Bonn;030 1234567;03.02.1980;w;Ärztin;nein;nein;true;Gold\n"
    )
    orders.write_text(
        "Bestellnummer;Datum;E-Mail;Betrag;Währung;Status\n1;03.02.2026;ann@x.de;1.234,50 €;EUR;bezahlt\n"
        "2;04.02.2026;ann@x.de;10,00;EUR;Storniert\n3;05.02.2026;ann@x.de;20,00;EUR;erstattet\n"
    )
    store, config = new_store(), shop_config()
    import_file(store, config, "contacts", people, runs.begin(store, "import", None))
    import_file(store, config, "orders", orders, runs.begin(store, "import", None))
    derive(store, config)

    found = row(store, "import", "ann@x.de")
    assert (found["city"], found["birthday_month"], found["gender"], found["job_title"]) == ("Bonn", 2, "w", "Ärztin")
    assert (found["revenue_total"], found["largest_order"]) == (Decimal("1234.50"), Decimal("1234.50"))
    assert (found["vip"], found["mitgliedschaft"]) == (True, "Gold")
    assert store.sql("SELECT phone FROM contacts") == [("030 1234567",)]
    assert not {"newsletter", "e_mail_marketing", "telefon"} & found.keys()


def test_headings_that_only_end_like_ours_and_those_in_other_alphabets_are_kept(tmp_path):
    people = tmp_path / "people.csv"
    people.write_text(
        "email,VIP?,Membership,Dog owner,Город,IP,Notes,E-Mail address\na@x.de,yes,gold,no,Киев,1.2.3.4,x,b@x.de\n"
    )
    store, config = new_store(), shop_config()
    import_file(store, config, "contacts", people, runs.begin(store, "import", None))

    assert store.sql("SELECT json_keys(attributes) FROM contacts") == [(["VIP?", "Membership", "Dog owner", "Город"],)]
