"""The newsletters of the sample shop: who got them, opened them (people and machines), clicked and left."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime, timedelta

from connector.sandbox.shop import MAILCHIMP, Customer, Mailing

EVERY_DAYS = 14
TOPICS = (
    ("Beans of the month", "New on the shelf: {month}", "new"),
    ("Brewing notes", "Three ways to a better cup", "journal"),
    ("Offer", "15 % off this weekend", "offers"),
    ("From the roastery", "What we roasted this week", "journal"),
)
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
REASONS = ("NORMAL", "No longer interested", "Too many mails", "Never signed up")
PAGES = (
    "https://shop.example/{page}",
    "https://shop.example/collections/espresso",
    "https://shop.example/products/first-light",
)


def campaigns(dice: random.Random, customers: Sequence[Customer], start: datetime, end: datetime) -> list[Mailing]:
    """One a fortnight, Tuesdays at 07:00 UTC. Nobody gets one before the first yes or after the no."""
    readers = [
        c
        for c in customers
        if MAILCHIMP in c.on and c.email and c.consent[MAILCHIMP] in ("subscribed", "unsubscribed", "cleaned")
    ]
    eager = {c.customer_id: dice.betavariate(1.3, 3.2) for c in readers}
    machines = {c.customer_id for c in readers if dice.random() < 0.35}
    made: list[Mailing] = []
    at = start.replace(hour=7, minute=0, second=0, microsecond=0)
    at += timedelta(days=(1 - at.weekday()) % 7)
    while at < end - timedelta(days=1):
        topic, subject, page = TOPICS[len(made) % len(TOPICS)]
        title = f"{topic} {at:%Y-%m}" + ("b" if at.day > 15 else "a")
        mailing = Mailing(f"mr{len(made) + 1:08d}", title, subject.format(month=MONTHS[at.month - 1]), at)
        _send(dice, mailing, readers, eager, machines, page, end)
        made.append(mailing)
        at += timedelta(days=EVERY_DAYS)
    return made


def _send(
    dice: random.Random, mailing: Mailing, readers: Sequence[Customer], eager: dict[str, float], machines: set[str],
    page: str, end: datetime,
) -> None:  # fmt: skip
    next_at = mailing.sent_at + timedelta(days=EVERY_DAYS + 7)
    for customer in readers:
        number, left_at = customer.customer_id, _left_at(customer)
        if customer.created_at > mailing.sent_at or (left_at is not None and left_at <= mailing.sent_at):
            continue
        mailing.recipients.append(number)
        if number in machines:
            mailing.opens.append((number, _later(dice, mailing.sent_at, 0.2, end), True))
        is_open = dice.random() < eager[number]
        if is_open:
            opened = _later(dice, mailing.sent_at, 18, end)
            mailing.opens.append((number, opened, False))
            if dice.random() < 0.16:
                mailing.clicks.append((number, _later(dice, opened, 0.2, end), dice.choice(PAGES).format(page=page)))
        if left_at is not None and left_at <= min(next_at, end):
            if customer.consent[MAILCHIMP] == "cleaned":
                mailing.bounces.append((number, mailing.sent_at + timedelta(minutes=2), "hard"))
            else:
                mailing.unsubscribes.append((number, left_at, dice.choices(REASONS, (6, 3, 2, 1))[0]))
        elif dice.random() < 0.004:
            mailing.bounces.append((number, mailing.sent_at + timedelta(minutes=3), "soft"))


def _left_at(customer: Customer) -> datetime | None:
    """When somebody stopped getting mail, None for those who still do."""
    return None if customer.consent[MAILCHIMP] == "subscribed" else customer.consent_at[MAILCHIMP]


def _later(dice: random.Random, at: datetime, hours: float, end: datetime) -> datetime:
    return min(at + timedelta(seconds=int(dice.expovariate(1 / (hours * 3600))) + 5), end - timedelta(seconds=1))
