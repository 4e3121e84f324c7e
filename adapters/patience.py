"""How often a request is repeated and how long it waits in between: the server's hint first, else a growing chance."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception

from models.errors import NotSentError, QuotaExhausted, RetryableApiError

log = logging.getLogger(__name__)

T = TypeVar("T")

BACKOFF_BASE_S = 1.0
BACKOFF_CEILING_S = 60.0
STALE = timedelta(hours=1)
"""So long after it was asked for, a write is not sent any more."""
LOOK_HOLDS = timedelta(minutes=2)
"""After a look at who is in a tag: so long a write may wait that does not tell whom it found there."""
UNCOUNTED_LIMIT = 2000
"""Even waiting that does not use up the tries ends: a server that throttles for ever is broken."""


@dataclass
class Call:
    """One logical request and what it has cost so far."""

    method: str
    url: str
    repeatable: bool
    body: bytes | str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    to: Path | None = None
    tries: int = 1
    failures: int = 0
    uncounted: int = 0
    waited_s: float = 0.0
    began: datetime | None = None
    holds: timedelta | None = None

    def is_stale(self, now: datetime) -> bool:
        """A write that waited while the machine slept: what was asked before it may not hold any more. Or a clock set back."""
        if self.repeatable or self.began is None:
            return False
        holds = self.holds or STALE
        return not timedelta(0) <= now - self.began < holds or (bool(self.holds) and self.waited_s > holds.total_seconds())


class Patience:
    """Repeats what may succeed later. Safe to share between threads: what a request has cost is kept in its `Call`.

    max_wait_s: no call waits longer than this in all. jitter: given a ceiling in seconds, a wait up to it.
    """

    def __init__(
        self, platform: str, max_wait_s: float, sleep: Callable[[float], None], jitter: Callable[[float], float]
    ) -> None:
        self._platform, self._max_wait_s, self._jitter = platform, max_wait_s, jitter
        self._retrying = Retrying(
            sleep=sleep, retry=retry_if_exception(_is_worth_repeating), wait=self._wait_s, stop=self._is_enough, reraise=True
        )

    def repeated(self, attempt: Callable[[Call], T], call: Call) -> T:
        """`attempt`, repeated as long as it is worth it. The first time goes without tenacity, which costs 0.2 ms."""
        try:
            return attempt(call)
        except RetryableApiError as first:
            failed: list[RetryableApiError] = [first]

        def again(call: Call) -> T:
            if failed:
                raise failed.pop()
            return attempt(call)

        return self._retrying(again, call)

    def _wait_s(self, state: RetryCallState) -> float:
        """The server's hint first; else full jitter: anything up to a ceiling that doubles with each failure."""
        call, error = _of(state)
        if error.counts:
            call.failures += 1
        else:
            call.uncounted += 1
        if error.wait_s is not None:
            return max(0.0, error.wait_s)
        return self._jitter(min(BACKOFF_CEILING_S, BACKOFF_BASE_S * 2 ** (max(1, call.failures) - 1)))

    def _is_enough(self, state: RetryCallState) -> bool:
        call, error = _of(state)
        wait_s = state.upcoming_sleep
        if call.failures >= call.tries or call.uncounted >= UNCOUNTED_LIMIT or call.waited_s + wait_s > self._max_wait_s:
            return True
        call.waited_s += wait_s
        log.debug("%s: again in %.2f s (%s)", self._platform, wait_s, error.status or "no answer")
        return False


def _of(state: RetryCallState) -> tuple[Call, RetryableApiError]:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, RetryableApiError)  # only these are repeated, see _is_worth_repeating
    return state.args[0], error


def _is_worth_repeating(error: BaseException) -> bool:
    return isinstance(error, RetryableApiError) and not isinstance(error, QuotaExhausted | NotSentError)
