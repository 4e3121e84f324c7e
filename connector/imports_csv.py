"""Read a text file of rows: which sign is between the values, where the names of the columns stand, which rows hold together.

A quotation mark that is opened and never closed would take all rows behind it into one cell: its line alone is set aside, and the
rows behind it are read on their own.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import IO

from models.errors import UsageError

Line = tuple[int, list[str]]
Broken = Callable[[int, str, str], None]
"""line, text of the line, reason"""

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
FIELD_LIMIT = 10_000_000
LINES_OF_A_ROW = 1000
"""No cell has more lines: a quotation mark was left open."""
TITLE_ROWS = 10
"""Rows among which the names of the columns are looked for: the first with more than one cell filled."""
OPEN = "a quotation mark is opened in this line and not closed; the lines behind it were read without it"
INSIDE = 'a quotation mark stands within a cell; write it twice ("") or delete it'
AGAIN = "the names of the columns again"


class _Lines:
    """The lines of a file, some of which can be given back; `taken`: those of the row that is being read."""

    def __init__(self, stream: IO[str], number: int) -> None:
        self.stream, self.number = stream, number
        self.taken: list[str] = []
        self.again: deque[str] = deque()

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if len(self.taken) >= LINES_OF_A_ROW:
            raise csv.Error(OPEN)
        line = self.again.popleft() if self.again else self.stream.readline()
        if not line:
            raise StopIteration
        self.taken.append(line)
        return line

    def done(self) -> None:
        self.number += len(self.taken)
        self.taken = []

    def give_back(self) -> None:
        """All lines of this row but the first are read anew."""
        self.again.extendleft(reversed(self.taken[1:]))
        self.taken = self.taken[:1]
        self.done()


def shape(stream: IO[str]) -> tuple[str, int]:
    """The sign between values, and how many lines of titles stand above the names of the columns."""
    csv.field_size_limit(FIELD_LIMIT)
    lines = list(islice(stream, TITLE_ROWS))
    for titles, line in enumerate(lines):
        delimiter = max(DELIMITERS, key=lambda d: len(_cells(line, d)))
        width = len(_cells(line, delimiter))
        below = [len(_cells(other, delimiter)) for other in lines[titles + 1 : titles + 3]]
        if width > 1 and (not titles or max(below, default=0) > 1):
            return delimiter, titles
    return ",", 0


def _cells(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def rows(stream: IO[str], delimiter: str, before: int, broken: Broken) -> tuple[list[str], Iterator[Line]]:
    """The names of the columns and the rows with the number of the line they begin on; `before`: lines read already."""
    csv.field_size_limit(FIELD_LIMIT)
    lines = _Lines(stream, before)
    try:
        header = [name.strip() for name in next(csv.reader(lines, delimiter=delimiter, strict=True))]
    except csv.Error as e:
        raise UsageError("The names of the columns cannot be read: " + _reason(lines, e) + ".") from e
    lines.done()
    return header, _rows(lines, delimiter, header, broken)


def _rows(lines: _Lines, delimiter: str, header: Sequence[str], broken: Broken) -> Iterator[Line]:
    width, names = len(header), [name.lower() for name in header]
    with lines.stream:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            line = lines.number + 1
            try:
                row = next(reader)
                if len(lines.taken) > 2 and _swallowed(lines.taken, delimiter, width):
                    raise csv.Error(OPEN)
            except StopIteration:
                return
            except csv.Error as e:
                broken(line, lines.taken[0], _reason(lines, e))
                lines.give_back()
                reader = csv.reader(lines, delimiter=delimiter, strict=True)
                continue
            text = lines.taken[0]
            lines.done()
            if len(row) > width and not any(v.strip() for v in row[width:]):
                row = row[:width]  # a sign behind the last value
            if len(row) == width > 1 and row[0].strip().lower() == names[0] and [v.strip().lower() for v in row] == names:
                broken(line, text, AGAIN)
            elif len(row) == width:
                yield line, row
            elif any(v.strip() for v in row):
                broken(line, "\x1f".join(row), f"{len(row)} values where the header names {width} columns")


def _reason(lines: _Lines, error: csv.Error) -> str:
    return OPEN if len(lines.taken) > 1 or "unexpected end" in str(error) else INSIDE


def _swallowed(taken: Sequence[str], delimiter: str, width: int) -> bool:
    """Whether a cell over several lines holds what is a whole row by itself."""
    return width > 2 and any(len(_cells(line, delimiter)) == width for line in taken[1:-1])
