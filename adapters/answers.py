"""What one answer says beside its status: its body, its length, its clock; and the words that must not leave it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urlsplit

import orjson
import requests

Response = requests.Response

_SECRET = re.compile(
    r"(?i)\b(?:bearer|basic)\s+\S+|\bshp[a-z]{2}_\w+|\bpat-[a-z0-9]+-[\w-]+|\b[0-9a-f]{32}-[a-z]{2}\d+\b"
    r"|\b(?:access_token|client_secret|apikey|api_key|token)\b[\"']?\s*[=:]\s*[\"']?[^\s\"'&]+"
)
_EMAIL = re.compile(r"[^\s@<>\"'(),;:/?&=]+@[^\s@<>\"'(),;:/?&=]+")
_QUERY = re.compile(r"(?<=\S)\?\S*=\S*")
_ESCAPE = re.compile(rb"\\(?:u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.)", re.DOTALL)
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_HASH = re.compile(r"(?i)\b[0-9a-f]{32,}\b")


def scrub(text: str) -> str:
    """`text` without tokens, e-mail addresses, hashes of addresses and query strings: fit for an error or a log."""
    for pattern, word in ((_QUERY, ""), (_SECRET, "[secret]"), (_EMAIL, "[address]"), (_HASH, "[id]")):
        text = pattern.sub(word, text)
    return text


def peek(response: Response) -> Any:
    """The parsed body, None when it is empty or no JSON. Parsed once and kept with the response."""
    with suppress(ValueError):
        return parsed(response)
    return None


def retry_after_s(response: Response) -> float | None:
    """Seconds asked for by `Retry-After` (a number, or a date measured against the server's own clock)."""
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    with suppress(ValueError):
        return max(0.0, float(value))
    until, server = http_date(value), http_date(response.headers.get("Date", ""))
    return max(0.0, (until - server).total_seconds()) if until and server else None


def parsed(response: Response) -> Any:
    kept = response.__dict__
    if "_rollcall_body" not in kept:
        content = response.content
        kept["_rollcall_body"] = loads(content) if content.strip() else None
    return kept["_rollcall_body"]


def loads(content: bytes) -> Any:
    """Parsed JSON. Half a character (an emoji that another program cut in two) becomes U+FFFD: one customer's name must not
    make a whole page unreadable. Raises ValueError for what is no JSON."""
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        whole = content.decode(errors="replace").encode()
        return orjson.loads(_ESCAPE.sub(lambda e: b"\\ufffd" if _HALF.fullmatch(e[0]) else e[0], whole))


def http_date(value: str) -> datetime | None:
    """Naive UTC."""
    with suppress(ValueError, TypeError, IndexError):
        at = parsedate_to_datetime(value)
        return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    return None


def is_cut(response: Response, method: str) -> bool:
    """True when fewer bytes came than were announced (a body that was compressed on the way cannot be measured)."""
    declared = declared_length(response)
    return method != "HEAD" and declared is not None and declared != len(response.content)


def declared_length(response: Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    if response.headers.get("Content-Encoding", "identity") != "identity" or response.headers.get("Transfer-Encoding"):
        return None
    return int(length) if length.isdigit() else None


def with_query(url: str, params: Mapping[str, Any] | None) -> str:
    """`url` with its parameters: None leaves one out, a list repeats it."""
    pairs = []
    for name, value in (params or {}).items():
        values = value if isinstance(value, list | tuple) else (value,)
        pairs += [f"{_quoted(name)}={_quoted(str(v))}" for v in values if v is not None]
    return f"{url}{'&' if '?' in url else '?'}{'&'.join(pairs)}" if pairs else url


@lru_cache(maxsize=256)
def _quoted(text: str) -> str:
    """Percent-encoded; remembered, because one value is the same long list of names on every page."""
    return quote(text, safe="")


def origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme.lower())
    return parts.scheme.lower(), (parts.hostname or "").lower(), port


def is_loopback(url: str) -> bool:
    host = (urlsplit(url).hostname or "").lower()
    return host in ("localhost", "::1") or bool(re.fullmatch(r"127(\.\d{1,3}){3}", host))
