"""A rule said back as one English sentence, from its tree."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from connector.columns import BY_NAME
from connector.rules.compared import number_of
from connector.rules.measures import MEASURES, OF_LINES, TIMES, counted
from connector.rules.sql import may_be_unknown
from connector.rules.tree import Node, Rule

SAID = {"=": "is", "<>": "is not", "<": "is less than", "<=": "is at most", ">": "is more than", ">=": "is at least"}
SAID_DAY = {"=": "is", "<>": "is not", "<": "is before", "<=": "is not after", ">": "is after", ">=": "is not before"}
TURNED = {"=": "=", "<>": "<>", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
PHRASES = {
    "is_subscribed": "may be mailed", "region": "region", "country": "country", "city": "city", "postcode": "postcode",
    "rfm_group": "RFM group", "subscription_status": "subscription status", "churn_tier": "churn risk",
    "signup_source": "signup source", "language": "language", "gender": "gender", "age": "age", "job_title": "occupation",
    "income_band": "income band", "education": "education", "industry": "industry",
    "company_size": "company's number of employees", "tags": "tags", "groups": "preference groups",
    "top_category": "favourite category", "affinity_vendor": "favourite vendor", "spend_rank_pct": "rank by money spent",
    "days_since_order": "last order", "days_since_first_order": "first order", "days_since_refund": "last refund",
    "days_since_open": "last human open", "days_since_click": "last click", "days_since_engagement": "last human open or click",
    "days_since_visit": "last visit", "days_since_subscribed": "latest yes to e-mail", "days_known": "first record",
    "subscription_cancelled_on": "last subscription's end", "subscription_renews_on": "day of renewal",
    "subscription_started_on": "subscription's start", "days_to_renewal": "time until the subscription renews",
    "purchase_tier": "chance of an order within 30 days", "clv_tier": "expected spend compared with others",
    "engagement_tier": "chance of an open or click compared with others", "cluster": "discovered group",
    "next_category": "likely category of the next order", "gaining_category": "category bought more and more",
    "anomaly_score": "unusualness against the own history", "engagement_score": "engagement score",
    "lateness": "time since the last order, in usual gaps,", "branch_km": "distance to the nearest branch",
    "promotion_share": "share of orders with a discount outside of sales", "season_month": "month of season",
    "lifecycle": "lifecycle stage", "anomaly": "kind of anomaly", "subscription_plan": "subscription's plan",
    "subscription_price": "subscription's price",
    "rfm_r": "recency fifth", "rfm_f": "frequency fifth", "rfm_m": "money fifth",
    "next_order_until_on": "last likely day of the next order", "next_order_from_on": "first likely day of the next order",
    "consent_email": "consent to e-mail", "consent_sms": "consent to SMS", "consent_ads": "consent to advertising",
}  # fmt: skip
"""Shorter than the column's meaning where that reads badly in a sentence."""

AGES = ("days_since_", "days_known")
AGO = {
    "=": "exactly {} ago", "<>": "not exactly {} ago", "<": "less than {} ago", "<=": "at most {} ago", ">": "more than {} ago",
    ">=": "at least {} ago",
}  # fmt: skip
WORDS = {"+": "plus", "-": "minus", "*": "times", "/": "divided by", "%": "modulo"}


TESTS = {
    "list_has_any": ("include any of", "include none of"), "list_has_all": ("include all of", "do not include all of"),
    "contains": ("contains", "does not contain"), "starts_with": ("begins with", "does not begin with"),
    "ends_with": ("ends with", "does not end with"),
}  # fmt: skip
"""Function -> the words for yes and for no."""

TOTALS = ("min_total", "max_total")

OTHER = {"=": "<>", "<>": "=", "<": ">=", "<=": ">", ">": "<=", ">=": "<"}


def say(rule: Rule | Node, currency: str = "") -> str:
    """'Everybody who ... and whose ...': one sentence with a full stop."""
    tree = rule.tree if isinstance(rule, Rule) else rule
    if tree.op == "literal":
        return "Everybody." if tree.value else "Nobody."
    if tree.op == "not" and tree.args[0].op == "literal":
        return "Nobody." if tree.args[0].value else "Everybody."
    return f"Everybody {_Speaker(currency).condition(tree)}."


def clause(node: Node, currency: str = "") -> str:
    """One condition as a clause that begins with who, whose or for whom."""
    return _Speaker(currency).condition(node)


