"""How far back a stream is whole: the wall of 60 days before orders, the purge of abandoned checkouts, and pauses between runs.

What Shopify hides is not gone: what was read before the wall moved on is kept, so the day from which a stream is whole stays
where it was. It moves forward only when a pause was longer than the platform looks back, and falls when the scope comes.
The cursor of a finished walk remembers it: {"phase": "done", "to", "walled", "whole_from"}.
https://shopify.dev/docs/api/usage/access-scopes#orders-permissions
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from adapters.base import Cursor
from adapters.shopify_documents import BEGINNING
from adapters.shopify_walk import read_time, text_time

HISTORY_DAYS = 60
"""How far back orders go without read_all_orders."""
CHECKOUT_DAYS = 83
"""Abandoned checkouts are purged weekly when they are about three months old."""
WALL = (
    "Shopify shows only the orders of the last 60 days (from {0} on): the app lacks read_all_orders. Ask for it in the Dev "
    "Dashboard under Access requests, Read all orders; once it is granted, the older ones are read by themselves."
)
GAP = (
    "Orders placed after {0} and before {1} cannot be read any more: the app lacks read_all_orders, and the last run "
    "is more than 60 days ago."
)
WHOLE = "The app may read all orders now; what lay behind the 60 days was read too."


@dataclass(frozen=True)
class Reach:
    """whole_from: the day from which the stream is whole, None where nothing is hidden. `cursor` is to be remembered."""

    whole_from: date | None
    note: str
    cursor: Cursor


def opened(state: Cursor, cursor: Cursor | None, *, full: bool, since: datetime | None) -> Cursor:
    """The state of a new walk, with what is needed at its end to say how far the stream reaches."""
    before = cursor if cursor and cursor["phase"] == "done" else {}
    history = {"last": before.get("to") or "", "whole_from": before.get("whole_from") or ""}
    is_round = bool(before) and not full
    return {**state, **history, "is_round": is_round, "since": since.date().isoformat() if since and not is_round else ""}


def reach(stream: str, state: Cursor, *, is_walled: bool) -> Reach:
    """state: of the walk as it began; its `to` is Shopify's clock. is_walled: the app lacks read_all_orders."""
    is_orders = stream == "orders"
    if is_orders and not is_walled and state.get("unwalled"):
        return Reach(BEGINNING, WHOLE, {})
    days = CHECKOUT_DAYS if stream == "checkouts" else HISTORY_DAYS if is_orders and is_walled else 0
    if not days:
        return Reach(None, "", {})
    wall = read_time(state["to"]) - timedelta(days=days)
    day = wall.date() + timedelta(days=1)
    is_gap = bool(state.get("last")) and state["last"] < text_time(wall)
    whole_from = day if is_gap else _whole_from(state, day)
    cursor: Cursor = {"whole_from": whole_from.isoformat()} if whole_from else {}
    if not is_orders:
        return Reach(whole_from, "", cursor)
    return Reach(whole_from, _note(state, day, is_gap=is_gap), {**cursor, "walled": True})


def _whole_from(state: Cursor, day: date) -> date | None:
    """A round of what changed reaches no further back than what is held; a read of everything may."""
    before = date.fromisoformat(state["whole_from"]) if state.get("whole_from") else None
    if state.get("is_round"):
        return before
    since = date.fromisoformat(state["since"]) if state.get("since") else BEGINNING
    return min(before or date.max, max(day, since))


def _note(state: Cursor, day: date, *, is_gap: bool) -> str:
    if is_gap:
        return GAP.format(state["last"][:10], day - timedelta(days=1))
    is_hidden = not state.get("is_round") and str(state.get("since") or "") < day.isoformat()
    return WALL.format(day) if is_hidden else ""
