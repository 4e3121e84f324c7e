"""One polite conversation with HubSpot: token, pacing, refusals in words, and one door for writes.

Docs: https://developers.hubspot.com/docs/api-reference/latest (dated paths; every region answers at the same host).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from adapters.http import Http, Response, peek, retry_after_s
from adapters.hubspot_limits import RateWindow, search_pace
from models.errors import ApiError, AuthError, PermanentApiError, QuotaExhausted, RetryableApiError, ScopeError

log = logging.getLogger(__name__)

HOST = "https://api.hubapi.com"
API_VERSION = "2026-09"  # https://developers.hubspot.com/docs/developer-tooling/platform/versioning
SUPPORTED_UNTIL = {"2026-03": "2027-09", "2026-09": "2028-03"}

BATCH = 100  # inputs of a batch read
ASSOCIATION_BATCH = 1000
OLD_API_KEY = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")

LOCK_WAIT_S = 2.0  # a lock on a record lasts two seconds
SEARCH_WAIT_S = 1.5
PASSING = frozenset({408, 500, 502, 503, 504, 521, 522, 523, 524, 525, 526, 530})

Json = dict[str, Any]

READS_BY_POST = re.compile(
    r"/crm/objects/[\d-]+/\w+/(search|batch/read)|/crm/associations/[\d-]+/\w+/\w+/batch/read|/crm/lists/[\d-]+/all"
)
WRITES = (
    ("POST", re.compile(r"/crm/lists/[\d-]+")),
    ("PUT", re.compile(r"/crm/lists/[\d-]+/\d+/memberships/add-and-remove")),
)
"""All we ever write: a new empty list, and who is on a list. No path of a contact, of consent or of a deletion."""


class HubspotClient:
    """settings: base_url, token, api_version, timeout_s, connect_timeout_s, tries, max_wait_s (0 or '' = our own choice)."""

    def __init__(self, settings: Json, *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        self.version: str = settings.get("api_version") or API_VERSION
        self.now_utc = now_utc
        self.window = RateWindow(now_utc)
        self._token = str(settings.get("token") or "").strip()
        self._zone: str | None = None
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

        self.http = talk(self.window.wait_s, lambda response: self.window.learn(response.headers))
        self._search_http = talk(search_pace(now_utc).wait_s, None)

    @property
    def server_now(self) -> datetime:
        """The server's clock (naive UTC, whole seconds); ours until it has answered once."""
        return self.http.server_now or self._search_http.server_now or self.now_utc()

    def path(self, area: str, rest: str) -> str:
        """`path("crm/objects", "contacts")` is /crm/objects/2026-09/contacts."""
        return f"/{area}/{self.version}/{rest}".rstrip("/")

    def get(self, path: str, params: Json | None = None) -> Json:
        self._keep_reserve()
        return self._body(self.http, self.http.get(path, params))

    def ask(self, path: str, body: Json, params: Json | None = None) -> Json:
        """A read that HubSpot wants as POST; searches keep their own slower pace."""
        if not READS_BY_POST.fullmatch(path):
            raise ValueError(f"{path} is not known to be a read")
        self._keep_reserve()
        http = self._search_http if path.endswith("/search") else self.http
        return self._body(http, http.post(path, body, params, repeatable=True))

    def write(self, method: str, path: str, body: Json) -> Json:
        """The only door for writes; raises AmbiguousWriteError when the answer is lost."""
        if not any(method == verb and allowed.fullmatch(path) for verb, allowed in WRITES):
            raise ValueError(f"{method} {path} is not among the writes we allow ourselves")
        self._keep_reserve()
        call = self.http.put if method == "PUT" else self.http.post
        return self._body(self.http, call(path, body, repeatable=False))

    def walk(self, path: str, params: Json, after: str = "") -> Iterator[tuple[list[Json], str]]:
        """Pages of a GET collection as (results, what to ask next; '' at the end)."""
        while True:
            body = self.get(path, {**params, "after": after} if after else params)
            following = next_after(body)
            if following and following == after:
                raise PermanentApiError(
                    "HubSpot sent the same page twice. Nothing was lost; try again later.", platform="hubspot"
                )
            yield body.get("results") or [], following
            if not following:
                return
            after = following

    def account(self) -> Json:
        """portalId, timeZone, companyCurrency, accountType, uiDomain of whom the token belongs to."""
        details = self.get(self.path("account-info", "details"))
        self._zone = str(details.get("timeZone") or "UTC")
        self.currency = str(details.get("companyCurrency") or "")
        return details

    def know_account(self) -> None:
        """Learn the account's time zone (the quota of a day begins at its midnight) and its currency, once."""
        if self._zone is not None:
            return
        self._zone = "UTC"
        try:
            self.account()
        except PermanentApiError as e:
            log.debug("account details are not to be had (%s); the day's quota is taken to begin at midnight UTC", e.status)

    def explain(self, response: Response) -> ApiError | AuthError | None:
        """Section by section of https://developers.hubspot.com/docs/api-reference/error-handling: what to do next."""
        status = response.status_code
        if status < 400:
            return None
        body = _error_body(response)
        request_id = str(body.get("correlationId") or response.headers.get("X-HubSpot-Correlation-Id") or "")
        known: Json = {"platform": "hubspot", "status": status, "request_id": request_id}
        code = error_code(body)
        asked_s = retry_after_s(response)
        if status == 401:
            return AuthError(
                f"HubSpot refused the token ({status}, request {request_id or 'unknown'}). "
                "Make a service key under Development > Keys > Service keys and name it in hubspot.token.",
                platform="hubspot",
            )
        if status == 403:
            return _not_permitted(body, request_id)
        if status == 429:
            return self._limited(body, response, asked_s, known)
        if status == 477:
            return QuotaExhausted(
                "HubSpot is moving this account to another data centre (477). The run stops here and goes on later.",
                wait_s=asked_s or 3600, code="MIGRATION", **known,
            )  # fmt: skip
        if status == 423:
            wait_s = max(LOCK_WAIT_S, asked_s or 0)
            return RetryableApiError("HubSpot has locked these records for a moment (423).", wait_s=wait_s, code=code, **known)
        if status in PASSING:
            return RetryableApiError(f"HubSpot could not answer ({status}).", wait_s=asked_s, code=code, **known)
        words = f" ({code})" if code else ""
        return PermanentApiError(f"HubSpot refused the request with {status}{words}.", code=code, **known)

    def _limited(self, body: Json, response: Response, asked_s: float | None, known: Json) -> RetryableApiError:
        policy = str(body.get("policyName") or "").upper()
        if "DAILY" in policy:
            return QuotaExhausted(
                "The HubSpot account's quota of the day is used up (429). The run stops here and goes on after midnight there.",
                wait_s=self.until_midnight_s(), code=policy, **known,
            )  # fmt: skip
        is_search = (response.request.path_url or "").split("?")[0].endswith("/search")
        wait_s = asked_s or (SEARCH_WAIT_S if is_search or policy.startswith("SECONDLY") else self.window.pause_s())
        return RetryableApiError(
            "HubSpot asked for a pause (429).", wait_s=wait_s, counts=False, code=policy or "RATE_LIMIT", **known
        )

    def until_midnight_s(self) -> float:
        """Seconds until the account's day ends."""
        try:
            zone = ZoneInfo(self._zone or "UTC")
        except (ZoneInfoNotFoundError, ValueError):
            zone = ZoneInfo("UTC")
        now = self.server_now.replace(tzinfo=UTC).astimezone(zone)
        tomorrow = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), zone)
        return (tomorrow.astimezone(UTC) - now.astimezone(UTC)).total_seconds()

    def _keep_reserve(self) -> None:
        if self.window.is_daily_reserve_reached:
            raise QuotaExhausted(
                f"Only {self.window.daily_remaining} of {self.window.daily_max} HubSpot requests are left for today, and they "
                "belong to all of the account's apps. The run stops here and goes on after midnight there.",
                wait_s=self.until_midnight_s(), platform="hubspot", code="DAILY_RESERVE",
            )  # fmt: skip

    def _headers(self) -> dict[str, str]:
        if not self._token or OLD_API_KEY.fullmatch(self._token):
            raise AuthError(
                "The HubSpot token is empty or an old API key, which HubSpot no longer accepts. "
                "Make a service key under Development > Keys > Service keys and name it in hubspot.token.",
                platform="hubspot",
            )
        return {"Authorization": f"Bearer {self._token}", "Accept": "application/json"}

    def _body(self, http: Http, response: Response) -> Json:
        body: Json = http.json(response) or {}
        for warning in body.get("warnings") or ():
            log.warning("HubSpot says %s", warning.get("category") if isinstance(warning, dict) else "something unreadable")
        return body


