"""HubSpot's limits and refusals: wait as long as asked, stop in time, say what to do."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.hubspot_objects import CONTACTS
from models.errors import AuthError, ConfigError, PermanentApiError, QuotaExhausted, RetryableApiError, ScopeError

JSON = {"Content-Type": "application/json"}


def limited(policy: str) -> Any:
    return 429, JSON, f'{{"status":"error","errorType":"RATE_LIMIT","correlationId":"c","policyName":"{policy}"}}'


def test_a_full_bucket_is_waited_out_however_often_it_is_full(server: Any) -> None:
    server.once("account-info", limited("TEN_SECONDLY_ROLLING"), times=7)
    assert server.adapter().account().id == "4711"
    assert server.waits == [10.0] * 7


def test_a_hint_in_seconds_wins(server: Any) -> None:
    server.once("account-info", (429, {**JSON, "Retry-After": "3"}, "{}"))
    server.adapter().account()
    assert server.waits == [3.0]


def test_a_limited_search_waits_a_second_or_two(server: Any) -> None:
    server.add("1")
    server.once("search", limited("SECONDLY"))
    list(server.adapter().pages("contacts", None))
    assert 1 <= max(server.waits) <= 2


def test_the_days_quota_stops_the_run_until_the_accounts_midnight(server: Any) -> None:
    server.add("1")
    server.once("GET /crm/objects", limited("DAILY"))
    with pytest.raises(QuotaExhausted) as stopped:
        list(server.adapter().pages("contacts", None))
    assert stopped.value.wait_s == 11 * 3600  # 12:00 UTC is 13:00 in Berlin
    assert max(server.waits, default=0) < 1


@pytest.mark.parametrize(
    ("body", "headers", "wait_s"),
    [
        ('{"message":"You have reached your daily limit."}', {}, 11 * 3600),
        ('{"policyName":"DAILY"}', {"Retry-After": "600"}, 600),
        ('{"category":"RATE_LIMITS","policyName":"daily"}', {}, 11 * 3600),
    ],
)
def test_the_days_quota_is_known_by_any_of_its_signs_and_says_when_it_goes_on(
    server: Any, body: str, headers: dict[str, str], wait_s: float
) -> None:
    adapter = server.adapter()
    adapter.account()
    server.once("GET /crm/objects", (429, {**JSON, **headers}, body))
    with pytest.raises(QuotaExhausted, match=r"goes on after 2026-11-21 (23:00|12:10) UTC") as stopped:
        list(adapter.pages("contacts", None))
    assert stopped.value.wait_s == wait_s


def test_the_deprecated_limit_of_a_second_is_not_believed(server: Any) -> None:
    left = {**JSON, "X-HubSpot-RateLimit-Max": "190", "X-HubSpot-RateLimit-Remaining": "180"}
    secondly = {"X-HubSpot-RateLimit-Secondly": "1", "X-HubSpot-RateLimit-Secondly-Remaining": "0"}
    server.once("account-info", (200, {**left, **secondly}, '{"portalId":1}'), times=100)
    adapter = server.adapter()
    for _ in range(90):
        adapter.account()
    assert server.waits == []


def test_a_reserve_of_the_day_is_left_to_the_owners_other_apps(server: Any) -> None:
    left = {**JSON, "X-HubSpot-RateLimit-Daily": "250000", "X-HubSpot-RateLimit-Daily-Remaining": "12499"}
    server.once("account-info", (200, left, '{"portalId":1,"timeZone":"UTC"}'))
    adapter = server.adapter()
    adapter.account()
    with pytest.raises(QuotaExhausted) as stopped:
        list(adapter.pages("contacts", None))
    assert stopped.value.wait_s == 12 * 3600
    assert len(server.calls) == 1


def test_the_size_of_the_bucket_is_learnt_and_its_head_room_kept(server: Any) -> None:
    left = {**JSON, "X-HubSpot-RateLimit-Max": "190", "X-HubSpot-RateLimit-Interval-Milliseconds": "10000"}
    server.once("account-info", (200, {**left, "X-HubSpot-RateLimit-Remaining": "1"}, '{"portalId":1}'))
    adapter = server.adapter()
    adapter.account()
    adapter.account()
    assert server.waits == [10.0]
    assert adapter.client.window.max == 190


def test_locked_records_are_given_two_seconds(server: Any) -> None:
    server.once("account-info", (423, JSON, "{}"))
    server.adapter().account()
    assert server.waits == [2.0]


def test_a_move_between_data_centres_stops_the_run_for_as_long_as_hubspot_says(server: Any) -> None:
    server.once("account-info", (477, {**JSON, "Retry-After": "7200"}, "{}"))
    with pytest.raises(QuotaExhausted) as stopped:
        server.adapter().account()
    assert stopped.value.wait_s == 7200


@pytest.mark.parametrize("status", [500, 502, 503, 504, 521, 522, 523, 524, 530])
def test_trouble_on_the_way_is_tried_again(server: Any, status: int) -> None:
    server.once("account-info", (status, JSON, "oops"))
    assert server.adapter().account().id == "4711"


def test_trouble_that_stays_is_told(server: Any) -> None:
    server.once("account-info", (503, JSON, "oops"), times=99)
    with pytest.raises(RetryableApiError):
        server.adapter().account()


def test_a_refusal_names_code_and_request_but_no_words_of_the_body(server: Any) -> None:
    body = '{"category":"VALIDATION_ERROR","message":"bad jane@x.test","correlationId":"c-7"}'
    server.once("account-info", (400, JSON, body))
    with pytest.raises(PermanentApiError) as refused:
        server.adapter().account()
    assert (refused.value.code, refused.value.request_id) == ("VALIDATION_ERROR", "c-7")
    assert "jane" not in str(refused.value)


@pytest.mark.parametrize("token", ["", "01234567-89ab-cdef-0123-456789abcdef"])
def test_an_old_api_key_is_refused_in_words_and_never_sent(server: Any, token: str) -> None:
    with pytest.raises(AuthError, match="service key"):
        server.adapter(token=token).account()
    assert not server.calls


@pytest.mark.parametrize("token", ["pat-na1-0f", "pat-eu1-0f", "CPDm7f-oauth-or-static", "Bearer pat-na1-0f", " pat-na1-0f\n"])
def test_tokens_of_every_kind_travel_in_the_same_header(server: Any, token: str) -> None:
    server.adapter(token=token).account()
    assert server.calls[0].headers["Authorization"] == f"Bearer {token.replace('Bearer ', '').strip()}"


@pytest.mark.parametrize(
    ("category", "words"), [("EXPIRED_AUTHENTICATION", "has expired"), ("INVALID_AUTHENTICATION", "mistyped, deleted")]
)
def test_a_refused_token_is_told_with_the_way_out_and_its_number_is_in_the_log(
    server: Any, category: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server.once("account-info", (401, JSON, f'{{"category":"{category}","correlationId":"c-401"}}'))
    with pytest.raises(AuthError) as refused:
        server.adapter().account()
    for part in (words, "Make a service key", "then run `rollcall check`"):
        assert part in str(refused.value)
    assert "request c-401" in caplog.text


@pytest.mark.parametrize("version", ["v3", "2026/09", "2026-10", "latest"])
def test_a_version_that_cannot_be_one_is_refused_before_anything_is_sent(server: Any, version: str) -> None:
    with pytest.raises(ConfigError, match="write 2026-03 or 2026-09"):
        server.adapter(api_version=version)


@pytest.mark.parametrize(
    "body",
    [
        '{"category":"MISSING_SCOPES","errors":[{"context":{"requiredGranularScopes":["crm.objects.orders.read"]}}]}',
        '{"category":"MISSING_SCOPES","context":{"requiredScopes":["crm.objects.orders.read"]}}',
        '{"category":"MISSING_SCOPES","requiredScopes":["crm.objects.orders.read"]}',
        '{"category":"MISSING_SCOPES","errors":[{"message":"needs crm.objects.orders.read."}]}',
        '{"category":"MISSING_SCOPES","message":"one of [crm.objects.orders.read]","errors":["odd"],"context":"odd"}',
    ],
)
def test_the_missing_scope_is_found_wherever_hubspot_names_it(server: Any, body: str) -> None:
    server.once("properties/2026-09/orders", (403, JSON, body))
    with pytest.raises(ScopeError) as refused:
        list(server.adapter().pages("orders", None))
    assert refused.value.scope == "crm.objects.orders.read"


def test_a_feature_the_subscription_lacks_is_told_apart_from_a_scope(server: Any) -> None:
    server.once("properties/2026-09/orders", (403, JSON, '{"category":"MISSING_SUBSCRIPTION","message":"no"}'))
    with pytest.raises(ScopeError, match="the subscription does not include it"):
        list(server.adapter().pages("orders", None))


def test_every_refusal_leaves_its_number_in_the_log_and_nothing_about_a_person(
    server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    server.once("account-info", (400, JSON, '{"category":"VALIDATION_ERROR","message":"jane@x.test","correlationId":"c-7"}'))
    with pytest.raises(PermanentApiError):
        server.adapter().account()
    assert "400 (VALIDATION_ERROR), request c-7" in caplog.text
    assert "jane" not in caplog.text and "pat-eu1" not in caplog.text


def test_a_wrong_token_is_an_authentication_finding(server: Any) -> None:
    server.once("account-info", (401, JSON, '{"category":"INVALID_AUTHENTICATION"}'))
    finding = server.adapter().check()[0]
    assert (finding.level, finding.code) == ("error", "auth")


def test_check_names_the_scope_of_every_feature_that_is_closed(server: Any) -> None:
    server.add("1")
    body = '{"category":"MISSING_SCOPES","errors":[{"context":{"requiredGranularScopes":["crm.lists.read"]}}]}'
    server.once("lists/2026-09/all", (403, JSON, body))
    findings = {f.name: f for f in server.adapter().check()}
    assert findings["hubspot contacts"].level == "ok"
    assert (findings["hubspot lists"].code, "crm.lists.read" in findings["hubspot lists"].text) == ("scope", True)
    assert "2028-03" in findings["hubspot version"].text


def test_searches_keep_to_four_a_second(server: Any) -> None:
    server.add("1")
    adapter = server.adapter()
    for _ in range(9):
        adapter.reader.total(CONTACTS)
    assert sum(server.waits) > 1.5
