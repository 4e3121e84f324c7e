"""HubSpot's limits and refusals: wait as long as asked, stop in time, say what to do."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.hubspot_objects import CONTACTS
from models.errors import AuthError, PermanentApiError, QuotaExhausted, RetryableApiError

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
