"""Functions, measures and other segments in a rule: their names, their arguments, and what is meant by a wrong one."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from sqlglot import exp

from connector.rules.compared import Compared, article, number_of
from connector.rules.measures import DAYS_LIMIT, MEASURES, TIMES, UNSAID
from connector.rules.nearest import hint
from connector.rules.syntax import ALL_FUNCTIONS, FUNCTIONS, LIKE_FIRST
from connector.rules.tree import Node, Place, Warn


class Calls(Compared):
    @abstractmethod
    def value(self, node: exp.Expr) -> Node:
        """The checked node of any expression."""

    def function(self, name: str, raw: list[exp.Expr], place: Place) -> Node:
        args = [self.value(r) for r in raw]
        if name in ("list_contains", "contains") and args and args[0].kind == "list":
            if len(args) != 2:
                raise self.error(f"{name} needs a list and a text.", place)
            return self.has(args[0], args[1], place)
        if name == "length" and args and args[0].kind == "list":
            return Node("function", "number", tuple(args[:1]), "length", place=place)
        if name in LIKE_FIRST:
            return self._of_one_kind(name, args, place)
        wanted, kind = FUNCTIONS.get(name, ((), "number"))
        if name not in FUNCTIONS:
            raise self.error(f"{name} needs a list and a text, as in list_contains(tags, 'x').", place)
        least = 1 if name == "round" else len(wanted)
        wrong = next((a for a, w in zip(args, wanted, strict=False) if a.kind != w), None)
        if not least <= len(args) <= len(wanted) or wrong:
            form = ", ".join(f"a {w}" if w != "list" else "a list" for w in wanted)
            raise self.error(f"{name} needs {form}.", wrong.place if wrong else place)
        if name == "round" and len(args) == 2 and (args[1].op != "literal" or args[1].value not in range(11)):
            raise self.error("round needs a written number of places, as in round(aov, 2).", args[1].place)
        for item in args[1].args if kind == "yes or no" and wanted[0] == "list" and args[1].op == "list" else ():
            self.seen(args[0], item)
        return Node("function", kind, tuple(args), name, place=place)

    def _of_one_kind(self, name: str, args: list[Node], place: Place) -> Node:
        kinds = {a.kind for a in args} - {"nothing"}
        if len(kinds) != 1 or kinds & {"list", "span"} or any(a.kind == "nothing" for a in args):
            other = next((a for a in args[1:] if a.kind != args[0].kind), None)
            raise self.error(f"{name} needs values of one kind.", other.place if other else place)
        return Node("function", kinds.pop(), tuple(args), name, place=place)

    def has(self, holder: Node, item: Node, place: Place) -> Node:
        if holder.kind != "list" or item.kind != "text":
            reason = f"{self.called(holder)} is {article(holder.kind)}; 'x' in ... needs a text and a list column."
            raise self.error(reason, holder.place if holder.kind != "list" else item.place)
        self.seen(holder, item)
        return Node("has", "yes or no", (holder, item), place=place)

    def named_call(self, node: exp.Anonymous, place: Place) -> Node:
        written = str(node.this)
        name = written.lower()
        at = Place(place.start, place.start + len(written))
        if name == "segment":
            return self._segment(node, place)
        if name == "everyone_else":
            return self._everyone_else(node, place)
        if name in MEASURES:
            return self._measure(name, node, place)
        if name in FUNCTIONS:
            return self.function(name, list(node.expressions), place)
        if name in ("now", "getdate", "current_timestamp"):
            raise self.error("Write current_date for today.", at)
        raise self.error(f"There is no function '{written}' in rules." + hint(written, ALL_FUNCTIONS), at)

    def _segment(self, node: exp.Anonymous, place: Place) -> Node:
        first = node.expressions[0] if len(node.expressions) == 1 else None
        if isinstance(first, exp.Column) and not first.args.get("table"):
            raise self.error(f"Name one segment, in single quotes: segment('{first.name}').", first)
        args = [self.value(n) for n in node.expressions]
        if len(args) != 1 or args[0].op != "literal" or args[0].kind != "text":
            raise self.error("Name one segment: segment('VIP').", place)
        name = str(args[0].value)
        found = next((s for s in self.words.segments if s.casefold() == name.casefold()), None)
        if found is None:
            raise self.error(f"There is no segment '{name}'." + hint(name, self.words.segments), args[0].place)
        return Node("segment", "yes or no", name=found, place=place)

    def _everyone_else(self, node: exp.Anonymous, place: Place) -> Node:
        if node.expressions:
            raise self.error("everyone_else() takes nothing: it is whoever is in no other segment.", place)
        others = [s for s in self.words.segments if s.casefold() != self.words.own.casefold()]
        if not others:
            return Node("literal", "yes or no", value=True, place=place)
        parts = (Node("not", "yes or no", (Node("segment", "yes or no", name=s, place=place),), place=place) for s in others)
        return Node("and", "yes or no", tuple(parts), "everyone else", place=place)

    def _measure(self, name: str, node: exp.Anonymous, place: Place) -> Node:
        measure = MEASURES[name]
        given: dict[str, Any] = {}
        places: dict[str, Place] = {}
        for part in node.expressions:
            key, value = self._named_argument(name, part)
            key_place = self.argument_place(key, place)
            if key not in measure.arguments:
                raise self.error(f"{name} has no argument '{key}'.{_instead(name, key)}", key_place)
            if key in given:
                raise self.error(f"'{key}' is given twice.", key_place)
            given[key], places[key] = self._argument(name, key, value)
        if name in TIMES:
            self._check_time(name, given, places, place)
        given = {**UNSAID.get(str(given.get("event", name)), {}), **given}
        self._check_bounds_of(given, places)
        self._check_texts(str(given.get("event", name)), given, places)
        return Node("measure", "number", name=name, value=tuple(sorted(given.items())), place=place)

    def _check_time(self, name: str, given: dict[str, Any], places: dict[str, Place], place: Place) -> None:
        """`first` and `last` take what the measure they name takes."""
        events = [m for m in MEASURES if m not in (*TIMES, "spent")]
        form, listed = f"{name}(event => 'bought')", ", ".join(events)
        if "event" not in given:
            raise self.error(f"Say what is meant, as in {form}. It may be {listed}.", place)
        event = given["event"] = str(given["event"]).lower()
        if event not in events:
            raise self.error(f"There is no event '{event}'.{hint(event, events) or f' It may be {listed}.'}", places["event"])
        for key in given:
            if key != "event" and key not in MEASURES[event].arguments:
                raise self.error(f"{event} has no argument '{key}'.", self.argument_place(key, place))

    def _check_bounds_of(self, given: dict[str, Any], places: dict[str, Place]) -> None:
        for low, high in (("min", "max"), ("min_total", "max_total")):
            if low in given and high in given and given[low] > given[high]:
                both = Place(min(places[low].start, places[high].start), max(places[low].end, places[high].end))
                self.warnings.append(Warn(f"Nothing lies between {given[low]} and {given[high]}. Swap them.", both))

    def _check_texts(self, measure: str, given: dict[str, Any], places: dict[str, Place]) -> None:
        """Warns of a text nobody's data hold; patterns and what differs only in case are not looked at."""
        for key, value in given.items():
            values = self.words.topics.get(key)
            if not isinstance(value, str) or "%" in value or values is None:
                continue
            if not any(v.casefold() == value.casefold() for v in values):
                self.check_value(value, values, f"{key} of {measure}", places[key])

    def _named_argument(self, name: str, part: exp.Expr) -> tuple[str, exp.Expr]:
        if isinstance(part, exp.Kwarg):
            self.known(part)
            return str(part.this.this).lower(), part.expression
        if isinstance(part, (exp.EQ, exp.PropertyEQ)):
            word = part.this.name
            raise self.error(f"Name arguments with =>, as in {name}({word} => ...).", part)
        first = next(iter(MEASURES[name].arguments))
        raise self.error(f"Name the argument, as in {name}({first} => ...).", part)

    def _argument(self, name: str, key: str, raw: exp.Expr) -> tuple[Any, Place]:
        found = self.value(raw)
        wanted = MEASURES[name].arguments[key]
        if wanted == "text":
            if found.op != "literal" or found.kind != "text":
                raise self.error(f"{key} needs a text in single quotes.", found.place)
            return found.value, found.place
        number = number_of(found)
        if number is None:
            plain = str(found.value).strip() if found.op == "literal" and found.kind == "text" else ""
            example = f" without quotes: {key} => {plain}" if plain.isdigit() else ""
            raise self.error(f"{key} needs a written number{example}.", found.place)
        if key in ("days", "within") and (number != int(number) or not 1 <= number <= DAYS_LIMIT):
            raise self.error(f"{key} needs a whole number from 1 on.", found.place)
        return (int(number) if number == int(number) else number), found.place


def _instead(measure: str, key: str) -> str:
    """What to write for an argument a measure does not take."""
    if measure in TIMES and key == "days":
        return f" It is a number of days itself: {measure}(event => 'clicked') <= 30."
    near = hint(key, MEASURES[measure].arguments)
    if near:
        return near
    source = MEASURES[measure].source
    others = [m.name for m in MEASURES.values() if m.source == source and source and key in m.arguments]
    takes = f" It takes {', '.join(MEASURES[measure].arguments)}."
    return takes + (f" {others[0]} takes {key}." if others else "")
