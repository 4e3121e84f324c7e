"""Our scores beside the reference models, refitted here, on CDNOW and Complete Journey; and speed (`--scale`).

    python benchmarks/predict.py DATA_DIR [--only cdnow|complete_journey]
    python benchmarks/predict.py --scale 100000                  # the models alone, and the commands

DATA_DIR holds the folders cdnow and complete_journey. Beside every reference stands the verdict on ours: ahead, level or behind
by paired bootstrap over people (95 %). A reference that differs by more than 0.003 from its published figure is named.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import real_shops
import reference_models
import sklearn.ensemble  # noqa: F401  # its threads must be loaded before they can be limited
from real_shops import day
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # ships no type information

from models.scores import measure
from models.scores.churn import ChurnModel
from models.scores.engagement import CampaignModel, MailViews, campaign_inputs
from models.scores.history import Floats, Lines, Orders, no_order_within
from models.scores.mail import CLICK
from models.scores.next_order import NextOrderModel, wait_within
from models.scores.recommend import Recommender, bestsellers, bought_of
from models.scores.value import ValueModel, spend_within
from models.scores.views import Views

SHEET = {
    ("cdnow", 90, "days since last order"): 0.763, ("cdnow", 90, "RFM quintile sum"): 0.769,
    ("cdnow", 90, "BG/NBD 1 - P(alive)"): 0.333, ("cdnow", 90, "MBG/NBD P(no order)"): 0.768,
    ("cdnow", 90, "logistic + BTYD"): 0.778, ("cdnow", 90, "boosting + BTYD"): 0.774,
    ("cdnow", 273, "RFM quintile sum"): 0.765, ("cdnow", 273, "logistic + BTYD"): 0.772,
    ("complete_journey", 28, "RFM quintile sum"): 0.865, ("complete_journey", 28, "logistic + BTYD"): 0.886,
    ("cdnow", "money", "historic rate x H"): 0.698, ("cdnow", "money", "BG/NBD x Gamma-Gamma"): 0.672,
    ("cdnow", "money", "BG/NBD x own mean order"): 0.708, ("cdnow", "money", "Tweedie GLM + BTYD"): 0.724,
    ("complete_journey", "money", "last window repeated"): 0.856, ("complete_journey", "money", "boosting + BTYD"): 0.866,
    ("complete_journey", "coupons", "past rate"): 0.729, ("complete_journey", "coupons", "logistic"): 0.786,
}  # fmt: skip
DRAWS = 200
Metric = Callable[[Any, Floats], float]


def verdict(draws: Floats) -> str:
    low, high = np.nanpercentile(draws[:, 0] - draws[:, 1], [2.5, 97.5])
    return f"{'ahead' if low > 0 else 'behind' if high < 0 else 'level'} ({low:+.4f} to {high:+.4f})"


def table(
    key: tuple[str, int | str], truth: Any, ours: Floats, rows: dict[str, Floats], metric: Metric, say: Callable[[Floats], str]
) -> None:
    """A line a reference, with the verdict on ours against it; ours last."""
    for name, score in rows.items():
        draws = measure.paired(truth, ours, score, metric, draws=DRAWS)
        known, found = SHEET.get((*key, name)), metric(truth, score)
        apart = f"; sheet {known:.3f}" if known and abs(found - known) > 0.003 else ""
        print(f"  {name:24} {found:.4f} {say(score):52} ours is {verdict(draws)}{apart}")
    draws = measure.paired(truth, ours, ours, metric, draws=DRAWS)
    low, high = np.nanpercentile(draws[:, 0], [2.5, 97.5])
    print(f"  {'ours':24} {metric(truth, ours):.4f} {say(ours):52} 95 % {low:.4f} to {high:.4f}")


def top_gain(what: str, gained: Floats, ours: Floats, simple: Floats) -> None:
    """What the fifth ranked highest by each brought, and the difference with its interval."""

    def top(values: Any, score: Floats) -> float:
        return float(values[np.argsort(-score, kind="stable")[: round(0.2 * len(score))]].sum())

    draws = measure.paired(gained, ours, simple, top, draws=DRAWS)
    low, high = np.percentile(draws[:, 0] - draws[:, 1], [2.5, 97.5])
    one, two = top(gained, ours), top(gained, simple)
    print(
        f"  top 20 %: {what} {one:,.0f}; the simple rule's {two:,.0f}; difference {one - two:+,.0f} ({low:+,.0f} to {high:+,.0f})"
    )


def published(name: str, truth: Any, expected: Floats, rules: dict[str, Floats], metric: Metric) -> None:
    """The owner's check on the last window that had closed: is the lead over the better simple rule above zero?"""
    best = max(rules, key=lambda k: metric(truth, rules[k]))
    draws = measure.paired(truth, expected, rules[best], metric, draws=DRAWS)
    low = float(np.nanpercentile(draws[:, 0] - draws[:, 1], 2.5))
    print(f"  {name} at that date: {'published' if low > 0 else 'NOT published'} (lead over '{best}' at least {low:+.4f})")


