"""What an import may hold: kinds, their columns, and the names under which other programs write them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from connector.column import name_in_rules
from models.errors import ConfigError, UsageError
from models.records import EVENT_KINDS

Type = Literal[
    "id", "text", "email", "amount", "time", "integer", "words", "birthday", "stage", "degrees", "event", "emails", "size", "stock",
    "contract",
]  # fmt: skip

CUSTOMER = (
    "customer customerno customernumber client clientid user userid shopperid householdid memberid contactid idcustomer"
    " customeruniqueid customerkey customercode custid custno householdkey hshdnum membershipid cardid cardno cardnumber loyaltyid"
    " buyerid kunde kundennummer kundennr kundenid"
)
EMAIL = "emailaddress mail customeremail mailadresse emailadresse"
ORDER = (
    "order orderno ordernumber invoice invoiceno invoiceid invoicenumber basket basketid transaction transactionid receipt"
    " transactionno transactionnumber receiptid receiptno receiptnumber invoicenum billno basketkey orderkey orderref orderreference"
    " bestellung bestellnummer bestellnr bestellid auftragsnummer auftragsnr rechnungsnummer rechnungsnr bonnummer bonnr belegnummer"
)
DATE = (
    "ts time datetime timestamp orderdate orderdatetime orderpurchasetimestamp invoicedate purchasedate purchasedat transactiondate"
    " transactiondt transactiontimestamp saledate salesdate dateoforder dateofpurchase tdat created createdat createdon orderedat"
    " purchasetime transactiontime ordertime day datum bestelldatum rechnungsdatum kaufdatum auftragsdatum belegdatum buchungsdatum"
)
AMOUNT = (
    "total value salesvalue revenue pricetotal totalprice totalamount amounttotal totalvalue totalsales grandtotal sum spend"
    " spent amountspent amountpaid totalpaid paymentvalue transactionamount saleamount salesamount netamount netsales sales turnover"
    " linetotal lineamount salesprice betrag summe gesamt gesamtbetrag gesamtsumme gesamtpreis umsatz"
)
ORDER_AMOUNT = (
    "ordertotal ordervalue orderamount invoicetotal invoiceamount baskettotal basketvalue carttotal cartvalue"
    " bestellwert bestellsumme rechnungsbetrag rechnungssumme warenwert"
)
"""What a whole order costs: never what one line of it does."""
PRODUCT = "product stockcode sku item itemid productcode upc articleno variantsku artikelnummer artikelnr produktnummer"
TITLE = "productname title name description productdescription itemname artikel produkt bezeichnung artikelname produktname"
CATEGORY = "productcategory producttype department class categories kategorie warengruppe"
VENDOR = "brand brandname manufacturer maker hersteller marke"
QUANTITY = "qty count units pieces number menge anzahl stückzahl"
PRICE = "unitprice priceeach priceofone itemprice variantprice regularprice preis einzelpreis stückpreis"
"""Names as other programs write them, without case, spaces and underscores (`stock_code` is stockcode)."""


@dataclass(frozen=True)
class Field:
    """One column we know: its type, the column of the model it fills, other names for it."""

    type: Type
    column: str
    synonyms: tuple[str, ...] = ()


def _field(kind: Type, column: str, synonyms: str = "") -> Field:
    return Field(kind, column, tuple(synonyms.split()))


@dataclass(frozen=True)
class Kind:
    """One kind of file. `key` is the field that names a record; without it the row itself does."""

    name: str
    table: str
    key: str
    fields: dict[str, Field]
    required: tuple[tuple[str, ...], ...]
    """Of each group at least one column must be there, and filled in every row."""

    @property
    def stream(self) -> str:
        return f"import:{self.name}"


_WHO = {"customer_id": _field("id", "contact_id", CUSTOMER), "email": _field("email", "email", EMAIL)}
_SOMEBODY = ("customer_id", "email")
_PLACE = {
    "city": _field("text", "city", "town customercity ort stadt"),
    "region": _field("text", "region", "state province county customerstate bundesland"),
    "country": _field("text", "country", "countrycode customercountry land"),
    "postcode": _field("id", "postcode", "zip zipcode postalcode customerzipcode customerzipcodeprefix plz postleitzahl"),
}

KINDS: dict[str, Kind] = {
    k.name: k
    for k in (
        Kind(
            "contacts", "contacts", "customer_id",
            {
                **_WHO,
                "phone": _field("id", "phone", "telephone mobile phonenumber telefon telefonnummer handy mobil handynummer"),
                "first_name": _field("text", "first_name", "firstname givenname vorname"),
                "last_name": _field("text", "last_name", "lastname surname familyname nachname"),
                "company": _field("text", "company", "companyname organisation organization firma unternehmen"),
                "job_title": _field("text", "job_title", "jobtitle occupation position beruf"),
                "industry": _field("text", "industry", "branche"),
                "company_size": _field("size", "company_id", "employees numberofemployees numemployees employeecount"),
                "other_emails": _field("emails", "", "additionalemailaddresses additionalemails otheremails secondaryemail"),
                **_PLACE,
                "language": _field("text", "language", "locale preferredlanguage sprache"),
                "birthday": _field("birthday", "birthday", "birthdate dateofbirth dob geburtstag geburtsdatum"),
                "age": _field("integer", "age", "alter"),
                "gender": _field("text", "gender", "sex geschlecht"),
                "income_band": _field("text", "income_band", "income einkommen"),
                "education": _field("text", "education", "bildung ausbildung"),
                "created_at": _field("time", "created_at", "created signupdate registered joined"),
                "signup_source": _field("text", "signup_source", "source"),
                "lifecycle_stage": _field("stage", "lifecycle_stage"),
                "lead_status": _field("text", "lead_status"),
                "timezone": _field("text", "timezone"),
                "latitude": _field("degrees", "latitude", "lat"),
                "longitude": _field("degrees", "longitude", "lon lng"),
                "tags": _field("words", "tags", "labels"),
                "groups": _field("words", "groups", "interests preferences"),
            },
            (_SOMEBODY,),
        ),
        Kind(
            "orders", "orders", "order_id",
            {
                **_WHO,
                "order_id": _field("id", "order_id", f"{ORDER} id"),
                "date": _field("time", "ordered_at", DATE),
                "amount": _field("amount", "total", f"{ORDER_AMOUNT} {AMOUNT} price paid"),
                "currency": _field("text", "currency", "currencycode währung"),
                "discount": _field("amount", "discount", "discounts discountamount"),
                "refunded_amount": _field(
                    "amount", "refunded", "refundamount amountrefunded totalrefunded refundedtotal refundtotal refunded refund"
                    " erstattet erstattung erstattungsbetrag"
                ),
                "cancelled_at": _field("time", "cancelled_at", "canceledat cancelledon canceledon"),
                "tax": _field("amount", "tax", "vat taxes"),
                "shipping": _field("amount", "shipping", "freight shippingcost delivery"),
                "status": _field("text", "status", "orderstatus financialstatus paymentstatus state bestellstatus"),
                "channel": _field("text", "channel", "saleschannel"),
                "country": _field("text", "country", "countrycode land shippingcountry lieferland"),
                "city": _field("text", "city", "town shippingcity ort stadt"),
                "postcode": _field("id", "postcode", "zip zipcode postalcode plz"),
            },
            (_SOMEBODY, ("date",)),
        ),
        Kind(
            "order_lines", "order_lines", "order_id",
            {
                **_WHO,
                "order_id": _field("id", "order_id", ORDER),
                "product_id": _field("id", "product_id", PRODUCT),
                "quantity": _field("amount", "quantity", QUANTITY),
                "price": _field("amount", "price", PRICE),
                "line_discount": _field("amount", "line_discount"),
                "amount": _field("amount", "amount", AMOUNT),
                "date": _field("time", "ordered_at", DATE),
                "product": _field("text", "title", TITLE),
                "category": _field("text", "category", CATEGORY),
                "vendor": _field("text", "vendor", VENDOR),
                "currency": _field("text", "currency", "currencycode währung"),
            },
            (("order_id",), ("product_id", "product")),
        ),
        Kind(
            "products", "products", "product_id",
            {
                "product_id": _field("id", "product_id", f"{PRODUCT} id"),
                "product": _field("text", "title", TITLE),
                "category": _field("text", "category", CATEGORY),
                "vendor": _field("text", "vendor", VENDOR),
                "price": _field("amount", "price", f"{PRICE} amount"),
                "currency": _field("text", "currency", "currencycode währung"),
                "list_price": _field("amount", "list_price", "compareatprice usualprice rrp msrp"),
                "stock": _field("stock", "stock", "inventory stockquantity stockstatus onhand quantityinstock inventoryquantity"),
                "created_at": _field("time", "created_at", "created createdat createdon addedat launchedat"),
                "status": _field("text", "status"),
            },
            (("product_id",),),
        ),
        Kind(
            "events", "events", "event_id",
            {
                **_WHO,
                "event_id": _field("id", "record_id", "id"),
                "kind": _field("event", "kind", "event eventtype type action"),
                "date": _field("time", "occurred_at", f"{DATE} occurredat"),
                "url": _field("text", "url", "page link pageurl"),
                "product_id": _field("id", "product_id", PRODUCT),
                "category": _field("text", "category", CATEGORY),
                "campaign_id": _field("id", "campaign_id", "campaign"),
                "value": _field("amount", "value", "rating score stars seconds duration timeonpage"),
                "text": _field("text", "text", "comment answer term query reason"),
            },
            (_SOMEBODY, ("kind",), ("date",)),
        ),
        Kind(
            "carts", "carts", "cart_id",
            {
                **_WHO,
                "cart_id": _field("id", "cart_id", "cart checkoutid checkout id"),
                "date": _field("time", "started_at", DATE),
                "completed_at": _field("time", "completed_at", "completed"),
                "amount": _field("amount", "total", f"{ORDER_AMOUNT} {AMOUNT}"),
                "currency": _field("text", "currency", "currencycode währung"),
            },
            (_SOMEBODY, ("date",)),
        ),
        Kind(
            "subscriptions", "subscriptions", "subscription_id",
            {
                **_WHO,
                "subscription_id": _field("id", "subscription_id", "subscription contractid id"),
                "plan": _field("text", "plan", "planname product"),
                "price": _field("amount", "price", AMOUNT),
                "currency": _field("text", "currency", "currencycode währung"),
                "started_at": _field("time", "started_at", "date start started startdate startedon beginn"),
                "renews_at": _field("time", "renews_at", "renewal nextrenewal renewaldate renewson nextpayment nextbilling"),
                "cancelled_at": _field("time", "cancelled_at", "cancelled canceled enddate end cancelledon canceledat"),
                "status": _field("contract", "status", "state"),
            },
            (_SOMEBODY, ("started_at",)),
        ),
    )
}  # fmt: skip


@dataclass(frozen=True)
class MapFile:
    """The owner's own words about a file: our column -> theirs, and what cannot be guessed."""

    columns: dict[str, str] = field(default_factory=dict)
    date_order: str = ""
    decimal: str = ""
    every_row: str = ""
    """The kind of event all rows are, where no column says it: the answers of one survey."""
    day_one: date | None = None
    """The date of day 1, where the file counts days instead of naming them."""


