"""Our scores beside the reference models, refitted here, on CDNOW and Complete Journey; and speed (`--scale`).

    python benchmarks/predict.py DATA_DIR [--only cdnow|complete_journey]
    python benchmarks/predict.py --scale 100000

DATA_DIR holds cdnow/transactions.csv.gz and complete_journey/orders.parquet. Every row: a metric with its 95 % interval and
the verdict against the best reference by paired bootstrap: ahead, level or behind.
"""

from __future__ import annotations

import argparse
import resource
import time
from datetime import date
from pathlib import Path

import duckdb
import numpy as np
import sklearn.ensemble  # noqa: F401  # its threads must be loaded before they can be limited
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no type information

from models.scores import measure
from models.scores.churn import ChurnModel
from models.scores.history import Floats, Orders, no_order_within
from models.scores.next_order import NextOrderModel, wait_within
from models.scores.value import ValueModel, btyd, spend_within
from models.scores.views import Views, signed_log

SHEET = {("cdnow", "mbg"): 0.768, ("cdnow", "logistic"): 0.778, ("cdnow", "boosting"): 0.774, ("cdnow", "rule"): 0.763,
         ("complete_journey", "logistic"): 0.886}  # fmt: skip


def day(text: str) -> int:
    return (date.fromisoformat(text) - date(1970, 1, 1)).days


def load(folder: Path, name: str) -> Orders:
    if name == "cdnow":
        file = f"{folder}/cdnow/transactions.csv.gz"
        source = f"SELECT customer_id c, CAST(date AS DATE) d, amount a FROM read_csv('{file}', all_varchar=true)"
    else:
        file = f"{folder}/complete_journey/orders.parquet"
        source = f"SELECT customer_id c, CAST(ts AS DATE) d, amount a FROM '{file}' WHERE amount > 0 AND ts < '2018-01-01'"
    found = duckdb.sql(
        f"SELECT dense_rank() OVER (ORDER BY CAST(c AS VARCHAR)) - 1 p, date_diff('day', DATE '1970-01-01', d) d, "
        f"CAST(a AS DOUBLE) a FROM ({source})"
    ).fetchnumpy()
    return Orders.of(found["p"].astype(np.int64), found["d"].astype(np.int64), np.asarray(found["a"], dtype=float))


