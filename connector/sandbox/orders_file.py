"""Any file of orders becomes a shop: CSV (also .csv.gz) or Parquet.

Columns customer_id, date, amount; optionally order_id, product, category, quantity, email. Others are ignored.
One row is one paid Shopify order; rows of one customer with the same order_id are its lines. Identical rows stay separate.

Negative amounts are refunds. An order on Shopify cannot cost less than nothing, so a refund is booked on the customer's
own orders: within an order whose rows sum to nothing or more, as a refund of that order; else on the latest earlier orders
that still hold enough, then on later ones. What no order of the customer can bear becomes a return without a purchase: an
order of nothing with a refund, whose current total is negative. The sum of what remains of all orders therefore always
equals the sum of the file's amounts, to the cent.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any

from connector.sandbox.shop import EVERYWHERE, HUBSPOT, MAILCHIMP, SHOPIFY, Customer, Line, Product, Purchase, Shop

REQUIRED = ("customer_id", "date", "amount")
OPTIONAL = ("order_id", "product", "category", "quantity", "email")
NOON = time(12)
NOISE = Decimal("0.000001")  # binary fractions in Parquet files; real amounts have fewer digits
EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+")


class OrdersFileError(Exception):
    """The file cannot be used; the message names the line and the column, never a value."""


@dataclass(slots=True)
class _Row:
    line: int
    customer_id: str
    at: datetime
    amount: Decimal
    order_id: str
    product: str
    category: str
    quantity: int
    email: str


def load_orders(path: Path | str) -> Shop:
    """The shop behind a file of orders. Times without a zone are UTC; a date alone is 12:00.

    Every customer is a subscribed customer, member and contact on all three platforms; orders are on Shopify only.
    A missing e-mail, or one that another customer already has, becomes <customer_id>@shop.example.
    """
    path = Path(path)
    rows = list(_rows(path))
    if not rows:
        raise OrdersFileError(f"{path} holds no orders: there is only a header. Add rows, or name another file.")
    purchases = _purchases(rows)
    return Shop(
        name="Orders file",
        currency="USD",
        timezone="UTC",
        customers=_customers(rows, purchases),
        products=_products(rows),
        purchases=purchases,
        mailings=[],
    )


def _rows(path: Path) -> Iterator[_Row]:
    is_parquet = path.suffix.lower() in (".parquet", ".pq")
    source = _parquet(path) if is_parquet else _csv(path)
    word = "row" if is_parquet else "line"
    _, header = next(source, (0, []))
    names = [str(h or "").strip().lower().removeprefix("\ufeff") for h in header]
    places = [names.index(name) if name in names else -1 for name in REQUIRED + OPTIONAL]
    missing = [name for name, at in zip(REQUIRED, places, strict=False) if at < 0]
    if missing:
        raise OrdersFileError(
            f"{path} has no column {' and no column '.join(missing)}. It needs customer_id, date and amount; "
            "order_id, product, category, quantity and email are optional."
        )
    for number, cells in source:
        if not cells:
            continue
        if len(cells) != len(names):
            raise OrdersFileError(
                f"{path}, {word} {number}: {len(cells)} cells, the header has {len(names)}. Correct the {word}."
            )
        try:
            yield _row(number, [cells[at] if at >= 0 else "" for at in places])
        except ValueError as e:
            raise OrdersFileError(f"{path}, {word} {number}: {e}. Correct the {word}, then run the command again.") from e


def _row(number: int, cells: list[Any]) -> _Row:
    customer_id, day, amount, order_id, product, category, quantity, email = cells
    customer_id = _text(customer_id)
    if not customer_id:
        raise ValueError("customer_id is empty")
    email = _text(email).lower()
    if email and not EMAIL.fullmatch(email):
        raise ValueError("email is not an address")
    return _Row(
        number, customer_id, _time(day), _amount(amount), _text(order_id), _text(product), _text(category),
        _quantity(quantity), email,
    )  # fmt: skip


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _time(value: Any) -> datetime:
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        return datetime.combine(value, NOON)
    else:
        text = _text(value)
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as e:
            raise ValueError("date is not a date such as 2026-11-21 or 2026-11-21 14:30:00") from e
        if len(text) <= 10:
            return datetime.combine(moment.date(), NOON)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _amount(value: Any) -> Decimal:
    try:
        amount = Decimal(_text(value))
        if not amount.is_finite():
            raise InvalidOperation
        if int(amount.as_tuple().exponent) < -6:
            amount = amount.quantize(NOISE, ROUND_HALF_EVEN).normalize()
    except InvalidOperation as e:
        raise ValueError("amount is not a number such as 12.50") from e
    return amount


def _quantity(value: Any) -> int:
    text = _text(value)
    if not text:
        return 1
    try:
        number = float(text)
        if number != int(number):
            raise ValueError
    except (ValueError, OverflowError) as e:
        raise ValueError("quantity is not a whole number") from e
    return int(number)


def _csv(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        with _opened(path) as raw:
            reader = csv.reader(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""), strict=True)
            for cells in reader:
                yield reader.line_num, cells
    except FileNotFoundError as e:
        raise OrdersFileError(f"There is no file {path}. Check the path.") from e
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as e:
        raise OrdersFileError(f"{path} cannot be read: it is no CSV in UTF-8 ({type(e).__name__}). Check the file.") from e


def _opened(path: Path) -> IO[bytes]:
    """Packed files are unpacked whole: a torn one is noticed before its last row is misread."""
    if path.suffix.lower() != ".gz":
        return path.open("rb")
    return io.BytesIO(gzip.decompress(path.read_bytes()))


def _parquet(path: Path) -> Iterator[tuple[int, list[Any]]]:
    import duckdb

    if not path.exists():
        raise OrdersFileError(f"There is no file {path}. Check the path.")
    try:
        with duckdb.connect() as db:
            answer = db.execute("SELECT * FROM read_parquet(?)", [str(path)])
            columns = [d[0] for d in answer.description or []]
            wanted = [c for c in columns if c.strip().lower() in REQUIRED + OPTIONAL]
            quoted = ", ".join('"' + c.replace('"', '""') + '"' for c in wanted)
            yield 0, wanted
            if not wanted:
                return
            answer = db.execute(f"SELECT {quoted} FROM read_parquet(?)", [str(path)])
            number = 0
            while chunk := answer.fetchmany(50_000):
                for cells in chunk:
                    number += 1
                    yield number, list(cells)
    except duckdb.Error as e:
        raise OrdersFileError(f"{path} cannot be read: it is no Parquet file. Check the file.") from e


def _purchases(rows: Iterable[_Row]) -> list[Purchase]:
    groups: dict[tuple[str, str], list[_Row]] = {}
    for row in rows:
        key = row.order_id or f"row-{row.line}"
        groups.setdefault((row.customer_id, key), []).append(row)
    purchases: list[Purchase] = []
    owed: list[tuple[str, datetime, Decimal, str]] = []
    for (customer_id, order_id), members in groups.items():
        paid = sum((r.amount for r in members if r.amount > 0), Decimal(0))
        back = -sum((r.amount for r in members if r.amount < 0), Decimal(0))
        at = min(r.at for r in members)
        if back > paid or (back and not paid):
            owed.append((customer_id, at, back - paid, order_id))
            if not paid:
                continue
            back = paid
        purchase = Purchase(order_id, customer_id, at, paid, [_line(r) for r in members if r.amount >= 0])
        if back:
            _refund(purchase, max(r.at for r in members if r.amount < 0), back)
        purchases.append(purchase)
    if owed:
        purchases += _book_refunds(purchases, owed)
    purchases.sort(key=lambda p: p.at)
    return purchases


def _line(row: _Row) -> Line:
    return Line(_product_id(row), row.product or "Item", row.category, max(row.quantity, 1), row.amount)


def _product_id(row: _Row) -> str:
    return row.product or row.category


def _refund(purchase: Purchase, at: datetime, amount: Decimal) -> None:
    purchase.refunded += amount
    purchase.refunds.append((max(at, purchase.at), amount))


def _book_refunds(purchases: list[Purchase], owed: list[tuple[str, datetime, Decimal, str]]) -> list[Purchase]:
    """Book refunds on the customer's orders, latest earlier one first; return the returns that no order can bear."""
    by_customer: dict[str, list[Purchase]] = {}
    wanted = {customer_id for customer_id, *_ in owed}
    for purchase in sorted(purchases, key=lambda p: p.at):
        if purchase.customer_id in wanted:
            by_customer.setdefault(purchase.customer_id, []).append(purchase)
    unborne = []
    for customer_id, at, amount, order_id in sorted(owed, key=lambda o: o[1]):
        own = by_customer.get(customer_id, [])
        earlier = [p for p in reversed(own) if p.at <= at]
        whole = [p for p in earlier if p.total - p.refunded >= amount][:1]
        for purchase in whole or earlier + [p for p in own if p.at > at]:
            part = min(amount, purchase.total - purchase.refunded)
            if part > 0:
                _refund(purchase, at, part)
                amount -= part
            if not amount:
                break
        if amount:
            alone = Purchase(order_id, customer_id, at, Decimal(0))
            _refund(alone, at, amount)
            unborne.append(alone)
    return unborne


