"""Which requests ask for a page of a longer walk, so that a fault can send the page before again, or fewer rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from connector.sandbox.base import Request

STORED = ("/bulk/", "/batch-results/", "/upload")
"""Paths of the platforms' storage: result files and uploads, which no rate limit counts."""
PLACES = {"mailchimp": ("offset", "count"), "hubspot": ("after", "limit")}
"""Query parameters that say where a page begins and how long it is."""


def is_stored(request: Request) -> bool:
    return request.path.startswith(STORED)


def walk_of(platform: str, request: Request) -> str:
    """The same text for every page of one walk; '' where the request asks for no page of anything."""
    body = _body(platform, request)
    if platform == "shopify":
        variables = dict(body.get("variables") or {})
        if not {"first", "after"} <= variables.keys():
            return ""
        left = {k: v for k, v in variables.items() if k not in ("first", "after")}
        return f"{body.get('query')} {_text(left)}"
    place, size = PLACES[platform]
    if request.method == "GET" and size in request.query:
        left = {k: v for k, v in request.query.items() if k not in (place, size)}
        return f"{request.path} {_text(left)}"
    if platform == "hubspot" and request.path.endswith("/search") and "limit" in body:
        rows = [_without_keyset(group) for group in body.get("filterGroups") or []]
        return f"{request.path} {_text({**body, 'filterGroups': rows, 'limit': 0, 'after': ''})}"
    return ""


def place(platform: str, request: Request) -> str:
    """Where the page begins: the platform's own cursor, or an offset; '' for the first one."""
    if platform == "shopify":
        return str((_body(platform, request).get("variables") or {}).get("after") or "")
    found = _keyset(_body(platform, request)) if request.path.endswith("/search") else request.param(PLACES[platform][0])
    return "" if found == "0" else found


def leads_to(platform: str, before: str, answer: bytes, request: Request) -> bool:
    """Whether the answer to the page that began at `before` names the place of this page as the next one."""
    wanted = place(platform, request)
    if platform == "mailchimp":
        return int(before or 0) < int(wanted or 0)
    name = b"endCursor" if platform == "shopify" else b"id" if request.path.endswith("/search") else b"after"
    return b'"%s":"%s"' % (name, wanted.encode()) in answer


def halved(platform: str, request: Request) -> Request | None:
    """The same request for half as many rows; None where it asks for no page, or for a single row."""
    if not walk_of(platform, request):
        return None
    body = _body(platform, request)
    if platform == "shopify":
        most = int(body["variables"]["first"])
        changed = {**body, "variables": {**body["variables"], "first": most // 2}}
        return replace(request, body=orjson.dumps(changed)) if most > 1 else None
    if request.method == "POST":
        most = int(body["limit"])
        return replace(request, body=orjson.dumps({**body, "limit": most // 2})) if most > 1 else None
    size = PLACES[platform][1]
    most = int(request.param(size))
    return replace(request, query={**request.query, size: [str(most // 2)]}) if most > 1 else None


def _body(platform: str, request: Request) -> dict[str, Any]:
    if request.method != "POST" or is_stored(request) or (platform == "hubspot" and not request.path.endswith("/search")):
        return {}
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return {}
    return body if isinstance(body, dict) else {}


def _is_keyset(row: dict[str, Any]) -> bool:
    return row.get("propertyName") == "hs_object_id" and row.get("operator") == "GT"


def _without_keyset(group: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in group.get("filters") or [] if not _is_keyset(row)]


def _keyset(body: dict[str, Any]) -> str:
    rows = [row for group in body.get("filterGroups") or [] for row in group.get("filters") or [] if _is_keyset(row)]
    return str(rows[0].get("value")) if rows else ""


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
