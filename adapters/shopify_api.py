"""Shopify's door: signing in, one GraphQL request, the pace of its cost bucket, and what its answers mean.

Sources: https://shopify.dev/docs/api/usage/limits, https://shopify.dev/docs/api/usage/response-codes,
https://shopify.dev/docs/apps/build/authentication-authorization/client-credentials-grant
"""

from __future__ import annotations

import logging
import random
import re
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from adapters.http import Http, Response, peek, scrub
from adapters.shopify_documents import API_VERSION, SERVER_TIME
from adapters.shopify_pace import FIRST_PER_S, CostPace
from models.errors import ApiError, AuthError, PermanentApiError, RetryableApiError, ScopeError

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
RENEW_BEFORE = timedelta(minutes=10)
WORKERS = 4
"""Requests at once: one for each stream that is read."""
TOKEN_HEADER = "X-Shopify-Access-Token"  # noqa: S105  # the name of a header, not a secret
VERSION_HEADER = "X-Shopify-API-Version"
HINTS = {
    "shop_not_permitted": "App and shop are in different organisations. Create the app in the shop's own Dev Dashboard.",
    "app_not_installed": "The app is not installed on this shop. Install it, then run `rollcall check`.",
    "application_cannot_be_found": "Shopify does not know this client id. Copy it again from the app's settings.",
    "invalid_client": "Client id and secret do not belong together. Copy both again from the app's settings.",
}


