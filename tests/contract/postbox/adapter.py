"""Postbox, a mail tool that does not exist: the whole of what a platform of another package has to bring, in one module.

Readers and letters in; labels out. API v2 (v1 calls the answer of a reader `consent`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from adapters.base import Account, Adapter, Cursor, Finding, Page, Setting, Stream, Version
from adapters.http import Http, Response, peek, retry_after_s
from adapters.paging import Chain
from models.changes import Batch, Observed, Outcome, Target
from models.errors import ApiError, AuthError, ConnectorError, PermanentApiError, RetryableApiError, ScopeError

WORDS = {"added": "done", "removed": "done", "already": "already", "unknown": "missing", "refused": "refused"}


class PostboxAdapter(Adapter):
    name = "postbox"
    title = "Postbox"
    noun = "Postbox label"
    batch_size = 50
    contacts_stream = "readers"
    own_settings = (
        Setting("token", is_needed=True, is_secret=True),
        Setting("page_size", default=100, least=1, most=500),
        Setting("region", default="eu", choices=("eu", "us")),
    )

    def __init__(self, settings: dict[str, Any], *, now_utc: Any, sleep: Any) -> None:
        super().__init__(settings, now_utc=now_utc, sleep=sleep)
        self.version = settings.get("api_version") or "2"
        self.http = Http(
            settings.get("base_url") or f"https://{settings.get('region') or 'eu'}.postbox.example",
            platform=self.name,
            title=self.title,
            headers=lambda: {"Authorization": f"Bearer {settings['token']}", "Postbox-Version": self.version},
            timeout_s=settings.get("timeout_s") or 60,
            connect_timeout_s=settings.get("connect_timeout_s") or 10,
            tries=settings.get("tries") or 8,
            max_wait_s=settings.get("max_wait_s") or 900,
            sleep=sleep,
            now_utc=now_utc,
            explain=explain,
            before=self._pause_s,
            after=self._learn,
        )
        self._wait_until = now_utc()

    def _learn(self, response: Response) -> None:
        """Postbox says how many requests are left in this minute, and when the next one begins."""
        if response.headers.get("Postbox-Left") == "0":
            self._wait_until = self.now_utc() + timedelta(seconds=float(response.headers["Postbox-Reset"]))

    def _pause_s(self) -> float:
        return max(0.0, (self._wait_until - self.now_utc()).total_seconds())

    @classmethod
    def versions(cls) -> tuple[Version, ...]:
        return Version("2"), Version("1", date(2027, 3, 31))

    def account(self) -> Account:
        found = self._get("account")
        return Account(found["id"], found["name"], found["timezone"], found["currency"])

    def check(self) -> list[Finding]:
        try:
            self.account()
            next(self.pages("letters", None))
        except ScopeError as e:
            return [Finding("scope", "error", str(e), "scope")]
        except AuthError as e:
            return [Finding("key", "error", str(e), "auth")]
        except ConnectorError as e:
            return [Finding("connection", "error", str(e))]
        return [Finding("key", "ok", "The key may read readers and letters.")]

    def streams(self) -> tuple[Stream, ...]:
        return Stream("readers", "Readers", "readers", needed=True), Stream("letters", "Letters", "letters")

    def pages(self, stream: str, cursor: Cursor | None, *, full: bool = False, since: datetime | None = None) -> Iterator[Page]:
        """A walk in the order of the last change; where it stands is the time and id of the last record met."""
        start = cursor["after"] if cursor and not (full and cursor["done"]) else ""
        after = start or (since.isoformat() if since else "")
        chain = Chain(stream, self.name)
        while True:
            found = self._get(stream, after=after, limit=self.settings.get("page_size") or 100)
            records = [self._record(r) for r in found["records"]]
            gone = {r["id"]: r["state"] for r in records if r.get("state", "live") != "live"}
            records = [r for r in records if r["id"] not in gone]
            following = chain.next(found["next"])
            after = found["last"] or after
            yield Page(records, {"after": after, "done": not following}, not following, found["total"], gone)
            if not following:
                return

    def reread(self, contact_ids: Sequence[str]) -> Iterator[Page]:
        for contact_id in contact_ids:
            try:
                record = self._record(self._get(f"readers/{contact_id}"))
            except PermanentApiError as e:
                if e.status != 404:
                    raise
                yield Page([], {}, gone={contact_id: "gone"})
                continue
            is_live = record["state"] == "live"
            yield Page([record] if is_live else [], {}, gone={} if is_live else {contact_id: record["state"]})

    def observe(self, targets: Sequence[Target], maybe: dict[str, frozenset[str]]) -> list[Observed]:
        return [self._observe(t) for t in targets]

    def ensure(self, target: Target) -> str:
        found = self._label(target)
        body = {"name": target.name}
        return found or str(self.http.json(self.http.post(self._path("labels"), body, repeatable=True))["id"])

    def apply(self, batch: Batch) -> list[Outcome]:
        body = {"add": [m.contact_id for m in batch.adds], "remove": [m.contact_id for m in batch.removes]}
        answer = self.http.json(self.http.post(self._path(f"labels/{batch.object_id}/readers"), body, repeatable=False))
        return [
            Outcome(row["id"], kind, WORDS[row["result"]], "" if row["result"] != "unknown" else "not in Postbox")  # type: ignore[arg-type]  # the words are those of OutcomeKind
            for kind in ("add", "remove")
            for row in answer[kind]
        ]

    def _observe(self, target: Target) -> Observed:
        label = self._label(target)
        if not label:
            return Observed(target, exists=False)
        members: set[str] = set()
        after = ""
        while True:
            found = self._get(f"labels/{label}/readers", after=after)
            members.update(found["ids"])
            after = found["next"]
            if not after:
                return Observed(target, True, label, target.name, frozenset(members))

    def _label(self, target: Target) -> str:
        found = self._get("labels", name=target.name)["labels"]
        return str(found[0]["id"]) if found else ""

    def _record(self, record: dict[str, Any]) -> dict[str, Any]:
        return {**record, "answer": record["consent"]} if "consent" in record else record

    def _get(self, path: str, **params: Any) -> Any:
        return self.http.json(self.http.get(self._path(path), params))

    def _path(self, rest: str) -> str:
        return f"v{self.version}/{rest}"


def explain(response: Response) -> ApiError | AuthError | None:
    """Postbox says what is wrong in one word; its sentences may hold addresses and are not repeated."""
    body = peek(response)
    word = body.get("error") if isinstance(body, dict) else None
    if response.status_code == 429:
        return RetryableApiError("Postbox asks to go slower.", wait_s=retry_after_s(response), counts=False)
    if response.status_code == 403 and word == "scope":
        return ScopeError(f"Postbox does not permit this: the key lacks the scope {body['needs']}.", scope=body["needs"])
    return None
