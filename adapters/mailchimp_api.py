"""The connection to Mailchimp: where it is, how it is read, and the only few writes there are.

Docs: https://mailchimp.com/developer/marketing/docs/fundamentals/ and .../docs/methods-parameters/.
"""

from __future__ import annotations

import base64
import logging
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from adapters.base import Record
from adapters.http import Http
from adapters.mailchimp_errors import CUT, SMALLEST_COUNT, Explain, too_slow
from adapters.mailchimp_gate import AT_ONCE, Gate
from adapters.mailchimp_oauth import DATA_CENTRE, data_centre_of
from adapters.moment import moment as moment
from adapters.patience import LOOK_HOLDS
from models.errors import AuthError, ConfigError, PermanentApiError

log = logging.getLogger(__name__)

T = TypeVar("T")

COUNT = 1000
"""Largest page; without `count` Mailchimp sends 10 (https://mailchimp.com/developer/marketing/docs/methods-parameters/)."""
DEEP = 100_000
"""Rows read by offset before a long walk begins anew: deep offsets are slow."""
READ_TIMEOUT_S = 130.0
"""The server cuts at 120 s; who gives up earlier still holds one of the ten slots over there."""
UNCLEAR_WAIT_S = 30.0
"""After no answer at all the request may still be running over there."""
MAX_WAIT_S = 1300.0
"""One, five and fifteen minutes, which a block by the network in front wants, and a little more."""

_ID = re.compile(r"[A-Za-z0-9_-]+")
_IN_AUDIENCE = r"lists/[A-Za-z0-9_-]+/"


def _makes_empty_tag(body: Mapping[str, Any]) -> bool:
    return body.keys() <= {"name", "static_segment"} and not body.get("static_segment")


def _changes_members(body: Mapping[str, Any]) -> bool:
    return body.keys() <= {"members_to_add", "members_to_remove"}


def _tags_quietly(body: Mapping[str, Any]) -> bool:
    """One contact's tag on or off (`active`, `inactive`), and no automation started by it."""
    tags = body.get("tags") or []
    is_plain = all(t.keys() == {"name", "status"} and t["status"] in ("active", "inactive") for t in tags)
    return body.keys() == {"tags", "is_syncing"} and body["is_syncing"] is True and is_plain


def _only_reads(body: Mapping[str, Any]) -> bool:
    return body.keys() == {"operations"} and all(o["method"] == "GET" and "body" not in o for o in body["operations"])


def _is_event(body: Mapping[str, Any]) -> bool:
    name = body.get("name")
    return set(body) == {"name", "is_syncing"} and isinstance(name, str) and 2 <= len(name) <= 30


def _makes_our_field(body: Mapping[str, Any]) -> bool:
    """Off the sign-up form, and nobody has to fill it."""
    is_ours = bool(OUR_FIELD.fullmatch(str(body.get("tag")))) and body.get("type") in ("text", "number", "date")
    is_quiet = body.get("public") is False and body.get("required") is False
    return is_ours and is_quiet and body.keys() == {"tag", "name", "type", "public", "required", "help_text"}


def _sets_our_fields(body: Mapping[str, Any]) -> bool:
    """Merge fields of ours and nothing else of a contact."""
    values = body.get("merge_fields")
    if body.keys() != {"merge_fields"} or not isinstance(values, dict) or not values:
        return False
    return all(OUR_FIELD.fullmatch(tag) and isinstance(v, str | int | float) for tag, v in values.items())


OUR_FIELD = re.compile(r"RC_[A-Z0-9_]{1,7}")
"""The merge tags of our fields: at most ten characters in all."""

