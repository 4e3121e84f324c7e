"""Mail history as arrays: what somebody was sent, opened and clicked, and what of it was known at a cutoff. No I/O.

One row per person, day and kind. Opens are human opens; those of machines are a kind of their own and count as no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.scores.history import NAMES as FEATURES
from models.scores.history import Floats, Ints, Orders, snapshot
from models.scores.views import signed_log

KINDS = ("sent", "open", "click", "machine_open", "unsubscribe", "bounce")
SENT, OPEN, CLICK, MACHINE, LEFT, BOUNCED = range(len(KINDS))
ANSWERS = (OPEN, CLICK)
WINDOWS_DAYS = (30, 90, 365)
HALF_LIVES_DAYS = (14, 45, 150)
NEVER_DAYS = 1500.0
WEEKS_LOOKED_AT = 52

NAMES = (
    *(f"{w}_{n}d" for w in ("sent", "opens", "clicks") for n in WINDOWS_DAYS), "machine_opens_90d", "days_since_mail",
    "days_since_open", "days_since_click", "days_since_answer", *(f"answers_fading_{h}d" for h in HALF_LIVES_DAYS),
    "mails_since_answer", "has_left", "bounces", "days_known", "answered_weeks", "weeks_known", "days_since_order",
    "orders_90d", "orders_365d", "spent_365d", "is_buyer",
)  # fmt: skip


@dataclass(frozen=True)
class Mail:
    """`person` counts 0..n-1, `day` in days since 1970-01-01 (the shop's), `kind` as in KINDS, `count` rows of that day.

    `campaign` is a number, -1 where the platform names none. Sorted, so that row order does not matter.
    """

    person: Ints
    day: Ints
    kind: Ints
    campaign: Ints
    count: Floats

    @classmethod
    def of(cls, person: Ints, day: Ints, kind: Ints, campaign: Ints, count: Floats) -> Mail:
        order = np.lexsort((count, campaign, kind, day, person))
        return cls(person[order], day[order], kind[order], campaign[order], count[order])

    def where(self, kept: Any) -> Mail:
        return Mail(self.person[kept], self.day[kept], self.kind[kept], self.campaign[kept], self.count[kept])

    def before(self, cutoff: int) -> Mail:
        return self.where(self.day < cutoff)

    @property
    def is_answer(self) -> Any:
        return np.isin(self.kind, ANSWERS)


@dataclass(frozen=True)
class MailShot:
    """Everybody with mail before `cutoff`; columns of `features` as in NAMES, counts and days untransformed."""

    cutoff: int
    person: Ints
    features: Floats

    def column(self, name: str) -> Floats:
        return np.asarray(self.features[:, NAMES.index(name)])

    @property
    def inputs(self) -> Floats:
        return signed_log(self.features)


def mail_shot(mail: Mail, orders: Orders, cutoff: int, whom: Ints | None = None) -> MailShot:
    """What was known at the beginning of the day `cutoff`; `orders` number their people as the mail does.

    whom: sorted; everybody with mail before the cutoff unless given.
    """
    past = mail.before(cutoff)
    everybody = np.unique(past.person) if whom is None else whom
    size = int(max(past.person.max(initial=-1), everybody.max(initial=-1))) + 1
    passed = (cutoff - past.day).astype(float)

    def total(mask: Any, weight: Floats | None = None) -> Floats:
        values = past.count if weight is None else past.count * weight
        return np.asarray(np.bincount(past.person[mask], weights=values[mask], minlength=size)[everybody], dtype=float)

    def since(mask: Any) -> Floats:
        last = np.full(size, NEVER_DAYS)
        np.minimum.at(last, past.person[mask], passed[mask])
        return last[everybody]

    answer = past.is_answer
    last_answer = np.full(size, NEVER_DAYS)
    np.minimum.at(last_answer, past.person[answer], passed[answer])
    sent = past.kind == SENT
    columns = [total((past.kind == k) & (passed <= w)) for k in (SENT, OPEN, CLICK) for w in WINDOWS_DAYS]
    columns += [total((past.kind == MACHINE) & (passed <= 90))]
    columns += [since(sent), since(past.kind == OPEN), since(past.kind == CLICK), since(answer)]
    columns += [total(answer, 0.5 ** (passed / h)) for h in HALF_LIVES_DAYS]
    columns += [total(sent & (passed < last_answer[past.person]))]
    left = since(past.kind == LEFT)
    columns += [np.asarray((left <= since(sent)) & (left < NEVER_DAYS), dtype=float)]
    columns += [total(past.kind == BOUNCED)]
    answered, weeks, known = (_spread(v, past, size)[everybody] for v in answered_weeks(past, cutoff))
    columns += [known, answered, weeks]
    return MailShot(cutoff, everybody, np.column_stack([*columns, *_bought(orders, cutoff, everybody)]))


def answered_weeks(past: Mail, cutoff: int) -> tuple[Floats, Floats, Floats]:
    """Of the last 52 weeks (weeks known) those with a human open or click, the weeks known, and the days known."""
    everybody, first = np.unique(past.person, return_index=True)
    starts = np.append(first, len(past.person))
    known = cutoff - np.minimum.reduceat(past.day, starts[:-1]).astype(float) if len(everybody) else np.empty(0)
    weeks = np.clip(np.ceil(known / 7), 1, WEEKS_LOOKED_AT)
    week = (cutoff - 1 - past.day) // 7
    hits = past.is_answer & (week < WEEKS_LOOKED_AT)
    seen = np.unique(np.column_stack([past.person[hits], week[hits]]), axis=0)
    size = int(past.person.max(initial=-1)) + 1
    answered = np.bincount(seen[:, 0], minlength=size)[everybody].astype(float)
    return answered, np.maximum(weeks, answered), known


def _spread(values: Floats, past: Mail, size: int) -> Floats:
    """One value per person with mail, put at the person's number; 0 for everybody else."""
    whole = np.zeros(size)
    whole[np.unique(past.person)] = values
    return whole


def _bought(orders: Orders, cutoff: int, people: Ints) -> list[Floats]:
    """Recency, orders in 90 and 365 days, money in 365 days, and whether they ever bought."""
    shot = snapshot(orders, cutoff)
    if not len(shot.person):
        never = np.full(len(people), NEVER_DAYS)
        return [never, *(np.zeros(len(people)) for _ in range(4))]
    size = int(max(people.max(initial=-1), shot.person.max(initial=-1))) + 1
    columns = []
    wanted = (("recency_days", NEVER_DAYS), ("orders_90d", 0.0), ("orders_365d", 0.0), ("spent_365d", 0.0))
    for name, absent in wanted:
        whole = np.full(size, absent)
        whole[shot.person] = shot.features[:, FEATURES.index(name)]
        columns.append(whole[people])
    buyer = np.zeros(size)
    buyer[shot.person] = 1.0
    return [*columns, buyer[people]]


def answers_within(mail: Mail, people: Ints, cutoff: int, horizon: int) -> Any:
    """The label: True for those of `people` who opened or clicked, themselves, in [cutoff, cutoff + horizon)."""
    window = mail.is_answer & (mail.day >= cutoff) & (mail.day < cutoff + horizon)
    return np.isin(people, mail.person[window])
