"""Many reports read at once: a batch of reads on Mailchimp's side, its archive taken in from a file.

One GET without `count` per operation: Mailchimp walks the whole collection by itself. A finished batch is no successful
one: every operation has its own status, files may be empty, answers are split over several files, and there may be no
archive at all. Whatever is missing is `None` here, and the caller reads it by itself.
Docs: https://mailchimp.com/developer/marketing/guides/run-async-requests-batch-endpoint/
"""

from __future__ import annotations

import codecs
import json
import logging
import re
import tarfile
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

import orjson

from adapters.answers import loads
from adapters.base import Record
from adapters.mailchimp_api import Api
from models.errors import ApiError

log = logging.getLogger(__name__)

CAMPAIGNS = 25
"""Two operations each: Mailchimp pages inside, so 50 heavy reads are what a batch should hold."""
FROM_CAMPAIGNS = 20
FROM_PAGES = 200
"""Below that many campaigns or pages, reading them side by side is quicker than waiting for a batch."""
FIRST_WAIT_S, LONGEST_WAIT_S, DEADLINE_S = 5.0, 60.0, 4 * 3600.0
ARCHIVE = "archive.tar.gz"
LINKS = 3
"""How often a new address is asked for when the archive's (valid for ten minutes) has expired."""
KINDS = {"all": "false", "human": "true"}
PIECE = 1 << 20
BETWEEN = re.compile(r"[\s,\[\]]*")


class Results:
    """The answers of one batch, laid out in a folder: one file per operation, a page a line."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._failed: set[str] = set()
        self._rows: dict[str, int] = {}
        self._totals: dict[str, int] = {}

    def add(self, result: Record) -> None:
        name = str(result.get("operation_id") or "")
        try:
            body = loads(str(result.get("response") or "").encode())
            rows, total = body["emails"], int(body["total_items"])
        except (orjson.JSONDecodeError, TypeError, KeyError, ValueError):
            self._failed.add(name)
            return
        if result.get("status_code") != 200 or not name.replace(":", "").isalnum():
            self._failed.add(name)
            return
        with self._file(name).open("ab") as file:
            file.write(orjson.dumps(rows) + b"\n")
        self._rows[name] = self._rows.get(name, 0) + len(rows)
        self._totals[name] = max(total, self._totals.get(name, 0))

    def of(self, campaign: str, kind: str) -> Iterator[list[Record]] | None:
        """The pages of an operation; None when it failed, never came, or has fewer rows than it says there are."""
        name = f"{campaign}:{kind}"
        if name in self._failed or name not in self._rows or self._rows[name] < self._totals[name]:
            return None
        return self._pages(name)

    def _pages(self, name: str) -> Iterator[list[Record]]:
        with self._file(name).open("rb") as file:
            for line in file:
                yield orjson.loads(line)

    def _file(self, name: str) -> Path:
        return self._folder / name.replace(":", ".")


class Batches:
    """Batches of email-activity. fields: what is wanted of each recipient. from_campaigns, from_pages: when a batch pays."""

    def __init__(self, api: Api, fields: Sequence[str], from_campaigns: int, from_pages: int) -> None:
        self.api, self.from_campaigns, self.from_pages = api, from_campaigns, from_pages
        self._fields = ",".join([*(f"emails.{f}" for f in fields), "total_items"])

    def pays(self, campaigns: int, pages: int) -> bool:
        return campaigns >= self.from_campaigns and pages >= self.from_pages

    def begin(self, campaigns: Sequence[str]) -> str:
        """The id of the new batch, '' when there is none (too many wait already, say); one whose answer was lost is left
        alone, for it only reads."""
        try:
            return self.api.begin_batch([self._operation(c, kind) for c in campaigns for kind in KINDS])
        except ApiError as e:
            log.warning("mailchimp: no batch could be made (%s); the reports are read one by one", e.status or "no answer")
            return ""

    def _operation(self, campaign: str, kind: str) -> Record:
        return {
            "method": "GET",
            "path": f"/reports/{quote(campaign, safe='')}/email-activity",
            "params": {"fields": self._fields, "filter_bots": KINDS[kind]},
            "operation_id": f"{campaign}:{kind}",
        }

    def wait(self, batch: str) -> Iterator[float]:
        """Polls until the batch is finished, giving the seconds before each poll; gives up after a deadline."""
        wait_s, waited_s = FIRST_WAIT_S, 0.0
        while batch and waited_s < DEADLINE_S:
            found = self.api.find(f"batches/{batch}", "id,status")
            if found is None or found.get("status") == "finished":
                return
            yield wait_s
            self.api.sleep(wait_s)
            waited_s += wait_s
            wait_s = min(LONGEST_WAIT_S, 2 * wait_s)

    @contextmanager
    def results(self, batch: str) -> Iterator[Results | None]:
        """What the batch brought; None when there is no archive. Its files are gone when the block ends."""
        with tempfile.TemporaryDirectory(prefix="rollcall-") as folder:
            yield self._fetched(batch, Path(folder)) if batch else None

    def _fetched(self, batch: str, folder: Path) -> Results | None:
        for attempt in range(LINKS):
            found = self.api.find(f"batches/{batch}", "id,status,errored_operations,response_body_url")
            url = str((found or {}).get("response_body_url") or "")
            if not url or not found or found.get("status") != "finished":
                log.warning("mailchimp: a batch has no results; its reports are read one by one")
                return None
            if found.get("errored_operations"):
                log.warning("mailchimp: %s reads of a batch failed and are repeated", found["errored_operations"])
            fresh = folder / str(attempt)
            fresh.mkdir(mode=0o700)
            try:
                self.api.download(url, fresh / ARCHIVE)
                return _laid_out(fresh)
            except (ApiError, tarfile.TarError, EOFError, OSError, zlib.error) as e:
                log.info("mailchimp: no results (%s); asking for a new address", type(e).__name__)
        return None


def _laid_out(folder: Path) -> Results:
    """Every result of every file. Directories and empty files occur; a file that is no JSON is as good as absent."""
    results, archive = Results(folder), folder / ARCHIVE
    with tarfile.open(archive, mode="r|gz") as tar:
        for entry in tar:
            file = tar.extractfile(entry) if entry.isfile() else None
            try:
                for result in _objects(file) if file else ():
                    results.add(result)
            except (json.JSONDecodeError, UnicodeDecodeError):
                log.warning("mailchimp: a file of a batch is not JSON")
    archive.unlink()
    return results


def _objects(file: IO[bytes]) -> Iterator[Record]:
    """The objects of a JSON list, one at a time: a file may hold the answers about a million recipients."""
    read, decode = json.JSONDecoder().raw_decode, codecs.getincrementaldecoder("utf-8")().decode
    text, at, is_last = "", 0, False
    while True:
        at = BETWEEN.match(text, at).end()  # type: ignore[union-attr]  # it matches nothing at all, too
        if at < len(text):
            try:
                one, at = read(text, at)
            except json.JSONDecodeError:
                if is_last:
                    raise
            else:
                if isinstance(one, dict):
                    yield one
                continue
        if is_last:
            return
        piece = file.read(max(PIECE, len(text) - at))
        is_last = not piece
        text, at = text[at:] + decode(piece, is_last), 0
