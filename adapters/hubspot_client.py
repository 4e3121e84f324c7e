"""One polite conversation with HubSpot: token, pacing, refusals in words, and one door for writes.

Docs: https://developers.hubspot.com/docs/api-reference/latest (dated paths; every region answers at the same host).
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapters.http import Http, Response, peek, retry_after_s
from adapters.hubspot_answers import error_code, next_after, not_permitted, refused
from adapters.hubspot_door import is_allowed, is_read
from adapters.hubspot_limits import SHARE, AssociationWindow, RateWindow, search_pace
from models.errors import ApiError, AuthError, ConfigError, PermanentApiError, QuotaExhausted, RetryableApiError

T = TypeVar("T")
log = logging.getLogger(__name__)

HOST = "https://api.hubapi.com"
API_VERSION = "2026-09"  # https://developers.hubspot.com/docs/developer-tooling/platform/versioning
SUPPORTED_UNTIL = {"2026-03": date(2027, 9, 30), "2026-09": date(2028, 3, 31)}  # HubSpot names the month only
VERSION = re.compile(r"20\d\d-(03|09)")
LISTS_BY_CURSOR_SINCE = "2026-09"

BATCH = 100  # inputs of a batch read
ASSOCIATION_BATCH = 1000
OLD_API_KEY = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

LOCK_WAIT_S = 2.0  # a lock on a record lasts two seconds
SEARCH_WAIT_S = 1.5
SMALLEST = 10
TOO_SLOW = (0, 504, 524)  # 0: no answer in time
SHORT_TRIES = 2
PASSING = frozenset({408, 500, 502, 503, 504, 521, 522, 523, 524, 525, 526, 530})

Json = dict[str, Any]


class _Own(threading.local):
    """How often this thread has written."""

    writes = 0


class HubspotClient:
    """settings: base_url, token, api_version, timeout_s, connect_timeout_s, tries, max_wait_s (0 or '' = our own choice)."""

    def __init__(self, settings: Json, *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        self.version: str = settings.get("api_version") or API_VERSION
        if not VERSION.fullmatch(self.version):
            raise ConfigError(
                f'hubspot.api_version = "{self.version}" is no version of HubSpot\'s API: write {" or ".join(SUPPORTED_UNTIL)}, '
                f"or leave it out for {API_VERSION}."
            )
        self.now_utc = now_utc
        self.sleep = sleep
        self.has_property = bool(settings.get("hubspot_property"))
        self.list_folder = str(settings.get("list_folder") or "").strip()
        self.fields: set[str] = set()  # properties that profile columns may be written to
        self.window = RateWindow(now_utc, share=float(settings.get("budget_pct") or SHARE * 100) / 100)
        self._token = re.sub(r"(?i)^bearer\s+", "", str(settings.get("token") or "").strip())
        self._zone: str | None = None
        self._asking = threading.Lock()
        self._own = _Own()
        self._sizes: dict[str, int] = {}
        self.currency = ""

        def talk(before: Callable[[], float], after: Callable[[Response], None] | None) -> Http:
            return Http(
                settings.get("base_url") or HOST,
                platform="hubspot",
                headers=self._headers,
                timeout_s=settings.get("timeout_s") or 60,
                connect_timeout_s=settings.get("connect_timeout_s") or 10,
                tries=settings.get("tries") or 8,
                max_wait_s=settings.get("max_wait_s") or 900,
                sleep=sleep,
                now_utc=now_utc,
                explain=self.explain,
                before=before,
                after=after,
            )

        def learn(response: Response) -> None:
            self.window.learn(response.headers)

        self.http = talk(self.window.wait_s, learn)
        self._association_http = talk(AssociationWindow(self.window).wait_s, learn)
        self._search_http = talk(search_pace(now_utc).wait_s, None)

    @property
    def writes(self) -> int:
        """How many writes of this thread HubSpot took."""
        return self._own.writes

    @property
    def server_now(self) -> datetime:
        """The server's clock (naive UTC, whole seconds); ours until it has answered once."""
        return self.http.server_now or self._search_http.server_now or self.now_utc()

    def path(self, area: str, rest: str) -> str:
        """`path("crm/objects", "contacts")` is /crm/objects/2026-09/contacts."""
        return f"/{area}/{self.version}/{rest}".rstrip("/")

    def get(self, path: str, params: Json | None = None, *, tries: int | None = None) -> Json:
        self._keep_reserve()
        return self._body(self.http, self.http.request("GET", path, params=params, tries=tries))

    def ask(self, path: str, body: Json, params: Json | None = None, *, tries: int | None = None) -> Json:
        """A read that HubSpot wants as POST; searches and associations keep paces of their own."""
        if not is_read(path):
            raise ValueError(f"{path} is not known to be a read")
        self._keep_reserve()
        http = self.http
        if path.startswith("/crm/objects/") and path.endswith("/search"):
            http = self._search_http
        elif path.startswith("/crm/associations/"):
            http = self._association_http
        return self._body(http, http.request("POST", path, json=body, params=params, tries=tries))

    def write(self, method: str, path: str, body: Json, *, holds: timedelta | None = None) -> Json:
        """The only door for writes; raises AmbiguousWriteError when the answer is lost. holds: see Http."""
        if not is_allowed(method, path, body, with_property=self.has_property, folder=self.list_folder, fields=self.fields):
            raise ValueError(f"{method} {path} is not among the writes we allow ourselves")
        self._keep_reserve()
        answer = self.http.request(method, path, json=body, repeatable=False, holds=holds)
        self._own.writes += 1
        return self._body(self.http, answer)

    def walk(self, path: str, params: Json, after: str = "") -> Iterator[tuple[list[Json], str]]:
        """Pages of a GET collection as (results, what to ask next; '' at the end)."""
        while True:

            def page(size: int, tries: int | None, at: str = after) -> Json:
                more = {"after": at} if at else {}
                return self.get(path, {**params, **more, "limit": size}, tries=tries)

            body = self.gently(path, int(params["limit"]), page)
            following = next_after(body)
            if following and following == after:
                raise PermanentApiError(
                    "HubSpot sent the same page twice. Nothing was lost; try again later.", platform="hubspot"
                )
            yield body.get("results") or [], following
            if not following:
                return
            after = following

    def gently(self, what: str, most: int, call: Callable[[int, int | None], T]) -> T:
        """`call(size, tries)` with a size that is halved while the answer takes HubSpot too long; kept for this run."""
        while True:
            size = min(most, self._sizes.get(what, most))
            try:
                return call(size, SHORT_TRIES if size > SMALLEST else None)
            except QuotaExhausted:
                raise
            except RetryableApiError as e:
                if size <= SMALLEST:
                    raise
                if e.status not in TOO_SLOW:
                    return call(size, None)
                self._sizes[what] = max(SMALLEST, size // 2)
                log.info("HubSpot takes too long for %d at once (%s); from now on %d", size, what, self._sizes[what])

    def account(self) -> Json:
        """portalId, timeZone, companyCurrency, accountType, uiDomain of whom the token belongs to."""
        details = self.get(self.path("account-info", "details"))
        self._zone = str(details.get("timeZone") or "UTC")
        self.currency = str(details.get("companyCurrency") or "")
        return details

    def know_account(self) -> None:
        """Learn the account's time zone (the quota of a day begins at its midnight) and its currency, once."""
        with self._asking:
            if self._zone is not None:
                return
            try:
                self.account()
            except PermanentApiError as e:
                self._zone = "UTC"
                log.debug("account details are not to be had (%s); the quota's day is taken to begin at midnight UTC", e.status)

    def explain(self, response: Response) -> ApiError | AuthError | None:
        """Section by section of https://developers.hubspot.com/docs/api-reference/error-handling: what to do next."""
        status = response.status_code
        if status < 400:
            return None
        body = _error_body(response)
        request_id = str(body.get("correlationId") or response.headers.get("X-HubSpot-Correlation-Id") or "")
        known: Json = {"platform": "hubspot", "status": status, "request_id": request_id}
        code = error_code(body)
        log.info("HubSpot answered %d (%s), request %s", status, code or "no code", request_id or "unknown")
        asked_s = retry_after_s(response)
        if status == 401:
            return _refused_token(code)
        if status == 403:
            return not_permitted(body, request_id)
        if status == 429:
            return self._limited(body, response, asked_s, known)
        if status == 477:
            wait_s = asked_s or 3600.0
            return QuotaExhausted(
                "HubSpot is moving this account to another data centre (477). The run stops here; it goes on after "
                f"{self._later(wait_s)}.", wait_s=wait_s, code="MIGRATION", **known,
            )  # fmt: skip
        if status == 423:
            lock_s = max(LOCK_WAIT_S, asked_s or 0)
            return RetryableApiError("HubSpot has locked these records for a moment (423).", wait_s=lock_s, code=code, **known)
        if status in PASSING:
            return RetryableApiError(f"HubSpot could not answer ({status}).", wait_s=asked_s, code=code, **known)
        words = f" ({code})" if code else ""
        return refused(body, f"HubSpot refused the request with {status}{words}.", code=code, **known)

    def _limited(self, body: Json, response: Response, asked_s: float | None, known: Json) -> RetryableApiError:
        policy = str(body.get("policyName") or "").upper()
        if "DAILY" in policy or "daily limit" in str(body.get("message") or "").lower():
            wait_s = asked_s or self.until_midnight_s()
            return QuotaExhausted(
                "The HubSpot account's quota of the day is used up (429). The run stops here; it goes on after "
                f"{self._later(wait_s)} (midnight in the account's time zone).", wait_s=wait_s, code=policy or "DAILY", **known,
            )  # fmt: skip
        is_search = (response.request.path_url or "").split("?")[0].endswith("/search")
        pause_s = asked_s or (SEARCH_WAIT_S if is_search or policy.startswith("SECONDLY") else self.window.pause_s())
        return RetryableApiError(
            "HubSpot asked for a pause (429).", wait_s=pause_s, counts=False, code=policy or "RATE_LIMIT", **known
        )

    def until_midnight_s(self) -> float:
        """Seconds until the account's day ends."""
        now = self._there(self.server_now)
        tomorrow = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
        return (tomorrow.astimezone(UTC) - now.astimezone(UTC)).total_seconds()

    def _later(self, wait_s: float) -> str:
        return f"{self.server_now + timedelta(seconds=wait_s):%Y-%m-%d %H:%M} UTC"

    def _there(self, at: datetime) -> datetime:
        """A naive UTC time in the account's time zone."""
        try:
            zone = ZoneInfo(self._zone or "UTC")
        except (ZoneInfoNotFoundError, ValueError):
            zone = ZoneInfo("UTC")
        return at.replace(tzinfo=UTC).astimezone(zone)

    def _keep_reserve(self) -> None:
        window = self.window
        if not window.is_daily_reserve_reached:
            return
        if window.daily_at and self._there(window.daily_at).date() < self._there(self.now_utc()).date():
            window.new_day()
            return
        wait_s = self.until_midnight_s()
        raise QuotaExhausted(
            f"Only {window.daily_remaining} of {window.daily_max} HubSpot requests are left for today, and they "
            f"belong to all of the account's apps. The run stops here; it goes on after {self._later(wait_s)} "
            "(midnight in the account's time zone).", wait_s=wait_s, platform="hubspot", code="DAILY_RESERVE",
        )  # fmt: skip

    def _headers(self) -> dict[str, str]:
        if not self._token or OLD_API_KEY.fullmatch(self._token):
            raise AuthError(
                "The HubSpot token is empty or an old API key, which HubSpot no longer accepts. Make a service key under "
                "Development > Keys > Service keys, put it where hubspot.token says, then run `rollcall check`.",
                platform="hubspot",
            )
        return {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}

    def _body(self, http: Http, response: Response) -> Json:
        body: Json = http.json(response) or {}
        for warning in body.get("warnings") or ():
            log.warning("HubSpot says %s", warning.get("category") if isinstance(warning, dict) else "something unreadable")
        return body


def _refused_token(code: str) -> AuthError:
    """A key that was rotated works for seven days more at most; one that was deleted stops at once."""
    why = (
        "has expired, or was rotated" if code == "EXPIRED_AUTHENTICATION" else "was not accepted: mistyped, deleted or rotated"
    )
    return AuthError(
        f"The HubSpot token {why} (401). Make a service key under Development > Keys > Service keys, put it where "
        "hubspot.token says, then run `rollcall check`.",
        platform="hubspot",
    )


def _error_body(response: Response) -> Json:
    body = peek(response)
    return body if isinstance(body, dict) else {}
