"""From answers to a rule: what `segment new` asks for, put together. Asks and prints nothing itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from connector.rules import Vocabulary
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


@dataclass(frozen=True)
class Answer:
    """One condition: a field, one of WORDS, and the value where one is needed."""

    field: str
    word: str
    value: str = ""


def kind_of(field: str, words: Vocabulary) -> str:
    """The kind of a field; UsageError with the nearest one otherwise."""
    known = words.columns.get(field)
    if known is None:
        raise UsageError(f"There is no field '{field}'.{hint(field, words.columns)}")
    return known.kind


def condition(answer: Answer, words: Vocabulary) -> str:
    kind = kind_of(answer.field, words)
    if answer.word not in FOR_KIND[kind]:
        raise UsageError(f"'{answer.field}' is {kind}; say one of: {', '.join(FOR_KIND[kind])}.")
    operator = WORDS[answer.word]
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
