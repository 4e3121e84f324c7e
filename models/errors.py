"""The one tree of errors, grouped by what the reader can do.

    ConnectorError                  failed
      UsageError                    the command line asks for something that cannot be done
      ConfigError                   fix the file (says which line or key)
      AuthError                     fix the key or its scopes (says which)
      ApiError                      a platform answered something else than asked
        RetryableApiError           wait (carries wait_s)
          QuotaExhausted            the day's quota is used up; the run stops early and goes on later
          NotSentError              a write that had to wait, and was not sent; look again before it is asked for anew
        AmbiguousWriteError         a write whose outcome nobody knows; read back before repeating
        PermanentApiError           this request will never work
          ScopeError                one feature is not permitted; the rest goes on
      RecordError                   one row is bad; set aside, counted, the run goes on
      PlanError                     UnsafePlan (a guard), StalePlan (the world moved)
      StoreError                    the disk, the memory or the file; the SQL that failed is in the message
        QueryError                  a value or a statement that is wrong in itself: ours to mend
      LockedError                   another run holds the lock

A message is up to three short sentences: what happened, to what, what to try. No address, name or token is in it.
Only `connector/cli/` turns errors into exit codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from models.changes import Outcome


class ConnectorError(Exception):
    """Anything we raise on purpose."""

    exit_code = 1


class UsageError(ConnectorError):
    exit_code = 2


class ConfigError(ConnectorError):
    exit_code = 2


class AuthError(ConnectorError):
    """The platform refused who we are. `platform` names it."""

    exit_code = 6

    def __init__(self, message: str, *, platform: str = "") -> None:
        super().__init__(message)
        self.platform = platform


class ApiError(ConnectorError):
    """A platform's refusal. `code` is the platform's own word for it, `request_id` what its support asks for."""

    def __init__(self, message: str, *, platform: str = "", status: int = 0, code: str = "", request_id: str = "") -> None:
        super().__init__(message)
        self.platform = platform
        self.status = status
        self.code = code
        self.request_id = request_id


class RetryableApiError(ApiError):
    """Try again after `wait_s` seconds (None: our own back-off decides).

    `counts` is False where waiting is part of the deal (a bucket that refills) and must not use up the tries.
    """

    def __init__(
        self,
        message: str,
        *,
        wait_s: float | None = None,
        counts: bool = True,
        platform: str = "",
        status: int = 0,
        code: str = "",
        request_id: str = "",
    ) -> None:
        super().__init__(message, platform=platform, status=status, code=code, request_id=request_id)
        self.wait_s = wait_s
        self.counts = counts


class QuotaExhausted(RetryableApiError):
    """The quota of the day is used up: stop this platform, keep the cursor, go on after `wait_s`."""


class NotSentError(RetryableApiError):
    """A write was put off for so long, or refused for the moment so often, that it was given up: nothing of it happened. Who is in
    the tag by now may have been put there by hand, so look again before it is repeated.

    told: what is certain of other parts of the same batch.
    """

    told: tuple[Outcome, ...] = ()


class AmbiguousWriteError(ApiError):
    """A write was sent and its outcome is unknown (timeout, reset, 5xx). Read back before anything is repeated.

    told: what is certain of the same batch all the same. unreached: contacts of it whom nothing was sent about.
    """

    told: tuple[Outcome, ...] = ()
    unreached: frozenset[str] = frozenset()


class PermanentApiError(ApiError):
    """This request will never work as it is."""


class ScopeError(PermanentApiError):
    """One feature is not permitted to this token; `scope` names what is missing. Switches off one stream only."""

    exit_code = 6

    def __init__(self, message: str, *, scope: str = "", platform: str = "", status: int = 403, request_id: str = "") -> None:
        super().__init__(message, platform=platform, status=status, code="scope", request_id=request_id)
        self.scope = scope


class RecordError(ConnectorError):
    """One record cannot be used. It is set aside with this reason and counted."""

    exit_code = 3


class PlanError(ConnectorError):
    exit_code = 4


class UnsafePlan(PlanError):
    """A guard stopped the run before the first write. `guard` is its name."""

    def __init__(self, message: str, *, guard: str = "") -> None:
        super().__init__(message)
        self.guard = guard


class StalePlan(PlanError):
    """The plan no longer describes the world; make a new one."""


class StoreError(ConnectorError):
    exit_code = 1


class QueryError(StoreError):
    """Not the disk nor the memory, but a value nobody thought of, or a statement of ours."""


class LockedError(ConnectorError):
    exit_code = 5
