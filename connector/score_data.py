"""What scores are made from: dated rows of the people who may be profiled, as arrays. Reads the store, writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from connector import score_signs
from connector.config import Config
from connector.facts import known_orders, marks, sources
from connector.no_profiling import not_profiled
from connector.purchases import shop_day
from connector.readiness import MAIL_STREAMS, ORDER_STREAMS
from connector.score_catalogue import Goods, Sold, goods
from connector.store import Store
from models.scores.history import NEVER, Floats, Ints, Lines, Orders
from models.scores.signs import Signs
from models.segments import AsOf

EPOCH = date(1970, 1, 1)
FOREIGN_SHARE = 0.05
"""More orders than this in other currencies: amounts mean nothing together, and nothing is trained."""

QUIET_DAYS = 30

LEAST_TOLD = Decimal("0.005")
"""A smaller share of the money is not worth a sentence."""

LINE_PARTS = ("order_rows", "withdrawn_rows", "known_rows", "line_orders", "line_rows")

GIVEN_BACK = "coalesce(o.refunded, CASE WHEN o.net = 0 THEN o.total END)"


@dataclass(frozen=True)
class Checked:
    """One score's forecast on the last closed window, with what came true, row by row: what audits and pictures are made of."""

    person: Ints
    truth: Floats
    expected: Floats
    is_money: bool = False
    people: list[str] | None = None
    """Whose numbers `person` are, where they are not the shop data's."""


@dataclass(frozen=True)
class ShopData:
    """Everybody with an order before the date who may be profiled, by person id; `orders.person` counts into `everyone`."""

    people: list[str]
    orders: Orders
    lines: Lines | None
    products: list[tuple[str, str]]
    """(id, title) by the numbers in `lines`; behind those, products that no line has."""
    cutoff: int
    day: date
    currency: str
    notes: list[str] = field(default_factory=list)
    refusal: str = ""
    not_profiled: int = 0
    unpriced: Ints = field(default_factory=lambda: np.empty(0, np.int64))
    """People with an order in another currency, where those are too many to be passed over."""
    goods: Goods | None = None
    """What can be offered; None where the lines are unknown."""
    signs: Signs | None = None
    """What is known beside orders; None where nothing is."""
    checked: dict[str, Checked] = field(default_factory=dict)
    """By score; filled while scores are made."""
    former: list[str] = field(default_factory=list)
    """Those of whose orders none stands on the date. They had one on days before it, and models learn from those."""

    @property
    def everyone(self) -> list[str]:
        return [*self.people, *self.former]

    @property
    def today(self) -> int:
        """The as-of day, counted from 1970-01-01; the day before the cutoff where it has begun and counts as past."""
        return (self.day - EPOCH).days


def load(store: Store, config: Config, as_of: AsOf) -> ShopData:
    """The orders known at the as-of moment. Days are counted from 1970-01-01 in the shop's zone.

    Without a given date, the day that has begun counts as past.
    """
    cutoff = (as_of.day - EPOCH).days + (0 if as_of.is_given else 1)
    hidden = no_profiling(store, config)
    found = _order_rows(store, config, as_of)
    keep = np.array([p not in hidden for p in found["person_id"]], dtype=bool)
    found = {k: v[keep] for k, v in found.items()}
    is_order = found["is_order"]
    people = sorted(set(found["person_id"][is_order]))
    former = sorted(set(found["person_id"][found["counts"]]) - set(people))
    place = {p: i for i, p in enumerate([*people, *former])}
    own, foreign = _currency(found["currency"][is_order], config.shop.currency)
    amount = np.where((found["currency"] == own) & ~np.isnan(found["total"]), found["total"], 0.0)
    person = np.array([place.get(p, -1) for p in found["person_id"]], dtype=np.int64)
    *refunds, refunds_gone = _refunds(store, config, as_of, found, person, amount, own)
    counts = found["counts"]
    orders = Orders.of(
        person[counts], found["day"][counts], amount[counts], refunds=(refunds[0], refunds[1], refunds[2], refunds[3]),
        gone=(found["gone"][counts], refunds_gone),
    )  # fmt: skip
    notes, refusal = _judge(found, is_order, own, config.shop.currency, foreign)
    notes += _undated(store, config, as_of, own)
    refusal = refusal or _incomplete(store) or _quiet(found["day"][is_order], cutoff)
    lines, shelf = _lines(store, config, as_of, place, cutoff)
    apart = is_order & (found["currency"] != own)
    unpriced = np.unique(person[apart]) if foreign > FOREIGN_SHARE * int(is_order.sum()) else np.empty(0, np.int64)
    products = shelf.products if shelf else []
    unread = mail_incomplete(store)
    notes += [f"{unread} No score learns from mail until it has."] if unread else []
    beside = score_signs.load(store, config, as_of, [*people, *former], is_mail_read=not unread)
    return ShopData(
        people, orders, lines, products, cutoff, as_of.day, own, notes, refusal, len(hidden), unpriced, shelf, beside,
        former=former,
    )  # fmt: skip


