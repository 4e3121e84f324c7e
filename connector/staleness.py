"""Which segments speak of facts that nobody keeps up any more: pulled too long ago, or told by a platform that was taken out."""

from __future__ import annotations

from collections.abc import Sequence

from connector import guards, segment
from connector.coverage import tables_of
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
    return {g.name: next((left[t].text for t in sorted(tables_of(rules, g.name)) if t in left), "") for g in segments}
