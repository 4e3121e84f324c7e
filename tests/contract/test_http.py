"""The promises of the one HTTP layer that every adapter relies on."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests
import responses
from responses import matchers

from adapters.http import Http, Response, scrub
from adapters.limits import Bucket, Pace
from adapters.paging import Chain, next_offset
from models.errors import AmbiguousWriteError, ApiError, AuthError, PermanentApiError, QuotaExhausted, RetryableApiError

BASE = "https://api.platform.test/v1"


class Waits(list[float]):
    """A sleep that only notes how long it was asked for."""

    def __call__(self, wait_s: float) -> None:
        self.append(wait_s)


def make(waits: Waits | None = None, **options: Any) -> Http:
    settings: dict[str, Any] = {
        "platform": "mailchimp",
        "headers": lambda: {"Authorization": "Bearer top-secret"},
        "timeout_s": 5,
        "connect_timeout_s": 5,
        "tries": 4,
        "max_wait_s": 900,
        "sleep": waits if waits is not None else Waits(),
        "now_utc": lambda: datetime(2026, 11, 21),
        "explain": lambda response: None,
        "jitter": lambda ceiling_s: ceiling_s,
    }
    return Http(**{"base_url": BASE, **settings, **options})


@pytest.fixture
def server() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@contextmanager
def raw_server(*answers: bytes) -> Iterator[str]:
    """A socket that reads each request, sends these bytes as they are, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.close()
        thread.join(2)


def test_a_read_is_repeated_until_it_succeeds_with_a_growing_ceiling(server: responses.RequestsMock) -> None:
    waits = Waits()
    for status in (500, 502, 503):
        server.get(f"{BASE}/things", status=status)
    server.get(f"{BASE}/things", json={"n": 1})
    http = make(waits)
    assert http.json(http.get("things")) == {"n": 1}
    assert waits == [1, 2, 4]


def test_the_servers_own_hint_wins_over_our_backoff(server: responses.RequestsMock) -> None:
    waits = Waits()
    server.get(f"{BASE}/things", status=429, headers={"Retry-After": "17"})
    server.get(
        f"{BASE}/things",
        status=503,
        headers={"Retry-After": "Sat, 21 Nov 2026 10:00:30 GMT", "Date": "Sat, 21 Nov 2026 10:00:00 GMT"},
    )
    server.get(f"{BASE}/things", json={})
    make(waits).get("things")
    assert waits == [17, 30]


def test_gives_up_after_the_stated_number_of_tries(server: responses.RequestsMock) -> None:
    server.get(f"{BASE}/things", status=500, headers={"X-Request-Id": "req-7"})
    with pytest.raises(RetryableApiError) as caught:
        make(tries=3).get("things")
    assert len(server.calls) == 3
    assert (caught.value.status, caught.value.platform, caught.value.request_id) == (500, "mailchimp", "req-7")


def test_waiting_that_is_part_of_the_deal_does_not_use_up_the_tries(server: responses.RequestsMock) -> None:
    def explain(response: Response) -> ApiError | None:
        return RetryableApiError("full", wait_s=1, counts=False) if response.status_code == 420 else None

    for _ in range(10):
        server.get(f"{BASE}/things", status=420)
    server.get(f"{BASE}/things", json={})
    waits = Waits()
    make(waits, explain=explain, tries=2).get("things")
    assert waits == [1] * 10


def test_waits_longer_than_allowed_are_raised_instead(server: responses.RequestsMock) -> None:
    server.get(f"{BASE}/things", status=429, headers={"Retry-After": "3600"})
    waits = Waits()
    with pytest.raises(RetryableApiError) as caught:
        make(waits, max_wait_s=900).get("things")
    assert caught.value.wait_s == 3600 and waits == []


def test_a_used_up_quota_is_raised_at_once(server: responses.RequestsMock) -> None:
    server.get(f"{BASE}/things", status=429)
    with pytest.raises(QuotaExhausted):
        make(explain=lambda r: QuotaExhausted("day", wait_s=1)).get("things")
    assert len(server.calls) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_a_write_that_may_have_happened_is_never_repeated(server: responses.RequestsMock, status: int) -> None:
    server.post(f"{BASE}/things", status=status)
    with pytest.raises(AmbiguousWriteError):
        make().post("things", {"a": 1}, repeatable=False)
    assert len(server.calls) == 1


def test_a_write_that_was_refused_for_its_pace_is_repeated(server: responses.RequestsMock) -> None:
    server.post(f"{BASE}/things", status=429, headers={"Retry-After": "2"})
    server.post(f"{BASE}/things", json={"id": 1})
    waits = Waits()
    http = make(waits)
    assert http.json(http.post("things", {"a": 1}, repeatable=False)) == {"id": 1}
    assert waits == [2]


