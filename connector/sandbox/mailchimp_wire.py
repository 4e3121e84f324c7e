"""How Mailchimp speaks: problem documents, paging, `fields` and the times in queries. Knows nothing about contacts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from connector.sandbox.base import Request, Response

Json = dict[str, Any]
Tree = dict[str, Any]
"""Allowed names of an answer: None is a leaf, a dict goes deeper, the key "*" allows anything below."""

PAGE_DEFAULT, PAGE_MAX = 10, 1000
TYPE = "https://mailchimp.com/developer/marketing/docs/errors/"
NOT_VALID = "The resource submitted could not be validated. For field-specific details, see the 'errors' array."
_TIME = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?(Z|[+-]\d\d:?\d\d)?")


class Problem(Exception):
    """An answer that is an error (RFC 9457)."""

    def __init__(self, status: int, title: str, detail: str, errors: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(title)
        self.status, self.title, self.detail = status, title, detail
        self.errors = [{"field": name, "message": message} for name, message in errors]

    def response(self, instance: str) -> Response:
        body: Json = {
            "type": TYPE,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": instance,
        }
        if self.errors:
            body["errors"] = self.errors
        return Response(self.status, {"Content-Type": "application/problem+json; charset=utf-8"}, orjson.dumps(body))


def invalid(field: str, message: str) -> Problem:
    return Problem(400, "Invalid Resource", NOT_VALID, [(field, message)])


def not_found() -> Problem:
    return Problem(404, "Resource Not Found", "The requested resource could not be found.")


def stamp(at: datetime) -> str:
    """A naive UTC time as Mailchimp writes it, to the second: such texts sort as the times do."""
    return at.isoformat(timespec="seconds") + "+00:00"


def read_time(text: str) -> str | None:
    """The time in Mailchimp's own writing, or None when it cannot be read (a plus sign not encoded is such a case)."""
    if not _TIME.fullmatch(text):
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return stamp(at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at)


@dataclass(frozen=True)
class Call:
    """One request that has passed the door. args: the named parts of the path."""

    request: Request
    args: dict[str, str]
    at: datetime

    @property
    def now(self) -> str:
        return stamp(self.at)

    def text(self, name: str) -> str:
        return self.request.param(name)

    def flag(self, name: str) -> bool:
        return self.request.param(name).lower() in ("true", "1")

    def time(self, name: str) -> str | None:
        """A filter by time. What cannot be read is ignored, not refused: brandonseydel/MailChimp.Net#525."""
        text = self.request.param(name)
        return read_time(text) if text else None

    def choice(self, name: str, allowed: Sequence[str], default: str = "") -> str:
        """One word of a list; anything else is refused."""
        value = self.request.param(name)
        if not value:
            return default
        if value not in allowed:
            raise invalid(name, "Data did not match any of the acceptable values.")
        return value

    def body(self) -> Json:
        """The JSON object sent; refused when it is none."""
        try:
            value = orjson.loads(self.request.body or b"{}")
        except orjson.JSONDecodeError:
            raise Problem(400, "JSON Parse Error", "We encountered an unspecified JSON parsing error.") from None
        if not isinstance(value, dict):
            raise Problem(400, "Invalid Resource", "Schema describes object, other type found instead.")
        return value


def page_of(call: Call) -> tuple[int, int]:
    """offset and count as asked; the default count is 10, more than 1000 is refused."""

    def whole(name: str, default: int) -> int:
        text = call.text(name)
        if not text:
            return default
        if not re.fullmatch(r"\d{1,9}", text):
            raise invalid(name, "Schema describes integer, string found instead")
        return int(text)

    count = whole("count", PAGE_DEFAULT)
    if count > PAGE_MAX:
        raise invalid("count", f"Number is greater than {PAGE_MAX}")
    return whole("offset", 0), count


def shape(text: str) -> Tree:
    """Allowed names from dotted text: `id stats.avg_open_rate merge_fields.*`."""
    tree: Tree = {}
    for path in text.split():
        _plant(tree, path.split("."))
    return tree


def _plant(tree: Tree, names: list[str]) -> None:
    head, *rest = names
    if not rest:
        tree.setdefault(head, None)
        return
    below = tree.get(head)
    if below is None:
        below = tree[head] = {}
    _plant(below, rest)


