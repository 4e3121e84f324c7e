"""What Shopify's answers mean: refusals in the owner's words, and what is to be done about them.

Sources: https://shopify.dev/docs/api/usage/response-codes, https://shopify.dev/docs/api/usage/limits,
https://shopify.dev/docs/apps/build/authentication-authorization/client-credentials-grant
"""

from __future__ import annotations

import random
import re
from typing import Any

from adapters.http import Response, peek, scrub
from adapters.shopify_pace import FIRST_PER_S
from models.errors import ApiError, AuthError, PermanentApiError, RetryableApiError, ScopeError

CODE_WAY = "sign in once through the authorization code way (docs/platforms/shopify.md) and paste the token"
HINTS = {
    "shop_not_permitted": "App and shop are in different organisations. Create the app in the shop's own Dev Dashboard, or "
    + CODE_WAY
    + ".",
    "app_not_installed": "The app is not installed on this shop. Install it, then run `rollcall check`.",
    "application_cannot_be_found": "Shopify does not know this client id. Copy it again from the app's settings.",
    "invalid_client": "Client id and secret do not belong together. Copy both again from the app's settings.",
}
WORDS = {"tagsAdd": "adding tags", "tagsRemove": "taking tags off"}
WRAPPERS = frozenset({"nodes", "edges", "node"})
Trail = tuple[str, ...]
"""The names that lead to a field inside one record: ('customer',), ('lineItems', 'product')."""


class ShopClosed(PermanentApiError):
    """The shop is frozen, locked or paused. Not our mistake and not the key's: its owner has to open it again."""

    exit_code = 6


class FieldDenied(ScopeError):
    """Fields inside the records may not be read; the records can be had without them. `trails` lead to the fields."""

    def __init__(self, message: str, *, trails: tuple[Trail, ...], scope: str = "") -> None:
        super().__init__(message, scope=scope)
        self.trails = trails


def explain_sign_in(response: Response) -> ApiError | AuthError | None:
    """What the OAuth address answered. A refused shop is not the same as a wrong secret."""
    if response.status_code < 400 or response.status_code >= 500 or response.status_code == 429:
        return None
    body = peek(response)
    if is_closed(response.status_code, text_of(body)):
        return closed(response.status_code)
    if response.status_code == 404:
        return _no_shop()
    text = f"{body.get('error')} {body.get('error_description')}" if isinstance(body, dict) else response.text[:2000]
    code = next((c for c in HINTS if c in text), "")
    if code:
        return AuthError(f"Shopify gave no token ({code}). {HINTS[code]}")
    named = scrub(str(body.get("error"))) if isinstance(body, dict) else str(response.status_code)
    said = scrub(str(body.get("error_description") or ""))[:200] if isinstance(body, dict) else ""
    reason = f" Shopify says: {said.rstrip('.')}." if said else ""
    return AuthError(f"Shopify gave no token ({named}).{reason} Check client_id and client_secret, then run `rollcall check`.")


def explain(response: Response, body: Any) -> ApiError | AuthError | None:
    """Status and body of a GraphQL answer -> what to do. None: complete data, or let the bare status speak."""
    status, text = response.status_code, text_of(body)
    if is_closed(status, text):
        return closed(status)
    if status in (401, 403) and "Non-expiring access tokens" in text:
        return old_public_token()
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


def is_closed(status: int, text: str) -> bool:
    return status in (402, 423) or (status == 403 and "Unavailable Shop" in text)


def closed(status: int) -> ShopClosed:
    why = f" ({status})" if status != 200 else ""
    return ShopClosed(
        f"Shopify says this shop is frozen, locked or paused{why}; it lets nobody in, us neither. Nothing was lost, and reading "
        "goes on where it stood once the shop is open again: its owner settles that in Shopify, usually under Settings, Plan.",
        code="SHOP_INACTIVE",
    )


def old_public_token() -> AuthError:
    return AuthError(
        "Shopify no longer accepts this public app's old token. "
        "Use an app of the shop's own organisation with client id and secret."
    )


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
        return closed(200)
    if "ACCESS_DENIED" in by_code:
        return _denied([e for e in found if (e.get("extensions") or {}).get("code") == "ACCESS_DENIED"])
    code = next(iter(by_code))
    error = by_code[code]
    message = scrub(str(error.get("message") or "no reason given"))[:300]
    advice = "Ask for less at once." if code == "MAX_COST_EXCEEDED" else "Nothing of the answer was kept."
    return PermanentApiError(f"Shopify refused the request ({code or 'no code'}): {message} {advice}", code=code or "errors")


def _denied(errors: list[dict[str, Any]]) -> ScopeError:
    """A whole list (path of one name) closes its stream; fields inside records can be left out."""
    needs = str((errors[0].get("extensions") or {}).get("requiredAccess") or errors[0].get("message") or "")
    scope = next(iter(re.findall(r"\b(?:read|write)_[a-z_]+", needs)), "")
    paths = [[str(p) for p in e.get("path") or () if isinstance(p, str)] for e in errors]
    named = re.match(r"Access denied for (\w+) field", str(errors[0].get("message") or ""))
    field = named[1] if named and len(paths[0]) == 1 else ".".join(p for p in paths[0] if p not in WRAPPERS)
    field = WORDS.get(field, field)
    lacks = f"The app lacks the scope {scope}." if scope else scrub(needs)[:200]
    message = f"Shopify denies access to {field or 'a field'}. {lacks} Grant it, then run `rollcall check`."
    trails = tuple(dict.fromkeys(tuple(p for p in path[1:] if p not in WRAPPERS) for path in paths))
    return FieldDenied(message, trails=trails, scope=scope) if all(trails) else ScopeError(message, scope=scope)


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
    cost = cost_of(body)
    status = cost.get("throttleStatus") or {}
    missing = float(cost.get("requestedQueryCost") or 0) - float(status.get("currentlyAvailable") or 0)
    return max(1.0, missing / (float(status.get("restoreRate") or 0) or FIRST_PER_S)) + random.uniform(0, 0.5)


def cost_of(body: Any) -> dict[str, Any]:
    extensions = body.get("extensions") if isinstance(body, dict) else None
    cost = extensions.get("cost") if isinstance(extensions, dict) else None
    return cost if isinstance(cost, dict) else {}


def text_of(body: Any) -> str:
    """The `errors` of an answer, when they are plain text."""
    errors = body.get("errors") if isinstance(body, dict) else None
    return errors if isinstance(errors, str) else ""
