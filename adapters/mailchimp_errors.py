"""What Mailchimp's refusals mean. The status decides first and the kind of body second.

Mailchimp publishes no rate headers and sends no Retry-After; its CDN answers in HTML.
Docs: https://mailchimp.com/developer/marketing/docs/errors/
"""

from __future__ import annotations

import logging
import math
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from adapters.http import Response, peek, retry_after_s, scrub
from models.errors import ApiError, AuthError, PermanentApiError, RetryableApiError, ScopeError

log = logging.getLogger(__name__)

SMALLEST_COUNT = 125
"""A page of so many rows is repeated as it is; a larger one that takes too long is asked in halves."""
BUSY_FIRST_S, BUSY_LONGEST_S = 2.0, 120.0
BLOCKED_WAITS_S = (60.0, 300.0, 900.0)
FAILED_RETRIES = 5
CUT = "answer cut by the CDN"


class Explain:
    """What a refusal means. Counts refusals in a row per thread, because Mailchimp never says how long to wait.

    answered, refused: told of every good answer and of every "too many at once". centre: the data centre the key names.
    """

    def __init__(
        self,
        answered: Callable[[], None],
        refused: Callable[[], None],
        centre: str = "",
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._answered, self._refused, self._centre, self._jitter = answered, refused, centre, jitter
        self._in_a_row = threading.local()

    def __call__(self, response: Response) -> ApiError | AuthError | None:
        status = response.status_code
        if status < 300:
            self._in_a_row.__dict__.clear()
            self._answered()
            return None
        body = peek(response)
        problem = body if isinstance(body, dict) else None
        if status == 429:
            return self._busy(response)
        if status == 403 and problem is None:
            return self._blocked()
        if status in (502, 504) and problem is None:
            return _cut(response)
        if status in (500, 503):
            return self._failed(response)
        if status < 400 or status >= 500 or status == 408:
            return None
        return _refusal(response, problem or {}, self._centre)

    def _busy(self, response: Response) -> RetryableApiError:
        self._refused()
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

    def _failed(self, response: Response) -> RetryableApiError:
        """Five times more and no longer: what lasts is worth waiting for until the next run."""
        place = scrub(urlsplit(response.request.url or "").path)
        is_over = self._next("failed") >= FAILED_RETRIES
        return RetryableApiError(
            f"Mailchimp failed by itself ({response.status_code}, {place}). What was read is kept; run it again later.",
            wait_s=math.inf if is_over else retry_after_s(response),
        )

    def _next(self, name: str) -> int:
        times: int = getattr(self._in_a_row, name, 0)
        setattr(self._in_a_row, name, times + 1)
        return times


def too_slow(method: str, url: str) -> ApiError | None:
    """A large page that never came is asked again in halves by the caller; anything else is repeated as it is (None)."""
    if not _is_large(method, url):
        return None
    return PermanentApiError("Mailchimp did not answer in time.", platform="mailchimp", code=CUT)


def _cut(response: Response) -> ApiError:
    """Their CDN cut a slow call."""
    message = f"Mailchimp took too long and its network cut the answer ({response.status_code})."
    if _is_large(response.request.method or "", response.request.url or ""):
        return PermanentApiError(message, code=CUT)
    return RetryableApiError(message, code=CUT)


def _is_large(method: str, url: str) -> bool:
    count = parse_qs(urlsplit(url).query).get("count", ["0"])[0]
    return method == "GET" and count.isdigit() and int(count) > SMALLEST_COUNT


def _refusal(response: Response, problem: Mapping[str, Any], centre: str) -> ApiError | AuthError:
    """`detail` stays out of every message: it repeats the address it refuses."""
    status, method = response.status_code, response.request.method
    title = scrub(str(problem.get("title") or "no reason given"))[:80]
    place = f"{method} {scrub(urlsplit(response.request.url or '').path)}"
    request_id = response.headers.get("X-Request-Id") or str(problem.get("instance") or "")
    if request_id:
        log.info("mailchimp: %s refused (%s, %s); Mailchimp's support asks for %s", place, status, title, scrub(request_id))
    if status == 401:
        return AuthError(_wrong_key(title, centre))
    if status == 403 and title == "User Disabled":
        return AuthError("Mailchimp says that the key's user is disabled (403). Use a key of an active user.")
    if status == 403:
        return ScopeError(_not_permitted(place, title), scope=place, request_id=request_id)
    if status == 426:
        return PermanentApiError("Mailchimp answers encrypted connections only (426). Begin mailchimp.base_url with https://.")
    fields = sorted({str(e.get("field")) for e in problem.get("errors") or [] if isinstance(e, dict) and e.get("field")})
    where = f"; fields: {scrub(', '.join(fields))[:80]}" if fields else ""
    return PermanentApiError(f"Mailchimp refused {place} ({status}, {title}{where}).", code=title, request_id=request_id)


def _wrong_key(title: str, centre: str) -> str:
    causes = "It was revoked, or its user left the account"
    if centre:
        causes = (
            f"It was revoked, its user left the account, or the account is in another data centre than '{centre}', which the "
            f"key's end names (its web address would begin with {centre}.admin.mailchimp.com)"
        )
    return (
        f"Mailchimp refused the key (401, {title}). {causes}. "
        "Make a new key in the account's settings, then run `rollcall check`."
    )


def _not_permitted(place: str, title: str) -> str:
    if place.startswith("POST ") and ("/segments" in place or place.endswith("/tags")):
        return (
            f"Mailchimp does not let this key change tags (403, {title}): its user's role permits reading only. "
            "Use the key of a manager, an admin or the owner."
        )
    return (
        f"Mailchimp does not permit {place} (403, {title}). The role of the key's user or the account's plan does not "
        "include it. Use a key of a manager, or do without this part."
    )
