"""Event measures: what people did, counted under conditions given by name.

`bought(category => 'Dark roast', days => 90)` is a number; alone it means "more than 0". Each measure is one conditional
aggregate over one source of rows (`connector/facts.py`), so all measures of all rules cost one aggregation per source.
Text is compared without case; with a % in it, as a pattern. `days => N` means from N shop days before the as-of day on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from connector.columns import HUMAN_OPEN

DAYS_LIMIT = 36500


@dataclass(frozen=True)
class Measure:
    """`said` is how the measure reads: verb phrase, then what is counted ('' for money)."""

    name: str
    meaning: str
    arguments: dict[str, str]
    said: str
    unit: str
    needs: tuple[str, ...]
    where: str = "TRUE"
    fields: dict[str, str] = field(default_factory=dict)


MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure(
            "bought", "number of orders, or of orders with such a product",
            {"category": "text", "product": "text", "days": "number"}, "bought", "times", ("orders", "order_lines"),
        ),
        Measure(
            "spent", "money spent, or spent on such products, in the shop's currency",
            {"category": "text", "product": "text", "days": "number"}, "spent", "", ("orders", "order_lines"),
        ),
        Measure(
            "ordered", "number of orders of such a size",
            {"min_total": "number", "max_total": "number", "days": "number"}, "ordered", "times", ("orders",),
        ),
        Measure(
            "opened", "number of human opens", {"campaign": "text", "days": "number"}, "opened mails", "times",
            ("events",), HUMAN_OPEN,
        ),
        Measure(
            "clicked", "number of clicks in mails", {"url": "text", "campaign": "text", "days": "number"}, "clicked",
            "times", ("events",), "kind = 'click'",
        ),
        Measure(
            "received", "number of mails received", {"campaign": "text", "days": "number"}, "received mails", "times",
            ("events",), "kind = 'sent'",
        ),
        Measure(
            "viewed", "number of pages or products viewed",
            {"url": "text", "category": "text", "product": "text", "days": "number"}, "viewed pages", "times",
            ("events",), "kind IN ('page_view', 'product_view')",
        ),
        Measure(
            "rated", "number of ratings given",
            {"product": "text", "category": "text", "min": "number", "max": "number", "days": "number"}, "gave ratings",
            "times", ("events",), "kind = 'rating'",
        ),
    )
}  # fmt: skip


Call = tuple[str, tuple[tuple[str, Any], ...]]
"""A measure and its arguments by name, sorted: equal calls share one aggregate."""


def source_of(call: Call) -> str:
    """The rows it is aggregated from."""
    name, arguments = call
    if name in ("bought", "spent"):
        return "line_rows" if any(k in ("category", "product") for k, _ in arguments) else "order_rows"
    return "order_rows" if name == "ordered" else "event_rows"


def needs_of(call: Call) -> tuple[str, ...]:
    return {"line_rows": ("order_lines",), "order_rows": ("orders",)}.get(source_of(call), ("events",))


def days_of(call: Call) -> int | None:
    """How far back it looks, None for ever."""
    return dict(call[1]).get("days")


def filter_sql(call: Call) -> str:
    """The condition under which a row of its source counts, with the marks of `connector/columns.py`."""
    name, arguments = call
    source = source_of(call)
    parts = [MEASURES[name].where]
    if source == "order_rows" and name != "spent":
        parts.append("counts")
    if name == "spent":
        parts.append("currency = '{currency}'")
    for key, value in arguments:
        parts.append(_condition(source, key, value))
    return " AND ".join(p for p in parts if p != "TRUE") or "TRUE"


def aggregate_sql(call: Call) -> str:
    name, _ = call
    condition = filter_sql(call)
    if name == "spent":
        amount = "amount" if source_of(call) == "line_rows" else "net"
        return f"coalesce(sum({amount}) FILTER ({condition}), 0)"
    counted = "count(DISTINCT purchase_id)" if source_of(call) == "line_rows" else "count(*)"
    return f"{counted} FILTER ({condition})"


def _condition(source: str, key: str, value: Any) -> str:
    if key == "days":
        return f"happened >= {{from_{value}}}" if source == "event_rows" else f"ordered_on >= {{day}} - {value}"
    if key in ("min_total", "max_total"):
        return f"net {'>=' if key == 'min_total' else '<='} {value}"
    if key in ("min", "max"):
        return f"value {'>=' if key == 'min' else '<='} {value}"
    if key == "product":
        names = ("product", "title") if source == "line_rows" else ("product_id",)
        return "(" + " OR ".join(_matches(n, value) for n in names) + ")"
    if key == "campaign":
        return "(" + " OR ".join(_matches(n, value) for n in ("campaign_id", "campaign_name", "subject")) + ")"
    return _matches(key, value)


def _matches(column: str, value: str) -> str:
    quoted = text_sql(value)
    return f"{column} ILIKE {quoted}" if "%" in value else f"lower({column}) = lower({quoted})"


def text_sql(value: str) -> str:
    """A text literal, safe in SQL and in text with marks."""
    return "'" + value.replace("'", "''").replace("{", "{{").replace("}", "}}") + "'"
