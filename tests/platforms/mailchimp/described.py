"""Whether a request is one that Mailchimp's published description knows, and carries what none of ours may leave out.

`operations.json` is cut from the description by cut_operations.py, and a test compares the two.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

OPERATIONS = Path(__file__).with_name("operations.json")
KINDS: dict[str, type] = {"string": str, "boolean": bool, "object": dict, "array": list, "integer": int}
LARGEST_PAGE = 1000


@lru_cache(maxsize=1)
def operations() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(OPERATIONS.read_bytes())["paths"]
    return found


def problems(method: str, path: str, query: Mapping[str, str], body: Any = None) -> list[str]:
    """What is wrong with a request, in words; [] when nothing is. path: as sent, from `/3.0` on."""
    named = path.removeprefix("/3.0") or "/"
    pattern = described_path(named)
    if pattern is None:
        return [f"no such path: {named}"]
    operation = operations()[pattern].get(method.lower())
    if operation is None:
        return [f"{method} is not there: {named}"]
    parameters = {p["name"]: p for p in operation["parameters"]}
    found = [f"{named}: {name} is not described" for name in query if parameters.get(name, {}).get("in") != "query"]
    found += [f"{named}: {n}={v}" for n, v in query.items() if n in parameters and not _fits(v, parameters[n])]
    if method == "GET":
        found += [f"{named}: {name} is missing" for name in ("fields", "count") if name in parameters and not query.get(name)]
    if "count" in query and not 1 <= int(query["count"]) <= LARGEST_PAGE:
        found.append(f"{named}: count={query['count']}")
    return found + _unfit(body, parameters.get("body", {}).get("schema"), named)


@lru_cache(maxsize=4096)
def described_path(path: str) -> str | None:
    """The described path this one is an instance of; the one with the fewest variables."""
    fits = [p for p in operations() if re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", p), path)]
    return min(fits, key=lambda p: p.count("{")) if fits else None


def _fits(value: str, parameter: Mapping[str, Any]) -> bool:
    if "enum" in parameter:
        return value in parameter["enum"]
    if parameter.get("type") == "integer":
        return value.isdigit() and int(value) <= parameter.get("maximum", int(value))
    return value in ("true", "false") if parameter.get("type") == "boolean" else True


def _unfit(value: Any, schema: Mapping[str, Any] | None, where: str) -> list[str]:
    """What of a body the description does not know."""
    if schema is None:
        return [] if value is None else [f"{where}: a body is not described"]
    if (kind := schema.get("type")) and not isinstance(value, KINDS[kind]):
        return [f"{where}: {type(value).__name__} where {kind} is described"]
    if "enum" in schema and value not in schema["enum"]:
        return [f"{where}: {value} is none of the words"]
    if isinstance(value, list):
        return [text for item in value for text in _unfit(item, schema.get("items", {}), f"{where}[]")]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    found = [f"{where}.{name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, item in value.items():
        known = schema["properties"].get(name)
        found += [f"{where}.{name} is not described"] if known is None else _unfit(item, known, f"{where}.{name}")
    return found
