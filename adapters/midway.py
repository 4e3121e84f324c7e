"""A batch goes out in several requests, perhaps, and a platform may refuse the last of them for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from models.errors import AmbiguousWriteError, ApiError, PermanentApiError


@contextmanager
def told_or_unclear(has_written: Callable[[], bool], *, also: tuple[type[ApiError], ...] = ()) -> Iterator[None]:
    """A refusal means that nothing of the batch was written. One that comes after something was leaves unclear what: it is to
    be read back, or whom the earlier requests reached would carry our tag and nobody would know that it is ours.

    also: other errors that mean it, and do not tell of the requests before.
    """
    meaning_it: tuple[type[ApiError], ...] = (PermanentApiError, *also)
    try:
        yield
    except meaning_it as e:
        if not has_written():
            raise
        raise AmbiguousWriteError(str(e), platform=e.platform, status=e.status, code=e.code, request_id=e.request_id) from e
