"""Where requests go, what refusals mean, and what `check` tells."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import responses

from adapters.mailchimp import MailchimpAdapter
from adapters.mailchimp_api import authorization, base_url
from connector.sandbox.base import Response
from models.errors import AuthError, ConfigError, PermanentApiError, RetryableApiError, ScopeError

HTML = {"Content-Type": "text/html"}


@pytest.mark.parametrize(
    ("token", "host"),
    [
        ("0" * 32 + "-us6", "us6.api.mailchimp.com"),
        ("0" * 32 + "-eu12", "eu12.api.mailchimp.com"),
        ("0" * 32, "api.mailchimp.com"),
        ("0" * 32 + "-evil.example/", "api.mailchimp.com"),
        ("0" * 32 + "-us6.evil.example", "api.mailchimp.com"),
        ("0" * 32 + "-us6@evil.example", "api.mailchimp.com"),
        ("0" * 32 + "-us6#", "api.mailchimp.com"),
        ("0" * 32 + "-us6\n", "api.mailchimp.com"),
        ("0" * 32 + "-us٦", "api.mailchimp.com"),
        ("0" * 32 + "-US6", "api.mailchimp.com"),
        ("us6", "api.mailchimp.com"),
    ],
)
def test_a_key_can_name_a_data_centre_and_no_other_host(token: str, host: str) -> None:
    assert urlsplit(base_url({"token": token, "base_url": ""})).netloc == host


def test_a_key_with_characters_no_key_has_is_refused() -> None:
    for token in ("0" * 32 + "-us6\n", "key\r\nHost: evil.example", "ключ"):
        with pytest.raises(ConfigError, match="characters"):
            authorization(token)


def test_an_audience_id_cannot_change_the_path(world: Any) -> None:
    for audience in ("../lists", "a1/members", "a1?x=1", ""):
        with pytest.raises(ConfigError, match="audience"):
            world.adapter(audience=audience)


def test_the_account_is_the_login_and_the_audience(world: Any) -> None:
    world.load(7)
    account = world.adapter().account()
    assert account.id.endswith("/a1b2c3d4e5")
    assert account.details["double_optin"] in ("yes", "no")
    assert account.details["marketing_permissions"] in ("yes", "no")


def test_an_unknown_audience_names_the_ones_there_are(world: Any) -> None:
    world.load(1)
    with pytest.raises(ConfigError, match=r"no audience 'ffffffffff'.*a1b2c3d4e5.*mailchimp\.audience"):
        world.adapter(audience="ffffffffff").account()


def test_a_wrong_key_is_told_as_such(world: Any) -> None:
    adapter = world.adapter(token="f" * 32 + "-us1")
    with pytest.raises(AuthError, match="refused the key"):
        adapter.account()
    assert [(f.level, f.code) for f in adapter.check()] == [("error", "auth")]


def test_check_tells_role_plan_fields_and_shop(world: Any) -> None:
    world.load(3)
    found = {f.name.removeprefix("Mailchimp "): f for f in world.adapter().check()}
    assert {f.level for f in found.values()} == {"ok"}
    expected = {"credentials", "role", "plan", "audience", "merge fields", "tags", "reports", "shop data", "version"}
    assert expected | {"other audiences", "requests at once"} == found.keys()
    assert "of 30" in found["merge fields"].text and found["requests at once"].text.startswith("4 of the 10")
    world.add_other([world.customer(9)])
    other = next(f for f in world.adapter().check() if f.name == "Mailchimp other audiences")
    assert "'Wholesale'" in other.text and "never written" in other.text


def test_too_many_at_once_is_waited_out_longer_each_time_and_read_less_ahead(world: Any) -> None:
    world.load(1)
    adapter = world.adapter()
    world.simulator.switches.break_next = ["429"] * 4
    adapter.account()
    assert len(world.waits) == 4
    assert all(0 <= wait_s <= 2 * 2**n for n, wait_s in enumerate(world.waits))
    assert adapter.api.workers == 1


def test_a_page_of_the_network_in_front_is_an_address_block_and_not_a_bad_key(world: Any) -> None:
    world.load(1)
    adapter = world.adapter(max_wait_s=3600)
    world.simulator.switches.break_next = ["403"] * 9
    with pytest.raises(PermanentApiError, match="The key is not the cause"):
        adapter.account()
    assert world.waits == [60.0, 300.0, 900.0]


def test_an_empty_403_is_an_address_block_too(world: Any) -> None:
    world.before = lambda call: Response(403)
    with pytest.raises(PermanentApiError, match="The key is not the cause"):
        world.adapter().account()
    assert world.waits == [60.0, 300.0, 900.0], "the default patience is enough for all three"


def test_a_403_with_a_reason_switches_off_one_stream_only(world: Any) -> None:
    world.load(1)
    forbidden = Response.json({"title": "Forbidden", "status": 403, "detail": "no"}, 403)
    world.before = lambda call: forbidden if "ecommerce" in call.path else None
    with pytest.raises(ScopeError):
        list(world.adapter().pages("shop_orders", None))
    assert world.waits == []


def test_a_refusal_never_repeats_the_address_it_refuses(world: Any) -> None:
    detail = "someone@shop.example looks fake or invalid, please enter a real email address."
    problem = {"title": "Invalid Resource", "status": 400, "detail": detail, "instance": "i-1", "errors": [{"field": "email"}]}
    world.before = lambda call: Response.json(problem, 400)
    with pytest.raises(PermanentApiError) as caught:
        world.adapter().account()
    assert "@" not in str(caught.value)
    assert (caught.value.code, caught.value.status, caught.value.request_id) == ("Invalid Resource", 400, "i-1")


def test_502_pages_of_a_small_read_are_repeated(world: Any) -> None:
    world.load(1)
    world.simulator.switches.break_next = ["502", "502"]
    assert world.adapter().account().name
    assert len(world.waits) == 2


def test_a_plain_address_that_mailchimp_refuses_is_told(world: Any) -> None:
    world.before = lambda call: Response(426, {"Content-Type": "text/html"}, b"<html>Upgrade Required</html>")
    with pytest.raises(PermanentApiError, match=r"encrypted.*https://"):
        world.adapter().account()


def test_no_encrypted_connection_is_told_as_such(world: Any) -> None:
    world.before = lambda call: requests.exceptions.SSLError("TLSV1_ALERT_PROTOCOL_VERSION")
    with pytest.raises(PermanentApiError, match="No encrypted connection"):
        world.adapter().account()
    assert world.waits == []


def test_there_is_no_end_date_of_the_version(world: Any) -> None:
    assert world.adapter().ends() == ()


def test_a_key_of_another_data_centre_is_told_as_such(world: Any) -> None:
    world.load(1)
    with pytest.raises(AuthError, match=r"another data centre than 'us9'.*us9\.admin\.mailchimp\.com"):
        world.adapter(token="0123456789abcdef0123456789abcdef-us9").account()


def test_of_a_token_without_a_data_centre_none_is_spoken_of(world: Any) -> None:
    world.load(1)
    with pytest.raises(AuthError, match=r"revoked, or its user left the account\. Make") as caught:
        world.adapter(token="0" * 32).account()
    assert "data centre" not in str(caught.value)


def test_a_disabled_user_is_told_as_such(world: Any) -> None:
    world.before = lambda call: Response.json({"title": "User Disabled", "status": 403, "detail": "no"}, 403)
    with pytest.raises(AuthError, match="active user"):
        world.adapter().account()


@pytest.mark.parametrize("status", [500, 503])
def test_what_fails_on_their_side_is_tried_five_times_more_and_no_longer(world: Any, status: int) -> None:
    world.before = lambda call: Response(status)
    with pytest.raises(RetryableApiError, match=r"failed by itself.*later"):
        world.adapter(tries=20).account()
    assert len(world.calls) == 6
    world.before = lambda call: Response(status) if len(world.calls) < 11 else None
    world.load(1)
    assert world.adapter().account().name, "five in a row are survived"


@pytest.mark.parametrize(
    ("status", "title", "detail"),
    [
        (400, "Member In Compliance State", "a@shop.example is in a compliance state due to unsubscribe"),
        (400, "Forgotten Email Not Subscribed", "a@shop.example was permanently deleted and cannot be re-imported."),
        (400, "Invalid Resource", "Recipient a@shop.example has too many recent signup requests"),
        (400, "Member Exists", "a@shop.example is already a list member."),
        (405, "Method Not Allowed", "This list member cannot be removed."),
        (414, "Request URI Too Long", ""),
        (422, "Unprocessable Entity", ""),
    ],
)
def test_a_refusal_for_good_is_not_repeated_and_names_its_title(world: Any, status: int, title: str, detail: str) -> None:
    problem = {"title": title, "status": status, "detail": detail, "instance": "i-1"}
    world.before = lambda call: Response.json(problem, status)
    with pytest.raises(PermanentApiError) as caught:
        world.adapter().account()
    assert title in str(caught.value) and "@" not in str(caught.value)
    assert len(world.calls) == 1 and world.waits == []


def test_mailchimps_support_can_be_told_which_request_it_was(world: Any, caplog: Any) -> None:
    problem = {"title": "Invalid Resource", "status": 400, "detail": "a@shop.example", "instance": "i-1"}
    world.before = lambda call: Response.json(problem, 400, {"X-Request-Id": "r-77"})
    with caplog.at_level("INFO"), pytest.raises(PermanentApiError):
        world.adapter().account()
    assert "r-77" in caplog.text and "@shop.example" not in caplog.text


def test_a_role_that_may_not_write_is_told_by_the_write_and_by_the_check(world: Any) -> None:
    world.load(2)
    world.simulator.switches.can_write = False
    with pytest.raises(ScopeError, match=r"does not let this key change tags.*role permits reading only.*manager"):
        world.adapter().api.create_tag("Rollcall: VIP")
    with pytest.raises(ScopeError, match=r"POST .*/events.*account's plan"):
        world.adapter().api.record_event(world.member_id(1), "at_risk")
    role = next(f for f in world.adapter().check() if f.name == "Mailchimp role")
    assert (role.level, role.code) == ("warning", "scope") and "viewer" in role.text


TOKEN = "0123456789abcdef0123456789abcdef"
ONE_HOST, LOGIN = "https://api.mailchimp.com/3.0/", "https://login.mailchimp.com/oauth2/metadata"
REFUSED = {"title": "API Key Invalid", "status": 401, "detail": "x"}


def oauth(metadata: dict[str, Any]) -> tuple[MailchimpAdapter, responses.RequestsMock]:
    mock = responses.RequestsMock(assert_all_requests_are_fired=False)
    mock.get(ONE_HOST, status=401, json=REFUSED)
    mock.get(LOGIN, json=metadata)
    settings = {"token": TOKEN, "audience": "a1b2c3d4e5", "base_url": ""}
    return MailchimpAdapter(settings, now_utc=lambda: datetime(2026, 11, 21), sleep=lambda wait_s: None), mock


def test_an_oauth_token_the_one_host_refuses_goes_to_its_own_data_centre() -> None:
    adapter, mock = oauth({"dc": "us6", "api_endpoint": "https://us6.api.mailchimp.com"})
    with mock:
        mock.get("https://us6.api.mailchimp.com/3.0/", json={"account_id": "x"})
        assert adapter.api.get("/", "account_id") == {"account_id": "x"}
        assert adapter.api.get("/", "account_id") == {"account_id": "x"}
        sent = [(str(c.request.url).partition("?")[0], c.request.headers["Authorization"].split()[0]) for c in mock.calls]
    assert [a for a, _ in sent] == [ONE_HOST, LOGIN, *["https://us6.api.mailchimp.com/3.0/"] * 2]
    assert dict(sent)[LOGIN] == "OAuth"


@pytest.mark.parametrize(
    "metadata",
    [
        {"error": "invalid_token", "error_description": "no"},
        {"dc": "us6"},
        {"dc": "us6.evil.example/", "api_endpoint": "https://us6.evil.example"},
        {"dc": "", "api_endpoint": "https://evil.example"},
    ],
)
def test_metadata_that_answers_200_for_a_bad_token_moves_no_token_anywhere(metadata: dict[str, Any]) -> None:
    adapter, mock = oauth(metadata)
    with mock:
        for _ in range(2):
            with pytest.raises(AuthError, match="refused the key"):
                adapter.api.get("/", "account_id")
        hosts = [urlsplit(c.request.url).hostname for c in mock.calls]
    assert set(hosts) == {"api.mailchimp.com", "login.mailchimp.com"}
    assert hosts.count("login.mailchimp.com") == 1


def test_basic_for_a_key_and_bearer_for_a_token(world: Any) -> None:
    world.load(1)
    world.adapter().account()
    assert all(c.headers["authorization"].startswith("Basic ") for c in world.calls)
    assert authorization("0" * 32) == "Bearer " + "0" * 32