_WRITES: tuple[tuple[str, re.Pattern[str], Callable[[Mapping[str, Any]], bool]], ...] = (
    ("POST", re.compile(_IN_AUDIENCE + "segments"), _makes_empty_tag),
    ("POST", re.compile(_IN_AUDIENCE + "segments/[0-9]+"), _changes_members),
    ("POST", re.compile(_IN_AUDIENCE + "members/[0-9a-f]{32}/tags"), _tags_quietly),
    ("POST", re.compile(_IN_AUDIENCE + "members/[0-9a-f]{32}/events"), _is_event),
    ("POST", re.compile(_IN_AUDIENCE + "merge-fields"), _makes_our_field),
    ("PATCH", re.compile(_IN_AUDIENCE + "members/[0-9a-f]{32}"), _sets_our_fields),
    ("POST", re.compile("batches"), _only_reads),
)
"""Every way in which anything may ever be written, and what its body may be. No subscription status, nothing else."""


def base_url(settings: Mapping[str, Any]) -> str:
    """The address of the API. The key's suffix names a data centre and can never name another host."""
    if settings.get("base_url"):
        return f"{settings['base_url']}/3.0"
    centre = data_centre(str(settings["token"]))
    return f"https://{centre}.api.mailchimp.com/3.0" if centre else "https://api.mailchimp.com/3.0"


def data_centre(token: str) -> str:
    """'us6' of `...-us6`; '' where the key has none (then the one host for every account serves)."""
    _, dash, suffix = token.rpartition("-")
    return suffix if dash and DATA_CENTRE.fullmatch(suffix) else ""


def authorization(token: str) -> str:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError("mailchimp.token is not a key: it holds characters no key has. Copy it again.")
    if data_centre(token):
        return "Basic " + base64.b64encode(f"rollcall:{token}".encode()).decode()
    return f"Bearer {token}"


def stamp(at: datetime) -> str:
    """A naive UTC time as Mailchimp's filters want it; any other form may be ignored instead of refused."""
    return at.strftime("%Y-%m-%dT%H:%M:%S+00:00")


@dataclass(frozen=True)
class Rows:
    rows: list[Record]
    total: int


