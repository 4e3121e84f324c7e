"""The catalogue as recommendations see it: what each product is, and whether it can be bought on the as-of day.

A platform says of status, stock, price and list price only what holds now. They are used where the as-of day is today and
nowhere else. What nobody says (no status, stock not counted) lets a product be bought.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from connector.clock import local_day, now_utc
from connector.column import local_day as sql_day
from connector.config import Config
from connector.facts import marks
from connector.store import Store
from models.scores.catalogue import Catalogue
from models.segments import AsOf

WITHDRAWN = frozenset(
    ("archived", "draft", "unlisted", "inactive", "disabled", "discontinued", "deleted", "trash", "hidden", "private",
     "unavailable", "unpublished", "pending")
)  # fmt: skip
"""Words of a status; imported files have their own."""
SOLD_OUT = frozenset(("soldout", "outofstock", "notinstock", "notavailable"))
"""The same in more than one word."""
WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True)
class Goods:
    """A catalogue with the names that reasons need; `products` goes on where those of the lines end."""

    catalogue: Catalogue
    products: list[tuple[str, str]]
    """(id, title)"""
    categories: list[str]
    currencies: list[str]


@dataclass(frozen=True)
class Row:
    """A product as a platform or a file has it. created: days since 1970-01-01, -1 unknown; prices: NaN unknown.

    is_judged: status or stock say anything.
    """

    source: str
    product_id: str
    sku: str
    title: str
    category: str
    vendor: str
    currency: str
    price: float
    list_price: float
    created: int
    is_barred: bool
    is_withdrawn: bool
    is_judged: bool


@dataclass
class Sold:
    """A product of the order lines, in the order of its number there, and the rows that tell of it."""

    product: str
    title: str
    category: str
    sources: tuple[str, ...]
    is_barred: bool
    known: list[Row] = field(default_factory=list)
    is_gone: bool = False
    """Every order of it was withdrawn: it is what its rows in the catalogue say."""

    @property
    def is_withdrawn(self) -> bool:
        judged = [r for r in self.known if r.is_judged]
        return bool(judged) and all(r.is_withdrawn for r in judged)


def goods(
    store: Store, config: Config, as_of: AsOf, cutoff: int, sold: Sequence[Sold], categories: list[str], hide: str
) -> Goods:
    """Everything known by the as-of moment. `hide`: SQL that is true of a row `l` the owner calls sensitive."""
    secret = _secret(store, hide)
    rows = _rows(store, config, as_of, hide)
    unsold = [r for r in _matched(sold, rows) if not r.is_barred and not secret & {r.product_id.lower(), r.title.lower()}]
    for product in sold:
        product.is_barred |= bool(secret & {product.product.lower(), product.title.lower()}) or (
            product.is_gone and not product.known
        )
    everything = [*sold, *(Sold(r.product_id, r.title, r.category, (r.source,), False, [r]) for r in unsold)]
    names = [*categories, *sorted({_category(p) for p in everything} - {*categories, ""})]
    is_today = not as_of.is_given or as_of.day >= local_day(now_utc(), config.shop.timezone)
    return Goods(
        _catalogue(everything, names, _gone(rows), cutoff if is_today else -1),
        [(p.product, p.title or p.product) for p in everything], names,
        [next((r.currency for r in p.known if r.currency), "") for p in everything],
    )  # fmt: skip


def _catalogue(products: Sequence[Sold], categories: list[str], gone: frozenset[str], known_on: int) -> Catalogue:
    number = {c: i for i, c in enumerate(categories) if c}
    makers = [next((r.vendor.lower() for r in p.known if r.vendor), "") for p in products]
    maker = {v: i for i, v in enumerate(sorted({*makers} - {""}))}
    first = [min(p.known, key=lambda r: r.is_withdrawn) if p.known else None for p in products]
    is_judged = [any(r.is_judged for r in p.known) for p in products]
    return Catalogue(
        tuple(frozenset(WORD.findall(p.title.lower())) for p in products),
        np.array([number.get(_category(p), -1) for p in products], dtype=np.int64),
        np.array([maker.get(m, -1) for m in makers], dtype=np.int64),
        np.array([r.price if r else np.nan for r in first], dtype=float),
        np.array([r.list_price if r else np.nan for r in first], dtype=float),
        np.array([min((r.created for r in p.known if r.created >= 0), default=-1) for p in products], dtype=np.int64),
        np.array([p.is_barred or any(r.is_barred for r in p.known) for p in products], dtype=bool),
        # Of a copy that says nothing of itself, the shop it was copied from may know.
        np.array([p.is_withdrawn if j else p.title.lower() in gone for p, j in zip(products, is_judged, strict=True)], dtype=bool),
        known_on=known_on,
    )  # fmt: skip


def _category(product: Sold) -> str:
    return product.category or next((r.category for r in product.known if r.category), "")


def _rows(store: Store, config: Config, as_of: AsOf, hide: str) -> list[Row]:
    """Products that were there by the as-of moment, by source and id; one its platform has deleted is withdrawn."""
    day = f"date_diff('day', DATE '1970-01-01', {sql_day('l.created_at').format(timezone=config.shop.timezone)})"
    found = store.sql(f"""
        SELECT l.source, l.product_id, coalesce(l.sku, ''), trim(coalesce(l.title, '')), coalesce(l.category, ''),
          coalesce(l.vendor, ''), coalesce(l.currency, ''), coalesce(CAST(l.price AS DOUBLE), 'nan'::DOUBLE),
          coalesce(CAST(l.list_price AS DOUBLE), 'nan'::DOUBLE), coalesce({day}, -1),
          coalesce(l.is_gift_card, FALSE) OR {hide}, lower(coalesce(l.status, '')), CAST(l.stock AS DOUBLE),
          coalesce(r.state, 'live') <> 'live'
        FROM products AS l LEFT JOIN source_records AS r
          ON r.source = l.source AND r.stream = l.stream AND r.record_id = l.record_id
        WHERE l.product_id IS NOT NULL AND (l.created_at IS NULL OR l.created_at < {marks(config, as_of)["until"]})
        ORDER BY l.source, l.product_id, l.stream, l.record_id""")
    return [
        Row(*[*known, _is_withdrawn(status, stock) or is_gone, bool(status) or stock is not None or is_gone])
        for *known, status, stock, is_gone in found
    ]


def _is_withdrawn(status: str, stock: float | None) -> bool:
    words = WORD.findall(status)
    return (stock is not None and stock <= 0) or not WITHDRAWN.isdisjoint(words) or "".join(words) in SOLD_OUT


def _secret(store: Store, hide: str) -> frozenset[str]:
    """Ids and names of products that were sold as something sensitive, whatever the catalogue calls them."""
    found: Any = store.sql(f"SELECT DISTINCT lower(l.product_id), lower(l.title) FROM order_lines AS l WHERE {hide}")
    return frozenset(str(v) for row in found for v in row if v)


def _gone(rows: Sequence[Row]) -> frozenset[str]:
    """Titles of which every row that says anything says that it cannot be bought."""
    judged = [r for r in rows if r.is_judged and r.title]
    return frozenset(r.title.lower() for r in judged if r.is_withdrawn) - {
        r.title.lower() for r in judged if not r.is_withdrawn
    }


def _matched(sold: Sequence[Sold], rows: Sequence[Row]) -> list[Row]:
    """Gives each product of the lines the rows of its own platform; what is left has no line, and is returned once a title.

    A platform no line comes from holds copies. A title that was sold already is the same thing on another platform, unless
    what was sold is withdrawn: then it is its successor.
    """
    place = {(source, p.product): p for p in sold for source in p.sources}
    left = []
    for row in rows:
        owner = place.get((row.source, row.product_id)) or (place.get((row.source, row.sku)) if row.sku else None)
        if owner:
            owner.known.append(row)
        else:
            left.append(row)
    share = Counter(source for source, _ in place)
    taken = {p.title.lower() for p in sold if p.title and not p.is_withdrawn} | {p.product.lower() for p in sold}
    found: dict[str, Row] = {}
    for row in sorted(left, key=lambda r: -share[r.source]):
        name = (row.title or row.product_id).lower()
        if share[row.source] and name not in taken and row.product_id.lower() not in taken:
            found.setdefault(name, row)
    return list(found.values())
