"""Whether the data a rule speaks of is there, and goes back far enough. Asked by `connector/segment.py` of every segment.

What counts is the data the very field or measure is made of: ratings where ratings are spoken of, and not any event; a
discount on some order; the score that is named. Kinds of mail events stand for each other: where mails are sent and nobody
has clicked yet, that is known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from functools import cache

from connector.column import ProfileColumn
from connector.columns import BY_NAME
from connector.columns_scores import made_by
from connector.evaluation import EVER, TABLE_WORDS, Evaluation, needs_of_node
from connector.rules import Node
from connector.rules.measures import MEASURES, counted
from connector.store import Store

BEGINNING = date(1970, 1, 1)
"""`cursors.complete_from` of a stream that was read from its beginning."""

ORDER_STREAMS = ("orders", "shop_orders", "deals")
MAIL_STREAMS = ("activity", "email_events")

MAIL = "mail events"
FAMILIES = {
    **dict.fromkeys(
        ("sent", "delivered", "open", "machine_open", "click", "machine_click", "bounce", "unsubscribe", "complaint", "forward"),
        MAIL,
    ),
    **dict.fromkeys(("page_view", "product_view"), "page views"),
    "search": "searches", "download": "downloads", "form": "forms", "rating": "ratings", "survey": "survey answers",
    "ticket": "support tickets", "login": "logins", "social": "social interactions",
}  # fmt: skip
"""Kind of event -> what the owner calls the kinds that stand for each other."""

BEHIND = {"warmth": ("open",), "reach": ("sent",), "viewed_categories": ("page_view",), "clicked_topics": ("click",),
          "converted": ("click",)}  # fmt: skip
"""Group, column or measure -> the kinds of events it is made from, where its own SQL does not name them."""

SCORE = re.compile(r"score = '(\w+)'")
DISCOUNT = re.compile(r"\b(is_discounted|discount)\b")
FIELDS = ("contact", "rank", "visits", "addresses")
"""Groups whose columns may be empty for everybody although their table is not."""


def needed(tree: Node) -> tuple[str, ...]:
    """What a rule is made from, in the owner's words; of events and scores the very ones."""
    found: list[str] = []
    for part in tree.walk():
        made_of = _made_of(part.name) if part.op == "column" else ()
        families = sorted({FAMILIES[k] for k in _kinds_of(part) if k in FAMILIES})
        scores = sorted({f"the score {m[1]}" for c in made_of if (m := SCORE.search(c.sql)) and c.group == "scores"})
        for table, _ in needs_of_node(part):
            exact = {"events": families, "scores": scores}.get(table) or [TABLE_WORDS.get(table, "")]
            found += [word for word in exact if word]
        found += ["discounts"] if any(DISCOUNT.search(c.sql) for c in made_of) else []
    return tuple(dict.fromkeys(found))


