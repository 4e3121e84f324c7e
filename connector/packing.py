"""Rows turned on their side for the store: one array a column, which the engine reads where it lies.

About twice as fast as the same rows as text, for nothing is joined, copied and split again, and the engine need not look
at its statement's parameters one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEW = 50
"""So few rows of dicts cost the engine less as JSON."""
PLAIN = frozenset({str, int, float, bool, type(None)})
"""What an array may hold; the engine would write anything else as Python does."""

Row = dict[str, Any]
Columns = dict[str, "NDArray[Any]"]


def names(rows: Sequence[Row]) -> list[str]:
    """Every column that occurs, in the order of first sight."""
    first = rows[0].keys()
    if all(r.keys() == first for r in rows):
        return list(first)
    return list(dict.fromkeys(k for r in rows for k in r))


def of_dicts(rows: Sequence[Row]) -> Columns | None:
    """The columns of rows that are dicts; None when JSON must do."""
    if len(rows) < FEW:
        return None
    found = {name: [r.get(name) for r in rows] for name in names(rows)}
    if not all(PLAIN.issuperset(map(type, values)) for values in found.values()):
        return None
    return {name: array(values) for name, values in found.items()}


def of_tuples(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Columns:
    """The same of tuples that hold text, numbers, truth values and None in the order of `columns`."""
    return {name: array(values) for name, values in zip(columns, zip(*rows, strict=True), strict=True)}


def array(values: Sequence[Any]) -> NDArray[np.object_]:
    import numpy as np

    return np.fromiter(values, dtype=object, count=len(values))
