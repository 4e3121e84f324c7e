"""The connection to Mailchimp: where it is, what its refusals mean, and the only two writes there are.

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
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

from adapters.base import Record
from adapters.http import Http, Response, peek, retry_after_s, scrub
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

_DATA_CENTRE = re.compile(r"[a-z]{2}[0-9]+")
_ID = re.compile(r"[A-Za-z0-9_-]+")
_WRITES: tuple[tuple[re.Pattern[str], frozenset[str]], ...] = (
    (re.compile(r"lists/[A-Za-z0-9_-]+/segments"), frozenset({"name", "static_segment"})),
    (re.compile(r"lists/[A-Za-z0-9_-]+/segments/[0-9]+"), frozenset({"members_to_add", "members_to_remove"})),
)
"""Every path that may ever be posted to, and every key its body may have. No member, no status, nothing else."""


def base_url(settings: Mapping[str, Any]) -> str:
    """The address of the API. The key's suffix names a data centre and can never name another host."""
    if settings.get("base_url"):
        return f"{settings['base_url']}/3.0"
    centre = data_centre(str(settings["token"]))
    return f"https://{centre}.api.mailchimp.com/3.0" if centre else "https://api.mailchimp.com/3.0"


def data_centre(token: str) -> str:
    """'us6' of `...-us6`; '' where the key has none (then the one host for every account serves)."""
    _, dash, suffix = token.rpartition("-")
    return suffix if dash and _DATA_CENTRE.fullmatch(suffix) else ""


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


class Explain:
    """What a refusal means. Counts refusals in a row per thread, because Mailchimp never says how long to wait."""

    def __init__(self, on_busy: Callable[[], None], jitter: Callable[[float, float], float] = random.uniform) -> None:
        self._on_busy = on_busy
        self._jitter = jitter
        self._in_a_row = threading.local()

    def __call__(self, response: Response) -> ApiError | AuthError | None:
        status = response.status_code
        if status < 300:
            self._in_a_row.__dict__.clear()
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
        self._on_busy()
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
    fields = sorted({str(e.get("field")) for e in problem.get("errors") or [] if isinstance(e, dict) and e.get("field")})
    where = f"; fields: {scrub(', '.join(fields))[:80]}" if fields else ""
    return PermanentApiError(f"Mailchimp refused {place} ({status}, {title}{where}).", code=title, request_id=request_id)


class Api:
    """Everything that is ever asked of one audience. The HTTP door itself is out of reach: there is no general write.

    At most `workers` requests run at once, writes included; after a 429 one fewer is read ahead.
    """

    def __init__(self, settings: Mapping[str, Any], *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        self.audience = str(settings["audience"])
        if not _ID.fullmatch(self.audience):
            raise ConfigError(
                "mailchimp.audience is not an audience id. It looks like a1b2c3d4e5: see Audience, Settings, Audience name."
            )
        self.list_path = f"lists/{self.audience}"
        self.workers = int(settings.get("workers") or 4)
        self.count = int(settings.get("page_size") or COUNT)
        self.sleep = sleep
        self._now_utc = now_utc
        key = authorization(str(settings["token"]))
        self.__http = Http(
            base_url(settings),
            platform="mailchimp",
            headers=lambda: {"Authorization": key},
            timeout_s=settings.get("timeout_s") or READ_TIMEOUT_S,
            connect_timeout_s=settings.get("connect_timeout_s") or 10,
            tries=int(settings.get("tries") or 8),
            max_wait_s=settings.get("max_wait_s", 900),
            sleep=sleep,
            now_utc=now_utc,
            explain=Explain(self._be_slower),
            workers=self.workers,
        )

    def server_now(self) -> datetime:
        """Mailchimp's own clock at its last answer (naive UTC), ours before there was one."""
        return self.__http.server_now or self._now_utc()

    def get(self, path: str, fields: str, **params: str | int) -> Record:
        """One object. `fields` is never left out: without it most of an answer is links."""
        body = self.__http.json(self.__http.get(path, {"fields": fields, **params}))
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
        """The results of `jobs` in their order, with a few of them running ahead."""
        running: deque[Future[T]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="mailchimp") as pool:
            try:
                for job in jobs:
                    running.append(pool.submit(job))
                    while len(running) >= self.workers:
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

    def __write(self, path: str, body: Mapping[str, Any]) -> Record:
        """The only way to change anything. Raises AmbiguousWriteError when the answer was lost."""
        if not any(p.fullmatch(path) and keys.issuperset(body) for p, keys in _WRITES) or body.get("static_segment"):
            raise PermanentApiError(
                "This is no write that Rollcall makes in Mailchimp; nothing was sent.", platform="mailchimp"
            )
        answer = self.__http.json(self.__http.post(path, dict(body), repeatable=False))
        return answer if isinstance(answer, dict) else {}

    def _be_slower(self) -> None:
        self.workers = max(1, self.workers - 1)