class Tokens:
    """The access token: pasted once, or asked for with client id and secret and renewed before it ends.

    Safe to share between threads. A token that is refused is renewed once; if its successor is refused too, that is final.
    """

    def __init__(self, settings: dict[str, Any], now_utc: Callable[[], datetime], ask: Callable[[dict[str, str]], Any]) -> None:
        self._static = str(settings.get("token") or "")
        self._client = {
            "client_id": str(settings.get("client_id") or ""),
            "client_secret": str(settings.get("client_secret") or ""),
        }
        self._now_utc, self._ask = now_utc, ask
        self._token, self._renew_at = "", now_utc()
        self._on_trial = False
        self._lock = threading.RLock()

    def current(self) -> str:
        if self._static:
            return self._static
        with self._lock:
            if not self._token or self._now_utc() >= self._renew_at:
                self._renew()
            return self._token

    def _renew(self) -> None:
        answer = self._ask({"grant_type": "client_credentials", **self._client})
        token = answer.get("access_token") if isinstance(answer, dict) else None
        if not token:
            raise AuthError(
                "Shopify gave no token for this client id. Check it, then run `rollcall check`.", platform="shopify"
            )
        life = timedelta(seconds=float(answer.get("expires_in") or 86399))
        self._token, self._renew_at = str(token), self._now_utc() + life - min(RENEW_BEFORE, life / 2)
        log.info("shopify: a new access token, valid for %d minutes", life.total_seconds() // 60)

    def may_repeat(self, refused: str) -> bool:
        """After a 401: True when another token than `refused` can be tried."""
        if self._static:
            return False
        with self._lock:
            if refused != self._token:
                return True
            if self._on_trial:
                return False
            self._token, self._on_trial = "", True
            return True

    def accepted(self) -> None:
        self._on_trial = False


class _Asking(threading.local):
    """What the request of this thread costs: expected, taken out of the bucket for it, and asked for in the end."""

    expected = 1.0
    taken = 0.0
    requested = 0.0


class ShopifyApi:
    """`ask(document, variables)` gives `data`, or raises what has to be done. Safe to share between threads."""

    def __init__(self, settings: dict[str, Any], *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> None:
        self.version = str(settings.get("api_version") or API_VERSION)
        self.answered_version = ""
        self._pace = CostPace()
        self._asking = _Asking()
        host = str(settings.get("base_url") or f"https://{settings.get('store')}")
        options: dict[str, Any] = {
            "platform": "shopify",
            "timeout_s": float(settings.get("timeout_s") or TIMEOUT_S),
            "connect_timeout_s": float(settings.get("connect_timeout_s") or 10),
            "tries": int(settings.get("tries") or 8),
            "max_wait_s": float(settings.get("max_wait_s", 900)),
            "sleep": sleep,
            "now_utc": now_utc,
        }
        door = Http(f"{host}/admin", headers=dict, explain=explain_sign_in, **options)
        self._tokens = Tokens(
            settings,
            now_utc,
            lambda form: door.json(door.request("POST", "oauth/access_token", form=form)),
        )
        self.http = Http(
            f"{host}/admin/api/{self.version}",
            headers=lambda: {TOKEN_HEADER: self._tokens.current()},
            explain=self._explain,
            before=self._before,
            after=self._after,
            workers=WORKERS,
            **options,
        )
        self.now_utc = now_utc

    def ask(
        self,
        document: str,
        variables: dict[str, Any] | None = None,
        *,
        cost: float = 1.0,
        repeatable: bool = True,
        tries: int | None = None,
    ) -> dict[str, Any]:
        """The `data` of one answer, complete. cost: points it is expected to ask for, waited for beforehand."""
        self._asking.expected = max(1.0, cost)
        body = {"query": document, "variables": variables or {}}
        try:
            response = self.http.request("POST", "graphql.json", json=body, repeatable=repeatable, tries=tries)
        finally:
            self._over()
        data = self.http.json(response)["data"]
        assert isinstance(data, dict)  # _explain lets nothing else pass
        return data

    def server_time(self) -> datetime:
        """Shopify's own clock, naive UTC; one cheap request."""
        self.ask(SERVER_TIME)
        return self.http.server_now or self.now_utc()

    @property
    def requested_cost(self) -> float:
        """What this thread's last query asked for, in points."""
        return self._asking.requested

    def _before(self) -> float:
        self._over()
        self._asking.taken = self._asking.expected
        return self._pace.begin(self._asking.taken)

    def _over(self) -> None:
        if self._asking.taken:
            self._pace.end(self._asking.taken)
            self._asking.taken = 0.0

    def _after(self, response: Response) -> None:
        answered = response.headers.get(VERSION_HEADER, "")
        if answered and answered != self.answered_version:
            self.answered_version = answered
            if answered != self.version:
                log.warning("shopify: asked for API %s, answered with %s; that version has ended", self.version, answered)
        cost = _cost(peek(response))
        status = cost.get("throttleStatus") or {}
        self._asking.requested = float(cost.get("requestedQueryCost") or 0)
        self._over()
        if "currentlyAvailable" in status:
            size, per_s = status.get("maximumAvailable"), status.get("restoreRate")
            self._pace.report(float(status["currentlyAvailable"]), size=size, per_s=per_s)

    def _explain(self, response: Response) -> ApiError | AuthError | None:
        body = peek(response)
        if response.status_code == 401:
            return self._unauthorized(response, body)
        error = explain(response, body)
        if error is None and response.status_code == 200:
            self._tokens.accepted()
        return error

    def _unauthorized(self, response: Response, body: Any) -> ApiError | AuthError:
        used = response.request.headers.get(TOKEN_HEADER) or ""
        if self._tokens.may_repeat(used if isinstance(used, str) else used.decode()):
            return RetryableApiError("Shopify's token has ended; asking for a new one.", wait_s=0, counts=False)
        if "Non-expiring access tokens" in _text(body):
            return AuthError(
                "Shopify no longer accepts this public app's old token. "
                "Use an app of the shop's own organisation with client id and secret."
            )
        return AuthError(
            "Shopify refused the access token (401). Check token, or client id and secret; then run `rollcall check`."
        )


def explain_sign_in(response: Response) -> ApiError | AuthError | None:
    """What the OAuth address answered. A refused shop is not the same as a wrong secret."""
    if response.status_code < 400 or response.status_code >= 500 or response.status_code == 429:
        return None
    if response.status_code == 404:
        return _no_shop()
    body = peek(response)
    text = f"{body.get('error')} {body.get('error_description')}" if isinstance(body, dict) else response.text[:2000]
    code = next((c for c in HINTS if c in text), "")
    if code:
        return AuthError(f"Shopify gave no token ({code}). {HINTS[code]}")
    named = scrub(str(body.get("error"))) if isinstance(body, dict) else str(response.status_code)
    return AuthError(f"Shopify gave no token ({named}). Check client_id and client_secret, then run `rollcall check`.")


def explain(response: Response, body: Any) -> ApiError | AuthError | None:
    """Status and body of a GraphQL answer -> what to do. None: complete data, or let the bare status speak."""
    status, text = response.status_code, _text(body)
    if status in (402, 423) or (status == 403 and "Unavailable Shop" in text):
        return _closed(status)
    if status == 403:
        return AuthError(
            f"Shopify refused access (403). {scrub(text)[:200]}".strip() + " Check the app, then run `rollcall check`."
        )
    if status == 404:
        return _no_shop()
    if status == 430:
        return PermanentApiError(
            "Shopify's security check refused the request (430). Try again later, from another network.", code="430"
        )
    if status == 429:
        return RetryableApiError("Shopify asks us to slow down (429).", counts=False)
    if status != 200 or not isinstance(body, dict):
        return None
    errors = body.get("errors")
    if errors:
        return _by_errors(errors, body)
    return _warned(body) or _no_data(body)


def _by_errors(errors: Any, body: dict[str, Any]) -> ApiError | AuthError:
    if not isinstance(errors, list):
        return PermanentApiError(f"Shopify refused the request: {scrub(str(errors))[:300]}", code="errors")
    found: list[dict[str, Any]] = [e if isinstance(e, dict) else {"message": str(e)} for e in errors]
    by_code = {str((e.get("extensions") or {}).get("code") or ""): e for e in found}
    if "THROTTLED" in by_code:
        return RetryableApiError("Shopify's cost bucket is empty.", wait_s=_refill_s(body), counts=False, code="THROTTLED")
    if "INTERNAL_SERVER_ERROR" in by_code:
        return RetryableApiError("Shopify had an internal error.", code="INTERNAL_SERVER_ERROR")
    if "SHOP_INACTIVE" in by_code:
        return _closed(200)
    if "ACCESS_DENIED" in by_code:
        return _denied(by_code["ACCESS_DENIED"])
    code = next(iter(by_code))
    error = by_code[code]
    message = scrub(str(error.get("message") or "no reason given"))[:300]
    advice = "Ask for less at once." if code == "MAX_COST_EXCEEDED" else "Nothing of the answer was kept."
    return PermanentApiError(f"Shopify refused the request ({code or 'no code'}): {message} {advice}", code=code or "errors")


def _denied(error: dict[str, Any]) -> ScopeError:
    needs = str((error.get("extensions") or {}).get("requiredAccess") or error.get("message") or "")
    scope = next(iter(re.findall(r"\b(?:read|write)_[a-z_]+", needs)), "")
    field = ".".join(str(p) for p in error.get("path") or [] if isinstance(p, str))
    lacks = f"The app lacks the scope {scope}." if scope else scrub(needs)[:200]
    return ScopeError(
        f"Shopify denies access to {field or 'a field'}. {lacks} Grant it, then run `rollcall check`.", scope=scope
    )


def _closed(status: int) -> PermanentApiError:
    return PermanentApiError(
        f"The shop is frozen, locked or not available ({status}). Nothing was lost; go on when it is open again.",
        code="SHOP_INACTIVE",
    )


def _no_shop() -> PermanentApiError:
    return PermanentApiError(
        "There is no such shop (404). Check `store`: it is the *.myshopify.com name, not the shop's own domain.", code="NO_SHOP"
    )


def _warned(body: dict[str, Any]) -> PermanentApiError | None:
    """An unknown search field is ignored by Shopify and every row comes back: never take that for the answer."""
    for search in (body.get("extensions") or {}).get("search") or []:
        for warning in search.get("warnings") or []:
            field, code = scrub(str(warning.get("field"))), scrub(str(warning.get("code")))
            return PermanentApiError(
                f"Shopify ignored a search filter on '{field}' ({code}), so its answer is not what was asked for.",
                code="SEARCH_FILTER",
            )
    return None


def _no_data(body: dict[str, Any]) -> RetryableApiError | None:
    return None if isinstance(body.get("data"), dict) else RetryableApiError("Shopify's answer holds no data.")


def _refill_s(body: dict[str, Any]) -> float:
    """https://shopify.dev/docs/api/usage/limits: wait until the bucket holds what is asked for, with jitter."""
    cost = _cost(body)
    status = cost.get("throttleStatus") or {}
    missing = float(cost.get("requestedQueryCost") or 0) - float(status.get("currentlyAvailable") or 0)
    return max(1.0, missing / (float(status.get("restoreRate") or 0) or FIRST_PER_S)) + random.uniform(0, 0.5)


def _cost(body: Any) -> dict[str, Any]:
    extensions = body.get("extensions") if isinstance(body, dict) else None
    cost = extensions.get("cost") if isinstance(extensions, dict) else None
    return cost if isinstance(cost, dict) else {}


def _text(body: Any) -> str:
    """The `errors` of an answer, when they are plain text."""
    errors = body.get("errors") if isinstance(body, dict) else None
    return errors if isinstance(errors, str) else ""
