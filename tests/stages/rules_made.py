"""Strategies for made-up rules of every form the language has. Imports nothing of ours.

Terms come by kind; numbers also by family (money, counts, days and what has no unit), for rules do not compare euros with counts.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import strategies as st

Made = st.SearchStrategy[Any]

COLUMNS = {
    "money": ("revenue_total", "revenue_90d", "aov", "largest_order"), "count": ("orders_total", "orders_90d"),
    "days": ("days_since_order", "days_since_first_order"), "plain": ("shoe_size", "birthday_month"),
    "rank": ("spend_rank_pct",), "text": ("city", "flavour"), "day": ("first_order_on", "last_order_on", "joined_on"),
    "bool": ("loyal", "vip"), "list": ("tags",),
}  # fmt: skip

BOUNDS = {
    "money": (0, 10, 25, 40.5, 100, 250), "count": (0, 1, 2, 3, 6), "days": (0, 1, 2, 5, 29, 30, 31, 90, 91, 365),
    "plain": (-1.5, 0, 1, 7, 12, 36, 38.5, 40), "rank": (0, 10, 50, 99.5, 100),
}  # fmt: skip
FAMILIES = tuple(BOUNDS)

WORDS = (
    "Bonn",
    "Köln",
    "köln",
    "Dark roast",
    "50% off",
    "a_b",
    "axb",
    "O'Neil",
    " tea ",
    "back\\slash",
    "{day}",
    "Straße",
    "",
    "x",
)
PATTERNS = (
    "%",
    "B%",
    "%o%",
    "k_ln",
    "K_LN",
    "_%",
    "a_b",
    "50%",
    "%'%",
    "%\\%",
    "{%}",
    "%ROAST",
    "dark%roast",
    "",
    "str%E",
    "% %",
    "%ö%",
)
TAGS = ("vip", "Tea fan", "b2b", "ÄRGER", "50%", "nobody")
DAYS = (date(2024, 2, 29), date(2026, 1, 31), date(2026, 6, 1), date(2026, 6, 30), date(2025, 7, 1))
OPERATORS = ("=", "<>", "<", "<=", ">", ">=")


def _column(kind: str) -> Made:
    return st.tuples(st.just("column"), st.sampled_from(COLUMNS[kind]))


def _of(kind: str, *values: Any) -> Made:
    return st.tuples(st.just(kind), st.sampled_from(values))


# ---- measures

SAID: dict[str, tuple[Any, ...]] = {
    "days": (1, 5, 30, 31, 90, 91, 365, 36500), "category": ("Coffee", "TEA", "dark roast", "%o%", "late"),
    "product": ("k1", "kenya", "KENYA%", "SKU-1", "%a_b%", "a_b", "Mug 50%", "x9", "%\\%", "title", "%\"%", "%tea"),
    "url": ("%blog%", "https://x.de/blog/A_B", "%50!%%", "%a_b"),
    "campaign": ("c1", "tea week", "%50\\%%", "%tea%", "c3"), "form": ("great", "%tea", "a_b"), "term": ("GREAT", "a%b"),
    "file": ("50% off", "great tea"), "topic": ("late", "coffee", "%tea%", "a_b"), "answer": ("great", "%50\\% %", "GREAT%"),
    "vendor": ("ACME", "acme tea", "%ac%", "tea_house", "50\\%%", "50%"), "within": (1, 2, 5, 30),
    "min": (1, 3, 4.5), "max": (1, 4, 5), "min_total": (0, 10, 15, 40.5), "max_total": (0, 25, 60, 100),
}  # fmt: skip
TAKES = {
    "bought": ("category", "product", "vendor"), "spent": ("category", "product", "vendor"),
    "ordered": ("min_total", "max_total"), "converted": ("campaign", "within"),
    "abandoned": ("min_total", "max_total", "product"), "opened": ("campaign",), "clicked": ("url", "category", "campaign"),
    "received": ("campaign",), "viewed": ("url", "category", "product", "vendor"),
    "rated": ("product", "category", "vendor", "min", "max"),
    "submitted": ("form",), "searched": ("term",), "downloaded": ("file", "url"), "asked": ("topic",),
    "answered": ("answer", "min", "max"),
}  # fmt: skip


@st.composite
def measures(draw: Any, names: tuple[str, ...] = tuple(TAKES)) -> Any:
    """A measure with some of its arguments, or the first or last time of one."""
    name = draw(st.sampled_from(names))
    is_time = name in ("first", "last")
    event = draw(st.sampled_from([m for m in TAKES if m != "spent"])) if is_time else name
    keys = draw(st.lists(st.sampled_from((*TAKES[event], *(() if is_time else ("days",)))), unique=True, max_size=2))
    given = [("event", event)] if is_time else []
    return ("measure", name, (*given, *((k, draw(st.sampled_from(SAID[k]))) for k in keys)))


times = measures(("first", "last"))
counted = measures(tuple(m for m in TAKES if m != "spent"))
spent = measures(("spent",))

# ---- terms


def numbers(family: str, inner: Made) -> Made:
    """Numbers of one family; `inner` are conditions."""
    base = _column(family)
    if family in ("money", "count", "days"):
        base = base | {"money": spent, "count": counted, "days": times | day_differences()}[family]
    number = _of("number", *BOUNDS[family])
    more = [
        st.tuples(st.just("arith"), st.sampled_from("+-"), base, base | number),
        st.tuples(st.just("arith"), st.sampled_from("*/%"), base, number | _column("count") | _column("plain")),
        st.tuples(st.just("minus"), base), st.tuples(st.just("call"), st.sampled_from(("abs", "floor", "ceil", "round")), base),
        st.tuples(st.just("call"), st.sampled_from(("coalesce", "least", "greatest")), base, base | number),
        st.tuples(st.just("call"), st.just("nullif"), base, number),
        st.tuples(st.just("case"), st.tuples(inner, base | number), st.none() | base | number),
        st.tuples(st.just("case"), st.tuples(inner, number), st.tuples(inner, base), st.none() | number),
    ]  # fmt: skip
    return st.one_of(base, base, base, *more)


@st.composite
def _rounded(draw: Any) -> Any:
    return ("call", "round", draw(_column("money")), ("number", draw(st.integers(0, 2))))


plain_numbers = st.one_of(
    st.tuples(st.just("call"), st.just("length"), _column("text")),
    st.tuples(st.just("call"), st.just("items"), _column("list")), _rounded(),
)  # fmt: skip


def day_differences() -> Made:
    return st.tuples(st.just("days"), st.just(("today",)) | _of("day", *DAYS), _column("day"))


def texts(inner: Made) -> Made:
    base, word = _column("text"), _of("text", *WORDS)
    return st.one_of(
        base, base, st.tuples(st.just("call"), st.sampled_from(("lower", "upper", "trim")), base),
        st.tuples(st.just("call"), st.sampled_from(("coalesce", "least", "greatest")), base, base | word),
        st.tuples(st.just("case"), st.tuples(inner, base | word), st.none() | base | word),
        st.tuples(st.just("pick"), base | st.tuples(st.just("call"), st.just("lower"), base), word, word, base | word),
    )  # fmt: skip


def days(inner: Made) -> Made:
    base = _column("day")
    start = base | st.just(("today",)) | _of("day", *DAYS)
    shifted = st.tuples(st.just("shift"), st.sampled_from("+-"), start, st.just("day"),
                        _of("number", 0, 1, 30, 365) | _column("count") | _column("days"))  # fmt: skip
    spans = st.tuples(st.just("shift"), st.sampled_from("+-"), start, st.sampled_from(("week", "month", "year")),
                      _of("number", 0, 1, 2, 13))  # fmt: skip
    return st.one_of(
        base, base, shifted, spans,
        st.tuples(st.just("call"), st.sampled_from(("coalesce", "least", "greatest")), base, start),
        st.tuples(st.just("case"), st.tuples(inner, start), st.none() | base),
    )  # fmt: skip


calendar_numbers = st.tuples(
    st.just("call"), st.sampled_from(("year", "month", "day", "dayofweek")), _column("day") | st.just(("today",))
)


def truths(inner: Made) -> Made:
    """Yes or no, or not known."""
    base = _column("bool")
    both = base | _of("bool", True, False)
    return st.one_of(
        base, base, st.tuples(st.just("call"), st.just("coalesce"), base, both),
        st.tuples(st.just("case"), st.tuples(inner, both), st.none() | both),
    )  # fmt: skip


# ---- conditions


def _tests_of(value: Made, bound: Made) -> list[Made]:
    """What any kind of value with an order can be asked."""
    listed = st.lists(bound, min_size=1, max_size=3).map(tuple)
    return [
        st.tuples(st.just("compare"), value, st.sampled_from(OPERATORS), bound),
        st.tuples(st.just("compare"), bound, st.sampled_from(OPERATORS), value),
        st.tuples(st.sampled_from(("between", "not between")), value, bound, bound),
        st.tuples(st.sampled_from(("in", "not in")), value, listed),
    ]


def _missing(value: Made) -> Made:
    return st.tuples(st.sampled_from(("null", "known")), value)


@st.composite
def _number_tests(draw: Any, inner: Made) -> Any:
    family = draw(st.sampled_from(FAMILIES))
    value, literal = numbers(family, inner), _of("number", *BOUNDS[family])
    return draw(st.one_of(*_tests_of(value, literal), *_tests_of(value, literal | numbers(family, inner))))


def leaves(inner: Made) -> Made:
    """Conditions without and, or and not; `inner` may stand within a case."""
    text, day = texts(inner), days(inner)
    word, when = _of("text", *WORDS), _of("day", *DAYS)
    known = st.one_of(*(_column(k) for k in ("money", "days", "rank", "text", "day", "bool", "list")), times)
    return st.one_of(
        _number_tests(inner), _number_tests(inner), *_tests_of(text, word | _column("text")),
        *_tests_of(day, when | day), *_tests_of(calendar_numbers, _of("number", 0, 1, 5, 6, 12, 31, 2026)),
        *_tests_of(plain_numbers, _of("number", 0, 1, 2, 4, 9, 25)),
        st.tuples(st.just("alone"), measures() | times), _missing(known), _missing(texts(inner)), _missing(day),
        st.tuples(st.sampled_from(("like", "ilike", "not like", "not ilike")), text, st.sampled_from(PATTERNS)),
        st.tuples(st.sampled_from(("contains", "starts_with", "ends_with")), text,
                  _of("text", "o", "B", "50%", "_", "", "e ") | _column("text")),
        st.tuples(st.sampled_from(("has", "list_contains")), st.sampled_from(TAGS), st.just("tags")),
        st.tuples(st.sampled_from(("any", "all")), st.just("tags"), st.lists(st.sampled_from(TAGS), min_size=1, max_size=3).map(tuple)),
        st.tuples(st.just("truth"), truths(inner)),
        st.tuples(st.just("compare"), truths(inner), st.sampled_from(("=", "<>")), _of("bool", True, False) | _column("bool")),
        st.tuples(st.just("is"), st.tuples(st.just("truth"), truths(inner)), st.booleans()),
        st.tuples(st.just("in"), _column("bool"), st.lists(_of("bool", True, False), min_size=1, max_size=2).map(tuple)),
    )  # fmt: skip


def _joined(inner: Made) -> Made:
    two = st.tuples(st.sampled_from(("and", "or")), inner, inner)
    return st.one_of(
        st.tuples(st.just("not"), inner), two, two, st.tuples(st.sampled_from(("and", "or")), inner, inner, inner),
        st.tuples(st.just("choose"), inner, inner, inner), leaves(inner),
        st.tuples(st.just("is"), inner.filter(lambda r: r[0] != "alone"), st.booleans()),
        st.tuples(st.just("same"), inner, st.sampled_from(("=", "<>")), inner),
        st.tuples(st.sampled_from(("in", "not in")), st.tuples(st.just("holds"), inner), st.just((("bool", False),))),
        _missing(st.tuples(st.just("holds"), inner)),
    )  # fmt: skip


simple = st.one_of(
    st.tuples(st.just("compare"), _column("count"), st.sampled_from(OPERATORS), _of("number", 0, 1, 2)),
    st.tuples(st.just("compare"), _column("text"), st.sampled_from(("=", "<>")), _of("text", *WORDS)),
    st.tuples(st.just("truth"), _column("bool")), _missing(_column("text")),
)  # fmt: skip
rules = st.recursive(leaves(simple), _joined, max_leaves=5)