def kind_named(name: str) -> Kind:
    if name in KINDS:
        return KINDS[name]
    near = get_close_matches(name, KINDS, n=1)
    raise UsageError(
        f"There is no import of '{name}'. " + (f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(KINDS)}.")
    )


def read_map(path: Path | None, kind: Kind) -> MapFile:
    """The --map file: `customer_id = "Kunde"`; also `date_order = "dmy"` or "mdy", `decimal = ","` or ".", the date of day 1 where
    the file counts days (`day_one = "2024-01-01"`), and for events without a column of kinds `every_row = "survey"`."""
    if path is None:
        return MapFile()
    try:
        data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as e:
        raise ConfigError(f"{path} cannot be read as TOML: {getattr(e, 'strerror', None) or e}.") from e
    options = {"date_order": ("dmy", "mdy", "ymd"), "decimal": (",", ".")}
    if kind.name == "events":
        options["every_row"] = EVENT_KINDS
    day_one = _date(path, data.pop("day_one", None))
    for key, value in data.items():
        if key in options and value not in options[key]:
            raise ConfigError(f"{path}: {key} must be one of {', '.join(options[key])}.")
        if key not in options and key not in kind.fields:
            near = get_close_matches(key, kind.fields, n=1)
            hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(kind.fields)}."
            raise ConfigError(f"{path}: {kind.name} have no column '{key}'. {hint}")
        if not isinstance(value, str):
            raise ConfigError(f"{path}: {key} must be the name of a column in quotes.")
    columns = {k: v for k, v in data.items() if k not in options}
    return MapFile(columns, data.get("date_order", ""), data.get("decimal", ""), data.get("every_row", ""), day_one)


