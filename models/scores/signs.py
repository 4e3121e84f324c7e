"""Signs beside orders, as dated rows, and what of them was known at a cutoff. Pure arrays, no I/O.

Mail answered, visits, logins, tickets, ratings, carts left behind, discounts, subscriptions, the country shipped to. What nobody
recorded of a person is missing (NaN), never zero: who has no rating has no mean rating, of whom no ticket is known there may be
some. Only trees see these columns: they ask of a missing value what they ask of any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from models.scores.history import NEVER, Floats, Ints, Snapshot

KINDS = ("mailed", "answer", "left", "visit", "login", "ticket", "rating", "cart", "discount", "contract", "country")
MAILED, ANSWER, LEFT, VISIT, LOGIN, TICKET, RATING, CART, DISCOUNT, CONTRACT, COUNTRY = range(len(KINDS))
GROUPS = {
    "mail": ((MAILED, ANSWER, LEFT), ("days_since_answer", "answers_30d", "answers_90d", "answers_fading_45d", "has_left")),
    "visits": ((VISIT,), ("days_since_visit", "visits_30d", "visits_90d")),
    "logins": ((LOGIN,), ("days_since_login", "logins_30d", "logins_90d")),
    "tickets": ((TICKET,), ("days_since_ticket", "tickets_30d", "tickets_365d")),
    "ratings": ((RATING,), ("mean_rating", "last_rating")),
    "carts": ((CART,), ("days_since_open_cart", "open_carts_30d")),
    "discounts": ((DISCOUNT,), ("discounted_share", "last_is_discounted")),
    "contracts": ((CONTRACT,), ("has_contract", "contract_days", "days_since_contract_end")),
    "country": ((COUNTRY,), ("country",)),
}
"""Group -> the kinds it is made of, and its columns."""

HALF_LIFE_DAYS = 45


@dataclass(frozen=True)
class Signs:
    """One row per person, day (since 1970-01-01, the shop's) and kind, sorted, so that row order does not matter.

    `value`: how many (answer, visit, login, ticket), the rating, 1 or 0 for an order with or without discount, a number for the
    country, the day on which a cart became an order or a subscription ended (infinite where it did not).
    """

    person: Ints
    day: Ints
    kind: Ints
    value: Floats
    groups: tuple[str, ...]
    """Of which anything is known of anybody: the others have no columns."""
    gone: Ints
    """The day on which the order that says it was withdrawn; NEVER where it stands."""

    @classmethod
    def of(cls, person: Ints, day: Ints, kind: Ints, value: Floats, gone: Ints | None = None) -> Signs:
        order = np.lexsort((value, kind, day, person))
        known = set(np.unique(kind).tolist())
        return cls(
            person[order], day[order], kind[order], value[order],
            tuple(g for g, (kinds, _) in GROUPS.items() if known.intersection(kinds)),
            np.full(len(person), NEVER) if gone is None else gone[order],
        )  # fmt: skip

    def every(self, k: int) -> Signs:
        return self._where(self.person % k == 0)

    def before(self, cutoff: int) -> Signs:
        return self._where((self.day < cutoff) & (self.gone >= cutoff))

    def _where(self, kept: Any) -> Signs:
        return Signs(self.person[kept], self.day[kept], self.kind[kept], self.value[kept], self.groups, self.gone[kept])


def columns_of(groups: tuple[str, ...]) -> list[tuple[str, str]]:
    """(group, column) in the order of `sign_features`."""
    return [(g, name) for g in groups for name in GROUPS[g][1]]


def sign_features(signs: Signs, shot: Snapshot) -> Floats:
    """What was known of everybody in the snapshot at the beginning of its cutoff; columns as in `columns_of(signs.groups)`."""
    n = len(shot.person)
    if not n:
        return np.empty((0, len(columns_of(signs.groups))))
    past = signs.before(shot.cutoff)
    row = np.minimum(np.searchsorted(shot.person, past.person), n - 1)
    known = shot.person[row] == past.person
    rows = _Rows(shot.cutoff, n, row[known], past.day[known], past.kind[known], past.value[known])
    return np.column_stack([column for g in signs.groups for column in rows.of(g)])


@dataclass(frozen=True)
class _Rows:
    """The signs before a cutoff, by the row of their person in the snapshot."""

    cutoff: int
    n: int
    row: Ints
    day: Ints
    kind: Ints
    value: Floats

    def of(self, group: str) -> list[Floats]:
        kinds, _ = GROUPS[group]
        is_known = self._count(np.isin(self.kind, kinds)) > 0
        return [np.where(is_known, column, np.nan) for column in getattr(self, f"_{group}")()]

    def _mail(self) -> list[Floats]:
        answer = self.kind == ANSWER
        fading = self._count(answer, 0.5 ** ((self.cutoff - self.day) / HALF_LIFE_DAYS) * self.value)
        return [*self._habit(ANSWER, 30, 90), fading, (self._count(self.kind == LEFT) > 0).astype(float)]

    def _visits(self) -> list[Floats]:
        return self._habit(VISIT, 30, 90)

    def _logins(self) -> list[Floats]:
        return self._habit(LOGIN, 30, 90)

    def _tickets(self) -> list[Floats]:
        return self._habit(TICKET, 30, 365)

    def _ratings(self) -> list[Floats]:
        return [self._mean(RATING), self._last(RATING)]

    def _carts(self) -> list[Floats]:
        left = (self.kind == CART) & (self.value >= self.cutoff)
        return [self._since(left), self._count(left & (self.day >= self.cutoff - 30))]

    def _discounts(self) -> list[Floats]:
        return [self._mean(DISCOUNT), self._last(DISCOUNT)]

    def _contracts(self) -> list[Floats]:
        runs = (self.kind == CONTRACT) & (self.value >= self.cutoff)
        over = (self.kind == CONTRACT) & (self.value < self.cutoff)
        begun, ended = np.full(self.n, np.inf), np.full(self.n, -np.inf)
        np.minimum.at(begun, self.row[runs], self.day[runs])
        np.maximum.at(ended, self.row[over], self.value[over])
        return [(self._count(runs) > 0).astype(float), _finite(self.cutoff - begun), _finite(self.cutoff - ended)]

    def _country(self) -> list[Floats]:
        return [self._last(COUNTRY)]

    def _habit(self, kind: int, *windows: int) -> list[Floats]:
        """Days since the last one, and how many in each window."""
        mine = self.kind == kind
        counts = [self._count(mine & (self.day >= self.cutoff - w), self.value) for w in windows]
        return [self._since(mine), *counts]

    def _count(self, mask: Any, weight: Floats | None = None) -> Floats:
        weights = None if weight is None else weight[mask]
        return np.asarray(np.bincount(self.row[mask], weights=weights, minlength=self.n), dtype=np.float64)

    def _since(self, mask: Any) -> Floats:
        last = np.full(self.n, -np.inf)
        np.maximum.at(last, self.row[mask], self.day[mask])
        return _finite(self.cutoff - last)

    def _mean(self, kind: int) -> Floats:
        mine = self.kind == kind
        return np.asarray(self._count(mine, self.value) / np.maximum(self._count(mine), 1))

    def _last(self, kind: int) -> Floats:
        """The value of the last row; rows are sorted by day and value."""
        mine = self.kind == kind
        found = np.full(self.n, np.nan)
        found[self.row[mine]] = self.value[mine]
        return found


def _finite(days: Floats) -> Floats:
    return np.where(np.isfinite(days), days, np.nan)


def like_the_middle(columns: Floats, recency: Floats, groups: tuple[str, ...], group: str) -> Floats:
    """The same, had this group been for everybody what it is in the middle of those of whom it is known among the half that
    ordered last."""
    edited, lately = columns.copy(), columns[recency <= np.median(recency)]
    for i, (g, _) in enumerate(columns_of(groups)):
        if g == group:
            seen = lately[:, i][~np.isnan(lately[:, i])]
            edited[:, i] = np.median(seen) if len(seen) and g != "country" else np.nan
    return edited


def days(n: float) -> str:
    return "1 day" if round(n) == 1 else f"{n:.0f} days"


def said(group: str, f: dict[str, float], late: int = 0) -> str:
    """What a group says of one person, in words; f: its columns by name. late: days by which the cutoff lies after today."""

    def ago(name: str, what: str, never: str) -> str:
        if np.isnan(f[name]):
            return never
        return f"{what} {days(f[name] - late)} ago" if f[name] > late else f"{what} today"

    if all(np.isnan(v) for v in f.values()):
        return UNKNOWN[group]
    if group == "mail":
        return (
            "left the mailings"
            if f["has_left"]
            else ago("days_since_answer", "last answered a mail", "answered no mail so far")
        )
    if group == "visits":
        return ago("days_since_visit", "last visit to the site", UNKNOWN[group])
    if group == "logins":
        return ago("days_since_login", "last login", UNKNOWN[group])
    if group == "tickets":
        return f"{f['tickets_30d']:.0f} tickets in 30 days" if f["tickets_30d"] else ago("days_since_ticket", "last ticket", "")
    if group == "ratings":
        return f"rates {f['mean_rating']:.1f} on average"
    if group == "carts":
        return ago("days_since_open_cart", "a cart left behind", "no cart left behind")
    if group == "discounts":
        return f"{f['discounted_share']:.0%} of orders at a discount"
    if group == "contracts" and f["has_contract"]:
        return f"a subscription for {days(f['contract_days'] - late)}"
    return ago("days_since_contract_end", "a subscription ended", "") if group == "contracts" else "the country shipped to"


UNKNOWN = {
    "mail": "no mail is known", "visits": "no visit is known", "logins": "no login is known", "tickets": "no ticket is known",
    "ratings": "no rating is known", "carts": "no cart is known", "discounts": "no discounts are known",
    "contracts": "no subscription is known", "country": "no country is known",
}  # fmt: skip
