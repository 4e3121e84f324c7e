"""What the next page is. Pure: nothing here sends, waits or remembers beyond one walk."""

from __future__ import annotations

from dataclasses import dataclass, field

from models.errors import PermanentApiError


def next_offset(offset: int, asked: int, got: int, total: int | None = None) -> int | None:
    """Where the next offset page begins, None when this was the last.

    Without a total a short page is the last one. With a total an empty page ends the walk too (rows left meanwhile).
    """
    if got == 0 or (total is None and got < asked):
        return None
    following = offset + got
    return None if total is not None and following >= total else following


@dataclass
class Chain:
    """The cursors of one walk; a cursor that comes back would be an endless loop and is refused."""

    what: str
    platform: str = ""
    seen: set[str] = field(default_factory=set)

    def next(self, cursor: str | None) -> str | None:
        """`cursor` when it leads on, None when the walk is over ('' and None)."""
        if not cursor:
            return None
        if cursor in self.seen:
            raise PermanentApiError(
                f"The pages of {self.what} repeat themselves. Reading stopped; what was read so far is kept.",
                platform=self.platform,
                code="paging_loop",
            )
        self.seen.add(cursor)
        return cursor