def collection(name: str, item: Tree, more: str = "") -> Tree:
    return {name: item, **shape(f"total_items {more}")}


def _known(tree: Tree | None, names: Sequence[str]) -> bool:
    for name in names:
        if name == "_links":
            return True
        if tree is None or (name not in tree and "*" not in tree):
            return False
        tree = tree.get(name, {"*": None})
    return True


def _trie(paths: Iterable[str]) -> Tree:
    tree: Tree = {}
    for names in sorted((path.split(".") for path in paths), key=len):
        node = tree
        for name in names[:-1]:
            if name in node and node[name] is None:
                break
            node = node.setdefault(name, {})
        else:
            node.setdefault(names[-1], None)
    return tree


Filter = Callable[[Any], Any]


def _keep(tree: Tree) -> Filter:
    steps = [(name, None if below is None else _keep(below)) for name, below in tree.items()]

    def run(value: Any) -> Any:
        if isinstance(value, list):
            return [run(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {name: value[name] if step is None else step(value[name]) for name, step in steps if name in value}

    return run


def _drop(tree: Tree) -> Filter:
    steps = {name: None if below is None else _drop(below) for name, below in tree.items()}

    def run(value: Any) -> Any:
        if isinstance(value, list):
            return [run(item) for item in value]
        if not isinstance(value, dict):
            return value
        out = {}
        for name, item in value.items():
            if name not in steps:
                out[name] = item
            elif (step := steps[name]) is not None:
                out[name] = step(item)
        return out

    return run


_SHAPES: dict[int, Tree] = {}


@lru_cache(maxsize=512)
def _filter(shape_key: int, fields: str, excluded: str) -> Filter | None:
    if fields and excluded:
        raise Problem(400, "Invalid Resource", "The fields and exclude_fields parameters are mutually exclusive.")
    name = "fields" if fields else "exclude_fields"
    paths = [path.strip() for path in (fields or excluded).split(",") if path.strip()]
    for path in paths:
        if not _known(_SHAPES[shape_key], path.split(".")):
            raise invalid(name, f"Invalid field: {path}")
    if not paths:
        return None
    return _keep(_trie(paths)) if fields else _drop(_trie(paths))


def answer(call: Call, allowed: Tree, body: Json, *, status: int = 200) -> Response:
    """The body through `fields` or `exclude_fields`. Without `fields` it carries the heavy `_links`, as the real one does."""
    _SHAPES[id(allowed)] = allowed
    fields = call.text("fields")
    chosen = _filter(id(allowed), fields, call.text("exclude_fields"))
    if "_links" in fields or not fields:
        body = _linked(call.request.path, body)
    return Response(status, {"Content-Type": "application/json; charset=utf-8"}, orjson.dumps(chosen(body) if chosen else body))


def _linked(path: str, body: Json) -> Json:
    out: Json = {}
    for name, value in body.items():
        if isinstance(value, list) and value and isinstance(value[0], dict) and ("id" in value[0] or "email_id" in value[0]):
            out[name] = [{**item, "_links": _links(f"{path}/{item.get('id', item.get('email_id'))}")} for item in value]
        else:
            out[name] = value
    out["_links"] = _links(path)
    return out


def _links(path: str) -> list[Json]:
    here = f"https://us1.api.mailchimp.com{path}"
    return [
        {"rel": "self", "href": here, "method": "GET", "targetSchema": f"{TYPE}Response.json"},
        {"rel": "parent", "href": here.rpartition("/")[0], "method": "GET", "targetSchema": f"{TYPE}CollectionResponse.json"},
    ]


def listing(
    call: Call,
    allowed: Tree,
    name: str,
    items: Sequence[Any],
    *,
    more: Json | None = None,
    build: Callable[[Any], Json] | None = None,
) -> Response:
    """One page of items. build turns only the items of this page into their wire form."""
    offset, count = page_of(call)
    page = items[offset : offset + count]
    made = [build(item) for item in page] if build else list(page)
    return answer(call, allowed, {name: made, "total_items": len(items), **(more or {})})


def no_content() -> Response:
    return Response(204)
