"""What we hold of every record of a stream, so that a page of unchanged records costs no SQL at all.

Keys are 8 bytes of MD5 (two of a million ids share one with a chance of 1 in 40 million). They are kept in
sorted arrays, 24 bytes a record, with what this run has stored on top.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from connector.store import Store

MERGE_AT = 50_000

KEY_SQL = "md5_number_upper({})"
"""The SQL that gives the same number as `digest`."""


def digest(data: bytes) -> int:
    return int.from_bytes(hashlib.md5(data, usedforsecurity=False).digest()[:8], "little")


def fingerprint(data: bytes) -> int:
    """8 bytes of SHA-1, the fastest there is for some thousand bytes; never 0."""
    return int.from_bytes(hashlib.sha1(data, usedforsecurity=False).digest()[:8], "little") or 1


class Held(NamedTuple):
    """One record as stored: hashes of its rows and of its snapshots. content 0: gone from the platform."""

    content: int
    snapshots: int


class Known:
    """Record key -> Held, for one stream; loaded once a run."""

    def __init__(self, store: Store, source: str, stream: str) -> None:
        import numpy as np

        found = store.arrays(
            "SELECT record_key, content_hash, coalesce(snapshot_hash, 0) AS snapshot_hash FROM source_records "
            "WHERE source = ? AND stream = ? ORDER BY record_key",
            [source, stream],
        )
        self._keys, self._contents, self._snapshots = (
            np.asarray(found[name], dtype=np.uint64) for name in ("record_key", "content_hash", "snapshot_hash")
        )
        self._fresh: dict[int, Held] = {}

    def find(self, keys: Sequence[int]) -> list[Held | None]:
        """What is held of each key, None where nothing is."""
        import numpy as np

        if not len(self._keys):
            return [self._fresh.get(k) for k in keys]
        wanted = np.array(keys, dtype=np.uint64)
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        hits = (self._keys[places] == wanted).tolist()
        contents, snapshots = self._contents[places].tolist(), self._snapshots[places].tolist()
        return [
            self._fresh.get(k) or (Held(c, s) if hit else None)
            for k, hit, c, s in zip(keys, hits, contents, snapshots, strict=True)
        ]

    def keep(self, held: dict[int, Held]) -> None:
        """Remember what has been committed."""
        self._fresh.update(held)
        if len(self._fresh) > MERGE_AT:
            self._merge()

    def _merge(self) -> None:
        import numpy as np

        count = len(self._fresh)
        keys = np.fromiter(self._fresh.keys(), dtype=np.uint64, count=count)
        old = ~np.isin(self._keys, keys)
        columns: list[Any] = [
            np.concatenate([kept[old], fresh])
            for kept, fresh in (
                (self._keys, keys),
                (self._contents, np.fromiter((h.content for h in self._fresh.values()), dtype=np.uint64, count=count)),
                (self._snapshots, np.fromiter((h.snapshots for h in self._fresh.values()), dtype=np.uint64, count=count)),
            )
        ]
        order = np.argsort(columns[0])
        self._keys, self._contents, self._snapshots = (c[order] for c in columns)
        self._fresh = {}