def no_profiling(store: Store, config: Config) -> set[str]:
    """Person ids of those who opted out of profiling: by tag as configured, or by an imported list."""
    return set(not_profiled(store, config))


@dataclass(frozen=True, order=True)
class Customer:
    """An id in the source of an order or a mail, and whose it is."""

    id: str
    person: str
    source: str


def customers(store: Store, config: Config, as_of: AsOf) -> list[Customer]:
    """Everybody with an order before the date, by the id in the source of each counted purchase."""
    rows = sources()["order_rows"].format_map(marks(config, as_of))
    return [
        Customer(*(str(v) for v in found))
        for found in store.sql(f"""
            SELECT coalesce(o.contact_id, o.email, r.person_id) AS customer_id, r.person_id, min(r.source)
            FROM ({rows}) AS r LEFT JOIN orders AS o ON o.source = r.source AND o.stream = r.stream AND o.order_id = r.order_id
            WHERE r.counts GROUP BY ALL ORDER BY customer_id, r.person_id""")
    ]


def _lines(store: Store, config: Config, as_of: AsOf, place: dict[str, int], cutoff: int) -> tuple[Lines | None, Goods | None]:
    """Order lines of the people scored, and what the product numbers stand for; None where there are none."""
    if not store.sql("SELECT 1 FROM order_lines LIMIT 1"):
        return None, None
    made, known = sources(), marks(config, as_of)
    parts = ", ".join(f"{n} AS ({made[n].format_map(known)})" for n in LINE_PARTS)
    hidden = _sensitive(config)
    store.sql("CREATE OR REPLACE TEMP TABLE score_people (person_id VARCHAR, place INTEGER)")
    store.sql("INSERT INTO score_people SELECT unnest(?::VARCHAR[]), unnest(?::INTEGER[])", [list(place), list(place.values())])
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE score_lines AS WITH {parts}
        SELECT s.place, date_diff('day', DATE '1970-01-01', l.ordered_on) AS day, l.product, l.title, l.category,
          CAST(coalesce(l.quantity, 1) AS DOUBLE) AS quantity, CAST(coalesce(l.amount, 0) AS DOUBLE) AS amount,
          l.source, coalesce(l.is_gift_card, FALSE) AS is_gift_card, l.category_then, l.is_gone,
          CASE WHEN l.is_gone THEN {_day_of("l.cancelled_at", config)} END AS gone
        FROM line_rows AS l JOIN score_people AS s USING (person_id)
        WHERE l.product IS NOT NULL AND NOT {hidden} AND NOT {hidden.replace("l.category", "l.category_then")}""")
    sold = store.sql("""
        SELECT product, coalesce(max(title), ''), coalesce(max(category), ''), list_sort(list_distinct(list(source))),
          bool_or(is_gift_card), bool_and(is_gone)
        FROM score_lines GROUP BY product ORDER BY product""")
    names = [
        str(c)
        for (c,) in store.sql("SELECT DISTINCT category_then FROM score_lines WHERE category_then IS NOT NULL ORDER BY 1")
    ]
    found = store.arrays("""
        WITH p AS (SELECT product, row_number() OVER (ORDER BY product) - 1 AS n FROM score_lines GROUP BY product),
        c AS (SELECT category_then, row_number() OVER (ORDER BY category_then) - 1 AS k FROM score_lines
              WHERE category_then IS NOT NULL GROUP BY category_then)
        SELECT place, day, n, coalesce(k, -1) AS k, quantity, amount, coalesce(gone, -1) AS gone
        FROM score_lines JOIN p USING (product) LEFT JOIN c USING (category_then)""")
    for table in ("score_lines", "score_people"):
        store.sql(f"DROP TABLE {table}")
    whole = {k: np.asarray(found[k]).astype(np.int64) for k in ("place", "day", "n", "k", "gone")}
    numbers = np.asarray(found["quantity"], dtype=float), np.asarray(found["amount"], dtype=float)
    ends = np.where(whole["gone"] < 0, NEVER, whole["gone"])
    lines = Lines.of(whole["place"], whole["day"], whole["n"], *numbers, whole["k"], gone=ends)
    products = [Sold(str(p), str(t), str(c), tuple(s), bool(g), is_gone=bool(w)) for p, t, c, s, g, w in sold]
    return lines, goods(store, config, as_of, cutoff, products, names, hidden)


def _sensitive(config: Config) -> str:
    """What the owner calls sensitive is recommended to nobody and tells no model anything."""
    words = [p.lower().replace("'", "''") for p in config.privacy.sensitive_products]
    named = [f"contains(lower(concat_ws(' ', l.title, l.category, l.vendor)), '{w}')" for w in words]
    return f"({' OR '.join(named or ['FALSE'])})"


def date_of(day: int) -> date:
    return EPOCH + timedelta(days=int(day))


def _order_rows(store: Store, config: Config, as_of: AsOf) -> dict[str, Any]:
    """Orders that stand (`is_order`), those that were withdrawn, and returns booked as orders, which do not count as any."""
    found = store.arrays(f"""
        SELECT person_id, purchase_id, date_diff('day', DATE '1970-01-01', ordered_on) AS day,
          coalesce(currency, '') AS currency, CAST(coalesce(total, net) AS DOUBLE) AS total, counts,
          counts AND NOT is_gone AS is_order,
          CASE WHEN is_gone THEN {_day_of("cancelled_at", config)} ELSE {NEVER} END AS gone
        FROM ({known_orders().format_map(marks(config, as_of))}) ORDER BY person_id, day, purchase_id""")
    found = {k: _filled(v) for k, v in found.items()}
    return {
        **found, "day": found["day"].astype(np.int64), "gone": found["gone"].astype(np.int64),
        "is_order": found["is_order"].astype(bool), "counts": found["counts"].astype(bool),
        "total": found["total"].astype(float),
    }  # fmt: skip


def _day_of(column: str, config: Config) -> str:
    """SQL of the shop's day of a UTC time, as a number."""
    return f"date_diff('day', DATE '1970-01-01', {shop_day(column, config.shop.timezone)})"


