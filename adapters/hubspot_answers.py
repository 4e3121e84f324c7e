"""What HubSpot's answers mean beside their status: refusals in the owner's words, rows that failed, scopes that lack.

Docs: https://developers.hubspot.com/docs/api-reference/error-handling. Every field of an error body is optional.
"""

from __future__ import annotations

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from adapters.http import scrub
from models.errors import PermanentApiError, ScopeError

Json = dict[str, Any]

LONGEST = 300
SCOPE = re.compile(r"\b(?:crm|communication_preferences|marketing)(?:\.\w+){1,4}\b")
RULES = ("MISSING_CONDITIONAL_REQUIRED_PROPERTY", "MISSING_REQUIRED_PROPERTY")
RULES_NOTE = 'With `api_version = "2026-03"` HubSpot leaves such rules out, until September 2027'
CODES = {
    "INVALID_OPTION": "the property does not have this option any more",
    "PROPERTY_DOESNT_EXIST": "the property does not exist any more",
    "READ_ONLY_VALUE": "the property may only be read",
    "OBJECT_NOT_FOUND": "HubSpot no longer has this contact (deleted or merged)",
}


@dataclass(frozen=True)
class Problem:
    """One thing HubSpot minds: its code, the properties it is about, and the rule's own text."""

    code: str
    properties: tuple[str, ...] = ()
    text: str = ""


class Refused(PermanentApiError):
    """A refusal with what HubSpot said of it. `words` are its message without addresses, keys and what else is private."""

    def __init__(self, message: str, *, words: str = "", problems: tuple[Problem, ...] = (), **known: Any) -> None:
        super().__init__(message, **known)
        self.words = words
        self.problems = problems


def refused(body: Json, message: str, **known: Any) -> Refused:
    return Refused(message, words=scrub(str(body.get("message") or ""))[:LONGEST], problems=problems(body), **known)


def problems(body: Json) -> tuple[Problem, ...]:
    """What an error body, or one entry of a batch's `errors`, names. Property problems are JSON inside the message."""
    found = []
    for error in body.get("errors") or ():
        if isinstance(error, dict):
            found.append(_problem(error, str(error.get("code") or error.get("subCategory") or "")))
    with suppress(ValueError):
        message = str(body.get("message") or "")
        inner = json.loads(message[message.index("[") :]) if "not valid" in message else ()
        found += [Problem(str(p.get("error") or ""), (str(p.get("name") or ""),)) for p in inner if isinstance(p, dict)]
    return tuple(found) or (_problem(body, str(body.get("subCategory") or body.get("category") or "")),)


def _problem(error: Json, code: str) -> Problem:
    context = error.get("context")
    names = context.get("propertyName") if isinstance(context, dict) else None
    listed = [names] if isinstance(names, str) else names or ()
    text = scrub(str(error.get("message") or ""))[:LONGEST] if code in RULES else ""
    return Problem(code, tuple(str(n) for n in listed), text)


def in_words(found: tuple[Problem, ...]) -> str:
    """Why a row was refused, as an owner reads it."""
    said = []
    for problem in found:
        names = ", ".join(problem.properties)
        if problem.code in RULES:
            rule = f": {problem.text}" if problem.text else ""
            said.append(f"a rule in HubSpot wants {names or 'another property'} filled first{rule}. {RULES_NOTE}")
        else:
            said.append(CODES.get(problem.code) or f"HubSpot refused it ({problem.code or 'no reason given'})")
    return "; ".join(dict.fromkeys(said))


def failed_ids(answer: Json) -> dict[str, tuple[Problem, ...]]:
    """Record id -> what a 207 minds about its row. Rows are named by id, or by the trace we sent along (`r-<id>`)."""
    found: dict[str, tuple[Problem, ...]] = {}
    for error in answer.get("errors") or ():
        context = error.get("context") if isinstance(error, dict) else None
        if not isinstance(context, dict):
            continue
        traces = [str(t).removeprefix("r-") for t in context.get("objectWriteTraceId") or ()]
        for record_id in [str(i) for i in context.get("ids") or traces]:
            found[record_id] = problems(error)
    return found


def next_after(body: Json) -> str:
    """The durable cursor of the next page; `paging.next.link` is wrong in dated versions and not looked at."""
    following = (body.get("paging") or {}).get("next") or {}
    return str(following.get("after") or "")


def error_code(body: Json) -> str:
    """HubSpot's own word for a refusal: the narrowest there is. Never the message, which may quote a record."""
    first = next((e for e in body.get("errors") or () if isinstance(e, dict)), {})
    return str(body.get("subCategory") or first.get("subCategory") or first.get("code") or body.get("category") or "")


def has_real_errors(answer: Json) -> bool:
    """True when a 207 holds anything but ids that are not there or have nothing attached."""
    for error in answer.get("errors") or ():
        words = f"{error.get('category')} {error.get('subCategory')}" if isinstance(error, dict) else ""
        if "NOT_FOUND" not in words and "NO_ASSOCIATIONS" not in words:
            return True
    return False


def absent_ids(answer: Json) -> set[str]:
    """The ids a 207 of a batch read says are not there."""
    return {
        str(i)
        for error in answer.get("errors") or ()
        if isinstance(error, dict) and "NOT_FOUND" in f"{error.get('category')} {error.get('subCategory')}"
        for i in _named_ids(error)
    }


def _named_ids(error: Json) -> list[Any]:
    context = error.get("context")
    ids = context.get("ids") or context.get("id") if isinstance(context, dict) else None
    return ids if isinstance(ids, list) else [ids] if ids else []


def missing_scopes(body: Json) -> list[str]:
    """The scopes a 403 names, wherever it names them: the key is not documented, so the message is looked at too."""
    errors = [e for e in body.get("errors") or () if isinstance(e, dict)]
    contexts = [c for c in (body.get("context"), *(e.get("context") for e in errors)) if isinstance(c, dict)]
    given = [value for holder in (body, *contexts) for key, value in holder.items() if "scope" in key.lower()]
    named = {str(s) for value in given for s in (value if isinstance(value, list) else [value]) if isinstance(s, str)}
    if not named:
        named = {s for e in (body, *errors) for s in SCOPE.findall(str(e.get("message") or ""))}
    return sorted(named)


def not_permitted(body: Json, request_id: str) -> ScopeError:
    scopes = missing_scopes(body)
    if scopes:
        text = (
            f"The HubSpot token lacks the scope {' or '.join(scopes)} (403). Add it to the service key, then `rollcall check`."
        )
    elif error_code(body) == "MISSING_SCOPES":
        text = "The HubSpot token lacks a scope (403). `rollcall check` says which feature needs which."
    else:
        text = "HubSpot does not permit this (403): the subscription does not include it, or the token's scopes do not."
    return ScopeError(text, scope=" ".join(scopes), platform="hubspot", request_id=request_id)
