"""What we hold of every record of a stream, so that a page of unchanged records costs no SQL at all.

Keys are 8 bytes of MD5 (two of a million ids share one with a chance of 1 in 40 million). They are kept in sorted arrays,
24 bytes a record, in two parts: the many, and what has come since, which is small enough to be moved about.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from connector.store import Store

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.uint64]

MERGE_AT = 50_000

KEY_SQL = "md5_number_upper({})"
"""The SQL that gives the same number as `digest`."""


def digest(data: bytes) -> int:
    return int.from_bytes(key_of(data), "little")


def key_of(data: bytes) -> bytes:
    """The 8 bytes of `digest`."""
    return hashlib.md5(data, usedforsecurity=False).digest()[:8]


def print_of(data: bytes) -> bytes:
    """8 bytes of SHA-1, the fastest there is for some thousand bytes."""
    return hashlib.sha1(data, usedforsecurity=False).digest()[:8]


def numbers(parts: Iterable[bytes]) -> Numbers:
    """8 bytes each, as the numbers that the store keeps."""
    import numpy as np

    return np.frombuffer(b"".join(parts), dtype="<u8").astype(np.uint64, copy=False)


def prints(parts: Iterable[bytes]) -> Numbers:
    """The same of `print_of`; never 0."""
    import numpy as np

    return np.maximum(numbers(parts), np.uint64(1))


class Held(NamedTuple):
    """Records as stored, column by column: hashes of their rows and of their snapshots. contents 0: gone, or not held."""

    is_held: NDArray[np.bool_]
    contents: Numbers
    snapshots: Numbers


class Known:
    """Record key -> hashes, for one stream; loaded once a run."""

    def __init__(self, store: Store, source: str, stream: str) -> None:
        found = store.arrays(
            "SELECT record_key, content_hash, coalesce(snapshot_hash, 0) AS snapshot_hash FROM source_records "
            "WHERE source = ? AND stream = ? ORDER BY record_key",
            [source, stream],
        )
        self._parts = [
            _Sorted(found["record_key"], found["content_hash"], found["snapshot_hash"]), _Sorted((), (), ()),
        ]  # fmt: skip

    def find(self, keys: Numbers) -> Held:
        """What is held of each key."""
        import numpy as np

        held = Held(np.zeros(len(keys), bool), np.zeros(len(keys), np.uint64), np.zeros(len(keys), np.uint64))
        for part in self._parts:
            places, hits = part.places(keys)
            if hits.any():
                held.is_held[hits] = True
                held.contents[hits], held.snapshots[hits] = part.contents[places[hits]], part.snapshots[places[hits]]
        return held

    def keep(self, keys: Numbers, contents: Numbers, snapshots: Numbers) -> None:
        """Remember what has been committed; no key twice."""
        import numpy as np

        left = np.ones(len(keys), bool)
        for part in self._parts:
            places, hits = part.places(keys)
            if hits.any():
                part.contents[places[hits]], part.snapshots[places[hits]] = contents[hits], snapshots[hits]
                left &= ~hits
        many, fresh = self._parts
        if left.any():
            fresh.insert(keys[left], contents[left], snapshots[left])
        if len(fresh.keys) > MERGE_AT:
            many.insert(fresh.keys, fresh.contents, fresh.snapshots)
            self._parts[1] = _Sorted((), (), ())


class _Sorted:
    """Keys in their order, and what belongs to each."""

    def __init__(self, keys: object, contents: object, snapshots: object) -> None:
        import numpy as np

        self.keys, self.contents, self.snapshots = (np.array(a, dtype=np.uint64) for a in (keys, contents, snapshots))

    def places(self, keys: Numbers) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where each key is, and whether it is there at all."""
        import numpy as np

        if not len(self.keys):
            return np.zeros(len(keys), np.intp), np.zeros(len(keys), bool)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return places, self.keys[places] == keys

    def insert(self, keys: Numbers, contents: Numbers, snapshots: Numbers) -> None:
        """Put in keys that are not there."""
        import numpy as np

        order = np.argsort(keys)
        places = np.searchsorted(self.keys, keys[order])
        self.keys = np.insert(self.keys, places, keys[order])
        self.contents = np.insert(self.contents, places, contents[order])
        self.snapshots = np.insert(self.snapshots, places, snapshots[order])