def churn(views: Views, name: str, cutoff: int, horizon: int) -> None:
    view, orders = views.at(cutoff), views.orders
    truth = no_order_within(orders, view.person, cutoff, horizon)
    rows = reference_models.churn(views, cutoff, horizon)
    model = ChurnModel(horizon).fit(views, cutoff)
    ours = model.predict(view)
    print(f"\n{name}: no order within {horizon} days (AUC); {len(truth):,} people, {truth.mean():.1%} did not order")
    print(f"  ours: {model.name_}; back-test loss {model.tried_ or 'of too few windows'}")

    def say(score: Floats) -> str:
        honest = score.min() >= 0 and score.max() <= 1
        more = f" Brier {np.mean((score - truth) ** 2):.4f} ECE {measure.calibration(truth, score)[0]:.4f}" if honest else ""
        return f"AP {measure.average_precision(truth, score):.3f} lift@20 {measure.lift(truth, score):.3f}{more}"

    table((name, horizon), truth, ours, rows, measure.auc, say)
    top_gain("who stayed away:", truth.astype(float), ours, view.recency)
    closed = cutoff - horizon
    if views.amount(closed).rung != "refuse":
        past = views.at(closed)
        then = no_order_within(orders, past.person, closed, horizon)
        expected = ChurnModel(horizon).fit(views, closed).predict(past)
        published("churn", then, expected, {"days since last order": past.recency}, measure.auc)


def value(views: Views, name: str, cutoff: int, horizon: int) -> None:
    view = views.at(cutoff)
    truth = spend_within(views.orders, view.person, cutoff, horizon)
    model = ValueModel(horizon).fit(views, cutoff)
    rows, ours = reference_models.value(views, cutoff, horizon), model.predict(view)
    print(f"\n{name}: spend within {horizon} days (normalised Gini); {len(truth):,} people spent {truth.sum():,.0f}")
    print(f"  ours: {model.name_}; taught on {model.taught_horizon_} days; back-test Gini {model.tried_}")

    def say(score: Floats) -> str:
        error = score.sum() / truth.sum() - 1
        return f"total {error:+.1%} decile MAPE {measure.decile_error(truth, score):.1%}"

    table((name, "money"), truth, ours, rows, measure.gini, say)
    simple = {k: rows[k] for k in ("historic rate x H", "last window repeated")}
    best = max(simple, key=lambda k: measure.gini(truth, simple[k]))
    top_gain("spent", truth, ours, simple[best])
    checked = horizon if views.amount(cutoff - horizon).rung != "refuse" else min(horizon, 90)
    closed = cutoff - checked
    judged = views if checked == horizon else Views(views.orders, checked, views.lines)
    past = judged.at(closed)
    then = spend_within(views.orders, past.person, closed, checked)
    age = np.maximum(past.shot.age, 30)
    rules = {
        "historic rate": past.shot.features[:, 3] / age,
        "last window": reference_models.last_window(views.orders, past, checked),
    }
    published("value", then, ValueModel(checked).fit(judged, closed).predict(past), rules, measure.gini)


def dates(views: Views, name: str, cutoff: int, horizon: int) -> None:
    view = views.at(cutoff)
    days = NextOrderModel(horizon).fit(views, cutoff).predict(view)
    wait = wait_within(views.orders, view.person, cutoff, horizon)
    seen = ~np.isnan(wait) & (view.shot.frequency > 0)
    off = np.abs(days[seen, 1] - wait[seen])
    rule = np.abs(view.shot.features[seen, 8] - view.recency[seen] - wait[seen])
    inside = ((wait[seen] >= np.floor(days[seen, 0])) & (wait[seen] <= np.ceil(days[seen, 2]))).mean()
    print(f"\n{name}: next order within {horizon} days, of {int(seen.sum()):,} who came back")
    print(
        f"  ours off by {off.mean():.1f} days (median {np.median(off):.1f}), last order + mean gap by {rule.mean():.1f}; ",
        end="",
    )
    print(f"the 80 % range held {inside:.1%}")


def offers(lines: Lines, name: str, cutoff: int, horizon: int) -> None:
    """Of ten products each, how many were bought."""
    found = Recommender().fit(lines, cutoff).predict()
    ours = bought_of(found, lines, cutoff, horizon)
    best = bought_of(bestsellers(lines, cutoff, found.person), lines, cutoff, horizon)
    random = np.random.default_rng(7)
    draws = np.array(
        [[ours[p].mean(), best[p].mean()] for p in (random.integers(0, len(ours), len(ours)) for _ in range(DRAWS))]
    )
    print(f"\n{name}: ten products each, bought within {horizon} days; {len(ours):,} buyers")
    print(f"  ours {ours.mean():.2f} of ten, at least one for {(ours > 0).mean():.1%}; bestsellers of 30 days ", end="")
    print(f"{best.mean():.2f} of ten, {(best > 0).mean():.1%}; ours is {verdict(draws)}")


