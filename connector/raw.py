"""Raw pages as they came, compressed, in a folder beside the store. The store lists them; what it does not list is removed.

One file holds the pages of one commit, one JSON document a line, each compressed by itself: `zstd -dc FILE` shows them.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from connector.store import MEMORY, Row, Store
from models.errors import StoreError

log = logging.getLogger(__name__)

LEVEL = 1
"""Level 3 takes twice the time and makes the benchmark's pages no smaller."""


class RawPage(NamedTuple):
    """The records of a page, and the ids (with their states) it told to be gone."""

    records: list[Any]
    gone: dict[str, str]


class RawPages:
    """The folder `<store without ending>.raw`; a store in memory keeps no raw pages."""

    def __init__(self, store: Store) -> None:
        import zstandard

        self.folder = None if store.path == MEMORY else Path(store.path).absolute().with_suffix(".raw")
        self._compressor = zstandard.ZstdCompressor(level=LEVEL)

    def pack(self, records: list[Any], gone: dict[str, str]) -> bytes:
        """One page, ready to be saved with others."""
        page = {"records": records, "gone": gone}
        return self._compressor.compress(orjson.dumps(page, option=orjson.OPT_APPEND_NEWLINE))

    def save(
        self, run_id: str, source: str, stream: str, page: int, packed: Sequence[bytes], records: int, now: datetime
    ) -> Row | None:
        """Write pages into one file, whole or not at all, and give its row of raw_pages (for the transaction of its records).

        page: the number of the last of them. records: how many they hold.
        """
        if self.folder is None or not packed:
            return None
        name = f"{run_id}.{source}.{stream}.{page:06d}.json.zst"
        fresh = self.folder / f"{name}.tmp"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
                f.writelines(packed)
            fresh.replace(self.folder / name)
        except OSError as e:
            raise StoreError(
                f"The raw page {self.folder / name} cannot be written: {e.strerror}. Make room and run it again."
            ) from e
        return {
            "run_id": run_id, "source": source, "stream": stream, "page": page, "file": name, "pages": len(packed),
            "records": records, "bytes": sum(map(len, packed)), "fetched_at": now.isoformat(" ", "microseconds"),
        }  # fmt: skip

    def read(self, name: str) -> list[RawPage]:
        """The pages of a file, in the order they came."""
        import zstandard

        if self.folder is None:
            return []
        try:
            with (self.folder / name).open("rb") as f:
                text = zstandard.ZstdDecompressor().stream_reader(f, read_across_frames=True).readall()
            if not text.endswith(b"\n"):
                raise EOFError
            return [RawPage(page["records"], page["gone"]) for page in map(orjson.loads, text.splitlines())]
        except (OSError, EOFError, zstandard.ZstdError, orjson.JSONDecodeError) as e:
            raise StoreError(f"The raw page {self.folder / name} cannot be read. Pull again with `rollcall backfill`.") from e

    def remove_orphans(self, store: Store) -> int:
        """Delete page files no row refers to: a process died between writing one and its commit."""
        listed = {f for (f,) in store.sql("SELECT file FROM raw_pages")}
        return self._remove(p for p in self._files() if p.name not in listed)

    def expire(self, store: Store, keep_days: int, now: datetime) -> int:
        """Delete pages older than `keep_days`: rows first, so that a crash leaves orphans and never dead rows."""
        store.sql("DELETE FROM raw_pages WHERE fetched_at < ?", [now - timedelta(days=keep_days)])
        return self.remove_orphans(store)

    def _files(self) -> Iterator[Path]:
        return self.folder.iterdir() if self.folder is not None and self.folder.is_dir() else iter(())

    def _remove(self, files: Iterator[Path]) -> int:
        count = 0
        for file in list(files):
            file.unlink(missing_ok=True)
            count += 1
        if count:
            log.info("Removed %d raw page files that are no longer listed.", count)
        return count
