"""From answers to a rule: what `segment new` asks for, put together. Asks and prints nothing itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.rules import Vocabulary
from connector.rules.measures import MEASURES, TIMES
from connector.rules.nearest import hint
from models.errors import UsageError

WORDS = {
    "is": "=", "is not": "<>", "is more than": ">", "is at least": ">=", "is less than": "<", "is at most": "<=",
    "looks like": "like", "is known": "is not null", "is not known": "is null", "includes": "in",
}  # fmt: skip
FOR_KIND = {
    "number": ("is at least", "is more than", "is at most", "is less than", "is", "is known", "is not known"),
    "day": ("is at least", "is at most", "is known", "is not known"),
    "text": ("is", "is not", "looks like", "is known", "is not known"),
    "list": ("includes",),
    "yes or no": ("is", "is not"),
}  # fmt: skip


EVER, NEVER = "at all", "not at all"
FOR_MEASURE = (EVER, NEVER, "is at least", "is more than", "is at most", "is less than", "is")
"""What may be said of a measure: what somebody did is counted, and never unknown; `first` and `last` are days since."""


@dataclass(frozen=True)
class Answer:
    """One condition: a field or measure, one of WORDS, the value where one is needed, and what was said of the measure."""

    field: str
    word: str
    value: str = ""
    given: tuple[tuple[str, str], ...] = ()


def kind_of(field: str, words: Vocabulary) -> str:
    """The kind of a field, 'measure' for what people did; UsageError with the nearest one otherwise."""
    known = words.columns.get(field)
    if known is not None:
        return known.kind
    if field in MEASURES:
        return "measure"
    raise UsageError(f"There is no field '{field}'.{hint(field, (*words.columns, *MEASURES))}")


def conditions(field: str, words: Vocabulary) -> tuple[str, ...]:
    """The words one may say of a field."""
    kind = kind_of(field, words)
    return FOR_MEASURE if kind == "measure" else FOR_KIND[kind]


def arguments(field: str, event: str = "") -> dict[str, str]:
    """What a measure takes, with the kind of each; of `first` and `last`, once their event is known, what that takes."""
    own = MEASURES[field].arguments if field in MEASURES else {}
    if not event:
        return {"event": own["event"]} if "event" in own else dict(own)
    if event not in MEASURES or event in TIMES:
        raise UsageError(f"There is no event '{event}'.{hint(event, [m for m in MEASURES if m not in TIMES])}")
    return {k: v for k, v in MEASURES[event].arguments.items() if k in own}


def call(answer: Answer) -> str:
    """A measure as rules write it."""
    kinds = MEASURES[answer.field].arguments
    parts = (f"{k} => {_text(v) if kinds[k] == 'text' else v}" for k, v in answer.given if v)
    return f"{answer.field}({', '.join(parts)})"


def condition(answer: Answer, words: Vocabulary) -> str:
    kind = kind_of(answer.field, words)
    if answer.word not in (allowed := conditions(answer.field, words)):
        raise UsageError(f"'{answer.field}' is {kind}; say one of: {', '.join(allowed)}.")
    if answer.word in (EVER, NEVER):
        return call(answer) if answer.word == EVER else f"not {call(answer)}"
    operator = WORDS[answer.word]
    if kind == "measure":
        return f"{call(answer)} {operator} {answer.value}"
    if kind == "yes or no":
        return answer.field if answer.word == "is" else f"not {answer.field}"
    if operator.endswith("null"):
        return f"{answer.field} {operator}"
    if kind == "list":
        return f"{_text(answer.value)} in {answer.field}"
    value = answer.value if kind == "number" else _text(answer.value)
    return f"{answer.field} {operator} {value}"


def rule(answers: Sequence[Answer], words: Vocabulary, joined: str = "and") -> str:
    """All conditions, or any of them with joined = 'or'."""
    return f" {joined} ".join(condition(a, words) for a in answers)


def block(name: str, *, where: str = "", use: str = "", given: Mapping[str, Any] | None = None) -> str:
    """The [[segment]] to put into the configuration. JSON text is valid TOML text."""
    lines = ["[[segment]]", f"name = {json.dumps(name, ensure_ascii=False)}"]
    lines += [f"use = {json.dumps(use)}"] if use else [f"where = {json.dumps(where, ensure_ascii=False)}"]
    lines += [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in (given or {}).items()]
    return "\n".join(lines) + "\n"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
