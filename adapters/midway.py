"""A batch goes out in several requests, perhaps, and a platform may refuse the last of them for good."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from models.errors import AmbiguousWriteError, PermanentApiError


@contextmanager
def told_or_unclear(has_written: Callable[[], bool]) -> Iterator[None]:
    """A refusal means that nothing of the batch was written. One that comes after something was leaves unclear what: it is to
    be read back, or whom the earlier requests reached would carry our tag and nobody would know that it is ours."""
    try:
        yield
    except PermanentApiError as e:
        if not has_written():
            raise
        raise AmbiguousWriteError(str(e), platform=e.platform, status=e.status, code=e.code, request_id=e.request_id) from e