def _date(path: Path, value: object) -> date | None:
    """A day of the --map file, in quotes or as TOML writes one."""
    if value is None or (isinstance(value, date) and not isinstance(value, datetime)):
        return value
    try:
        return date.fromisoformat(str(value))
    except ValueError as e:
        raise ConfigError(f'{path}: day_one must be a date, such as "2024-01-01".') from e


def recognise(kind: Kind, header: Sequence[str], given: MapFile) -> dict[str, int]:
    """Our field -> number of the file's column. Own names come before synonyms; raises UsageError for what is missing."""
    squashed: dict[str, int] = {}
    for number, name in enumerate(header):
        squashed.setdefault(squash(name), number)
    found: dict[str, int] = {}
    for name, theirs in given.columns.items():
        if theirs not in header:
            raise UsageError(f"The file has no column '{theirs}' for {name}. It has: {', '.join(header)}.")
        found[name] = list(header).index(theirs)
    for synonyms in (False, True):
        for name, known in kind.fields.items():
            for word in known.synonyms if synonyms else (name,):
                number = squashed.get(squash(word), -1)
                if name not in found and number >= 0 and number not in found.values():
                    found[name] = number
    for group in kind.required:
        if not any(name in found for name in group):
            _refuse_values(header)
            if group == _SOMEBODY:
                _refuse_lines_of_nobody(kind, header)
                raise UsageError(
                    f"This file has no person in it: no column with an address or a customer id. It has: {', '.join(header)}. "
                    "Reports of analytics programs count visits and cannot be matched with people. If a column does name "
                    'the person, say so in a --map file: email = "their column".'
                )
            raise UsageError(
                f"{kind.name} need a column {' or '.join(group)}. The file has: {', '.join(header)}. "
                f'Name it in a --map file: {group[0]} = "their column".'
                + (' Where all rows are of one kind, say so there: every_row = "survey".' if group == ("kind",) else "")
            )
    return found