def coupons(folder: Path, orders: Orders, cutoff: int) -> None:
    """A row a household and campaign that starts on or after the cutoff; taught by campaigns that ended before it."""
    known = real_shops.coupons(folder, cutoff)
    views = MailViews(known.mail, orders)

    def rows(campaigns: list[Any]) -> tuple[Any, Floats]:
        hit = [np.array([(c, int(p)) in known.redeemed for p in whom]) for c, _, whom in campaigns]
        return np.concatenate(hit), np.vstack([campaign_inputs(views, start, whom) for _, start, whom in campaigns])

    (taught, x), (truth, now) = rows(known.ended), rows(known.tested)
    model = CampaignModel().fit(views, cutoff)
    ours = np.concatenate([model.predict(views, start, whom) for _, start, whom in known.tested])
    rate = []
    for _, start, whom in known.tested:
        past = known.mail.before(start)
        sent, used = (
            np.bincount(past.person[m], minlength=int(whom.max()) + 1)[whom] for m in (~past.is_answer, past.kind == CLICK)
        )
        rate.append((used + 1) / (sent + 10))
    print(f"\ncomplete_journey: coupon redemption (AUC); {len(truth):,} households and campaigns, {truth.mean():.1%} redeemed")
    logistic = reference_models.logistic().fit(x, taught).predict_proba(now)[:, 1]
    table(("complete_journey", "coupons"), truth, ours, {"past rate": np.concatenate(rate), "logistic": logistic}, measure.auc,
          lambda s: f"AP {measure.average_precision(truth, s):.3f} ECE {measure.calibration(truth, s)[0]:.4f}")  # fmt: skip


def made_up(customers: int) -> tuple[Any, Any, Any]:
    """Person, day and amount of ten orders a customer, within four months of the first."""
    random = np.random.default_rng(7)
    count = random.geometric(0.1, customers)
    person = np.repeat(np.arange(customers), count)
    first = np.repeat(random.integers(0, 600, customers), count)
    return person, 18_000 + first + random.integers(0, 130, len(person)), random.lognormal(3.5, 0.6, len(person))


def scale(customers: int) -> None:
    person, days, amounts = made_up(customers)
    orders = Orders.of(person, days, amounts)
    begin, spent = time.perf_counter(), time.process_time()
    cutoff = int(orders.day.max())
    views = Views(orders, 90)
    view = views.at(cutoff)
    ChurnModel(90).fit(views, cutoff).predict(view)
    ValueModel(90).fit(views, cutoff).predict(view)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{customers:,} customers, {len(person):,} orders: churn and value alone trained and scored in one thread in "
        f"{time.perf_counter() - begin:.0f} s wall, {time.process_time() - spent:.0f} s CPU, peak {peak:,.0f} MB"
    )


def command(customers: int) -> None:
    """`rollcall import` and `rollcall score` themselves on the file of a made-up shop: every score, as an owner runs them."""
    person, days, amounts = made_up(customers)
    with tempfile.TemporaryDirectory() as folder:
        with Path(folder, "orders.csv").open("w") as f:
            f.write("customer_id,date,amount\n")
            dates = np.datetime64("1970-01-01") + days
            f.writelines(f"c{p},{d},{a:.2f}\n" for p, d, a in zip(person, dates, amounts, strict=True))
        after = str(dates.max() + 1)
        for words in (("import", "orders", "orders.csv"), ("score", "--as-of", after, "--horizon", "90", "--out-dir", "out")):
            begin = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-m", "connector.cli", *words], cwd=folder, stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[1]), "OMP_NUM_THREADS": "2"},
            )  # fmt: skip
            _, status, used = os.wait4(process.pid, 0)
            print(
                f"{customers:,} customers, {len(person):,} orders: rollcall {words[0]} ended with {os.waitstatus_to_exitcode(status)} "
                f"after {time.perf_counter() - begin:.0f} s wall, {used.ru_utime + used.ru_stime:.0f} s CPU, peak "
                f"{used.ru_maxrss / 1024:,.0f} MB, two threads, load {os.getloadavg()[0]:.1f}"
            )


def shop(folder: Path, name: str, cutoff: int, horizon: int, value_horizon: int) -> None:
    begin, spent = time.perf_counter(), time.process_time()
    orders, lines = real_shops.orders(folder, name), real_shops.lines(folder, name)
    views = Views(orders, horizon, lines)
    churn(views, name, cutoff, horizon)
    far = Views(orders, value_horizon, lines)
    if name == "cdnow":
        churn(far, name, cutoff, value_horizon)
    value(far, name, cutoff, value_horizon)
    dates(views if horizon == 90 else far, name, cutoff, 90)
    if lines is not None:
        offers(lines, name, cutoff, 30)
        coupons(folder, orders, day("2017-09-01"))
    print(f"\n{name}: {time.perf_counter() - begin:.0f} s wall, {time.process_time() - spent:.0f} s CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--only", choices=("cdnow", "complete_journey"))
    parser.add_argument("--scale", type=int)
    given = parser.parse_args()
    with threadpool_limits(1):
        if given.scale:
            command(given.scale)  # first: a process begins with the peak of the one that starts it
            scale(given.scale)
        if given.folder and given.only != "complete_journey":
            shop(given.folder, "cdnow", day("1997-10-01"), 90, 273)
        if given.folder and given.only != "cdnow":
            shop(given.folder, "complete_journey", day("2017-10-01"), 28, 90)


if __name__ == "__main__":
    main()