@pytest.mark.parametrize("error", [requests.exceptions.ReadTimeout(), requests.exceptions.ConnectionError("reset")])
def test_a_write_without_an_answer_is_ambiguous_and_a_read_is_repeated(
    server: responses.RequestsMock, error: Exception
) -> None:
    server.post(f"{BASE}/things", body=error)
    with pytest.raises(AmbiguousWriteError):
        make().post("things", {}, repeatable=False)
    server.get(f"{BASE}/things", body=error)
    server.get(f"{BASE}/things", json={"n": 2})
    http = make()
    assert http.json(http.get("things")) == {"n": 2}


def test_a_write_that_never_left_is_repeated_even_if_it_may_not_happen_twice() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(RetryableApiError):
        make(base_url=f"http://127.0.0.1:{port}", tries=2).post("things", {}, repeatable=False)


def test_a_cut_body_is_noticed_and_asked_for_again() -> None:
    cut = b'HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Type: application/json\r\n\r\n{"n": 1}'
    whole = b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\nContent-Type: application/json\r\n\r\n{"n": 1}'
    with raw_server(cut, b"", whole) as url:
        http = make(base_url=url)
        assert http.json(http.get("things")) == {"n": 1}


def test_a_cut_answer_to_a_write_is_ambiguous() -> None:
    with (
        raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{}") as url,
        pytest.raises(AmbiguousWriteError),
    ):
        make(base_url=url).post("things", {}, repeatable=False)


@pytest.mark.parametrize("body", ["<html>busy</html>", '{"half": ', ""])
def test_a_read_that_is_not_json_is_asked_for_again(server: responses.RequestsMock, body: str) -> None:
    server.get(f"{BASE}/things", body=body)
    server.get(f"{BASE}/things", json={"n": 3})
    http = make()
    assert http.json(http.get("things")) == {"n": 3}


def test_an_empty_answer_to_a_write_is_nothing(server: responses.RequestsMock) -> None:
    server.delete(f"{BASE}/things/1", status=204)
    http = make()
    assert http.json(http.delete("things/1")) is None


def test_the_key_never_goes_to_another_host(server: responses.RequestsMock) -> None:
    http = make()
    for address in ("https://evil.test/v1/things", "http://api.platform.test/v1/things", "https://api.platform.test:444/v1"):
        with pytest.raises(PermanentApiError):
            http.get(address)
    assert len(server.calls) == 0


def test_an_absolute_address_on_our_own_host_is_fine(server: responses.RequestsMock) -> None:
    server.get(f"{BASE}/things?after=2", json={})
    make().get(f"{BASE}/things?after=2")


def test_redirects_are_refused_and_name_the_new_host_only(server: responses.RequestsMock) -> None:
    server.get(f"{BASE}/things", status=301, headers={"Location": "https://new-name.test/v1/things?token=abc"})
    with pytest.raises(PermanentApiError) as caught:
        make().get("things")
    assert "new-name.test" in str(caught.value) and "abc" not in str(caught.value)
    assert len(server.calls) == 1


