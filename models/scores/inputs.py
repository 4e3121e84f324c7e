"""What learned models see beside the plain features: timing in ratios, the repeat-buying models' answers, what lay in the orders."""

from __future__ import annotations

import numpy as np
from scipy.special import logit

from models.scores.btyd import BetaGeoFitter
from models.scores.history import NAMES, Floats, Ints, Lines, Snapshot

LONGEST_PIECES = 200.0
LINE_NAMES = (
    "pieces", "pieces_per_order", "pieces_of_last_order", "lines_per_order", "lines_of_last_order", "pieces_30d", "lines_30d",
    "pieces_90d", "lines_90d", "price_per_piece", "share_returned", "products", "products_per_line", "products_60d",
    "categories", "categories_per_line", "categories_60d",
)  # fmt: skip


def signed_log(values: Floats) -> Floats:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))


def ratios(shot: Snapshot) -> Floats:
    """How regular the orders are, how late the next one is against the own rhythm, how the last differs from the usual."""
    f = dict(zip(NAMES, shot.features.T, strict=True))
    count, recency = f["orders"], f["recency_days"]
    table = np.column_stack([
        np.where(count > 2, f["sd_gap"] / np.maximum(f["mean_gap"], 1), 0), f["last_amount"] / np.maximum(f["mean_amount"], 1e-6),
        recency / np.maximum(f["max_gap"], 1), recency / np.maximum(f["median_gap"], 1),
        f["last_gap"] / np.maximum(f["mean_gap"], 1), f["orders_30d"] / np.maximum(f["orders_90d"], 0.5),
        f["orders_90d"] / np.maximum(count, 1),
    ])  # fmt: skip
    return np.hstack([signed_log(table), np.column_stack([count == 2, count == 3, count >= 4]).astype(float)])


def repeat_buying(shot: Snapshot, models: tuple[BetaGeoFitter, ...], horizon: int) -> Floats:
    """Log odds of being gone and of no order within a third of the horizon, the horizon, and twice as long."""
    three = (shot.frequency, shot.recency, shot.age)
    answers = []
    for model in models:
        answers.append(model.p_alive(*three))
        answers += [model.p_no_order(*three, h) for h in (horizon / 3, horizon, 2 * horizon)]
    return np.asarray(logit(np.clip(np.column_stack(answers), 1e-6, 1 - 1e-6)))


def line_features(lines: Lines, shot: Snapshot) -> Floats:
    """Pieces, breadth and returns of everybody in the snapshot from lines before its cutoff; columns as in `LINE_NAMES`."""
    past, n = lines.before(shot.cutoff), len(shot.person)
    if not n:
        return np.empty((0, len(LINE_NAMES)))
    row = np.minimum(np.searchsorted(shot.person, past.person), n - 1)
    known = shot.person[row] == past.person
    row, day = row[known], past.day[known]
    pieces = np.clip(past.quantity[known], 0, LONGEST_PIECES)

    def total(weights: Floats | None = None) -> Floats:
        return np.asarray(np.bincount(row, weights=weights, minlength=n), dtype=np.float64)

    def within(days: int) -> Floats:
        return np.asarray(day >= shot.cutoff - days, dtype=np.float64)

    def kinds(numbers: Ints, days: int | None = None) -> Floats:
        some = (numbers >= 0) & (True if days is None else day >= shot.cutoff - days)
        width = int(numbers.max(initial=0)) + 1
        pairs = np.unique(row[some] * width + numbers[some])
        return np.asarray(np.bincount(pairs // width, minlength=n), dtype=np.float64)

    of_last = (day == shot.cutoff - shot.features[row, 0]).astype(float)
    count, all_lines, all_pieces = np.maximum(shot.features[:, 2], 1), total(), total(pieces)
    columns = [all_pieces, all_pieces / count, total(pieces * of_last), all_lines / count, total(of_last)]
    for days in (30, 90):
        columns += [total(pieces * within(days)), total(within(days))]
    columns.append(shot.features[:, 3] / np.maximum(all_pieces, 1))
    columns.append(total((past.quantity[known] < 0).astype(float)) / np.maximum(all_lines, 1))
    for numbers in (past.product[known], past.category[known]):
        breadth = kinds(numbers)
        columns += [breadth, breadth / np.maximum(all_lines, 1), kinds(numbers, 60)]
    return signed_log(np.column_stack(columns))
