"""The customers of the sample shop: who they are, where they are known, and what they said about being written to."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from connector.sandbox.shop import HUBSPOT, MAILCHIMP, SHOPIFY, Customer

FIRST_NAMES = (
    "Anna", "Ben", "Clara", "David", "Elif", "Felix", "Greta", "Hannes", "Ida", "Jonas", "Klara", "Lukas", "Mia", "Noah",
    "Olivia", "Paul", "Ronja", "Samir", "Tilda", "Emil", "Lea", "Max", "Nora", "Oskar", "Pia", "Rafael", "Sofia", "Theo",
    "Vera", "Yusuf", "Zoe", "Marta", "Anton", "Helene", "Leonie", "Mats", "Jule", "Karim", "Frieda", "Amelie",
)  # fmt: skip
LAST_NAMES = (
    "Albrecht", "Bauer", "Claussen", "Dietrich", "Ebert", "Fischer", "Graf", "Hartmann", "Iversen", "Jansen", "Keller",
    "Lorenz", "Meier", "Neumann", "Ott", "Petersen", "Richter", "Schubert", "Thiel", "Ulrich", "Vogel", "Wagner", "Yilmaz",
    "Zimmer", "Brandt", "Hoffmann", "Krause", "Sommer", "Winter", "Berger", "Lang", "Moser", "Huber", "Steiner", "de-Vries",
    "Moreau", "Rossi", "Novak", "Dahl", "Ostermann",
)  # fmt: skip
# country, its share, language, dialling code, cities with region and postcode
PLACES: tuple[tuple[str, int, str, str, tuple[tuple[str, str, str], ...]], ...] = (
    ("DE", 74, "de", "+49", (
        ("Berlin", "Berlin", "10115"), ("Hamburg", "Hamburg", "20095"), ("Leipzig", "Sachsen", "04109"),
        ("Köln", "Nordrhein-Westfalen", "50667"), ("München", "Bayern", "80331"), ("Bremen", "Bremen", "28195"),
        ("Freiburg", "Baden-Württemberg", "79098"), ("Dresden", "Sachsen", "01067"),
    )),
    ("AT", 10, "de", "+43", (("Wien", "Wien", "1010"), ("Graz", "Steiermark", "8010"), ("Linz", "Oberösterreich", "4020"))),
    ("CH", 5, "de", "+41", (("Zürich", "Zürich", "8001"), ("Basel", "Basel-Stadt", "4001"))),
    ("NL", 6, "nl", "+31", (("Amsterdam", "Noord-Holland", "1011"), ("Utrecht", "Utrecht", "3511"))),
    ("FR", 5, "fr", "+33", (("Strasbourg", "Grand Est", "67000"), ("Paris", "Île-de-France", "75001"))),
)  # fmt: skip
TASTES = ("Dark roast", "Light roast", "Espresso", "Decaf", "Equipment")


@dataclass
class Kind:
    """How a customer buys. every_days: 0 never buys. box: the subscription product, if any. stops_at: no order after it."""

    customer: Customer
    every_days: float
    stops_at: datetime
    taste: str
    box: str = ""
    is_once: bool = False
    is_business: bool = False


def people(dice: random.Random, start: datetime, end: datetime, count: int) -> list[Kind]:
    """Customers in the order they came; more of them before Christmas, and more each year."""
    days = [_arrival(dice, start, end) for _ in range(count)]
    return [_person(dice, place, at, end) for place, at in enumerate(sorted(days), 1)]


def _arrival(dice: random.Random, start: datetime, end: datetime) -> datetime:
    span = (end - start).total_seconds()
    while True:
        at = start + timedelta(seconds=int(span * dice.random() ** 0.8))
        if dice.random() < (1.0 if at.month in (11, 12) else 0.45):
            return at - timedelta(days=1) if at >= end - timedelta(days=1) else at


def _person(dice: random.Random, place: int, at: datetime, end: datetime) -> Kind:
    customer_id = f"{place:05d}"
    first, last = dice.choice(FIRST_NAMES), dice.choice(LAST_NAMES)
    country, _, language, dial, cities = dice.choices(PLACES, [p[1] for p in PLACES])[0]
    city, region, postcode = dice.choice(cities)
    customer = Customer(
        customer_id, f"{first}.{last}{place}@mail.example".lower(), at, at, first, last,
        phone=_phone(dice, dial) if dice.random() < 0.4 else "",
        city=city, region=region, country=country, postcode=postcode, language=language, on=frozenset(),
    )  # fmt: skip
    kind = _habits(dice, customer, at, end)
    _where_known(dice, kind)
    _answers(dice, customer, end)
    _extras(dice, kind)
    return kind


def _phone(dice: random.Random, dial: str) -> str:
    """Mostly E.164; sometimes as people type it."""
    digits = f"{dice.choice((151, 160, 171, 176))}{dice.randrange(10**7):07d}"
    if dice.random() < 0.8:
        return dial + digits
    return (
        f"00{dial[1:]} {digits[:3]} {digits[3:]}"
        if dice.random() < 0.5
        else f"{dial} ({digits[:3]}) {digits[3:6]}-{digits[6:]}"
    )


def _habits(dice: random.Random, customer: Customer, at: datetime, end: datetime) -> Kind:
    luck = dice.random()
    taste = dice.choices(TASTES, (28, 22, 30, 10, 10))[0]
    if luck < 0.10:
        return Kind(customer, 0, end, taste, is_business=luck < 0.03)
    if luck < 0.52:
        return Kind(customer, 400, end, taste, is_once=True)
    if luck < 0.60:
        stays = timedelta(days=dice.expovariate(1 / 420) + 20)
        return Kind(customer, 30, at + stays, taste, box=dice.choice(("MR-601", "MR-601", "MR-602")))
    if luck < 0.63:
        return Kind(customer, 25, at + timedelta(days=dice.expovariate(1 / 700)), taste, is_business=True)
    every = dice.lognormvariate(4.2, 0.6)
    return Kind(customer, every, at + timedelta(days=dice.expovariate(1 / 500) + 5), taste)


def _where_known(dice: random.Random, kind: Kind) -> None:
    """Buyers are on Shopify; those who never bought came through the newsletter or a fair, and are on one platform only."""
    customer = kind.customer
    if not kind.every_days:
        customer.on = frozenset((HUBSPOT,)) if kind.is_business or dice.random() < 0.3 else frozenset((MAILCHIMP,))
        return
    luck = dice.random()
    if luck < 0.012:
        customer.email, customer.on = "", frozenset((SHOPIFY,))
        customer.phone = customer.phone or _phone(dice, "+49")
        return
    on = {SHOPIFY}
    on |= {MAILCHIMP} if dice.random() < 0.75 else set()
    on |= {HUBSPOT} if dice.random() < 0.65 else set()
    customer.on = frozenset(on)


def _answers(dice: random.Random, customer: Customer, end: datetime) -> None:
    """Consent per platform with its date. One in twenty said no in one place and yes in another."""
    since = customer.created_at
    later = since + (end - since) * dice.random()
    luck = dice.random()
    if luck < 0.70:
        words = {
            SHOPIFY: "SUBSCRIBED",
            MAILCHIMP: "subscribed",
            HUBSPOT: "opted_in" if dice.random() < 0.5 else "not_specified",
        }
    elif luck < 0.80:
        words = {SHOPIFY: "UNSUBSCRIBED", MAILCHIMP: "unsubscribed", HUBSPOT: "opted_out"}
    elif luck < 0.90:
        words = {SHOPIFY: "NOT_SUBSCRIBED", MAILCHIMP: "transactional", HUBSPOT: "not_specified"}
    elif luck < 0.93:
        words = {SHOPIFY: "PENDING", MAILCHIMP: "pending", HUBSPOT: "not_specified"}
    elif luck < 0.95:
        words = {SHOPIFY: "INVALID", MAILCHIMP: "cleaned", HUBSPOT: "not_specified"}
    elif luck < 0.975:
        words = {SHOPIFY: "SUBSCRIBED", MAILCHIMP: "unsubscribed", HUBSPOT: "not_specified"}
    else:
        words = {SHOPIFY: "UNSUBSCRIBED", MAILCHIMP: "subscribed", HUBSPOT: "opted_in"}
    if luck < 0.01:
        words[MAILCHIMP] = "archived"
    for platform in sorted(customer.on):
        word = words[platform]
        customer.consent[platform] = word
        is_no = word in ("UNSUBSCRIBED", "unsubscribed", "opted_out", "cleaned", "INVALID", "archived")
        is_asked = word not in ("NOT_SUBSCRIBED", "not_specified", "transactional")
        customer.consent_at[platform] = (later if is_no else since) if is_asked and platform != HUBSPOT else None


def _extras(dice: random.Random, kind: Kind) -> None:
    """What each platform knows beyond the rest: a taste, a birthday, a company, a support ticket."""
    customer, taste = kind.customer, kind.taste
    if MAILCHIMP in customer.on:
        extra: dict[str, object] = {}
        if dice.random() < 0.5:
            extra["interests"] = [f"Taste: {taste}"]
        if dice.random() < 0.2:
            extra["BIRTHDAY"] = f"{dice.randint(1, 12):02d}/{dice.randint(1, 28):02d}"
        if dice.random() < 0.08:
            customer.tags[MAILCHIMP] = [dice.choice(("Tasting 2024", "Fair 2025", "Barista course"))]
        if extra:
            customer.extra[MAILCHIMP] = extra
    if HUBSPOT in customer.on:
        more: dict[str, object] = {}
        if kind.is_business:
            more["company"] = {"name": f"Café {customer.last_name}", "domain": f"cafe-{customer.last_name.lower()}.example"}
            if dice.random() < 0.6:
                more["deals"] = [_deal(dice, customer)]
        if dice.random() < 0.04:
            at = customer.created_at + timedelta(hours=dice.randint(5, 20))
            more["tickets"] = [{"subject": "Where is my parcel?", "content": "Question about a delivery", "createdate": at}]
        if more:
            customer.extra[HUBSPOT] = more
    if SHOPIFY in customer.on:
        subscriber = "NEVER_SUBSCRIBED" if not kind.box else "ACTIVE" if kind.stops_at > customer.updated_at else "CANCELLED"
        customer.extra[SHOPIFY] = {"subscriber": subscriber}
        if kind.is_business:
            customer.tags[SHOPIFY] = ["wholesale"]


def _deal(dice: random.Random, customer: Customer) -> dict[str, object]:
    stage = dice.choice(("closedwon", "closedlost", "appointmentscheduled"))
    amount = f"{dice.randint(15, 90) * 10}.00"
    at = customer.created_at + timedelta(hours=4)
    return {"dealname": f"Beans for {customer.last_name}", "amount": amount, "dealstage": stage, "createdate": at}
