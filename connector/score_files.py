"""Scores as files for people outside: one row for every customer id with an order before the date."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path
from typing import Any

from connector.config import Config
from connector.score_data import Customer, customers, date_of, no_profiling
from connector.score_products import BY_RULE
from connector.store import Store
from models.segments import AsOf

RULE = "simple rule, not a prediction"
HIDDEN = "not profiled"
Rows = list[list[Any]]
"""Each begins with its customer."""


def write(store: Store, config: Config, as_of: AsOf, out_dir: Path, horizon: int) -> list[Path]:
    """A file a score; a column `status` says what a row is wherever it is not a published prediction."""
    out_dir.mkdir(parents=True, exist_ok=True)
    ids = customers(store, config, as_of)
    hidden = no_profiling(store, config)
    files = [_numbers(store, as_of, out_dir, score, horizon, ids, hidden) for score in ("churn", "clv")]
    files.append(_dates(store, as_of, out_dir / "next_order.csv", ids, hidden))
    files.append(_products(store, as_of, out_dir / "recommendations.csv", ids, hidden))
    return files


def _numbers(store: Store, as_of: AsOf, out_dir: Path, score: str, horizon: int, ids: list[Customer], hidden: set[str]) -> Path:
    found = _values(store, as_of, score, horizon)
    rows = []
    for customer in ids:
        person = customer.person
        if person in hidden:
            rows.append([customer, "", HIDDEN])
        elif person in found:
            value, published = found[person]
            rows.append([customer, repr(value), "" if published else RULE])
        else:
            rows.append([customer, "", "refused"])
    file = out_dir / f"{score}.csv"
    _save_with_status(file, ["customer_id", "score"], rows)
    return file


def _dates(store: Store, as_of: AsOf, file: Path, ids: list[Customer], hidden: set[str]) -> Path:
    """Middle, first and last day; empty for those who ordered on one day only and where no date can be had."""
    parts = [_values(store, as_of, name) for name in ("next_order", "next_order_lo", "next_order_hi")]
    rows = []
    for customer in ids:
        person = customer.person
        if all(person in p for p in parts):
            rows.append([customer, *(date_of(int(p[person][0])).isoformat() for p in parts), ""])
        else:
            why = HIDDEN if person in hidden else "ordered on one day only" if parts[0] else "refused"
            rows.append([customer, "", "", "", why])
    _save_with_status(file, ["customer_id", "score", "lo", "hi"], rows)
    return file


def _products(store: Store, as_of: AsOf, file: Path, ids: list[Customer], hidden: set[str]) -> Path:
    """Ten products a customer, best first; a row that says why where there are none."""
    found = {
        p: (json.loads(reasons), published)
        for p, reasons, published in store.sql(
            "SELECT person_id, reasons, is_published AND tier IS DISTINCT FROM ? FROM scores WHERE score = 'recommendations' "
            "AND cutoff = ?",
            [BY_RULE, as_of.day],
        )
    }
    rows = []
    for customer in ids:
        person = customer.person
        items, published = found.get(person, ([], False))
        told = "" if published else RULE
        rows += [[customer, str(rank), str(item["product_id"]), told] for rank, item in enumerate(items, 1)]
        if not items:
            why = "refused: nothing known can be bought now" if person in found else "refused: no order lines are known"
            rows.append([customer, "", "", HIDDEN if person in hidden else why])
    _save_with_status(file, ["customer_id", "rank", "product_id"], rows)
    return file


def _values(store: Store, as_of: AsOf, score: str, horizon: int | None = None) -> dict[str, tuple[float, bool]]:
    only = "" if horizon is None else f" AND horizon_days = {int(horizon)}"
    return {
        p: (v, published)
        for p, v, published in store.sql(
            f"SELECT person_id, value, is_published FROM scores WHERE score = ? AND cutoff = ?{only}", [score, as_of.day]
        )
    }


def _save_with_status(file: Path, header: list[str], rows: Rows) -> None:
    plain = not any(r[-1] for r in rows)
    save(file, header if plain else [*header, "status"], [r[:-1] if plain else r for r in rows])


def save(file: Path, header: list[str], rows: Rows) -> None:
    """Private to its owner: ids and behaviour are personal data. Where two people have one id, in different sources, a column
    `source` tells them apart.

    Ids stand as they stand in their source, whatever they begin with: a program joins by them. (What a spreadsheet would run is
    made safe in the files made for one, `connector/exports.py`.)
    """
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", newline="", encoding="utf-8") as f:
        writer = csv.writer(f)
        known = {r[0] for r in rows}
        if len({c.id for c in known}) == len(known):
            writer.writerow(header)
            writer.writerows([r[0].id, *r[1:]] for r in rows)
        else:
            writer.writerow([header[0], "source", *header[1:]])
            writer.writerows([r[0].id, r[0].source, *r[1:]] for r in rows)