class _Speaker:
    def __init__(self, currency: str) -> None:
        self.currency = currency

    def condition(self, node: Node, *, no: bool = False) -> str:
        """The clause, or with `no` its opposite."""
        match node.op:
            case "and" | "or":
                return self._joined(node, no)
            case "not":
                return self.condition(node.args[0], no=not no)
            case "is":
                return self.condition(node.args[0], no=no)
            case "column" if node.name not in BY_NAME:
                return f"for whom {self._meaning(node.name)} is {'not true' if no else 'true'}"
            case "column":
                return f"who {self._opposite(self._meaning(node.name))}" if no else f"who {self._meaning(node.name)}"
            case "segment":
                return f"who {'is not' if no else 'is'} in the segment '{node.name}'"
            case "literal":
                return "always" if bool(node.value) != no else "never"
            case "number above 0":
                return self._did(node.args[0], ">", Decimal(0), no)
            case "compare":
                return self._compare(node, no)
            case "between":
                value, low, high = self.value(node.args[0]), *(self._amount(node.args[0], a) for a in node.args[1:])
                low = low.removesuffix(high[high.find(" ") :]) if " " in high else low
                return f"whose {value} is {'not ' if no else ''}between {low} and {high}{_or_unknown(no, node.args[0])}"
            case "in":
                value, *items = (self.value(a) for a in node.args)
                return f"whose {value} is {'none' if no else 'one'} of {', '.join(items)}{_or_unknown(no, node.args[0])}"
            case "like":
                value, pattern = (self.value(a) for a in node.args)
                return f"whose {value} {'does not look' if no else 'looks'} like {pattern}{_or_unknown(no, node.args[0])}"
            case "has":
                value, item = (self.value(a) for a in node.args)
                return f"whose {value} {'do not' if no else ''} include {item}".replace("  ", " ")
            case "is missing" if node.args[0].op == "measure":
                did, what = self._deed(node.args[0])
                return f"who ever {did}{what}" if no else f"who never {did}{what}"
            case "is missing":
                verb = "are" if node.args[0].kind == "list" else "is"
                return f"whose {self.value(node.args[0])} {verb} {'known' if no else 'not known'}"
            case "function" if node.name in TESTS:
                value, other = (self.value(a) for a in node.args)
                return f"whose {value} {TESTS[node.name][no]} {other}{_or_unknown(no, node.args[0])}"
            case _:
                return f"for whom {self.value(node)} is {'not true' if no else 'true'}"

    def _joined(self, node: Node, no: bool) -> str:
        if node.name == "everyone else":
            return "who is in another segment" if no else "who is in no other segment"
        word = "and" if (node.op == "and") != no else "or"
        parts = [self.condition(a, no=no) for a in node.args]
        mixed = [
            f"either ({p})" if a.op in ("and", "or") and a.op != node.op else p for a, p in zip(node.args, parts, strict=True)
        ]
        mixed = [p.replace("either (", "(", 1) if p.startswith("either (") else p for p in mixed]
        return f" {word} ".join(mixed) if len(mixed) < 3 else f", {word} ".join([", ".join(mixed[:-1]), mixed[-1]])

    def _compare(self, node: Node, no: bool) -> str:
        left, right = node.args
        op = node.name
        if left.op == "literal" and right.op != "literal":
            left, right, op = right, left, TURNED[op]
        if op == "<>":
            op, no = "=", not no
        if left.op == "measure" and right.op == "literal":
            return self._did(left, op, right.value, no)
        if left.kind == "yes or no":
            if right.op == "literal" and may_be_unknown(left) and left.name not in BY_NAME:
                said = f"for whom {self.value(left)} is {'not ' if no else ''}{'true' if right.value else 'false'}"
                return said + _or_unknown(no, left)
            if right.op == "literal":
                return self.condition(left, no=no != (not right.value))
            return f"for whom {self.value(left)} is {'not ' if no else ''}the same as {self.value(right)}"
        since = self._since(left, right)
        if since:
            return self._ago(since, op, left, right, no)
        words = (SAID_DAY if left.kind == "day" else SAID)[op]
        if no:
            words = words.replace("is not", "is") if "not" in words else words.replace("is", "is not", 1)
        return f"whose {self.value(left)} {words} {self._amount(left, right)}{_or_unknown(no, left)}"

    def _since(self, left: Node, right: Node) -> str:
        """What lies as many days back as `left` says: a column of days since, or today minus a day; '' for anything else."""
        if number_of(right) is None:
            return ""
        if left.op == "column" and left.name in PHRASES and left.name.startswith(AGES):
            return PHRASES[left.name]
        if left.op == "arithmetic" and left.kind == "number" and [a.op for a in left.args] == ["today", "column"]:
            return self._meaning(left.args[1].name).removeprefix("day of the ")
        return ""

    def _ago(self, what: str, op: str, left: Node, right: Node, no: bool) -> str:
        days = "1 day" if right.value == 1 else f"{self.value(right)} days"
        return f"whose {what} was {AGO[OTHER[op] if no else op].format(days)}{_or_unknown(no, left)}"

    def _did(self, node: Node, op: str, number: Decimal, no: bool) -> str:
        """A measure compared with a number: 'who bought from category 'Tea' at least 3 times in the last 90 days'."""
        if node.name in TIMES:
            did, what = self._deed(node)
            ago = AGO[op].format("1 day" if number == 1 else f"{_number(number)} days")
            words = f"who {node.name} {did}{what} {ago}"
            return f"of whom it is not so that they {words.removeprefix('who ')}" if no else words
        measure = MEASURES[node.name]
        given = dict(node.value)
        when = _in_the_last(given)
        what = self._details(node.name, given)
        if op == ">" and number == 0:
            if no:
                return f"who did not {measure.plain}{what}{when}" if measure.unit else f"who spent nothing{what}{when}"
            return f"who {measure.said if measure.unit else 'spent something'}{what}{when}"
        count = SAID[op].removeprefix("is ").removeprefix("is")
        exactly = "exactly" if op == "=" else count.strip()
        amount = f"{_number(number)} {measure.unit}" if measure.unit else f"{_number(number)} {self.currency}".strip()
        times = "time" if number == 1 and measure.unit == "times" else ""
        amount = amount.replace("1 times", "1 time") if times else amount
        return f"who {'not ' if no else ''}{measure.said}{what}{when} {exactly} {amount}".replace(
            "who not ", "of whom it is not so that they "
        )

    def _deed(self, node: Node) -> tuple[str, str]:
        """What `first` and `last` are about: verb phrase and details."""
        name, given = counted((node.name, node.value))
        return MEASURES[name].said, self._details(name, dict(given))

    def _details(self, name: str, given: dict[str, Any]) -> str:
        said = {
            "category": "from category {}", "product": "the product {}", "url": "a link like {}", "campaign": "of campaign {}",
            "min_total": "for at least {}", "max_total": "for at most {}", "min": "of at least {}", "max": "of at most {}",
            "form": "called {}", "term": "for {}", "file": "called {}", "topic": "about {}", "answer": "with {}",
            "vendor": "from vendor {}",
        }  # fmt: skip
        if name == "spent":
            said |= {"category": "on category {}", "product": "on the product {}", "vendor": "on goods of vendor {}"}
        if name in ("viewed", "rated"):
            said |= {"category": "of category {}", "product": "of the product {}", "url": "with an address like {}"}
        if name in ("viewed", "rated") or not {"category", "product"}.isdisjoint(given):
            said["vendor"] = "of vendor {}"
        if name == "clicked":
            said |= {"category": "on {}", "campaign": "in campaign {}"}
        if name == "converted":
            said["within"] = (
                "within {} day after a click in a mail" if given["within"] == 1 else "within {} days after a click in a mail"
            )
            given = {"within": given["within"], **given}
        if name == "downloaded":
            said |= {"file": "the file {}", "url": "a file with an address like {}"}
        if name == "abandoned":
            said |= {"min_total": "of at least {}", "max_total": "of at most {}", "product": "with {}"}
        for key in OF_LINES:
            if key in given and "%" in str(given[key]):
                said[key] = (
                    said[key]
                    .replace("the product", "a product")
                    .replace("category {}", "a category {}")
                    .replace("vendor {}", "a vendor {}")
                    .replace("on {}", "on something {}")
                    .replace("with {}", "with something {}")
                    .replace("{}", "like {}")
                )
        order = sorted(given, key=lambda k: TOTALS.index(k) if k in TOTALS else -1)
        money = f" {self.currency}".rstrip()
        parts = [
            said[k].format(f"'{v}'" if isinstance(v := given[k], str) else _number(Decimal(v)) + (money if k in TOTALS else ""))
            for k in order
            if k in said
        ]
        return "".join(f" {p}" for p in parts)

    def _amount(self, left: Node, right: Node) -> str:
        """A number with the unit of what it is compared with."""
        said, number = self.value(right), number_of(right)
        unit = BY_NAME[left.name].unit if left.op == "column" and left.name in BY_NAME else ""
        unit = "shop currency" if left.op == "measure" and left.name == "spent" else unit
        if number is None:
            return said
        if unit == "0 to 1":
            return f"{_number(number * 100)} %"
        if left.name == "spend_rank_pct":
            return f"{said} %"
        if unit == "shop currency":
            return f"{said} {self.currency}".strip()
        return said + {"days": " days", "km": " km", "seconds": " seconds"}.get(unit, "")

    def value(self, node: Node) -> str:
        match node.op:
            case "column":
                return self._meaning(node.name)
            case "literal":
                if node.kind == "text":
                    return f"'{node.value}'"
                return _number(node.value) if node.kind == "number" else str(node.value)
            case "today":
                return "today"
            case "span":
                return f"{node.value} {node.name}{'' if node.value == 1 else 's'}"
            case "measure":
                if node.name in TIMES:
                    did, what = self._deed(node)
                    return f"days since they {node.name} {did}{what}"
                given = dict(node.value)
                counted_as = MEASURES[node.name].meaning.partition(",")[0].removesuffix(" of such a size")
                what = self._details(node.name, given)
                what = what.replace(" the product", " with the product", 1) if node.name == "bought" else what
                return f"{counted_as}{what}{_in_the_last(given)}"
            case "negative":
                return f"minus {self.value(node.args[0])}"
            case "arithmetic":
                left, right = node.args
                unit = " days" if node.kind == "day" and right.kind == "number" else ""
                return f"({self.value(left)} {WORDS[node.name]} {self.value(right)}{unit})"
            case "list":
                return ", ".join(self.value(a) for a in node.args)
            case "case":
                return self._case(node)
            case "function":
                if node.name == "nullif" and number_of(node.args[1]) == 0:
                    return f"{self.value(node.args[0])} (not known where 0)"
                name = {"coalesce": "first known", "dayofweek": "weekday (0 is Sunday)"}.get(node.name, node.name)
                said = ", ".join(self.value(a) for a in node.args)
                is_plain = len(node.args) == 1 and node.args[0].op in ("column", "today")
                said = f"({said})" if not is_plain else said if node.args[0].op == "today" else f"the {said}"
                return f"{name.replace('_', ' ')} of {said}"
            case _:
                return f"({self.condition(node)})"

    def _case(self, node: Node) -> str:
        args = node.args
        said = [f"{self.value(args[i + 1])} for those {self.condition(args[i])}" for i in range(0, len(args) - 1, 2)]
        if len(args) % 2:
            said.append(f"{self.value(args[-1])} for all others")
        return "(" + ", ".join(said) + ")"

    def _meaning(self, name: str) -> str:
        column = BY_NAME.get(name)
        if column is None:
            return name.replace("_", " ")
        if name in PHRASES:
            return f"days since the {PHRASES[name]}" if name.startswith(AGES) else PHRASES[name]
        short = re.split("[;:,]", re.sub(r" \([^)]*\)", "", column.meaning))[0]
        counts = column.sql_type == "BIGINT" and column.empty == "0" and not short.startswith("number of ")
        return f"number of {short}" if counts else short

    def _opposite(self, phrase: str) -> str:
        for start, turned in (("may ", "may not "), ("has ", "has no "), ("is ", "is not ")):
            if phrase.startswith(start):
                return turned + phrase.removeprefix(start).removeprefix("a ")
        return f"is not someone who {phrase}"


def _or_unknown(no: bool, of: Node) -> str:
    """What `not` adds for values that may be missing; in brackets, so that an `and` behind it is not read into it."""
    column = BY_NAME.get(of.name) if of.op == "column" else None
    is_counted = of.kind == "list" or (of.op == "measure" and of.name not in TIMES)
    always_known = is_counted or (column is not None and column.empty != "NULL")
    return " (or is not known)" if no and not always_known else ""


def _in_the_last(given: dict[str, Any]) -> str:
    if "days" not in given:
        return ""
    return " in the last day" if given["days"] == 1 else f" in the last {given['days']} days"


def _number(value: Decimal) -> str:
    """The number without needless zeros; thousands set apart from 10,000 on (2026 is a year)."""
    text = f"{value:,f}" if abs(value) >= 10_000 else f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
