"""Whoever knows the path of a webhook's address may write to its channel: it is in no error, no log and no row of ours."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import requests
import responses

from adapters.webhook import Webhook
from models.errors import ApiError, AuthError
from tests.stages.test_triggers import NOW

SECRET = "B0Gus/xoxo-hidden-part"
URL = f"https://chat.example/services/{SECRET}"


@pytest.mark.parametrize(
    "answer",
    [{"status": 404}, {"status": 401}, {"status": 500}, {"status": 302, "headers": {"Location": URL}},
     {"body": requests.ConnectionError("gone")}, {"body": requests.Timeout("slow")},
     {"status": 200, "headers": {"Content-Length": "99"}, "body": b"cut", "auto_calculate_content_length": False}],
)  # fmt: skip
def test_no_answer_of_a_receiver_brings_its_path_into_an_error_or_a_log(
    answer: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with responses.RequestsMock() as mock:
        mock.add("POST", URL, **answer)
        hook = Webhook(URL, "0123456789abcdef", now_utc=lambda: NOW, sleep=lambda _: None, tries=1)
        with pytest.raises((ApiError, AuthError)) as told:
            hook.send("msg_1", {"a": 1})
    assert "hidden-part" not in str(told.value) + caplog.text and "services" not in str(told.value)
    assert "webhook" in str(told.value).lower()
