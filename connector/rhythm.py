"""The shop's own measures, by which its people are compared: where the fifths of RFM are cut, and how long buyers usually wait."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from connector.store import Store

FIFTHS = (
    ("rfm_r", "last_order_on", "day of the last order"),
    ("rfm_f", "orders_total", "number of orders"),
    ("rfm_m", "revenue_total", "money"),
)


def of_shop(store: Store) -> dict[str, Any]:
    """What the profile as it stands was made with. `rfm` holds the lowest value of each fifth; empty below 50 buyers.

    Days; `is_guessed`: too few gaps between two orders are known, and usual lengths are taken instead.
    """
    usual, long = store.sql("SELECT shop_usual_gap, shop_long_gap FROM profile_shop")[0]
    return {
        "rfm": {name: _fifths(store, name, of) for name, of, _ in FIFTHS},
        "usual_gap_days": usual,
        "long_gap_days": long,
        "is_guessed": usual is None,
    }


def _fifths(store: Store, name: str, of: str) -> list[dict[str, Any]]:
    found = store.sql(
        f"SELECT {name}, min({of}), count(*) FROM profile WHERE {name} IS NOT NULL AND {of} IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    return [{"fifth": int(fifth), "from": _plain(value), "people": people} for fifth, value, people in found]


def sentences(shop: dict[str, Any]) -> list[str]:
    """The same for an owner to read."""
    told = []
    for name, _, what in FIFTHS:
        if cuts := shop["rfm"][name]:
            told.append(f"RFM, {what} ({name}): " + ", ".join(f"{c['fifth']} from {_said(c['from'])}" for c in cuts) + ".")
    if not told:
        told.append("RFM: no fifths yet; they need 50 buyers.")
    long = shop["long_gap_days"]
    why = (
        "too few second orders to tell it yet, so usual lengths are taken"
        if shop["is_guessed"]
        else f"half of all next orders came within {shop['usual_gap_days']} days, nine of ten within {long}"
    )
    return [
        *told,
        f"The shop's rhythm: {why}. At risk is who is silent for more than {long} days, churned for more than {2 * long}.",
    ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else float(value) if isinstance(value, Decimal) else value


def _said(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,.2f}" if isinstance(value, float) else f"{value:,}"