def reference(views: Views, cutoff: int, horizon: int, kind: str) -> Floats:
    """The sheet's logistic and boosted models: purchase features with P(alive) and P(order) of both models."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    def inputs(cut: int) -> Floats:
        v = views.at(cut)
        s = v.shot
        three = (s.frequency, s.recency, s.age)
        extra = [f for m in (v.basic, v.modified) for f in (m.p_alive(*three), m.p_no_order(*three, horizon))]
        return np.column_stack([signed_log(s.features), *extra])

    cutoffs = views.training_cutoffs(cutoff, horizon)
    x = np.vstack([inputs(c) for c in cutoffs])
    y = np.concatenate([no_order_within(views.orders, views.at(c).person, c, horizon) for c in cutoffs])
    model = (
        make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
        if kind == "logistic"
        else HistGradientBoostingClassifier(
            max_iter=200, learning_rate=0.05, max_leaf_nodes=15, min_samples_leaf=40, l2_regularization=1.0, random_state=7,
            early_stopping=False,
        )
    )  # fmt: skip
    return np.asarray(model.fit(x, y).predict_proba(inputs(cutoff))[:, 1])


def verdict(draws: Floats) -> str:
    low, high = np.percentile(draws[:, 0] - draws[:, 1], [2.5, 97.5])
    return f"{'ahead' if low > 0 else 'behind' if high < 0 else 'level'} ({low:+.4f} to {high:+.4f})"


def churn(orders: Orders, name: str, cutoff: int, horizon: int) -> None:
    views = Views(orders, horizon)
    view = views.at(cutoff)
    truth = no_order_within(orders, view.person, cutoff, horizon)
    rows = {"rule": view.recency, "mbg": view.p_no_order(horizon)}
    rows |= {k: reference(views, cutoff, horizon, k) for k in ("logistic", "boosting")}
    model = ChurnModel(horizon).fit(views, cutoff)
    ours = model.predict(view)
    print(f"\n{name}: no order within {horizon} days; {len(truth):,} people, {truth.mean():.1%} did not; ours: {model.name_}")
    for key, value in {**rows, "ours": ours}.items():
        ece = f"ECE {measure.calibration(truth, value)[0]:.4f}" if key != "rule" else ""
        auc = measure.auc(truth, value)
        sheet = SHEET.get((name, key)) if horizon in (28, 90) else None
        apart = f"  differs from the sheet's {sheet:.3f}" if sheet and abs(auc - sheet) > 0.003 else ""
        print(
            f"  {key:9} AUC {auc:.4f}  AP {measure.average_precision(truth, value):.4f}  lift@20 "
            f"{measure.lift(truth, value):.3f}  {ece}{apart}"
        )
    best = max(rows, key=lambda k: measure.auc(truth, rows[k]))
    print(f"  ours against {best}: {verdict(measure.paired_bootstrap(truth, ours, rows[best]))}")


def value(orders: Orders, name: str, cutoff: int, horizon: int) -> None:
    views = Views(orders, horizon)
    view = views.at(cutoff)
    truth = spend_within(orders, view.person, cutoff, horizon)
    rate = view.shot.features[:, 3] / np.maximum(view.shot.age, 1) * horizon
    known = orders.before(cutoff)
    recent = known.day >= cutoff - horizon
    last = np.bincount(known.person[recent], weights=known.net[recent], minlength=int(view.person.max()) + 1)[view.person]
    model = ValueModel(horizon).fit(views, cutoff)
    rows = {"rate": rate, "last window": last, "btyd x own": btyd(view, horizon)}
    ours = model.predict(view)
    print(f"\n{name}: spend within {horizon} days; ours: {model.name_}; back-test {model.tried_}")
    for key, score in {**rows, "ours": ours}.items():
        print(
            f"  {key:11} Gini {measure.gini(truth, score):.4f}  decile MAPE {measure.decile_error(truth, score):.1%}  total "
            f"{score.sum() / truth.sum() - 1:+.1%}"
        )
    best = max(rows, key=lambda k: measure.gini(truth, rows[k]))
    print(f"  ours against {best}: {verdict(measure.paired(truth, ours, rows[best], measure.gini))}")
    tops = [truth[np.argsort(-s, kind="stable")[: round(0.2 * len(s))]].sum() for s in (ours, rows[best])]
    print(f"  the top 20 % spent {tops[0]:,.0f}; the rule's top 20 % {tops[1]:,.0f}")


def dates(orders: Orders, name: str, cutoff: int, horizon: int) -> None:
    views = Views(orders, horizon)
    view = views.at(cutoff)
    model = NextOrderModel(horizon).fit(views, cutoff)
    days = model.predict(view)
    wait = wait_within(orders, view.person, cutoff, horizon)
    seen = ~np.isnan(wait) & (view.shot.frequency > 0)
    off = np.abs(days[seen, 1] - wait[seen]).mean()
    rule = np.abs(view.shot.features[seen, 8] - view.recency[seen] - wait[seen]).mean()
    inside = ((wait[seen] >= np.floor(days[seen, 0])) & (wait[seen] <= np.ceil(days[seen, 2]))).mean()
    print(
        f"\n{name}: next order within {horizon} days: off by {off:.1f} days (rule {rule:.1f}); the 80 % range held {inside:.1%}"
    )


def scale(customers: int) -> None:
    random = np.random.default_rng(7)
    count = random.geometric(0.1, customers)
    person = np.repeat(np.arange(customers), count)
    first = np.repeat(random.integers(0, 600, customers), count)
    orders = Orders.of(person, 18_000 + first + random.integers(0, 130, len(person)), random.lognormal(3.5, 0.6, len(person)))
    begin, spent = time.perf_counter(), time.process_time()
    cutoff = int(orders.day.max())
    views = Views(orders, 90)
    view = views.at(cutoff)
    ChurnModel(90).fit(views, cutoff).predict(view)
    ValueModel(90).fit(views, cutoff).predict(view)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{customers:,} customers, {len(person):,} orders: churn and value trained and scored in "
        f"{time.perf_counter() - begin:.0f} s wall, {time.process_time() - spent:.0f} s CPU, peak {peak:,.0f} MB"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--only", choices=("cdnow", "complete_journey"))
    parser.add_argument("--scale", type=int)
    given = parser.parse_args()
    with threadpool_limits(1):
        if given.scale:
            scale(given.scale)
        if given.folder and given.only != "complete_journey":
            orders = load(given.folder, "cdnow")
            churn(orders, "cdnow", day("1997-10-01"), 90)
            value(orders, "cdnow", day("1997-10-01"), 273)
            dates(orders, "cdnow", day("1997-10-01"), 90)
        if given.folder and given.only != "cdnow":
            orders = load(given.folder, "complete_journey")
            churn(orders, "complete_journey", day("2017-10-01"), 28)
            value(orders, "complete_journey", day("2017-10-01"), 90)
            dates(orders, "complete_journey", day("2017-10-01"), 90)


if __name__ == "__main__":
    main()
