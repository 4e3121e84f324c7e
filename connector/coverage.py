"""Data coverage: which sources a segment is computed from, and how far back their orders go.

Where a source is added, or its history reaches further back, a segment may fill with people whom nobody had in mind when the
go-ahead was given: the owner is asked again, as after a change of the rule. What is lost is for other guards to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import orjson

import adapters
from connector import segment
from connector.config import Config
from connector.evaluation import TABLE_WORDS, needs_of_node
from connector.guards import FACTS
from connector.ledger import COVERED
from connector.readiness import BEGINNING, ORDER_STREAMS
from connector.rules import Rule
from connector.store import Store
from models.segments import Segment

Coverage = dict[str, str]
"""Two kinds of keys. "orders:shopify", a table and a source that told some of it -> the first day from which that is whole ('' for
the beginning, and where no day counts). "stream:shopify:orders", a stream of such a source that has been read -> ''."""
STREAM = "stream"
ORDERS = ("orders", "order_lines")
BEHIND = {"consents": ("contacts",), "addresses": ("contacts",), "companies": ("contacts",), "scores": FACTS}
"""What stands behind tables that are no facts themselves."""


def of_segments(store: Store, config: Config, segments: Sequence[Segment]) -> dict[str, Coverage]:
    """Segment -> what is held of what its rule speaks of, also through the segments it refers to."""
    rules = segment.check_all(store, config, segment.resolve(config))
    streams = store.sql("SELECT source, stream FROM cursors WHERE cursor IS NOT NULL ORDER BY ALL")
    held: dict[str, Coverage] = {}
    found = {}
    for g in segments:
        tables = sorted(
            {fact for table in tables_of(rules, g.name) for fact in BEHIND.get(table, (table,))}.intersection(FACTS)
        )
        held |= {t: _of_table(store, t) for t in tables if t not in held}
        found[g.name] = {key: day for t in tables for key, day in held[t].items()}
        found[g.name] |= {f"{STREAM}:{source}:{stream}": "" for source, stream in streams} if tables else {}
    return found


def tables_of(rules: Mapping[str, Rule], name: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """Which tables of facts a rule speaks of, also through the segments it refers to."""
    found: set[str] = set()
    for node in rules[name].tree.walk() if name in rules else ():
        found |= {table for table, _ in needs_of_node(node)}
        if node.op == "segment" and node.name not in seen:
            found |= tables_of(rules, node.name, seen | {name})
    return found


def more(store: Store, platform: str, name: str, now: Coverage) -> str:
    """What has been added since the go-ahead for a segment, in words; '' for nothing. A go-ahead that does not say what it
    was given for is taken to be for what is held now. The first order or mail of a source that was read all along is news, and
    no more coverage."""
    said = store.value("SELECT value FROM meta WHERE name = ?", [_name(platform, name)])
    then: Coverage = orjson.loads(said) if said else now
    facts = [key.split(":") for key in now if not key.startswith(STREAM)]
    fresh = {key.split(":")[1] for key in now if key.startswith(STREAM) and key not in then}
    fresh.add("import")  # a first file of a kind is never news
    added = [_words(t, source) for t, source in facts if f"{t}:{source}" not in then and source in fresh]
    further = [
        f"{_words(t, source)} from before {then[f'{t}:{source}']}"
        for t, source in facts
        if now[f"{t}:{source}"] < then.get(f"{t}:{source}", "")
    ]
    sold = {source for t, source in facts if t in ORDERS}
    streams = [key.split(":", 2)[1:] for key in now if key.startswith(STREAM) and key not in then]
    added += [
        f"{s} of {adapters.title(source)}"
        for source, s in streams
        if s in ORDER_STREAMS and source in sold and f"orders:{source}" in then
    ]
    return ", ".join([*added, *further])


def _words(table: str, source: str) -> str:
    return f"{TABLE_WORDS[table]} of {adapters.title(source)}"


def keep_up(store: Store, platform: str, name: str, now: Coverage) -> None:
    """What is behind a go-ahead on an ordinary day: what came since, and asked nothing, asks nothing later either."""
    said = store.value("SELECT value FROM meta WHERE name = ?", [_name(platform, name)])
    then: Coverage = orjson.loads(said) if said else {}
    if not said or (now.keys() - then.keys() and not more(store, platform, name, now)):
        remember(store, platform, name, {**now, **then})


def remember(store: Store, platform: str, name: str, now: Coverage) -> None:
    """The owner said yes to what the segment is computed from now."""
    with store.transaction():
        store.sql("DELETE FROM meta WHERE name = ?", [_name(platform, name)])
        store.insert(
            "meta", [{"name": _name(platform, name), "value": orjson.dumps(now, option=orjson.OPT_SORT_KEYS).decode()}]
        )


def _of_table(store: Store, table: str) -> Coverage:
    sources = [s for (s,) in store.sql("SELECT DISTINCT source FROM source_records UNION SELECT 'import' ORDER BY 1")]
    held = [s for s in sources if store.sql(f"SELECT 1 FROM {table} WHERE source = ? LIMIT 1", [s])]
    return {f"{table}:{s}": _first_day(store, s) if table in ORDERS else "" for s in held}


def _first_day(store: Store, source: str) -> str:
    found = store.value(f"SELECT max(complete_from) FROM cursors WHERE source = ? AND stream IN {ORDER_STREAMS}", [source])
    return "" if found is None or found <= BEGINNING else date.isoformat(found)


def _name(platform: str, name: str) -> str:
    return f"{COVERED}{platform}:{name}"
