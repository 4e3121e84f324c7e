"""The connection to Mailchimp: where it is, what its refusals mean, and the only four posts there are.

Docs: https://mailchimp.com/developer/marketing/docs/fundamentals/ and .../docs/errors/. Mailchimp publishes no rate
headers and sends no Retry-After; its CDN answers in HTML. So the status decides first and the kind of body second.
"""

from __future__ import annotations

import base64
import logging
import random
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from adapters.base import Record
from adapters.http import Http, Response, peek, retry_after_s, scrub
from adapters.mailchimp_oauth import DATA_CENTRE, data_centre_of
from models.errors import ApiError, AuthError, ConfigError, PermanentApiError, RetryableApiError, ScopeError

log = logging.getLogger(__name__)

T = TypeVar("T")

COUNT = 1000
"""Largest page; without `count` Mailchimp sends 10 (https://mailchimp.com/developer/marketing/docs/methods-parameters/)."""
SMALLEST_COUNT = 125
READ_TIMEOUT_S = 130.0
"""The server cuts at 120 s; who gives up earlier still holds one of the ten slots over there."""
BUSY_FIRST_S, BUSY_LONGEST_S = 2.0, 120.0
BLOCKED_WAITS_S = (60.0, 300.0, 900.0)
CUT = "answer cut by the CDN"

AT_ONCE = 10
"""Simultaneous requests of one user, over all keys (https://mailchimp.com/developer/marketing/docs/fundamentals/)."""
CALM = 200
"""Answers without a 429 after which one more request at once is tried again."""

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


_WRITES: tuple[tuple[re.Pattern[str], Callable[[Mapping[str, Any]], bool]], ...] = (
    (re.compile(_IN_AUDIENCE + "segments"), _makes_empty_tag),
    (re.compile(_IN_AUDIENCE + "segments/[0-9]+"), _changes_members),
    (re.compile(_IN_AUDIENCE + "members/[0-9a-f]{32}/tags"), _tags_quietly),
    (re.compile("batches"), _only_reads),
)
"""Every path that may ever be posted to, and what its body may be. No member, no subscription status, nothing else."""


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


def moment(text: Any) -> datetime | None:
    """Naive UTC of an ISO time or 'YYYY-MM-DD HH:MM:SS'; None for "" and what is no time."""
    if not isinstance(text, str) or not text:
        return None
    with suppress(ValueError):
        at = datetime.fromisoformat(text.replace(" ", "T", 1))
        return at.astimezone(UTC).replace(tzinfo=None) if at.tzinfo else at
    return None


@dataclass(frozen=True)
class Rows:
    rows: list[Record]
    total: int


class Gate:
    """At most `workers` requests at once, over all threads: one fewer after each 429, one more after `CALM` good answers."""

    def __init__(self, workers: int) -> None:
        self.most = self.workers = workers
        self._busy = self._calm = 0
        self._free = threading.Condition()

    def __enter__(self) -> None:
        with self._free:
            while self._busy >= self.workers:
                self._free.wait()
            self._busy += 1

    def __exit__(self, *_: object) -> None:
        with self._free:
            self._busy -= 1
            self._free.notify()

    def refused(self) -> None:
        with self._free:
            self.workers, self._calm = max(1, self.workers - 1), 0

    def answered(self) -> None:
        if self.workers == self.most:
            return
        with self._free:
            self._calm += 1
            if self._calm >= CALM:
                self.workers, self._calm = min(self.most, self.workers + 1), 0
                self._free.notify()