class Readiness:
    """Reasons of one shop at one as-of date; each table, kind and score is looked up once."""

    def __init__(self, store: Store, evaluation: Evaluation) -> None:
        self._store = store
        self._evaluation = evaluation
        self._found: dict[str, bool] = {}

    def reason(self, node: Node, negated: bool = False) -> str:
        if node.op in ("not", "is"):
            return self.reason(node.args[0], negated != (node.op == "not"))
        if node.op == "segment":
            return self.reason(self._evaluation.rules[node.name].tree, negated)
        if node.op in ("and", "or"):
            reasons = [self.reason(a, negated) for a in node.args]
            is_choice = (node.op == "or") != negated
            return "" if is_choice and not all(reasons) else next((r for r in reasons if r), "")
        return next((r for part in node.walk() for r in self._reasons(part) if r), "")

    def _reasons(self, part: Node) -> Iterator[str]:
        for table, days in needs_of_node(part):
            yield self._lacking(table, days)
        families = sorted({FAMILIES[k] for k in _kinds_of(part) if k in FAMILIES})
        if families and not any(self._has_family(f) for f in families):
            yield f"needs {' or '.join(families)}, and there are none yet"
        if MAIL in families:
            yield self._mail_too_short(max((d for t, d in needs_of_node(part) if t == "events"), default=EVER))
        if _speaks_of_vendors(part):
            yield self._no_vendors()
        if part.op == "column":
            yield self._unknown(part.name)
            yield from (self._unscored(c) for c in _made_of(part.name))
            if any(DISCOUNT.search(c.sql) for c in _made_of(part.name)):
                yield self._no_discounts()

    def _has(self, query: str, *values: object) -> bool:
        """Whether a query finds anything, asked once."""
        key = repr((query, values))
        if key not in self._found:
            self._found[key] = bool(self._store.sql(f"{query} LIMIT 1", list(values)))
        return self._found[key]

    def _has_family(self, family: str) -> bool:
        kinds = ", ".join(f"'{k}'" for k, f in FAMILIES.items() if f == family)
        return self._has(f"SELECT 1 FROM fact_kinds WHERE kind IN ({kinds})")

    def _unknown(self, name: str) -> str:
        """Fields that contacts or orders may bring along, and ranks among buyers, where nobody has one."""
        column = BY_NAME.get(name)
        if column is None or column.group not in FIELDS or column.sql_type in ("BOOLEAN", "VARCHAR[]"):
            return ""
        if self._has(f"SELECT 1 FROM profile WHERE {name} IS NOT NULL"):
            return ""
        return "needs 50 buyers, and there are fewer" if name.startswith("rfm_") else f"nobody's {name} is known yet"

    def _no_discounts(self) -> str:
        """Where no order says whether it had a discount, nobody bought without one as far as anybody can tell."""
        has_any = self._has("SELECT 1 FROM purchases WHERE discount IS NOT NULL")
        return "" if has_any else "needs the discounts of orders, and no order says its own"

    def _no_vendors(self) -> str:
        has_any = self._has("SELECT 1 FROM products WHERE vendor <> '' UNION ALL SELECT 1 FROM order_lines WHERE vendor <> ''")
        return "" if has_any else "needs the vendors of products, and no product names its own"

    def _unscored(self, column: ProfileColumn) -> str:
        """A score that was refused last fills nothing, whatever was published before."""
        score = SCORE.search(column.sql) if column.group == "scores" else None
        if score is None or self._has(
            f"SELECT 1 FROM profile WHERE {' OR '.join(f'{c} IS NOT NULL' for c in made_by(column.name))}"
        ):
            return ""
        return f"needs the score {score[1]}, and none is published (`rollcall score card` says why)"

    def _lacking(self, table: str, days: int) -> str:
        if table not in TABLE_WORDS:
            return ""
        if not self._has(f"SELECT 1 FROM {table}"):
            return f"needs {TABLE_WORDS[table]}, and there are none yet"
        return self._too_short(days) if table in ("orders", "order_lines") else ""

    def _too_short(self, days: int) -> str:
        unread = self._store.value(
            f"SELECT min(source) FROM cursors WHERE stream IN {ORDER_STREAMS} AND cursor IS NOT NULL AND complete_from IS NULL"
        )
        if unread:
            return f"looks at orders, and those of {unread} have not been read to their end yet"
        source, wall = self._store.sql(
            f"SELECT arg_max(source, complete_from), max(complete_from) FROM cursors WHERE stream IN {ORDER_STREAMS}"
        )[0]
        if not self._is_behind(wall, days):
            return ""
        far = "all orders" if days >= EVER else f"orders of the last {days} days"
        return f"looks at {far}, but those of {source} are complete only from {wall} on"

    def _mail_too_short(self, days: int) -> str:
        """Of mails only what looks back a number of days is held against their first day: platforms keep them for a while
        only, and "ever" means as far as is known. A source that has told of no mail yet holds nothing up."""
        if days >= EVER:
            return ""
        late = self._store.sql(
            f"SELECT source, stream, complete_from FROM cursors WHERE stream IN {MAIL_STREAMS} AND complete_from IS NOT NULL "
            "ORDER BY complete_from DESC, source"
        )
        for source, stream, wall in late:
            if self._is_behind(wall, days) and self._has(
                "SELECT 1 FROM events WHERE source = ? AND stream = ?", source, stream
            ):
                return f"looks at mails of the last {days} days, but those of {source} are complete only from {wall} on"
        return ""

    def _is_behind(self, wall: date | None, days: int) -> bool:
        """Whether what is looked at begins before the first day of which everything is known."""
        if wall is None or wall <= BEGINNING:
            return False
        return days >= EVER or wall > self._evaluation.as_of.day - timedelta(days=days)


@cache
def _made_of(name: str) -> tuple[ProfileColumn, ...]:
    """The stored columns behind a column: itself, or those a derived one is computed from."""
    column = BY_NAME.get(name)
    if column is None or column.group != "derived":
        return (column,) if column else ()
    used = (w for w in dict.fromkeys(re.findall(r"\w+", column.sql)) if w in BY_NAME and w != name)
    return tuple(dict.fromkeys(c for w in used for c in _made_of(w)))


def _speaks_of_vendors(part: Node) -> bool:
    if part.op == "measure":
        return any(key == "vendor" for key, _ in part.value)
    return part.op == "column" and any(c.group == "vendors" for c in _made_of(part.name))


def _kinds_of(part: Node) -> Iterable[str]:
    """The kinds of events a column or a measure looks at."""
    if part.op == "measure":
        name = counted((part.name, part.value))[0]
        return BEHIND.get(name) or re.findall(r"'(\w+)'", MEASURES[name].where)
    if part.op != "column":
        return ()
    found = list[str]()
    for column in _made_of(part.name):
        found += BEHIND.get(column.name) or BEHIND.get(column.group) or ()
        found += re.findall(r"'(\w+)'", column.sql) if column.group in ("events", "answers") else ()
    return found
