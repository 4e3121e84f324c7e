"""One polite request: auth, time limits, pacing, retries that honour the server's hint, and nothing private in any error.

    http = Http(url, platform="mailchimp", headers=auth, ..., explain=explain)
    http.json(http.get("lists/1/members", {"count": 1000}))

An adapter says what an answer means (`explain`), how long to wait before sending (`before`), and whether a call may be
repeated (`repeatable`). Reads are always repeatable. A write that is not, and whose outcome is unclear (no answer, a
cut answer, a 5xx), raises AmbiguousWriteError at once: the caller reads back before it repeats anything.

The token goes to the host of `base_url` and nowhere else: absolute addresses elsewhere are refused and redirects are
never followed. Errors and logs hold the host and the path, never the query, the body, a header or an address.
"""

from __future__ import annotations

import logging
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import orjson
import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import (
    ChunkedEncodingError,
    ConnectTimeout,
    ContentDecodingError,
    InvalidURL,
    ReadTimeout,
    RequestException,
    SSLError,
    Timeout,
)
from requests.hooks import default_hooks
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import DecodeError, LocationParseError, ProtocolError, ReadTimeoutError
from urllib3.exceptions import SSLError as Urllib3SSLError

from adapters.answers import (
    declared_length,
    http_date,
    is_cut,
    is_loopback,
    origin,
    parsed,
    peek,
    retry_after_s,
    scrub,
    with_query,
)
from adapters.heard import LISTENERS
from adapters.patience import Call, Patience
from models.errors import (
    AmbiguousWriteError,
    ApiError,
    AuthError,
    NotSentError,
    PermanentApiError,
    QuotaExhausted,
    RetryableApiError,
)

__all__ = ["Explain", "Http", "Response", "peek", "retry_after_s", "scrub"]

log = logging.getLogger(__name__)

Response = requests.Response
Explain = Callable[[Response], ApiError | AuthError | None]

CHUNK = 1 << 20
SLOWEST = 5
"""An answer may take this many times `timeout_s` altogether; each silence in it only `timeout_s`."""
OURS = {"Accept": "application/json", "Accept-Encoding": "gzip, deflate", "User-Agent": "rollcall-sync"}
NO_PATH = re.compile(r"[^\x21-\x7e]|[\\?#]|(?:^|/)(?:\.|%2e){1,2}(?=/|$)", re.IGNORECASE)
"""What must not stand in a path: blanks, control characters, the beginning of a query, and a way out (`..`)."""
REQUEST_ID_HEADERS = ("X-Request-Id", "X-Request-ID", "X-HubSpot-Correlation-Id", "X-Trace-Id", "CF-Ray")
TITLES = {"shopify": "Shopify", "mailchimp": "Mailchimp", "hubspot": "HubSpot", "webhook": "The webhook's address"}


