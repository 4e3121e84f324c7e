"""What every card says of itself: made when, from what, and what it could gain from."""

from __future__ import annotations

from connector.engagement import MailData
from connector.score_data import ShopData, date_of
from connector.score_parts import Card, Scored
from models.scores.engagement import MailAmount
from models.scores.signs import GROUPS
from models.scores.views import Amount, Views

YEARS_DAYS = 730
"""From here on every day of the year before the last closed window is known."""

CARRIED = {
    "mail": "sent, opened and clicked mails", "visits": "visits to the site", "logins": "logins", "tickets": "tickets",
    "ratings": "ratings", "carts": "carts left behind", "discounts": "discounts of orders", "contracts": "subscriptions",
    "country": "the country shipped to",
}  # fmt: skip
ON_ORDERS = ("churn", "clv", "purchase_30d")
ON_LINES = ("recommendations", "next_category")
ON_MAIL = ("engagement", "next_topic")


def tell(data: ShopData, mail: MailData, views: Views, found: list[Scored]) -> None:
    """Put `made_on`, `data` and `improve` on every card, and lines that say so on those that were not refused."""
    have, mailed = views.amount(data.cutoff), mail.views.amount(data.cutoff)
    for scored in found:
        card = scored.card
        is_mail = card["score"] in ON_MAIL
        card["made_on"] = data.day.isoformat()
        card["data"] = _of_mail(mail, mailed) if is_mail else _of_orders(data, card)
        card["improve"] = [] if card["status"] == "refused" else _improve(card, data, have, mailed)
        if card["status"] == "refused":
            continue
        card["lines"].append(f"Made on {card['made_on']} from {_words(card['data'])}.")
        if card["improve"]:
            card["lines"].append(f"It may gain from: {'; '.join(card['improve'])}.")


def _of_orders(data: ShopData, card: Card) -> Card:
    """What the model takes in: only trees see what was bought and what stands beside orders."""
    days = data.orders.day
    has_trees = card["score"] in ON_ORDERS and "trees" in card["model"]
    known = list(data.signs.groups) if data.signs and has_trees else []
    has_lines = data.lines is not None and (has_trees or card["score"] in ON_LINES)
    return {
        "customers": len(data.people), "order_days": len(days), "has_lines": has_lines, "beside": known,
        "first_on": date_of(days.min()).isoformat() if len(days) else None,
        "last_on": date_of(days.max()).isoformat() if len(days) else None,
    }  # fmt: skip


def _of_mail(mail: MailData, have: MailAmount) -> Card:
    days = mail.views.mail.day
    return {
        "contacts": have.contacts, "answered": have.answered,
        "first_on": date_of(days.min()).isoformat() if len(days) else None,
        "last_on": date_of(days.max()).isoformat() if len(days) else None,
    }  # fmt: skip


def _words(known: Card) -> str:
    span = f"{known['first_on']} to {known['last_on']}"
    if "contacts" in known:
        return f"the mail of {known['contacts']:,} contacts, of whom {known['answered']:,} answered, {span}"
    parts = [f"{known['order_days']:,} order days of {known['customers']:,} customers, {span}"]
    parts += ["what was bought"] if known["has_lines"] else []
    parts += [", ".join(CARRIED[g] for g in known["beside"])] if known["beside"] else []
    return "; ".join(parts)


def _improve(card: Card, data: ShopData, have: Amount, mailed: MailAmount) -> list[str]:
    """What this score would use and does not have, by what its models can take in (`docs/scores.md`)."""
    name, found = card["score"], []
    if name in ON_ORDERS:
        if have.history_days < YEARS_DAYS:
            found.append(f"a second year of orders, to know the season by ({have.history_days:,} days now)")
        if have.customers >= 500:
            found += [] if data.lines is not None else ["order lines: what was bought"]
            lacks = [CARRIED[g] for g in GROUPS if g != "country" and (data.signs is None or g not in data.signs.groups)]
            found += [", ".join(lacks)] if lacks else []
        if have.customers < 2000:
            found.append(f"more customers: richer models are tried from {_next(have.customers):,} ({have.customers:,} now)")
    elif name == "next_order" and have.customers < 2000:
        found.append(f"more customers who come back ({have.repeat_buyers:,} now)")
    elif name == "clv_365d" and have.history_days < 2 * YEARS_DAYS:
        found.append(f"more closed years to check it on ({have.history_days:,} days now)")
    elif name in ON_MAIL and mailed.contacts < 2000:
        found.append(
            f"more contacts with mail: richer models are tried from {_next(mailed.contacts):,} ({mailed.contacts:,} now)"
        )
    return found


def _next(now: int) -> int:
    return 500 if now < 500 else 2000