def _products(rows: Iterable[_Row]) -> list[Product]:
    found: dict[str, Product] = {}
    for row in rows:
        key = _product_id(row)
        if key and key not in found:
            price = (abs(row.amount) / max(abs(row.quantity), 1)).quantize(Decimal("0.01"))
            found[key] = Product(key, row.product or row.category, row.category, "", price)
    return list(found.values())


def _customers(rows: Iterable[_Row], purchases: Iterable[Purchase]) -> list[Customer]:
    seen: dict[str, tuple[datetime, datetime]] = {}
    wanted: dict[str, str] = {}
    for row in rows:
        first, last = seen.get(row.customer_id, (row.at, row.at))
        seen[row.customer_id] = (min(first, row.at), max(last, row.at))
        if row.email:
            wanted.setdefault(row.customer_id, row.email)
    taken: set[str] = set()
    customers = []
    for customer_id, (first, last) in seen.items():
        email = wanted.get(customer_id, "")
        if not email or email in taken:
            email = _made_up(customer_id, taken)
        taken.add(email)
        customers.append(
            Customer(
                customer_id,
                email,
                first,
                last,
                on=EVERYWHERE,
                consent={SHOPIFY: "SUBSCRIBED", MAILCHIMP: "subscribed", HUBSPOT: "opted_in"},
                consent_at={SHOPIFY: first, MAILCHIMP: first, HUBSPOT: first},
            )
        )
    return customers


def _made_up(customer_id: str, taken: set[str]) -> str:
    local = re.sub(r"[^a-z0-9._+-]+", "-", customer_id.lower()).strip(".-") or "customer"
    email, number = f"{local}@shop.example", 2
    while email in taken:
        email, number = f"{local}-{number}@shop.example", number + 1
    return email