def test_downloads_carry_no_key_and_are_whole(server: responses.RequestsMock, tmp_path: Path) -> None:
    def answer(request: requests.PreparedRequest) -> tuple[int, dict[str, str], bytes]:
        assert "Authorization" not in request.headers
        return 200, {}, b"line 1\nline 2\n"

    server.add_callback(responses.GET, "https://storage.test/file", callback=answer)
    http = make()
    assert http.download("https://storage.test/file?signature=1") == b"line 1\nline 2\n"
    http.download("https://storage.test/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b"line 1\nline 2\n"
    with pytest.raises(PermanentApiError):
        http.download("http://storage.test/file")


def test_a_cut_download_is_fetched_again(tmp_path: Path) -> None:
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789"
    with raw_server(cut, whole) as url:
        assert make().download(f"{url}/file") == b"0123456789"


def test_errors_and_logs_hold_no_key_address_or_query(server: responses.RequestsMock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.get(f"{BASE}/members/jo@shop.example", status=400, body="jo@shop.example is wrong")
    with pytest.raises(PermanentApiError) as caught:
        make().get("members/jo@shop.example", {"email": "jo@shop.example", "key": "top-secret"})
    ours = "".join(r.getMessage() for r in caplog.records if r.name.startswith("adapters"))
    for text in (str(caught.value), ours):
        assert text and "jo@" not in text and "top-secret" not in text and "?" not in text


def test_scrub_takes_out_what_must_not_be_seen() -> None:
    text = scrub("shpat_0a1b2c for jo@shop.example at https://x.test/a?token=1 Bearer abc.def pat-eu1-11-22")
    assert text == "[secret] for [address] at https://x.test/a [secret] [secret]"


def test_a_refused_key_is_an_auth_error_and_not_repeated(server: responses.RequestsMock) -> None:
    server.get(f"{BASE}/things", status=401)
    with pytest.raises(AuthError) as caught:
        make().get("things")
    assert caught.value.platform == "mailchimp" and len(server.calls) == 1


def test_every_attempt_asks_for_fresh_headers(server: responses.RequestsMock) -> None:
    tokens = iter(("old", "new"))
    server.get(f"{BASE}/things", status=500, match=[matchers.header_matcher({"Authorization": "old"})])
    server.get(f"{BASE}/things", json={}, match=[matchers.header_matcher({"Authorization": "new"})])
    make(headers=lambda: {"Authorization": next(tokens)}).get("things")


def test_a_netrc_file_cannot_replace_the_key(
    server: responses.RequestsMock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine api.platform.test login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.get(f"{BASE}/things", json={})
    make().get("things")
    assert server.calls[0].request.headers["Authorization"] == "Bearer top-secret"


def test_the_proxy_of_the_environment_is_used_but_never_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as proxy:
        monkeypatch.setenv("http_proxy", proxy)
        http = make(base_url="http://shop.invalid/v1")
        assert http.json(http.get("things")) == {}
    with raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") as url:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        http = make(base_url=url, tries=1)
        assert http.json(http.get("things")) == {}


def test_the_servers_clock_is_kept(server: responses.RequestsMock) -> None:
    server.get(f"{BASE}/things", json={}, headers={"Date": "Sat, 21 Nov 2026 10:00:30 GMT"})
    http = make()
    http.get("things")
    assert http.server_now == datetime(2026, 11, 21, 10, 0, 30)


def test_pacing_waits_before_the_request(server: responses.RequestsMock) -> None:
    server.get(f"{BASE}/things", json={})
    waits, asked = Waits(), iter((0.0, 2.5))
    http = make(waits, before=lambda: next(asked))
    http.get("things")
    http.get("things")
    assert waits == [2.5]


def test_a_bucket_never_exceeds_its_window() -> None:
    now = 0.0
    pace = Pace(Bucket.window(100, 10), clock=lambda: now)
    sent: list[float] = []
    for _ in range(500):
        now += pace.wait_s()
        sent.append(now)
    assert max(sum(1 for s in sent if at <= s < at + 10) for at in sent) <= 100
    assert sent[-1] <= 500 / 4


def test_a_bucket_believes_what_the_platform_says() -> None:
    bucket = Bucket(size=2000, per_s=100)
    bucket.report(50, at_s=10, size=1000, per_s=50)
    assert bucket.take(10, 100) == 1.0


@pytest.mark.parametrize(
    ("offset", "asked", "got", "total", "following"),
    [
        (0, 100, 100, None, 100),
        (100, 100, 40, None, None),
        (0, 100, 100, 100, None),
        (0, 100, 60, 150, 60),
        (100, 100, 0, 150, None),
    ],
)
def test_the_next_offset_follows_what_really_came(
    offset: int, asked: int, got: int, total: int | None, following: int | None
) -> None:
    assert next_offset(offset, asked, got, total) == following


def test_a_cursor_that_comes_back_ends_the_walk_with_an_error() -> None:
    chain = Chain("contacts")
    assert [chain.next(c) for c in ("a", "b", None, "")] == ["a", "b", None, None]
    with pytest.raises(PermanentApiError):
        chain.next("a")


def test_threads_share_one_door(server: responses.RequestsMock) -> None:
    server.get(f"{BASE}/things", json={"ok": True})
    http = make(workers=3)
    seen: list[Any] = []

    def work(read: Callable[[], Any]) -> None:
        seen.extend(read() for _ in range(5))

    threads = [threading.Thread(target=work, args=(lambda: http.json(http.get("things")),)) for _ in range(3)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert seen == [{"ok": True}] * 15


def test_an_answer_that_trickles_in_is_given_up() -> None:
    """Each byte comes in time, the whole never does: a read timeout alone would wait for ever."""
    stop = threading.Event()

    def drip(server: socket.socket) -> None:
        with suppress(OSError):
            connection, _ = server.accept()
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n")
            while not stop.wait(0.01):
                connection.sendall(b" ")

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=drip, args=(server,), daemon=True).start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        slow = Http(
            url, platform="hubspot", headers=dict, timeout_s=0.05, connect_timeout_s=1, tries=1, max_wait_s=0,
            sleep=lambda s: None, now_utc=lambda: datetime(2026, 11, 21), explain=lambda response: None,
        )  # fmt: skip
        with pytest.raises(RetryableApiError, match="did not answer in time"):
            slow.get("x")
        stop.set()
