"""Which segments speak of facts that nobody keeps up any more: pulled too long ago, or told by a platform that was taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from connector import guards, segment
from connector.evaluation import needs_of_node
from connector.rules import Rule
from connector.session import Session
from models.segments import Segment


def of_segments(s: Session, segments: Sequence[Segment], allowed: frozenset[str] = frozenset()) -> dict[str, str]:
    """Segment -> why its facts are too old to push from, '' where they are not; the owner may have allowed it for this run."""
    if "stale_source" in allowed:
        return dict.fromkeys((g.name for g in segments), "")
    old = guards.stale(s.store, s.config, s.now())
    left = guards.left_sources(s.store, s.config) if old is None else {}
    if not left:
        return dict.fromkeys((g.name for g in segments), old.text if old else "")
    rules = segment.check_all(s.store, s.config, segment.resolve(s.config))
    return {g.name: next((left[t].text for t in sorted(_tables(rules, g.name)) if t in left), "") for g in segments}


def _tables(rules: Mapping[str, Rule], name: str, seen: frozenset[str] = frozenset()) -> set[str]:
    """Which tables of facts a rule speaks of, also through the segments it refers to."""
    found: set[str] = set()
    for node in rules[name].tree.walk() if name in rules else ():
        found |= {table for table, _ in needs_of_node(node)}
        if node.op == "segment" and node.name not in seen:
            found |= _tables(rules, node.name, seen | {name})
    return found
