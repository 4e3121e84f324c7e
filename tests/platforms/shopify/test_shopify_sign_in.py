"""Signing in, pace, and what Shopify's refusals mean."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import responses

from adapters import load
from models.errors import AuthError, ConfigError, ConnectorError, PermanentApiError, RetryableApiError

Connect = Callable[..., Any]
OAUTH = "https://morning-roast.myshopify.com/admin/oauth/access_token"
CLIENT = {"store": "morning-roast.myshopify.com", "client_id": "id", "client_secret": "secret", "bulk": "never"}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 12, 0, 0)

    def __call__(self) -> datetime:
        return self.now


class Office:
    """Hands out tokens, each good until the next one is asked for."""

    def __init__(self, shop: Any) -> None:
        self.shop, self.given = shop, 0
        shop.mock.add_callback(responses.POST, OAUTH, callback=self)

    def __call__(self, request: Any) -> tuple[int, dict[str, str], str]:
        sent = request.body if isinstance(request.body, str) else request.body.decode()
        assert sent == "grant_type=client_credentials&client_id=id&client_secret=secret"
        self.given += 1
        self.shop.tokens = {f"shpat_{self.given}"}
        answer = {"access_token": f"shpat_{self.given}", "scope": "read_customers", "expires_in": 86399}
        return 200, {}, json.dumps(answer)


def client(waits: Any, clock: Callable[[], datetime]) -> Any:
    return load("shopify")({**CLIENT, "tries": 4}, now_utc=clock, sleep=waits)


def refuse(shop: Any, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    shop.before.append(lambda d, v: (status, headers or {}, json.dumps(body)))


def test_the_account_says_who_the_shop_is(connect: Connect, shop: Any) -> None:
    account = connect().account()
    assert (account.id, account.name, account.currency) == ("gid://shopify/Shop/7", "Morning Roast", "EUR")
    assert account.timezone == "Europe/Berlin"


def test_a_token_is_asked_for_once_and_renewed_before_it_ends(shop: Any, waits: Any) -> None:
    office, clock = Office(shop), Clock()
    adapter = client(waits, clock)
    adapter.account()
    list(adapter.pages("customers", None))
    assert office.given == 1
    clock.now += timedelta(hours=23, minutes=51)
    list(adapter.pages("customers", None))
    assert office.given == 2


def test_a_token_that_ends_in_the_middle_of_a_walk_is_renewed_and_nothing_is_lost(
    shop: Any, waits: Any, make_customer: Callable[..., Any]
) -> None:
    office = Office(shop)
    shop.rows["customers"] = [make_customer(n, "2026-10-01T00:00:00Z") for n in range(200)]
    pages = client(waits, Clock()).pages("customers", None)
    first = next(pages)
    shop.tokens = {"none of ours"}
    rest = list(pages)
    assert sum(len(p.records) for p in (first, *rest)) == 200
    assert office.given == 2 and waits == [0]


def test_a_renewed_token_that_is_refused_too_ends_the_run(shop: Any, waits: Any) -> None:
    office = Office(shop)
    adapter = client(waits, Clock())
    adapter.account()
    shop.before.append(lambda d, v: (401, {}, json.dumps({"errors": "[API] Invalid API key or access token"})))
    with pytest.raises(AuthError):
        list(adapter.pages("customers", None))
    assert office.given == 2


def test_a_wrong_pasted_token_is_refused_at_once(shop: Any, connect: Connect) -> None:
    with pytest.raises(AuthError) as caught:
        connect(token="shpat_wrong").account()
    assert "shpat_wrong" not in str(caught.value) and caught.value.platform == "shopify"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            {"error": "shop_not_permitted", "error_description": "Client credentials cannot be performed on this shop."},
            r"different organisations\. Create the app in the shop's own Dev Dashboard, or sign in once through the authorization code",
        ),
        ({"error": "app_paused", "error_description": "The app is paused for now."}, "app_paused.*The app is paused for now"),
        ({"error": "invalid_client", "error_description": "no"}, "do not belong together"),
        ({"error": "application_cannot_be_found"}, "client id"),
        ({"error": "something_else"}, "something_else"),
    ],
)
def test_a_refused_sign_in_names_its_true_reason(shop: Any, waits: Any, body: dict[str, str], said: str) -> None:
    shop.mock.add(responses.POST, OAUTH, status=400, json=body)
    with pytest.raises(AuthError, match=said):
        client(waits, Clock()).account()


@pytest.mark.parametrize("status", [402, 403, 423])
def test_a_frozen_shop_is_no_wrong_secret(shop: Any, waits: Any, status: int) -> None:
    shop.mock.add(responses.POST, OAUTH, status=status, json={"errors": "Unavailable Shop"})
    with pytest.raises(PermanentApiError, match="frozen, locked or paused") as refusal:
        client(waits, Clock()).account()
    assert (refusal.value.code, refusal.value.exit_code) == ("SHOP_INACTIVE", 6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"store": "evil.example"}, {"store": "a.myshopify.com@evil.example"}, {"store": "a.myshopify.com/../.."}, {"store": ""},
        {"api_version": "../../evil"}, {"api_version": "2026-13"}, {"api_version": "2026-10/x"},
    ],
)  # fmt: skip
def test_no_name_in_the_configuration_leads_the_token_to_another_place(shop: Any, connect: Connect, wrong: Any) -> None:
    with pytest.raises(ConfigError, match="must look like"):
        connect(**wrong)
    assert shop.asked == []


def test_a_failure_is_logged_with_the_number_support_asks_for(
    shop: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    refuse(shop, 423, {"errors": "Locked"}, {"X-Request-Id": "req-4711"})
    with caplog.at_level(logging.INFO), pytest.raises(PermanentApiError) as refusal:
        connect().account()
    assert refusal.value.request_id == "req-4711" and "request req-4711" in caplog.text


def test_a_throttled_query_waits_until_the_bucket_holds_it_and_costs_no_try(shop: Any, connect: Connect, waits: Any) -> None:
    left = [6]

    def throttle(document: str, variables: dict[str, Any]) -> Any:
        if left[0] == 0:
            return None
        left[0] -= 1
        status = {"maximumAvailable": 1000.0, "currentlyAvailable": 666, "restoreRate": 50.0}
        cost = {"requestedQueryCost": 752, "actualQueryCost": None, "throttleStatus": status}
        error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        return 200, {}, json.dumps({"errors": [error], "extensions": {"cost": cost}})

    shop.before.append(throttle)
    connect(tries=2).account()
    hints = [w for w in waits if w >= 1]
    assert len(hints) == 6 and all(86 / 50 <= w <= 86 / 50 + 0.5 for w in hints)


def test_a_nearly_empty_bucket_is_waited_for_before_the_next_query(
    shop: Any, connect: Connect, waits: Any, make_customer: Callable[..., Any]
) -> None:
    shop.rows["customers"] = [make_customer(n, "2026-10-01T00:00:00Z") for n in range(150)]
    shop.available = 5.0
    list(connect().pages("customers", None))
    assert any(0.5 < w < 2 for w in waits)


def test_429_is_waited_for_as_long_as_it_says(shop: Any, connect: Connect, waits: Any) -> None:
    asked = []

    def busy(document: str, variables: dict[str, Any]) -> Any:
        asked.append(1)
        return (429, {"Retry-After": "4"}, "") if len(asked) < 8 else None

    shop.before.append(busy)
    connect(tries=2).account()
    assert waits == [4] * 7


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (402, {"errors": "Unavailable Shop"}, "SHOP_INACTIVE"),
        (423, {"errors": "Locked"}, "SHOP_INACTIVE"),
        (403, {"errors": "Unavailable Shop"}, "SHOP_INACTIVE"),
        (200, {"errors": [{"message": "x", "extensions": {"code": "BAD_REQUEST"}}]}, "BAD_REQUEST"),
        (404, {"errors": "Not Found"}, "NO_SHOP"),
        (430, {"errors": "no"}, "430"),
        (200, {"errors": "a plain text"}, "errors"),
        (200, {"errors": [{"message": "x", "extensions": {"code": "SHOP_INACTIVE"}}]}, "SHOP_INACTIVE"),
        (200, {"errors": [{"message": "Field 'x' doesn't exist", "extensions": {"code": "undefinedField"}}]}, "undefinedField"),
    ],
)
def test_what_cannot_work_is_said_once_with_its_code(
    shop: Any, connect: Connect, status: int, body: dict[str, Any], code: str
) -> None:
    refuse(shop, status, body)
    with pytest.raises(PermanentApiError) as caught:
        connect().account()
    assert caught.value.code == code and len(shop.asked) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_an_old_public_token_is_told_apart(shop: Any, connect: Connect, status: int) -> None:
    refuse(shop, status, {"errors": "Non-expiring access tokens are no longer accepted for the Admin API"})
    with pytest.raises(AuthError, match="public app"):
        connect().account()


def test_an_internal_error_is_repeated_and_an_answer_without_data_too(shop: Any, connect: Connect) -> None:
    bad = iter(
        (
            {"errors": [{"message": "x", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]},
            {"data": None},
        )
    )
    shop.before.append(lambda d, v: (200, {}, json.dumps(b)) if (b := next(bad, None)) else None)
    assert connect().account().name == "Morning Roast"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 530, 540])
def test_a_passing_trouble_is_waited_out(shop: Any, connect: Connect, status: int) -> None:
    trouble = [(status, {"Retry-After": "1"}, "<html>busy</html>")] * 2
    shop.before.append(lambda d, v: trouble.pop() if trouble else None)
    assert connect().account().name == "Morning Roast"


def test_a_renamed_shop_is_not_followed(shop: Any, connect: Connect) -> None:
    shop.before.append(lambda d, v: (301, {"Location": "https://new-roast.myshopify.com/admin/api"}, ""))
    with pytest.raises(PermanentApiError, match=r"new-roast\.myshopify\.com"):
        connect().account()


def test_an_older_version_in_the_answer_is_a_warning_in_log_and_check(
    shop: Any, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    shop.headers["X-Shopify-API-Version"] = "2027-01"
    with caplog.at_level(logging.WARNING):
        found = {f.name: f for f in connect().check()}
    assert found["API version"].level == "warning" and "2027-01" in found["API version"].text
    assert sum("answered with 2027-01" in r.getMessage() for r in caplog.records) == 1


def test_check_names_every_scope_and_what_it_unlocks(shop: Any, connect: Connect) -> None:
    shop.scopes = ["write_customers", "read_orders"]
    shop.rows["orders"] = [{"id": "gid://shopify/Order/1", "createdAt": "2026-10-01T00:00:00Z"}]
    found = {f.name: f for f in connect().check()}
    assert found["read_customers"].level == "ok"
    assert (found["read_products"].level, found["read_products"].code) == ("error", "scope")
    assert found["order history"].level == "warning" and "2026-10-01" in found["order history"].text
    assert "2027-10-01" in found["API version"].text


def test_check_sees_that_a_plan_withholds_addresses(shop: Any, connect: Connect, make_customer: Callable[..., Any]) -> None:
    for count, level, code in ((1, "warning", "personal_data"), (30, "error", "scope")):
        blank = [make_customer(n, "2026-10-01T00:00:00Z", defaultEmailAddress=None) for n in range(count)]
        shop.rows["customers"] = blank
        found = {f.name: f for f in connect().check()}["personal data"]
        assert (found.level, found.code) == (level, code) and "protected customer data" in found.text


def test_check_does_not_raise_when_the_key_is_refused(shop: Any, connect: Connect) -> None:
    found = connect(token="wrong").check()
    assert [(f.level, f.code) for f in found] == [("error", "auth")]


def test_no_error_shows_a_token_or_an_address(shop: Any, connect: Connect) -> None:
    refuse(
        shop, 200, {"errors": [{"message": "jo@shop.example with shpat_good is bad", "extensions": {"code": "BAD_REQUEST"}}]}
    )
    with pytest.raises(ConnectorError) as caught:
        connect().account()
    assert "jo@" not in str(caught.value) and "shpat_good" not in str(caught.value)


def test_a_dead_shop_is_given_up_after_the_stated_tries(shop: Any, connect: Connect) -> None:
    shop.before.append(lambda d, v: (503, {}, ""))
    with pytest.raises(RetryableApiError):
        connect(tries=3).account()
    assert len(shop.asked) == 3
