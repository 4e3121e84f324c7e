"""The real purchase histories of the benchmark: CDNOW and Complete Journey, as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb
import numpy as np

from models.scores.history import Ints, Lines, Orders
from models.scores.mail import CLICK, SENT, Mail

HOUSEHOLDS = "SELECT *, dense_rank() OVER (ORDER BY CAST(customer_id AS VARCHAR)) - 1 AS person FROM"
DAY = "date_diff('day', DATE '1970-01-01', CAST({} AS DATE))"


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def _columns(query: str) -> dict[str, np.ndarray]:
    return {k: np.asarray(v) for k, v in duckdb.sql(query).fetchnumpy().items()}


def orders(folder: Path, name: str) -> Orders:
    if name == "cdnow":
        rows = f"{HOUSEHOLDS} read_csv('{folder}/cdnow/transactions.csv.gz', all_varchar=true)"
        query = f"SELECT person, {DAY.format('date')} AS day, CAST(amount AS DOUBLE) AS amount FROM ({rows})"
    else:
        query = f"SELECT person, {DAY.format('ts')} AS day, CAST(amount AS DOUBLE) AS amount FROM ({_baskets(folder)})"
    found = _columns(query)
    return Orders.of(found["person"].astype(np.int64), found["day"].astype(np.int64), found["amount"].astype(float))


def _baskets(folder: Path) -> str:
    """Baskets with money before 2018, households numbered."""
    return f"{HOUSEHOLDS} '{folder}/complete_journey/orders.parquet' WHERE amount > 0 AND ts < '2018-01-01'"


def lines(folder: Path, name: str) -> Lines | None:
    """CDNOW knows no products."""
    if name == "cdnow":
        return None
    found = _columns(f"""
        SELECT person, {DAY.format("ts")} AS day, dense_rank() OVER (ORDER BY product_id) - 1 AS product,
          dense_rank() OVER (ORDER BY product_category) - 1 AS category, CAST(quantity AS DOUBLE) AS quantity,
          CAST(sales_value AS DOUBLE) AS amount
        FROM ({_baskets(folder)}) JOIN '{folder}/complete_journey/order_lines.parquet' USING (basket_id)""")
    whole = {k: found[k].astype(np.int64) for k in ("person", "day", "product", "category")}
    return Lines.of(whole["person"], whole["day"], whole["product"], found["quantity"], found["amount"], whole["category"])


@dataclass(frozen=True)
class Coupons:
    """Coupon campaigns told as mail: a sending on the start, an answer on each day of redemption; households as in the orders."""

    mail: Mail
    tested: list[tuple[int, int, Ints]]
    """(campaign, start, recipients) of those starting on or after the cutoff."""
    ended: list[tuple[int, int, Ints]]
    """The same of those that ended before it."""
    redeemed: frozenset[tuple[int, int]]
    """(campaign, household)"""


def coupons(folder: Path, cutoff: int) -> Coupons:
    base, known = f"{folder}/complete_journey", f"SELECT DISTINCT customer_id, person FROM ({_baskets(folder)})"
    sent = _columns(f"""SELECT CAST(campaign_id AS BIGINT) AS campaign, {DAY.format("start_date")} AS start,
          {DAY.format("end_date")} AS stop, person
        FROM read_csv('{base}/campaign_sends.csv.gz', all_varchar=true) JOIN ({known}) USING (customer_id)""")
    used = _columns(f"""SELECT DISTINCT CAST(campaign_id AS BIGINT) AS campaign, {DAY.format("redemption_date")} AS day, person
        FROM read_csv('{base}/coupon_redemptions.csv.gz', all_varchar=true) JOIN ({known}) USING (customer_id)""")
    parts = [(sent["person"], sent["start"], SENT, sent["campaign"]), (used["person"], used["day"], CLICK, used["campaign"])]
    mail = Mail.of(
        *(np.concatenate([p[i] for p in parts]).astype(np.int64) for i in (0, 1)),
        np.concatenate([np.full(len(p[0]), p[2], dtype=np.int64) for p in parts]),
        np.concatenate([p[3] for p in parts]).astype(np.int64),
        np.ones(sum(len(p[0]) for p in parts)),
    )
    tested, ended = [], []
    for number in np.unique(sent["campaign"]):
        rows = sent["campaign"] == number
        start, stop = int(sent["start"][rows].min()), int(sent["stop"][rows].max())
        row = (int(number), start, np.unique(sent["person"][rows]).astype(np.int64))
        if start >= cutoff:
            tested.append(row)
        elif stop < cutoff:
            ended.append(row)
    pairs = frozenset(zip(used["campaign"].astype(int).tolist(), used["person"].astype(int).tolist(), strict=True))
    return Coupons(mail, tested, ended, pairs)