class Http:
    """One platform's door. Safe to share between up to `workers` threads.

    headers: called for every attempt, so that a renewed token is used. explain: the platform's words for an answer;
    None means fine, or let the status speak. before: pacing, seconds to wait before a send. after: sees each answer.
    unanswered: given method and address of a read that got no answer in time, what to raise (None: it is repeated).
    tries: how often a failing call is sent in all. max_wait_s: no call waits longer than this in all; what would
    need more is raised. server_now: the server's clock at its last answer, naive UTC.
    """

    def __init__(
        self,
        base_url: str,
        *,
        platform: str,
        headers: Callable[[], dict[str, str]],
        timeout_s: float,
        connect_timeout_s: float,
        tries: int,
        max_wait_s: float,
        sleep: Callable[[float], None],
        now_utc: Callable[[], datetime],
        explain: Explain,
        before: Callable[[], float] | None = None,
        after: Callable[[Response], None] | None = None,
        unanswered: Callable[[str, str], ApiError | None] | None = None,
        workers: int = 4,
        answers_json: bool = True,
        is_path_secret: bool = False,
        title: str = "",
        jitter: Callable[[float], float] = lambda ceiling_s: random.uniform(0, ceiling_s),
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self.platform = platform
        self.title = title or TITLES.get(platform, platform)
        self.server_now: datetime | None = None
        self.tries, self.max_wait_s = tries, max_wait_s
        self.now_utc = now_utc
        self._headers, self._explain, self._before, self._after = headers, explain, before, after
        self._unanswered, self._answers_json = unanswered, answers_json
        self._sleep, self._is_path_secret = sleep, is_path_secret
        self._timeout = (connect_timeout_s, timeout_s)
        self._session = _session(self.base_url, workers)
        self._at_once = threading.BoundedSemaphore(workers)
        self._patience = Patience(platform, max_wait_s, sleep, jitter)

    def get(self, path: str, params: Mapping[str, Any] | None = None, *, headers: Mapping[str, str] | None = None) -> Response:
        return self.request("GET", path, params=params, headers=headers)

    def post(
        self,
        path: str,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        *,
        repeatable: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return self.request("POST", path, json=json, params=params, repeatable=repeatable, headers=headers)

    def put(
        self,
        path: str,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        *,
        repeatable: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return self.request("PUT", path, json=json, params=params, repeatable=repeatable, headers=headers)

    def patch(
        self,
        path: str,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        *,
        repeatable: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return self.request("PATCH", path, json=json, params=params, repeatable=repeatable, headers=headers)

    def delete(
        self,
        path: str,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        *,
        repeatable: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        return self.request("DELETE", path, json=json, params=params, repeatable=repeatable, headers=headers)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        form: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
        repeatable: bool = True,
        headers: Mapping[str, str] | None = None,
        tries: int | None = None,
        holds: timedelta | None = None,
    ) -> Response:
        """The answer to one logical request, sent as often as it takes. A 2xx body is whole and JSON (or empty).

        tries: fewer than usual, for a caller that would rather change its request than repeat it. holds: so long after it was
        asked for a write is not sent any more; then, and where it was refused to the end, NotSentError says so.
        """
        call = Call(method, with_query(self._url(path), params), repeatable or method == "GET", headers=headers or {})
        call.tries, call.began, call.holds = tries or self.tries, self.now_utc(), holds
        if form is not None:
            call.body = urlencode(dict(form))
            call.headers = {"Content-Type": "application/x-www-form-urlencoded", **call.headers}
        elif json is not None:
            call.body = orjson.dumps(json)
            call.headers = {"Content-Type": "application/json", **call.headers}
        try:
            return self._patience.repeated(self._attempt, call)
        except RetryableApiError as e:
            if not holds or isinstance(e, QuotaExhausted | NotSentError):
                raise
            raise NotSentError(
                f"{e} Nothing of it was written.", platform=e.platform, status=e.status, code=e.code, request_id=e.request_id
            ) from e

    def json(self, response: Response) -> Any:
        """The parsed body (None when empty); raises RetryableApiError when it is no JSON."""
        try:
            return parsed(response)
        except ValueError:
            raise self._broken(response, "an answer that is not JSON") from None

    def download(self, url: str, to: Path | None = None) -> bytes:
        """Fetch a file from anywhere without credentials, whole or not at all: its bytes, or b"" when written to `to`.

        https only, except on this machine and on the host of `base_url`. Repeated like a read.
        """
        parts = urlsplit(url)
        if parts.scheme != "https" and not is_loopback(url) and origin(url) != origin(self.base_url):
            raise self._refused("a download from an address that is not https")
        return self._patience.repeated(self._fetch, Call("GET", url, True, to=to, tries=self.tries))

    def _url(self, path: str) -> str:
        if not re.match(r"(?i)[a-z][a-z0-9+.-]*://", path):
            if NO_PATH.search(path):
                raise PermanentApiError(
                    f"A name or number that {self.title} gave, or the configuration, cannot be part of an address. "
                    "Nothing was asked.",
                    platform=self.platform,
                )
            return f"{self.base_url}/{path.lstrip('/')}" if path else self.base_url
        if origin(path) != origin(self.base_url):
            raise self._refused("an address on another host")
        return path

    def _refused(self, what: str) -> PermanentApiError:
        return PermanentApiError(
            f"{self.title} named {what}. It was not asked, so that no key goes there.", platform=self.platform
        )

    def _attempt(self, call: Call) -> Response:
        self._pace(call)
        with self._at_once:
            if call.is_stale(self.now_utc()):
                if call.holds:
                    message = f"{self.title} put a write off for too long; it was not sent."
                    raise NotSentError(message, platform=self.platform)
                message = f"{self.title} was not written to, because this machine slept, or its clock was set, in between."
                raise AmbiguousWriteError(message, platform=self.platform)
            response = self._send(self._session, call, {**self._headers(), **call.headers})
        self.server_now = http_date(response.headers.get("Date", "")) or self.server_now
        if self._after:
            self._after(response)
        for hear in LISTENERS:
            hear(self.platform, list(response.headers))
        error = self._judge(response, call)
        if error is not None:
            raise self._unclear(error, response, call)
        return response

    def _pace(self, call: Call) -> None:
        wait_s = self._before() if self._before else 0.0
        if wait_s > 0:
            log.debug("%s: waiting %.2f s before the next request", self.platform, wait_s)
            self._sleep(wait_s)

    def _send(self, session: requests.Session, call: Call, headers: Mapping[str, str], *, whole: bool = True) -> Response:
        """One request, past requests' own preparation, which costs more than all the rest for a long address."""
        parts, start = urlsplit(call.url), time.monotonic()
        sent = requests.PreparedRequest()
        sent.method, sent.url, sent.body, sent.hooks = call.method, call.url, call.body, default_hooks()
        sent.headers = CaseInsensitiveDict[str]({**OURS, **headers})
        if call.body is not None:
            sent.headers["Content-Length"] = str(len(call.body))
        elif call.method in ("POST", "PUT", "PATCH"):
            sent.headers["Content-Length"] = "0"
        try:
            response = session.get_adapter(call.url).send(
                sent, stream=True, timeout=self._timeout, verify=session.verify or True, proxies=session.proxies
            )
            if whole:
                self._read(response, start + self._timeout[1] * SLOWEST)
        except (RequestException, LocationParseError) as e:
            log.debug("%s %s%s failed: %s", call.method, parts.hostname, self._path(call.url), type(e).__name__)
            raise self._no_answer(e, call) from None
        took_ms = (time.monotonic() - start) * 1000
        log.debug("%s %s%s %d %.0f ms", call.method, parts.hostname, self._path(call.url), response.status_code, took_ms)
        return response

    def _read(self, response: Response, until_s: float) -> None:
        """The whole body, in as few pieces as the network brings it; a body that trickles in is given up."""
        chunks = []
        try:
            while chunk := response.raw.read1(CHUNK, decode_content=True):
                chunks.append(chunk)
                if time.monotonic() > until_s:
                    raise ReadTimeout("the answer trickles in")
        except ProtocolError as e:
            raise ChunkedEncodingError(e) from None
        except DecodeError as e:
            raise ContentDecodingError(e) from None
        except (ReadTimeoutError, Urllib3SSLError) as e:
            raise (ReadTimeout if isinstance(e, ReadTimeoutError) else SSLError)(e) from None
        except BaseException:
            response.close()
            raise
        response._content, response._content_consumed = b"".join(chunks), True  # type: ignore[attr-defined]  # what its own reader sets

    def _path(self, url: str) -> str:
        """For logs and errors; '' where whoever knows it may write there."""
        return "" if self._is_path_secret else scrub(urlsplit(url).path)

    def _no_answer(self, error: RequestException | LocationParseError, call: Call) -> ApiError:
        place = f"{call.method} {self._path(call.url)}".rstrip()
        if isinstance(error, SSLError):
            return PermanentApiError(
                f"No encrypted connection to {self.title} could be made. Check this machine's clock and certificates.",
                platform=self.platform,
            )
        if isinstance(error, (InvalidURL, LocationParseError, ValueError)) and not isinstance(error, ContentDecodingError):
            return PermanentApiError(f"The address for {place} is not valid. Check base_url.", platform=self.platform)
        if isinstance(error, Timeout):
            what = "did not answer in time"
            if (
                self._unanswered
                and call.repeatable
                and not _was_never_sent(error)
                and (found := self._unanswered(call.method, call.url))
            ):
                return found
        elif isinstance(error, (ChunkedEncodingError, ContentDecodingError)):
            what = "broke off its answer"
        else:
            what = "could not be reached, or cut the connection"
        message = f"{self.title} {what} ({place})."
        if call.repeatable or _was_never_sent(error):
            return RetryableApiError(message, platform=self.platform)
        return AmbiguousWriteError(f"{message} Whether it took effect is not known.", platform=self.platform)

    def _judge(self, response: Response, call: Call) -> ApiError | AuthError | None:
        if is_cut(response, call.method):
            return self._broken(response, "a cut answer")
        error = self._explain(response) or self._by_status(response)
        if isinstance(error, AuthError):
            error.platform = error.platform or self.platform
        if error is None and self._answers_json:
            try:
                if parsed(response) is None and response.status_code == 200:
                    return self._broken(response, "an empty answer")
            except ValueError:
                return self._broken(response, "an answer that is not JSON")
        return self._completed(error, response) if isinstance(error, ApiError) else error

    def _by_status(self, response: Response) -> ApiError | AuthError | None:
        status, place = response.status_code, self._path(response.request.url or "") or "its address"
        if status < 300:
            return None
        if status < 400:
            host = urlsplit(response.headers.get("Location", "")).hostname or "another address"
            return PermanentApiError(
                f"{self.title} sends us on to {scrub(host)} ({status}). The key is never sent there. "
                "Correct the address in the configuration."
            )
        if status == 401:
            return AuthError(f"{self.title} refused the key (401, {place}). Check it, then run `rollcall check`.")
        message = f"{self.title} answered {status} ({place})."
        return RetryableApiError(message) if status >= 500 or status in (408, 429) else PermanentApiError(message)

    def _completed(self, error: ApiError, response: Response) -> ApiError:
        error.platform = error.platform or self.platform
        error.status = error.status or response.status_code
        error.request_id = error.request_id or next(
            (response.headers[h] for h in REQUEST_ID_HEADERS if h in response.headers), ""
        )
        if isinstance(error, RetryableApiError) and error.wait_s is None:
            error.wait_s = retry_after_s(response)
        return error

    def _broken(self, response: Response, what: str) -> RetryableApiError:
        error = RetryableApiError(f"{self.title} sent {what} ({self._path(response.request.url or '') or 'its address'}).")
        self._completed(error, response)
        return error

    def _unclear(self, error: ApiError | AuthError, response: Response, call: Call) -> ApiError | AuthError:
        """A write that may have happened is not repeated; a refusal (429 and the other 4xx) is clear."""
        if call.repeatable or not isinstance(error, RetryableApiError) or not error.counts:
            return error
        status = response.status_code
        if 400 <= status < 500 and status != 408:
            return error
        return AmbiguousWriteError(
            f"{error} Whether it took effect is not known.",
            platform=error.platform,
            status=status,
            code=error.code,
            request_id=error.request_id,
        )

    def _fetch(self, call: Call) -> bytes:
        with _session(call.url, 1) as session, self._at_once:
            response = self._send(session, call, {}, whole=False)
            if response.status_code != 200:
                status = response.status_code
                kind = RetryableApiError if status >= 500 or status in (408, 429) else PermanentApiError
                raise self._completed(kind(f"A download for {self.title} was answered with {status}."), response)
            try:
                return self._saved(response, call)
            except RequestException as e:
                raise self._no_answer(e, call) from None

    def _saved(self, response: Response, call: Call) -> bytes:
        chunks, size = [], 0
        out = call.to.open("wb") if call.to else None
        try:
            for chunk in response.iter_content(1 << 16):
                size += len(chunk)
                chunks.append(chunk) if out is None else out.write(chunk)
        finally:
            if out:
                out.close()
        declared = declared_length(response)
        if declared is not None and declared != size:
            raise self._broken(response, "a cut file")
        return b"".join(chunks)


def _session(url: str, workers: int) -> requests.Session:
    """Proxies and certificates from the environment, read once; no .netrc, and no proxy to this machine itself."""
    session = requests.Session()
    if not is_loopback(url):
        from_env = session.merge_environment_settings(url, {}, None, None, None)
        session.proxies, session.verify = from_env["proxies"], from_env["verify"]
    session.trust_env = False
    for scheme in ("https://", "http://"):
        session.mount(scheme, HTTPAdapter(pool_connections=1, pool_maxsize=workers, pool_block=True))
    return session


def _was_never_sent(error: Exception) -> bool:
    """True when no connection came about, so that a write cannot have happened."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(error, ConnectTimeout) or type(reason).__name__ in ("NewConnectionError", "NameResolutionError")