def _refuse_values(header: Sequence[str]) -> None:
    """Where most names hold no letter, the first line is data. It is not repeated: it may be somebody's."""
    if sum(not any(c.isalpha() for c in name) for name in header) * 2 >= len(header):
        raise UsageError(
            "The first line of this file holds values where the names of the columns should stand. Put a line with their names "
            "above it, with the same sign between them, such as customer_id,date,amount."
        )


def _refuse_lines_of_nobody(kind: Kind, header: Sequence[str]) -> None:
    names = {squash(name) for name in header}
    lines = KINDS["order_lines"]
    known = {name for name, f in lines.fields.items() if names & {squash(word) for word in (name, *f.synonyms)}}
    if kind.name == "orders" and "order_id" in known and {"product_id", "product"} & known:
        raise UsageError(
            "This file has products and the orders they belong to, and no column that says who ordered. Import the file of the "
            "orders first (rollcall import orders FILE), then this one as order_lines (rollcall import order_lines FILE)."
        )


NOT_KEPT = re.compile(
    "address|street|phone|fax|notes?$|^ip$|(signup|user|client)ip$|optin|optout|confirm|accepts|permission|consent|unsub|cleaned"
    "|emailstatus|euid|leid|gmtoff|dstoff|url|password|totalspent|totalorders|lists|memberrating|lastchanged|modified|update"
    "|(contact|company|hubspot)owner|^owner|recordid|associated|extid|(email|sms)marketing|newsletter$|einwilligung|abgemeldet"
    "|adresse|telefon|^mobil|^handy|notiz|^personid$|maybemailed"
)
"""Columns of a contacts file that are no attribute of the person: places and numbers, answers about consent, the program's own."""


def squash(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


ADDRESSES = frozenset(squash(word) for word in ("email", *EMAIL.split()))
"""A second column of addresses is no attribute either; additional ones have a column of their own."""


def free_columns(kind: Kind, header: Sequence[str], read: Set[int]) -> tuple[dict[str, int], list[str]]:
    """Name of a contact's attribute -> number of the column: everything that has no column of ours and is about the person.

    Of columns that have one name in rules the first is read; the others are told.
    """
    if kind.name != "contacts":
        return {}, []
    names = {i: n.replace('"', "").strip() for i, n in enumerate(header) if i not in read}
    found: dict[str, int] = {}
    told: list[str] = []
    first: dict[str, str] = {}
    for i, name in names.items():
        if not any(c.isalnum() for c in name) or NOT_KEPT.search(squash(name)) or squash(name) in ADDRESSES:
            continue
        rule_name = name_in_rules(name)
        if rule_name in first:
            told.append(
                f"The columns '{first[rule_name]}' and '{name}' have one name in rules ({rule_name}): the second is not read. "
                "Rename one of them in the file."
            )
            continue
        first[rule_name] = name
        found[name] = i
    return found, told
