"""Scores as files for people outside: one row for every customer id with an order before the date."""

from __future__ import annotations

import csv
import os
from pathlib import Path

from connector.config import Config
from connector.score_data import customer_ids, no_profiling
from connector.store import Store
from models.segments import AsOf


def write(store: Store, config: Config, as_of: AsOf, out_dir: Path, horizon: int) -> list[Path]:
    """churn.csv: customer_id, score and, unless all is well, a status that says what the number is."""
    out_dir.mkdir(parents=True, exist_ok=True)
    ids = customer_ids(store, config, as_of)
    hidden = no_profiling(store, config)
    return [_one(store, as_of, out_dir / "churn.csv", "churn", horizon, ids, hidden)]


def _one(store: Store, as_of: AsOf, file: Path, score: str, horizon: int, ids: list[tuple[str, str]], hidden: set[str]) -> Path:
    found = {
        p: (v, published)
        for p, v, published in store.sql(
            "SELECT person_id, value, is_published FROM scores WHERE score = ? AND cutoff = ? AND horizon_days = ?",
            [score, as_of.day, horizon],
        )
    }
    rows = []
    for customer, person in ids:
        if person in hidden:
            rows.append([customer, "", "not profiled"])
        elif person in found:
            value, published = found[person]
            rows.append([customer, repr(value), "" if published else "simple rule, not a prediction"])
    plain = not any(r[2] for r in rows)
    save(file, ["customer_id", "score"] if plain else ["customer_id", "score", "status"], [r[:2] if plain else r for r in rows])
    return file


def save(file: Path, header: list[str], rows: list[list[str]]) -> None:
    """Private to its owner: ids and behaviour are personal data."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        writer.writerow(header)
        writer.writerows(rows)