class Explain:
    """What a refusal means. Counts refusals in a row per thread, because Mailchimp never says how long to wait."""

    def __init__(self, gate: Gate, jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._gate = gate
        self._jitter = jitter
        self._in_a_row = threading.local()

    def __call__(self, response: Response) -> ApiError | AuthError | None:
        status = response.status_code
        if status < 300:
            self._in_a_row.__dict__.clear()
            self._gate.answered()
            return None
        body = peek(response)
        problem = body if isinstance(body, dict) else None
        if status == 429:
            return self._busy(response)
        if status == 403 and problem is None:
            return self._blocked()
        if status in (502, 504) and problem is None:
            return _cut(response)
        if status < 400 or status >= 500 or status == 408:
            return None
        return _refusal(response, problem or {})

    def _busy(self, response: Response) -> RetryableApiError:
        self._gate.refused()
        ceiling = min(BUSY_LONGEST_S, BUSY_FIRST_S * 2 ** self._next("busy"))
        hint = retry_after_s(response)
        return RetryableApiError(
            "Mailchimp answers too many requests at once (429). Other programs share the limit of ten for each user; "
            "set mailchimp.workers lower if this stays.",
            wait_s=self._jitter(0.0, ceiling) if hint is None else hint,
        )

    def _blocked(self) -> ApiError:
        message = (
            "Mailchimp's network refuses this machine's address (403 without a reason): it was asked too much, or the address "
            "is blocked. The key is not the cause. Wait an hour, or ask Mailchimp to unblock the address."
        )
        times = self._next("blocked")
        if times >= len(BLOCKED_WAITS_S):
            return PermanentApiError(message, code="blocked")
        return RetryableApiError(message, wait_s=BLOCKED_WAITS_S[times], code="blocked")

    def _next(self, name: str) -> int:
        times: int = getattr(self._in_a_row, name, 0)
        setattr(self._in_a_row, name, times + 1)
        return times


def _cut(response: Response) -> ApiError:
    """Their CDN cut a slow call: a big page is asked again in halves by the caller, anything else is repeated."""
    count = parse_qs(urlsplit(response.request.url or "").query).get("count", ["0"])[0]
    message = f"Mailchimp took too long and its network cut the answer ({response.status_code})."
    if response.request.method == "GET" and count.isdigit() and int(count) > SMALLEST_COUNT:
        return PermanentApiError(message, code=CUT)
    return RetryableApiError(message, code=CUT)


def _refusal(response: Response, problem: Mapping[str, Any]) -> ApiError | AuthError:
    """`detail` stays out of every message: it repeats the address it refuses."""
    status = response.status_code
    title = scrub(str(problem.get("title") or "no reason given"))[:80]
    place = f"{response.request.method} {scrub(urlsplit(response.request.url or '').path)}"
    request_id = response.headers.get("X-Request-Id") or str(problem.get("instance") or "")
    if status == 401:
        return AuthError(
            f"Mailchimp refused the key (401, {title}). It was revoked, belongs to a user who left, or to another data centre. "
            "Make a new key in the account's settings, then run `rollcall check`."
        )
    if status == 403 and title == "User Disabled":
        return AuthError("Mailchimp says that the key's user is disabled (403). Use a key of an active user.")
    if status == 403:
        return ScopeError(
            f"Mailchimp does not permit {place} (403, {title}). The role of the key's user or the account's plan does not "
            "include it. Use a key of a manager, or do without this part.",
            scope=place,
            request_id=request_id,
        )
    if status == 426:
        return PermanentApiError("Mailchimp answers encrypted connections only (426). Begin mailchimp.base_url with https://.")
    fields = sorted({str(e.get("field")) for e in problem.get("errors") or [] if isinstance(e, dict) and e.get("field")})
    where = f"; fields: {scrub(', '.join(fields))[:80]}" if fields else ""
    return PermanentApiError(f"Mailchimp refused {place} ({status}, {title}{where}).", code=title, request_id=request_id)


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
        self.count = int(settings.get("page_size") or COUNT)
        self.sleep = sleep
        self.max_wait_s = float(settings.get("max_wait_s", 900))
        self._now_utc = now_utc
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
            timeout_s=settings.get("timeout_s") or READ_TIMEOUT_S,
            connect_timeout_s=settings.get("connect_timeout_s") or 10,
            tries=int(settings.get("tries") or 8),
            max_wait_s=settings.get("max_wait_s", 900),
            sleep=self.sleep,
            now_utc=self._now_utc,
            explain=Explain(self._gate),
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
            centre = data_centre_of(self._token, now_utc=self._now_utc, sleep=self.sleep)
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
        return self.__http.server_now or self._now_utc()

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
        body = self.get(path, wanted, count=count, offset=offset, **params)
        rows = [r for r in body.get(key) or [] if isinstance(r, dict)]
        return Rows(rows, int(body.get("total_items") or 0))

    def window(self, path: str, key: str, fields: Sequence[str], *, offset: int, count: int, **params: str | int) -> Rows:
        """The rows from `offset` to `offset + count`, in halves where Mailchimp cannot do it in one."""
        try:
            return self.page(path, key, fields, offset=offset, count=count, **params)
        except PermanentApiError as e:
            if e.code != CUT:
                raise
        half = max(count // 2, SMALLEST_COUNT)
        log.info("mailchimp: a page of %s took too long, going on with %s", count, half)
        rows: list[Record] = []
        total = 0
        for start in range(offset, offset + count, half):
            part = self.window(path, key, fields, offset=start, count=min(half, offset + count - start), **params)
            rows += part.rows
            total = part.total
            if start + len(part.rows) >= total or not part.rows:
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
        running: deque[Future[T]] = deque()
        with ThreadPoolExecutor(self._gate.most, thread_name_prefix="mailchimp") as pool:
            try:
                for job in jobs:
                    running.append(pool.submit(job))
                    while len(running) > self._gate.workers + max(2, self._gate.workers // 2):
                        yield running.popleft().result()
                while running:
                    yield running.popleft().result()
            finally:
                for waiting in running:
                    waiting.cancel()

    def create_tag(self, name: str) -> Record:
        return self.__write(f"{self.list_path}/segments", {"name": name, "static_segment": []})

    def change_tag(self, tag_id: str, add: Sequence[str], remove: Sequence[str]) -> Record:
        """Put addresses into a tag and take others out, in one call. Doing it twice is harmless."""
        body = {"members_to_add": list(add), "members_to_remove": list(remove)}
        return self.__write(f"{self.list_path}/segments/{tag_id}", {k: v for k, v in body.items() if v})

    def tag_quietly(self, member_id: str, tag_name: str, *, on: bool) -> None:
        """One contact into a tag or out of it, starting no automation. A name that no tag has would become a new tag."""
        tag = {"name": tag_name, "status": "active" if on else "inactive"}
        self.__write(f"{self.list_path}/members/{member_id}/tags", {"tags": [tag], "is_syncing": True})

    def begin_batch(self, operations: Sequence[Record]) -> str:
        """The id of a batch of reads. Not to be repeated blindly: every call is another batch."""
        return str(self.__write("batches", {"operations": list(operations)}).get("id") or "")

    def download(self, url: str, to: Path) -> None:
        """A batch's archive from Mailchimp's storage, without our key."""
        self.__http.download(url, to)

    def __write(self, path: str, body: Mapping[str, Any]) -> Record:
        """The only way to post anything. Raises AmbiguousWriteError when the answer was lost."""
        if not any(p.fullmatch(path) and fits(body) for p, fits in _WRITES):
            raise PermanentApiError(
                "This is no write that Rollcall makes in Mailchimp; nothing was sent.", platform="mailchimp"
            )
        with self._gate:
            answer = self.__http.json(self.__http.post(path, dict(body), repeatable=False))
        return answer if isinstance(answer, dict) else {}
