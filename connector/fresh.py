"""What came into the store since the facts were last made. `connector/news.py` finds it out."""

from __future__ import annotations

from dataclasses import dataclass

OF_SOURCE = "CASE WHEN o.contact_id IS NULL THEN 'email' ELSE o.source END"
WHOSE = "coalesce(o.contact_id, o.email)"
"""The record an order or event `o` belongs to, as links name it."""


@dataclass(frozen=True)
class News:
    """`last`: the row of each table up to which everything is known. `removed`: how many rows up to there are gone."""

    last: dict[str, int]
    removed: dict[str, int]

    def new(self, table: str) -> str:
        """SQL of the new rows of a table."""
        return f'(SELECT * FROM "{table}" WHERE rowid > {self.last[table]})'
