"""Event measures: what people did, counted under conditions given by name.

`bought(category => 'Dark roast', days => 90)` is a number; alone it means "more than 0". Each measure is one conditional
aggregate over one source of rows (`connector/facts.py`), so all measures of all rules cost one aggregation per source.
Text is compared without case; with a % in it, as a pattern; each word is looked at once, in the table behind its code.
`days => N` means from N shop days before the as-of day on. `first` and `last` are days since the first or last time
something was done (`event` names the measure), missing for those who never did; alone they mean "ever".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

DAYS_LIMIT = 36500

Call = tuple[str, tuple[tuple[str, Any], ...]]
"""A measure and its arguments by name, sorted: equal calls share one aggregate."""


@dataclass(frozen=True)
class Measure:
    """`said` is how the measure reads: verb phrase, then what is counted ('' for money)."""

    name: str
    meaning: str
    arguments: dict[str, str]
    said: str
    unit: str
    source: str
    needs: tuple[str, ...]
    where: str = "TRUE"
    plain: str = ""
    """The verb after 'did not'."""


def _event(name: str, meaning: str, kinds: str, said: str, plain: str, *texts: str, number: bool = False) -> Measure:
    arguments = dict.fromkeys(texts, "text")
    arguments |= {"min": "number", "max": "number"} if number else {}
    arguments["days"] = "number"
    where = f"kind = '{kinds}'" if " " not in kinds else "kind IN (" + ", ".join(f"'{k}'" for k in kinds.split()) + ")"
    return Measure(name, meaning, arguments, said, "times", "event_rows", ("events",), where, plain)


MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure("bought", "number of orders, or of orders with such a product",
                {"category": "text", "product": "text", "vendor": "text", "days": "number"}, "bought", "times", "order_rows", ("orders",),
                "counts", "buy"),
        Measure("spent", "money spent, or spent on such products, in the shop's currency",
                {"category": "text", "product": "text", "vendor": "text", "days": "number"}, "spent", "", "order_rows", ("orders",), "TRUE",
                "spend"),
        Measure("ordered", "number of orders of such a size",
                {"min_total": "number", "max_total": "number", "days": "number"}, "ordered", "times", "order_rows",
                ("orders",), "counts", "order"),
        Measure("converted", "number of orders, placed so many days at most (`within`, else 5) after a click in a mail: the last one "
                "before the order", {"campaign": "text", "within": "number", "days": "number"}, "ordered", "times",
                "conversion_rows", ("orders", "events"), "TRUE", "order"),
        Measure("abandoned", "number of carts left without buying since",
                {"min_total": "number", "max_total": "number", "product": "text", "days": "number"}, "left carts", "times",
                "cart_rows", ("carts",), "is_open", "leave carts"),
        _event("opened", "number of human opens", "open", "opened mails", "open mails", "campaign"),
        _event("clicked", "number of clicks in mails", "click", "clicked", "click", "url", "category", "campaign"),
        _event("received", "number of mails received", "sent", "received mails", "receive mails", "campaign"),
        _event("viewed", "number of pages or products viewed", "page_view product_view", "viewed pages", "view pages",
               "url", "category", "product", "vendor"),
        _event("rated", "number of ratings given", "rating", "gave ratings", "give ratings", "product", "category", "vendor",
               number=True),
        _event("submitted", "number of forms filled in", "form", "filled in forms", "fill in forms", "form"),
        _event("searched", "number of searches on the site", "search", "searched", "search", "term"),
        _event("downloaded", "number of downloads", "download", "downloaded", "download", "file", "url"),
        _event("asked", "number of support tickets", "ticket", "asked for support", "ask for support", "topic"),
        _event("answered", "number of survey answers", "survey", "answered surveys", "answer surveys", "answer",
               number=True),
        *(
            Measure(name, f"days since the {name} time", {
                "event": "text", "category": "text", "product": "text", "vendor": "text", "url": "text", "campaign": "text",
                "form": "text", "term": "text", "file": "text", "topic": "text", "answer": "text", "min": "number", "max": "number",
                "min_total": "number", "max_total": "number", "within": "number"}, name, "days", "", ())
            for name in ("first", "last")
        ),
    )
}  # fmt: skip

OF_LINES = ("category", "product", "vendor")
"""Arguments that orders are asked about line by line."""

TIMES = ("first", "last")
"""Measures that are days since something, and missing for people who never did it."""

UNSAID: dict[str, dict[str, int]] = {"converted": {"within": 5}}
"""What an argument is where a rule leaves it out, of those that always are something."""

DICTIONARIES: dict[str, dict[str, tuple[str, str, tuple[str, ...]]]] = {
    "line_rows": {
        "category": ("fact_products", "product", ("category_name",)),
        "product": ("fact_products", "product", ("product", "sku", "shown", "named")),
        "vendor": ("fact_products", "product", ("vendor_name", "vendor_now")),
    },
    "event_rows": {
        "category": ("fact_categories", "category", ("name",)), "topic": ("fact_categories", "category", ("name",)),
        "url": ("fact_words", "url", ("word",)), "product": ("fact_items", "product", ("product", "title")),
        "vendor": ("fact_items", "product", ("vendor",)),
        "campaign": ("fact_campaigns", "campaign", ("campaign_id", "name", "subject")),
        "form": ("fact_words", "word", ("word",)), "term": ("fact_words", "word", ("word",)),
        "file": ("fact_words", "word", ("word",)), "answer": ("fact_words", "word", ("word",)),
    },
    "conversion_rows": {"campaign": ("fact_campaigns", "campaign", ("campaign_id", "name", "subject"))},
}  # fmt: skip
"""Source -> text argument -> the table of its words, the row's column with the code, the words' columns to look at."""

INSTEAD: dict[tuple[str, str], tuple[str, str, tuple[str, ...]]] = {
    ("event_rows", "topic"): ("fact_words", "word", ("word",)),
}
"""The same for rows without a code of the first: a ticket without a category has its topic in its text."""

ITEMS = """from_json(items, '[{{"product_id":"VARCHAR","title":"VARCHAR"}}]')"""
"""What is in a cart, as its record says it."""

TOPICS: dict[str, str] = {
    "category": "SELECT category AS v FROM order_lines UNION SELECT category FROM products UNION SELECT category FROM events",
    "product": "SELECT title AS v FROM order_lines UNION SELECT title FROM products UNION SELECT product_id FROM products"
    " UNION SELECT product_id FROM order_lines UNION SELECT sku FROM order_lines UNION SELECT product_id FROM events",
    "vendor": "SELECT vendor AS v FROM order_lines UNION SELECT vendor FROM products",
    "campaign": "SELECT campaign_id AS v FROM events UNION SELECT name FROM campaigns UNION SELECT subject FROM campaigns",
    "topic": "SELECT coalesce(nullif(category, ''), text) AS v FROM events WHERE kind = 'ticket'",
    **{k: f"SELECT text AS v FROM events WHERE kind = '{v}'"
       for k, v in (("form", "form"), ("term", "search"), ("file", "download"), ("answer", "survey"))},
}  # fmt: skip
"""Text argument -> SELECT of every v there is in the data, for warnings about what nobody ever did."""


def counted(call: Call) -> Call:
    """The measure whose rows are looked at: the call itself, or what `first` and `last` are about."""
    name, arguments = call
    if name not in TIMES:
        return call
    given = dict(arguments)
    return str(given.pop("event")), tuple(sorted(given.items()))


def source_of(call: Call) -> str:
    """The rows it is aggregated from."""
    name, arguments = counted(call)
    source = MEASURES[name].source
    return "line_rows" if source == "order_rows" and any(k in OF_LINES for k, _ in arguments) else source


def needs_of(call: Call) -> tuple[str, ...]:
    found = {
        "line_rows": ("order_lines",), "order_rows": ("orders",), "cart_rows": ("carts",), "conversion_rows": ("orders", "events"),
    }  # fmt: skip
    return found.get(source_of(call), ("events",))


def days_of(call: Call) -> int | None:
    """How far back it looks, None for ever."""
    return dict(call[1]).get("days")


def within_of(call: Call) -> int:
    """How many days before what is counted it looks."""
    return int(dict(call[1]).get("within", 0))


@dataclass(frozen=True)
class Aggregates:
    """SELECT n and one column per call, from one source: at most one condition per distinct word is evaluated per word."""

    source: str
    calls: Mapping[Call, str]

    def sql(self) -> str:
        flags = self._flags()
        filters = {c: self._filter(c, flags) for c in self.calls}
        rows = f"{self._rows()} AS r{self._joins(flags)}"  # WHERE with every condition once more costs more than it saves
        if self.source == "line_rows":  # a purchase may have several such lines, and counting it once is dear
            inner = ", ".join(f"{_of_purchase(c, filters[c])} AS {n}" for c, n in self.calls.items())
            outer = ", ".join(f"{_of_purchases(c, n)} AS {n}" for c, n in self.calls.items())
            return f"SELECT n, {outer} FROM (SELECT r.n, {inner} FROM {rows} GROUP BY r.n, r.purchase) GROUP BY n"
        columns = ", ".join(f"{_aggregate(c, filters[c])} AS {n}" for c, n in self.calls.items())
        return f"SELECT r.n, {columns} FROM {rows} GROUP BY r.n"

    def _rows(self) -> str:
        """The source without the rows that are too old for every call: their words are not worth looking up."""
        column = {"event_rows": "day", "cart_rows": None}.get(self.source, "ordered_on")
        found = [counted(c) for c in self.calls]
        days = [d for c in found if (d := days_of(c)) is not None]
        ever = {MEASURES[c[0]].where if self.source != "line_rows" else "TRUE" for c in found if days_of(c) is None}
        if column is None or "TRUE" in ever:
            return self.source
        terms = ([f"{column} >= {{day}} - {max(days)}"] if days else []) + sorted(ever)
        return f"(SELECT * FROM {self.source} WHERE {' OR '.join(terms)})"

    def _flags(self) -> dict[tuple[str, str, str], str]:
        """(dictionary, code column, condition over its words) -> name of the flag."""
        found: dict[tuple[str, str, str], str] = {}
        for call in self.calls:
            for key, value in counted(call)[1]:
                if key in DICTIONARIES.get(self.source, {}):
                    for place in self._places(key):
                        found.setdefault(_flag_of(place, value), f"f{len(found)}")
        return found

    def _places(self, key: str) -> list[tuple[str, str, tuple[str, ...]]]:
        """Where the words of an argument stand."""
        other = INSTEAD.get((self.source, key))
        return [DICTIONARIES[self.source][key], *([other] if other else [])]

    def _joins(self, flags: Mapping[tuple[str, str, str], str]) -> str:
        text = ""
        for table, code in dict.fromkeys((t, c) for t, c, _ in flags):
            own = {condition: name for (t, c, condition), name in flags.items() if (t, c) == (table, code)}
            picked = ", ".join(f"coalesce({condition}, FALSE) AS {name}" for condition, name in own.items())
            text += (
                f" LEFT JOIN (SELECT code, {picked} FROM {table} WHERE {' OR '.join(f'({c})' for c in own)}) AS d_{code}"
                f" ON d_{code}.code = r.{code}"
            )
        return text

    def _filter(self, call: Call, flags: Mapping[tuple[str, str, str], str]) -> str:
        name, arguments = counted(call)
        where = MEASURES[name].where
        parts = [] if self.source == "line_rows" else [where]
        for key, value in arguments:
            if key in DICTIONARIES.get(self.source, {}):
                first, *other = ((flags[_flag_of(place, value)], place[1]) for place in self._places(key))
                parts += [f"({first[0]} OR (r.{first[1]} IS NULL AND {flag}))" for flag, _ in other] or [first[0]]
            else:
                parts.append(_condition(self.source, key, value))
        return " AND ".join(p for p in parts if p != "TRUE") or "TRUE"


def _flag_of(place: tuple[str, str, tuple[str, ...]], value: str) -> tuple[str, str, str]:
    table, code, columns = place
    return table, code, " OR ".join(word_matches(c, value) for c in columns)


def _of_purchase(call: Call, condition: str) -> str:
    """What the lines of one purchase give: whether there is such a line, the money of such lines, or the day."""
    if call[0] in TIMES:
        return f"max(ordered_on) FILTER ({condition})"
    return f"sum(amount) FILTER ({condition})" if call[0] == "spent" else f"coalesce(bool_or({condition}), FALSE)"


def _of_purchases(call: Call, column: str) -> str:
    if call[0] in TIMES:
        return f"CAST({{day}} - {'min' if call[0] == 'first' else 'max'}({column}) AS INTEGER)"
    return f"coalesce(sum({column}), 0)" if call[0] == "spent" else f"count(*) FILTER ({column})"


def _aggregate(call: Call, condition: str) -> str:
    source = source_of(call)
    when = f" FILTER ({condition})" if condition != "TRUE" else ""
    if call[0] in TIMES:
        day = {"event_rows": "day", "cart_rows": "CAST(timezone('{timezone}', timezone('UTC', touched)) AS DATE)"}
        bound = "min" if call[0] == "first" else "max"
        return f"CAST({{day}} - {bound}({day.get(source, 'ordered_on')}){when} AS INTEGER)"
    if call[0] == "spent":
        return f"coalesce(sum(net){when}, 0)"
    return f"count(*){when}"


def _condition(source: str, key: str, value: Any) -> str:
    if key == "days":
        column = {"event_rows": "day >= {day} - ", "cart_rows": "touched >= {from_"}.get(source, "ordered_on >= {day} - ")
        return f"{column}{value}}}" if source == "cart_rows" else f"{column}{value}"
    if key == "within":
        return f"days_after <= {value}"
    if key in ("min_total", "max_total"):
        column = "currency = '{currency}' AND total" if source == "cart_rows" else "net"
        return f"{column} {'>=' if key == 'min_total' else '<='} {value}"
    if key in ("min", "max"):
        return f"value {'>=' if key == 'min' else '<='} {value}"
    told = " OR ".join(word_matches(f"i.{c}", value) for c in ("product_id", "title"))
    return f"coalesce(len(list_filter({ITEMS}, lambda i: {told})), 0) > 0"


def word_matches(column: str, value: str) -> str:
    quoted = text_sql(value)
    return f"{column} ILIKE {quoted}" if "%" in value else f"lower({column}) = lower({quoted})"


def text_sql(value: str) -> str:
    """A text literal, safe in SQL and in text with marks."""
    return "'" + value.replace("'", "''").replace("{", "{{").replace("}", "}}") + "'"


def by_source(calls: Iterable[tuple[Call, str]]) -> dict[str, dict[Call, str]]:
    """The calls by the rows they are aggregated from."""
    found: dict[str, dict[Call, str]] = {}
    for call, name in calls:
        found.setdefault(source_of(call), {})[call] = name
    return found
