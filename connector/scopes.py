"""Whether a stream that the token may not read is news.

A stream nobody needs and nobody has ever read is told once: an owner who leaves a scope out means it. A stream that people
or consent depend on, or one that was read before and grows old now, is told in every run.
"""

from __future__ import annotations

from adapters.base import Adapter
from connector.store import Store
from models.people import StreamCount


def is_news(store: Store, adapter: Adapter, count: StreamCount) -> bool:
    """Whether this run must say that a missing scope closed the stream. Remembers that it was said."""
    name = _name(count)
    is_known = bool(store.sql("SELECT 1 FROM meta WHERE name = ?", [name]))
    if not is_known:
        store.insert("meta", [{"name": name, "value": "said"}])
    is_needed = any(s.needed for s in adapter.streams() if s.name == count.stream)
    was_read = store.sql(
        "SELECT 1 FROM cursors WHERE source = ? AND stream = ? AND complete_from IS NOT NULL", [count.source, count.stream]
    )
    return not is_known or is_needed or bool(was_read)


def granted(store: Store, count: StreamCount) -> None:
    """The stream was read: should its scope go missing later, that is news again."""
    store.sql("DELETE FROM meta WHERE name = ?", [_name(count)])


def _name(count: StreamCount) -> str:
    return f"missing_scope:{count.source}:{count.stream}"