def _filled(values: Any) -> Any:
    """A masked column as a plain one: missing numbers are NaN."""
    if not np.ma.isMaskedArray(values):
        return np.asarray(values)
    masked: Any = values
    return masked.astype(float).filled(np.nan) if masked.dtype.kind in "fiu" else masked.filled("")


def _currency(codes: Any, wanted: str) -> tuple[str, int]:
    """(the currency amounts are taken in, orders in any other). That of nearly all is taken as it is."""
    names, counts = np.unique(codes, return_counts=True)
    known = dict(zip(names.tolist(), counts.tolist(), strict=True))
    most = max(known, key=lambda k: known[k], default=wanted)
    own = most if known.get(most, 0) >= (1 - FOREIGN_SHARE) * len(codes) else wanted
    return own, sum(n for name, n in known.items() if name != own)


def _refunds(
    store: Store, config: Config, as_of: AsOf, found: dict[str, Any], person: Ints, amount: Any, own: str
) -> tuple[Ints, Ints, Ints, Any, Ints]:
    """(person, day of the order, of the refund, amount, day the order was withdrawn): dated refunds, and those booked as orders.

    Money that went without a date (edits, undated refunds) has no place in history and is left in.
    """
    dated = store.sql(
        f"""
        SELECT o.person_id, date_diff('day', DATE '1970-01-01', o.ordered_on), {_day_of("r.refunded_at", config)},
          CAST(r.amount AS DOUBLE), CASE WHEN o.is_gone THEN {_day_of("o.cancelled_at", config)} END
        FROM ({known_orders().format_map(marks(config, as_of))}) AS o JOIN refunds AS r ON r.source = o.source AND r.order_id = o.order_id
        WHERE o.counts AND r.refunded_at < {marks(config, as_of)["until"]} AND r.amount > 0 AND o.currency = ?""",
        [own],
    )
    index: dict[str, int] = {p: int(i) for p, i in zip(found["person_id"], person, strict=True) if i >= 0}
    known = [(index[p], d, r, a, -1 if w is None else w) for p, d, r, a, w in dated if p in index]
    booked = ~found["counts"] & (person >= 0)
    table = np.array(known, dtype=float).reshape(-1, 5)
    ends = table[:, 4].astype(np.int64)
    return (
        np.r_[table[:, 0].astype(np.int64), person[booked]],
        np.r_[table[:, 1].astype(np.int64), found["day"][booked]],
        np.r_[table[:, 2].astype(np.int64), found["day"][booked]],
        np.r_[table[:, 3], np.abs(amount[booked])],
        np.r_[np.where(ends < 0, NEVER, ends), found["gone"][booked]],
    )


