"""From the numbers people have in the fact tables to their places in a list of people, without a text id a row."""

from __future__ import annotations

import numpy as np

from connector.store import Store
from models.scores.history import Ints


def places(store: Store, people: list[str]) -> Ints:
    """For every person number its place in `people`, -1 where it is not there."""
    place = {p: i for i, p in enumerate(people)}
    numbers = store.sql("SELECT person_id, n FROM person_numbers")
    found = np.full(max((n for _, n in numbers), default=-1) + 1, -1, dtype=np.int64)
    for person, n in numbers:
        found[n] = place.get(person, -1)
    return found
