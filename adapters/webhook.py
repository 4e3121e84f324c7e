"""One signed message to an address the owner named. Not a platform: nothing is read from it.

Signed as the Standard Webhooks specification says (https://www.standardwebhooks.com): `webhook-id` is the same for every
repetition of a message, `webhook-timestamp` is Unix seconds, `webhook-signature` is `v1,` and the base64 HMAC-SHA256 of
`id.timestamp.body` with the shared secret.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from adapters.answers import is_loopback
from adapters.http import Http
from models.errors import ConfigError

PREFIX = "whsec_"
TIMEOUT_S = 15.0


class Webhook:
    """Sends to one address; https only, except on this machine. A secret that begins with whsec_ is base64 after it."""

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        now_utc: Callable[[], datetime],
        sleep: Callable[[float], None],
        tries: int = 3,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        if not url.startswith("https://") and not is_loopback(url):
            raise ConfigError("A webhook's url must begin with https://.")
        self._key, self._now_utc = key_of(secret), now_utc
        self._http = Http(
            url, platform="webhook", headers=dict, timeout_s=timeout_s, connect_timeout_s=timeout_s, tries=tries,
            max_wait_s=60, sleep=sleep, now_utc=now_utc, explain=lambda _: None, workers=1, answers_json=False,
            is_path_secret=True,
        )  # fmt: skip

    def send(self, message_id: str, body: dict[str, Any]) -> None:
        """Deliver at least once: repeated under the same id until an answer says 2xx. Raises ApiError or AuthError."""
        text = orjson.dumps(body)
        at = str(int(self._now_utc().replace(tzinfo=UTC).timestamp()))
        headers = {
            "webhook-id": message_id,
            "webhook-timestamp": at,
            "webhook-signature": signature(self._key, message_id, at, text),
        }
        self._http.post("", orjson.Fragment(text), headers=headers)


def key_of(secret: str) -> bytes:
    """The bytes a secret stands for. Raises ConfigError for one that cannot be used."""
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True) if secret.startswith(PREFIX) else secret.encode()
    except ValueError:
        raise ConfigError(f"A webhook secret that begins with {PREFIX} must be base64 after it.") from None
    if len(key) < 16:
        raise ConfigError("A webhook secret needs 16 characters or more.")
    return key


def signature(key: bytes, message_id: str, at: str, body: bytes) -> str:
    signed = hmac.new(key, f"{message_id}.{at}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"