def _undated(store: Store, config: Config, as_of: AsOf, own: str) -> list[str]:
    """What was given back on a day nobody knows: the past cannot be told without it from the past with it. Where a platform tells
    no amounts, an order of which nothing is left was given back as a whole."""
    rows = sources()["order_rows"].format_map(marks(config, as_of))
    back, spent = store.sql(
        f"""SELECT coalesce(sum(greatest({GIVEN_BACK} - coalesce(r.dated, 0), 0)), 0), coalesce(sum(coalesce(o.total, o.net)), 0)
            FROM ({rows}) AS o LEFT JOIN (
              SELECT source, order_id, sum(amount) AS dated FROM refunds WHERE refunded_at IS NOT NULL GROUP BY ALL) AS r
              ON r.source = o.source AND r.order_id = o.order_id
            WHERE o.counts AND o.currency = ?""",
        [own],
    )[0]
    if not spent or back / spent < LEAST_TOLD:
        return []
    return [
        f"{back:,.0f} {own} of refunds have no date ({back / spent:.0%} of all money). Nobody can say when they were known, so they "
        "are not taken off, and expected spend is too high by about as much."
    ]


def _judge(found: dict[str, Any], is_order: Any, own: str, wanted: str, foreign: int) -> tuple[list[str], str]:
    notes = []
    n = int(is_order.sum())
    missing = int(np.isnan(found["total"][is_order]).sum())
    if missing:
        notes.append(f"{missing:,} of {n:,} orders have no amount and count as 0.")
    if n and own != wanted:
        notes.append(
            f"{'Nearly all' if foreign else 'All'} orders are in {own}, not in the shop's currency {wanted}; amounts are in {own}."
        )
    if foreign > FOREIGN_SHARE * n:
        return notes, f"{foreign:,} of {n:,} orders are in another currency than {own}, and amounts must not be added."
    if foreign:
        notes.append(f"{foreign:,} of {n:,} orders are in another currency than {own}; they count as orders without an amount.")
    return notes, ""


def _incomplete(store: Store) -> str:
    source = half_read(store, ORDER_STREAMS, "purchases")
    if not source:
        return ""
    return f"The last pull of {source} orders did not reach its end, so missing orders would look like lost customers."


def mail_incomplete(store: Store) -> str:
    """Why nothing may be learned from mail now; '' where something may."""
    source = half_read(store, MAIL_STREAMS, "events")
    if not source:
        return ""
    return f"The last pull of {source} mail did not reach its end, so answers that are missing would look like silence."


def half_read(store: Store, streams: tuple[str, ...], table: str) -> str:
    """A source whose last walk through one of the streams did not reach its end, if `table` has rows of it; else ''."""
    found = store.value(
        f"SELECT min(source) FROM cursors WHERE list_contains(?, stream) AND NOT is_complete AND source IN (SELECT source FROM {table})",
        [list(streams)],
    )
    return str(found or "")


def _quiet(days: Ints, cutoff: int) -> str:
    if not len(days):
        return "There is no order before this date."
    idle = cutoff - int(days.max())
    if idle > QUIET_DAYS:
        return f"The last order before this date is {idle:,} days old; a shop without orders for {QUIET_DAYS} days teaches nothing."
    return ""
