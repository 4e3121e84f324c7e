"""Shopify's door: signing in, one GraphQL request, and the pace of its cost bucket.

Sources: https://shopify.dev/docs/api/usage/limits, https://shopify.dev/docs/api/usage/response-codes,
https://shopify.dev/docs/apps/build/authentication-authorization/client-credentials-grant
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from adapters.http import Http, Response, peek
from adapters.shopify_answers import cost_of, explain, explain_sign_in, old_public_token, text_of
from adapters.shopify_documents import API_VERSION, SERVER_TIME
from adapters.shopify_pace import SHARE, CostPace
from models.errors import ApiError, AuthError, ConfigError, RetryableApiError

log = logging.getLogger(__name__)

TIMEOUT_S = 60.0
RENEW_BEFORE = timedelta(minutes=10)
WORKERS = 4
"""Requests at once: one for each stream that is read."""
TOKEN_HEADER = "X-Shopify-Access-Token"  # noqa: S105  # the name of a header, not a secret
VERSION_HEADER = "X-Shopify-API-Version"
VERSION = r"\d{4}-(?:0[1-9]|1[0-2])|unstable"
STORE = r"[a-z0-9][a-z0-9-]*\.myshopify\.com"


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
        self.version = _checked("api_version", str(settings.get("api_version") or API_VERSION), VERSION, API_VERSION)
        self.answered_version = ""
        self._pace = CostPace(share=float(settings.get("budget_pct") or SHARE * 100) / 100)
        self._asking = _Asking()
        host = str(settings.get("base_url") or "")
        host = host or f"https://{_checked('store', str(settings.get('store') or ''), STORE, 'my-shop.myshopify.com')}"
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
        holds: timedelta | None = None,
    ) -> dict[str, Any]:
        """The `data` of one answer, complete. cost: points it is expected to ask for, waited for beforehand. holds: see Http."""
        self._asking.expected = max(1.0, cost)
        body = {"query": document, "variables": variables or {}}
        try:
            response = self.http.request("POST", "graphql.json", json=body, repeatable=repeatable, tries=tries, holds=holds)
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

    def _over(self, used: float | None = None) -> None:
        if self._asking.taken:
            self._pace.end(self._asking.taken, used)
            self._asking.taken = 0.0

    def _after(self, response: Response) -> None:
        answered = response.headers.get(VERSION_HEADER, "")
        if answered and answered != self.answered_version:
            self.answered_version = answered
            if answered != self.version:
                log.warning("shopify: asked for API %s, answered with %s; that version has ended", self.version, answered)
        cost = cost_of(peek(response))
        status = cost.get("throttleStatus") or {}
        self._asking.requested = float(cost.get("requestedQueryCost") or 0)
        self._over(float(cost.get("actualQueryCost") or 0) if "actualQueryCost" in cost else None)
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
        elif error is not None:
            code, request_id = getattr(error, "code", ""), response.headers.get("X-Request-Id", "")
            log.info("shopify: refused (%s, %s), request %s", response.status_code, code or "no code", request_id or "unnamed")
        return error

    def _unauthorized(self, response: Response, body: Any) -> ApiError | AuthError:
        used = response.request.headers.get(TOKEN_HEADER) or ""
        if self._tokens.may_repeat(used if isinstance(used, str) else used.decode()):
            return RetryableApiError("Shopify's token has ended; asking for a new one.", wait_s=0, counts=False)
        if "Non-expiring access tokens" in text_of(body):
            return old_public_token()
        return AuthError(
            "Shopify refused the access token (401): it was revoked, or was never this shop's. Check token, or client id and "
            "secret; then run `rollcall check`. Nothing was lost."
        )


def _checked(name: str, value: str, pattern: str, example: str) -> str:
    """What becomes part of an address, so that no name can lead the token to another place."""
    if not re.fullmatch(pattern, value):
        raise ConfigError(f"shopify.{name} must look like {example}. Nothing was sent.")
    return value
