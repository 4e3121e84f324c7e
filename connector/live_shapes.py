"""Does a real account answer as the simulators do? Its shapes against theirs, in a file the owner can send to us.

No value is kept, and no name that could be a person's (see connector/shapes.py). The simulators' shapes ship as data:
`mappings/shapes/<platform>.json`, and `<platform>.shapes.json` beside the adapter of another package.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from adapters import PLATFORMS
from adapters.base import Adapter
from adapters.heard import listening
from connector import features, shapes
from connector.mapping import Mapping as PlatformMapping
from connector.mapping import beside, load_mapping
from connector.shapes import UNKNOWN, Known, Shape
from models.errors import AuthError, ConnectorError, ScopeError

SAMPLE = 50
PAGES = 3
"""So many pages are looked at until one holds records."""
HEADERS = re.compile(r"(?i)(x-)?[a-z-]*(rate-?limit|api-version|retry-after|throttl|quota)[a-z-]*|content-type|date|link|etag")
"""Headers whose names say something about limits, versions and paging."""


@dataclass(frozen=True)
class Difference:
    """One way in which real answers are not like simulated ones. `matters`: something of ours depends on it."""

    kind: str
    path: str
    text: str
    matters: bool


@dataclass
class StreamLook:
    """What was seen of one stream. `problem`: why it could not be looked at; `is_closed`: because a scope is missing."""

    name: str
    records: int = 0
    found: Shape = field(default_factory=dict)
    differences: list[Difference] = field(default_factory=list)
    problem: str = ""
    is_closed: bool = False


@dataclass
class Look:
    """What was seen of one platform. `note`: why nothing was compared, or what to bear in mind."""

    platform: str
    title: str
    version: str
    streams: list[StreamLook] = field(default_factory=list)
    headers: list[str] = field(default_factory=list)
    note: str = ""

    @property
    def differences(self) -> list[Difference]:
        return [d for s in self.streams for d in s.differences]


def look(adapter: Adapter) -> Look:
    """Read a little of each stream, reduce it to shapes and compare. Raises AuthError; other refusals are noted."""
    mapping, shipped = load_mapping(adapter.name), _shipped(adapter.name)
    version = str(adapter.settings.get("api_version") or next((v.name for v in adapter.versions()), ""))
    made = Look(adapter.name, adapter.title, version)
    if not shipped:
        made.note = f"No shapes are shipped for {adapter.title}: there is nothing to compare with."
    elif shipped["version"] != version:
        made.note = f"The shapes are those of version {shipped['version']}; this account is asked with {version}."
    seen: set[str] = set()
    with listening(lambda platform, names: seen.update(n.lower() for n in names if HEADERS.fullmatch(n))):
        for stream in adapter.streams():
            made.streams.append(_stream(adapter, stream.name, mapping, shipped))
    made.headers = sorted(seen)
    return made


def taken(adapter: Adapter, free: Sequence[str] = (), optional: Sequence[str] = ()) -> dict[str, Any]:
    """The shapes of everything a simulator answers, as they are shipped.

    free: objects to which an owner adds keys; optional: those whose keys an owner may take away.
    """
    mapping = load_mapping(adapter.name)
    streams: dict[str, Any] = {}
    seen: set[str] = set()
    with listening(lambda platform, names: seen.update(n.lower() for n in names if HEADERS.fullmatch(n))):
        for stream in (s.name for s in adapter.streams()):
            records = [r for page in adapter.pages(stream, None) for r in page.records]
            paths = frozenset(_all_paths(records)) | shapes.known_paths(mapping.streams[stream])
            known = Known(paths, shapes.words(mapping.streams[stream], mapping.maps), frozenset(free))
            streams[stream] = _as_data(shapes.shape(records, known))
    version = next((v.name for v in adapter.versions()), "")
    head = {"platform": adapter.name, "version": version, "free": sorted(free), "optional": sorted(optional)}
    return {**head, "headers": sorted(seen), "streams": streams}


def file_text(data: Mapping[str, Any]) -> str:
    """Shapes as they lie in their file: one line a field, sorted."""
    lines = ["{"]
    for name in ("platform", "version", "free", "optional", "headers"):
        lines.append(f' "{name}": {orjson.dumps(data[name]).decode()},')
    lines.append(' "streams": {')
    streams = []
    for stream, fields in data["streams"].items():
        rows = [f"   {orjson.dumps(path).decode()}: {orjson.dumps(entry).decode()}" for path, entry in sorted(fields.items())]
        streams.append(f'  "{stream}": {{\n' + ",\n".join(rows) + "\n  }" if rows else f'  "{stream}": {{}}')
    return "\n".join([*lines, ",\n".join(streams), " }", "}", ""])


def _shipped(platform: str) -> dict[str, Any]:
    name = f"shapes/{platform}.json" if platform in PLATFORMS else f"{platform}.shapes.json"
    try:
        found: dict[str, Any] = orjson.loads(beside(platform, name).read_bytes())
    except FileNotFoundError:
        return {}
    return found


def _stream(adapter: Adapter, name: str, mapping: PlatformMapping, shipped: Mapping[str, Any]) -> StreamLook:
    made, stream = StreamLook(name), mapping.streams[name]
    expected = shipped.get("streams", {}).get(name, {})
    above = {p for path in expected for p in shapes.upwards(path)}
    known = Known(
        frozenset(above | shapes.known_paths(stream)),
        shapes.words(stream, mapping.maps),
        frozenset(shipped.get("free", ())),
        frozenset(shipped.get("optional", ())),
    )
    try:
        records = _sample(adapter, name)
    except AuthError:
        raise
    except ConnectorError as e:
        made.problem, made.is_closed = f"could not be read: {e}", isinstance(e, ScopeError)
        return made
    made.records, made.found = len(records), shapes.shape(records, known)
    if shipped and records:
        made.differences = sorted(
            compare(expected, made.found, known, shapes.uses(stream)), key=lambda d: (not d.matters, d.kind, d.path)
        )
    return made


def _sample(adapter: Adapter, stream: str) -> list[Any]:
    """Some records of the first page that holds any."""
    pages = adapter.pages(stream, None)
    try:
        for _, page in zip(range(PAGES), pages, strict=False):
            if page.records or page.done:
                return page.records[:SAMPLE]
    finally:
        close = getattr(pages, "close", None)
        if close:
            close()
    return []


def compare(
    expected: Mapping[str, Mapping[str, Any]], found: Shape, known: Known, uses: Mapping[str, Sequence[str]]
) -> Iterable[Difference]:
    """Fields that are missing, unknown, of another kind, or hold words our maps do not know."""
    for path, entry in expected.items():
        times = shapes.could_have(found, path)
        if path in found or not entry.get("always") or not times or path.rpartition(".")[2].startswith("_"):
            continue  # what begins with _ is the adapter's own
        if shapes.parent(path) not in known.optional and (path in uses or shapes.parent(path) not in known.free):
            yield _missing(path, times, uses)
    for path, seen in found.items():
        if path.rpartition(".")[2] == UNKNOWN:
            if shapes.parent(path) not in known.free:
                where = f"beside the fields of `{shapes.parent(path)}`" if shapes.parent(path) else "in the record itself"
                yield Difference(
                    "unknown",
                    path,
                    f"{sum(seen.kinds.values())} times a field we do not know {where}: {_kinds(seen.kinds)}",
                    True,
                )
            continue
        like = expected.get(path)
        if like is not None:
            yield from _kinds_differ(path, like, seen.kinds, uses)
        rule = known.words.get(path)
        if rule is not None and seen.other_words:
            tail = "they count as nothing we know" if rule.takes_others else "each such record is set aside"
            text = f"{seen.other_words} values are none of the words we know; {tail}"
            yield Difference("word", path, text, not rule.takes_others)


def _missing(path: str, times: int, uses: Mapping[str, Sequence[str]]) -> Difference:
    columns = list(dict.fromkeys(c for p, cs in uses.items() if path in shapes.upwards(p) for c in cs))
    if not columns:
        return Difference("missing", path, f"in none of {times} places; nothing of ours needs it", False)
    what = ", ".join(features.broken(columns))
    text = f"in none of {times} places; it fills {', '.join(columns)}" + (f"; this breaks {what}" if what else "")
    return Difference("missing", path, text, True)


def _kinds_differ(
    path: str, like: Mapping[str, Any], kinds: Mapping[str, int], uses: Mapping[str, Sequence[str]]
) -> Iterable[Difference]:
    usual = set(like["kinds"])
    new = {k: n for k, n in kinds.items() if k not in usual}
    if "nothing" in new:
        yield Difference("empty", path, f"{new.pop('nothing')} times nothing, where the simulator always has something", False)
    if new and usual - {"nothing"}:
        text = f"{_kinds(new)}, where the simulator has {' or '.join(sorted(usual - {'nothing'}))}"
        yield Difference("kind", path, text, path in uses)


def _kinds(kinds: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {n}" for kind, n in sorted(kinds.items()))


def _all_paths(records: Iterable[Any]) -> Iterable[str]:
    """Every path in records of a simulator, which knows nobody."""
    for value in records:
        yield from _paths(value, "")


def _paths(value: Any, path: str) -> Iterable[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            child = f"{path}.{key}" if path else str(key)
            yield child
            yield from _paths(inner, child)
    elif isinstance(value, list):
        yield f"{path}[]"
        for inner in value:
            yield from _paths(inner, f"{path}[]")


def _as_data(found: Shape) -> dict[str, Any]:
    return {
        path: {
            "kinds": sorted(entry.kinds),
            **({"always": True} if entry.seen and entry.seen == shapes.could_have(found, path) else {}),
            **({"lengths": sorted(entry.lengths)} if entry.lengths else {}),
            **({"words": sorted(entry.words)} if entry.words else {}),
        }
        for path, entry in found.items()
        if path
    }


# ---- what the owner sends


def report_lines(looks: Sequence[Look], *, made: str) -> list[str]:
    """The whole file: what differs first, then every field that was seen, with counts and no value."""
    lines = [
        "Rollcall: the answers of real accounts beside those of the simulators",
        f"Made {made}. Holds names of fields, kinds of values and counts; no value, and nobody's name or address.",
        f"A field we do not know is written {UNKNOWN}.",
    ]
    for one in looks:
        lines += ["", f"{one.title}{f', API {one.version}' if one.version else ''}", *([f"  {one.note}"] if one.note else [])]
        lines.append(f"  Headers seen: {', '.join(one.headers) or 'none of interest'}")
        lines += [line for stream in one.streams for line in summary(stream)]
    lines += ["", "Every field"]
    for one in looks:
        for stream in one.streams:
            lines += ["", f"{one.title} {stream.name}, records {stream.records}"]
            lines += [f"  {path}: {_described(entry)}" for path, entry in sorted(stream.found.items()) if path]
    return lines


def summary(stream: StreamLook) -> list[str]:
    """A line for the stream, and one for each difference."""
    if stream.problem:
        return [f"  {stream.name}: {stream.problem}"]
    if not stream.records:
        return [f"  {stream.name}: no records to look at"]
    matter = sum(d.matters for d in stream.differences)
    others = len(stream.differences) - matter
    told = f"differences that matter {matter}, that do not {others}" if stream.differences else "no difference"
    lines = [f"  {stream.name}: records {stream.records}, fields {len(stream.found) - 1}; {told}"]
    return lines + [f"    {'!' if d.matters else ' '} {d.kind:<8}{d.path}: {d.text}" for d in stream.differences]


def _described(entry: shapes.Field) -> str:
    parts = [_kinds(entry.kinds)]
    parts += [f"lists of {_kinds(entry.lengths)}"] if entry.lengths else []
    parts += [f"words {', '.join(sorted(entry.words))}"] if entry.words else []
    parts += [f"other words {entry.other_words}"] if entry.other_words else []
    return "; ".join(parts)