def next_after(body: Json) -> str:
    """The durable cursor of the next page; `paging.next.link` is wrong in dated versions and not looked at."""
    following = (body.get("paging") or {}).get("next") or {}
    return str(following.get("after") or "")


def error_code(body: Json) -> str:
    """HubSpot's own word for a refusal: the narrowest there is. Never the message, which may quote a record."""
    first = next((e for e in body.get("errors") or () if isinstance(e, dict)), {})
    return str(body.get("subCategory") or first.get("subCategory") or first.get("code") or body.get("category") or "")


def has_real_errors(answer: dict[str, Any]) -> bool:
    """True when a 207 holds anything but ids that are not there or have nothing attached."""
    for error in answer.get("errors") or ():
        words = f"{error.get('category')} {error.get('subCategory')}" if isinstance(error, dict) else ""
        if "NOT_FOUND" not in words and "NO_ASSOCIATIONS" not in words:
            return True
    return False


def missing_scopes(body: Json) -> list[str]:
    """The scopes a 403 names, wherever it names them."""
    contexts = [body.get("context"), *(e.get("context") for e in body.get("errors") or () if isinstance(e, dict))]
    named = {
        scope
        for context in contexts if isinstance(context, dict)
        for key, scopes in context.items() if "scope" in key.lower() and isinstance(scopes, list)
        for scope in scopes
    }  # fmt: skip
    return sorted(str(s) for s in named)


def _not_permitted(body: Json, request_id: str) -> ScopeError:
    scopes = missing_scopes(body)
    if scopes:
        text = f"The HubSpot token lacks {' or '.join(scopes)} (403). Add it to the service key, then run `rollcall check`."
    elif error_code(body) == "MISSING_SCOPES":
        text = "The HubSpot token lacks a scope (403). `rollcall check` says which feature needs which."
    else:
        text = "HubSpot does not permit this (403): the subscription or the token does not include it."
    return ScopeError(text, scope=" ".join(scopes), platform="hubspot", request_id=request_id)


def _error_body(response: Response) -> Json:
    body = peek(response)
    return body if isinstance(body, dict) else {}
