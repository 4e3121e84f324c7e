"""The valid name an owner most likely meant."""

from __future__ import annotations

from collections.abc import Iterable


def distance(a: str, b: str) -> int:
    """Edits from a to b: insert, delete, replace, swap of neighbours (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        older, before, row = before, row, [i] + [0] * len(b)
        for j, y in enumerate(b, 1):
            row[j] = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (x != y))
            if older and i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                row[j] = min(row[j], older[j - 2] + 1)
    return row[-1]


def nearest(word: str, known: Iterable[str]) -> str:
    """The known name closest to a mistyped one, '' when none is close. Case does not count; ties go to same length, then a-z.

    A name that begins with what was typed is close too (`revenue` for `revenue_total`).
    """
    typed = word.casefold().strip()
    best: tuple[float, int, str] | None = None
    for name in known:
        folded = name.casefold()
        if abs(len(folded) - len(typed)) > 3 and not folded.startswith(typed):
            continue
        away = distance(typed, folded)
        if folded.startswith(typed) and len(typed) >= 3:
            away = min(away, 2)
        if away > max(2, min(len(typed), len(folded)) // 3):
            continue
        candidate = (away, abs(len(folded) - len(typed)), name)
        if best is None or candidate < best:
            best = candidate
    return best[2] if best else ""


OTHER_WORDS = {
    "days_since_last_order": "days_since_order", "days_since_purchase": "days_since_order",
    "days_since_last_purchase": "days_since_order", "last_purchase": "last_order_on", "last_purchase_on": "last_order_on",
    "last_order_date": "last_order_on", "first_purchase": "first_order_on", "first_order_date": "first_order_on",
    "total_spent": "revenue_total", "spent_total": "revenue_total", "total_spend": "revenue_total", "orders": "orders_total",
    "order_count": "orders_total", "number_of_orders": "orders_total", "revenue": "revenue_total",
    "average_order_value": "aov", "subscribed": "is_subscribed", "accepts_marketing": "is_subscribed",
    "email_subscribed": "is_subscribed", "zip": "postcode", "zip_code": "postcode", "state": "region", "province": "region",
    "sex": "gender", "group": "groups", "tag": "tags", "lifetime_value": "clv", "ltv": "clv",
}  # fmt: skip
"""What other programs call a column of ours: a word that is right there and has no letters to put right."""


def hint(word: str, known: Iterable[str]) -> str:
    """' Did you mean ...?' or nothing."""
    names = list(known)
    other = OTHER_WORDS.get(word.casefold(), "")
    found = other if other and other in names else nearest(word, names)
    return f" Did you mean '{found}'?" if found else ""