class Api:
    """Everything that is ever asked of one account. The HTTP door itself is out of reach: there is no general write.

    `audience` is the one that is written; all are read. Safe for several threads: at most `workers` requests run at once
    over all of them, writes included.
    """

    def __init__(self, settings: Mapping[str, Any], *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        self.audience = str(settings["audience"])
        if not _ID.fullmatch(self.audience):
            raise ConfigError(
                "mailchimp.audience is not an audience id. It looks like a1b2c3d4e5: see Audience, Settings, Audience name."
            )
        self.list_path = f"lists/{self.audience}"
        self.count = max(2, int(settings.get("page_size") or COUNT))
        self.deep = int(settings.get("deep_offset") or DEEP)
        self.sleep = sleep
        self._timeout_s = float(settings.get("timeout_s") or READ_TIMEOUT_S)
        self.now_utc = now_utc
        self._settings = settings
        self._gate = Gate(min(AT_ONCE, max(1, int(settings.get("workers") or 4))))
        self._token = str(settings["token"])
        self._authorization = authorization(self._token)
        self._has_asked = bool(settings.get("base_url")) or bool(data_centre(self._token))
        self._asking = threading.Lock()
        self.__http = self.__door(base_url(settings))

    @property
    def workers(self) -> int:
        """How many requests may run at once now."""
        return self._gate.workers

    def __door(self, address: str) -> Http:
        settings = self._settings
        return Http(
            address,
            platform="mailchimp",
            headers=lambda: {"Authorization": self._authorization},
            timeout_s=self._timeout_s,
            connect_timeout_s=settings.get("connect_timeout_s") or 10,
            tries=int(settings.get("tries") or 8),
            max_wait_s=settings.get("max_wait_s", MAX_WAIT_S),
            sleep=self.sleep,
            now_utc=self.now_utc,
            explain=Explain(self._gate.answered, self._gate.refused, data_centre(self._token)),
            unanswered=too_slow,
            workers=self._gate.most,
        )

    def __read(self, path: str, params: Mapping[str, Any]) -> Any:
        with self._gate:
            http = self.__http
            try:
                return http.json(http.get(path, params))
            except AuthError:
                if not self._finds_data_centre(http):
                    raise
            return self.__http.json(self.__http.get(path, params))

    def _finds_data_centre(self, refused: Http) -> bool:
        """After a refusal of the one host for every account: whether an OAuth token has a data centre of its own instead."""
        with self._asking:
            if self.__http is not refused:
                return True
            if self._has_asked:
                return False
            self._has_asked = True
            centre = data_centre_of(self._token, now_utc=self.now_utc, sleep=self.sleep)
            if centre:
                self.__http = self.__door(f"https://{centre}.api.mailchimp.com/3.0")
            return bool(centre)

    def audiences(self) -> list[Record]:
        """Id and name of every audience, the written one first. ConfigError, naming those there are, when it is not there."""
        rows = self.every("lists", "lists", ("id", "name")).rows
        if all(r.get("id") != self.audience for r in rows):
            known = ", ".join(f"{r.get('id')} ({r.get('name')})" for r in rows[:10]) or "none"
            raise ConfigError(
                f"Mailchimp knows no audience '{self.audience}' in this account (deleted, or of another account). It has: "
                f"{known}. Correct mailchimp.audience in the configuration."
            )
        return sorted(rows, key=lambda r: (r["id"] != self.audience, str(r["id"])))

    def contact_id(self, audience: str, member_id: str) -> str:
        """Our id of a member: its hash in the written audience; elsewhere the same address is another contact."""
        return member_id if audience in (self.audience, "") else f"{audience}:{member_id}"

    def server_now(self) -> datetime:
        """Mailchimp's own clock at its last answer (naive UTC), ours before there was one."""
        return self.__http.server_now or self.now_utc()

    def get(self, path: str, fields: str, **params: str | int) -> Record:
        """One object. `fields` is never left out: without it most of an answer is links."""
        body = self.__read(path, {"fields": fields, **params})
        if not isinstance(body, dict):
            raise PermanentApiError("Mailchimp sent a list where an object was asked for.", platform="mailchimp")
        return body

    def find(self, path: str, fields: str, **params: str | int) -> Record | None:
        """Like `get`; None where Mailchimp knows no such thing."""
        try:
            return self.get(path, fields, **params)
        except PermanentApiError as e:
            if e.status == 404:
                return None
            raise

    def page(self, path: str, key: str, fields: Sequence[str], *, offset: int, count: int, **params: str | int) -> Rows:
        """One page of `key`; `count` is always sent. Raises PermanentApiError with the code CUT when it was too big."""
        wanted = ",".join([*(f"{key}.{f}" for f in fields), "total_items"])
        try:
            body = self.get(path, wanted, count=count, offset=offset, **params)
        except PermanentApiError as e:
            if e.status == 404 and path.startswith(self.list_path):
                self.audiences()  # says so in words when it is the audience that is gone
            raise
        rows = [r for r in body.get(key) or [] if isinstance(r, dict)]
        return Rows(rows, int(body.get("total_items") or 0))

    def window(self, path: str, key: str, fields: Sequence[str], *, offset: int, count: int, **params: str | int) -> Rows:
        """The rows from `offset` to `offset + count`: in halves where Mailchimp cannot do it in one, and read on where it
        sent fewer than there are."""
        rows: list[Record] = []
        total, step = offset + count, count
        while len(rows) < count and offset + len(rows) < total:
            try:
                part = self.page(path, key, fields, offset=offset + len(rows), count=min(step, count - len(rows)), **params)
            except PermanentApiError as e:
                if e.code != CUT:
                    raise
                step = max(step // 2, SMALLEST_COUNT)
                log.info("mailchimp: a page took too long, going on with %s", step)
                continue
            rows += part.rows
            total = part.total
            if not part.rows:
                break
        return Rows(rows, total)

    def every(self, path: str, key: str, fields: Sequence[str], **params: str | int) -> Rows:
        """All rows of a collection that does not move while it is read; the pages after the first are read side by side."""

        def read(offset: int) -> Callable[[], Rows]:
            return lambda: self.window(path, key, fields, offset=offset, count=self.count, **params)

        first = read(0)()
        rows, total = list(first.rows), first.total
        for part in self.ahead(read(offset) for offset in range(self.count, total, self.count)):
            rows += part.rows
            total = part.total
        while len(rows) < total and (more := read(len(rows))().rows):
            rows += more
        return Rows(rows, total)

    def ahead(self, jobs: Iterable[Callable[[], T]]) -> Iterator[T]:
        """The results of `jobs` in their order. Some more are begun than may be sent at once, so that no slot stands idle."""
        return self._gate.ahead(jobs, self.count)

    def wait_for_the_unclear(self) -> None:
        """Some time after a write that got no answer at all; then what became of it can be read back."""
        self.sleep(min(UNCLEAR_WAIT_S, self._timeout_s))

    def create_tag(self, name: str) -> Record:
        return self.__write(f"{self.list_path}/segments", {"name": name, "static_segment": []})

    def change_tag(self, tag_id: str, add: Sequence[str], remove: Sequence[str]) -> Record:
        """Put addresses into a tag and take others out, in one call. Doing it twice is harmless."""
        body = {"members_to_add": list(add), "members_to_remove": list(remove)}
        path = f"{self.list_path}/segments/{quote(tag_id, safe='')}"
        return self.__write(path, {k: v for k, v in body.items() if v}, holds=LOOK_HOLDS)

    def tag_quietly(self, member_id: str, tag_name: str, *, on: bool) -> None:
        """One contact into a tag or out of it, starting no automation. A name that no tag has would become a new tag."""
        tag = {"name": tag_name, "status": "active" if on else "inactive"}
        path = f"{self.list_path}/members/{quote(member_id, safe='')}/tags"
        self.__write(path, {"tags": [tag], "is_syncing": True}, holds=LOOK_HOLDS)

    def record_event(self, member_id: str, name: str) -> None:
        """One event of one contact, as happened now; a journey may wait for it. Doing it twice is two events."""
        self.__write(
            f"{self.list_path}/members/{quote(member_id, safe='')}/events", {"name": name, "is_syncing": False}, tries=1
        )

    def create_field(self, tag: str, name: str, kind: str, help_text: str) -> Record:
        """A merge field of ours, shown on no form and needed by nobody."""
        body = {"tag": tag, "name": name, "type": kind, "public": False, "required": False, "help_text": help_text}
        return self.__write(f"{self.list_path}/merge-fields", body)

    def set_fields(self, member_id: str, values: Mapping[str, str | int | float]) -> Record:
        """One contact's values of merge fields of ours; the contact as it is now. Doing it twice is harmless.

        Without `skip_merge_validation` a field the owner requires and this contact has not filled would refuse it.
        """
        path = f"{self.list_path}/members/{quote(member_id, safe='')}"
        return self.__write(path, {"merge_fields": dict(values)}, method="PATCH", params={"skip_merge_validation": "true"})

    def begin_batch(self, operations: Sequence[Record]) -> str:
        """The id of a batch of reads. Not to be repeated blindly: every call is another batch."""
        return str(self.__write("batches", {"operations": list(operations)}, tries=2).get("id") or "")

    def download(self, url: str, to: Path) -> None:
        """A batch's archive from Mailchimp's storage, without our key."""
        self.__http.download(url, to)

    def __write(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        method: str = "POST",
        params: Mapping[str, str] | None = None,
        tries: int | None = None,
        holds: timedelta | None = None,
    ) -> Record:
        """The only way to write anything. Raises AmbiguousWriteError when the answer was lost."""
        if not any(method == verb and p.fullmatch(path) and fits(body) for verb, p, fits in _WRITES):
            raise PermanentApiError(
                "This is no write that Rollcall makes in Mailchimp; nothing was sent.", platform="mailchimp"
            )
        with self._gate:
            http = self.__http
            sent = http.request(method, path, json=dict(body), params=params, repeatable=False, tries=tries, holds=holds)
            answer = http.json(sent)
        return answer if isinstance(answer, dict) else {}
