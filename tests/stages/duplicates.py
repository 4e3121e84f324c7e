"""People with several records each, made with the noise of real shops, and who is who: the labels of identity's test.

Every person has one record on a platform and a second one that differs in one known way (`NOISE`). Beside them stand people
who look alike and are not one (`TRAPS`).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.stages.hand_shop import contact

Row = dict[str, Any]
NAMES = ("Ann", "Bob", "Cem", "Dora", "Eva", "Fritz", "Gül", "Hans", "Ida", "Jan", "Kim", "Lea")


def email_of(n: int) -> str:
    return f"person.{n}@gmail.com"


def phone_of(n: int) -> str:
    return f"+49301{n:07}"


def typo(text: str, chance: random.Random) -> str:
    at = chance.randrange(len("person."), text.index("@"))
    return text[:at] + chance.choice("xyz") + text[at + 1 :]


NOISE: dict[str, Callable[[int, random.Random], tuple[Row, Row]]] = {
    "same address": lambda n, c: ({"email": email_of(n)}, {"email": email_of(n)}),
    "case and blanks": lambda n, c: ({"email": email_of(n)}, {"email": f" {email_of(n).upper()} "}),
    "plus address": lambda n, c: (
        {"email": email_of(n)},
        {"email": email_of(n).replace("@", f"+{c.choice(('news', 'shop'))}@")},
    ),
    "dots": lambda n, c: ({"email": email_of(n)}, {"email": email_of(n).replace(".", "", 1)}),
    "old provider name": lambda n, c: ({"email": email_of(n)}, {"email": email_of(n).replace("gmail", "googlemail")}),
    "phone in national writing": lambda n, c: ({"phone": phone_of(n), "email": email_of(n)}, {"phone": f"0301/{n:07}"}),
    "phone with blanks": lambda n, c: ({"phone": phone_of(n)}, {"phone": f"+49 (0)301 {n:07}", "email": email_of(n)}),
    "second address known": lambda n, c: (
        {"email": email_of(n), "also": f"p{n}@work.example"},
        {"email": f"p{n}@work.example"},
    ),
    "merged by the platform": lambda n, c: ({"email": email_of(n)}, {"email": f"old{n}@x.example", "merged_into": f"{n}a"}),
    "typing error": lambda n, c: ({"email": email_of(n)}, {"email": typo(email_of(n), c)}),
    "second address unknown": lambda n, c: ({"email": email_of(n)}, {"email": f"p{n}@home.example"}),
}
"""How two records of one person differ."""

HOPELESS = ("typing error", "second address unknown")
"""Nothing that can be trusted ties these together: joining them by likeness would join strangers too."""

TRAPS: dict[str, Callable[[int], tuple[Row, Row]]] = {
    "family phone": lambda n: (
        {"email": f"f{n}a@x.example", "phone": phone_of(n), "first_name": "Ann"},
        {"email": f"f{n}b@x.example", "phone": phone_of(n), "first_name": "Bob"},
    ),
    "same name": lambda n: (
        {"email": f"s{n}a@x.example", "first_name": "Ann", "last_name": "Meyer"},
        {"email": f"s{n}b@x.example", "first_name": "Ann", "last_name": "Meyer"},
    ),
    "neighbouring numbers": lambda n: (
        {"email": f"n{n}a@x.example", "phone": phone_of(8_000_000 + 2 * n)},
        {"email": f"n{n}b@x.example", "phone": phone_of(8_000_001 + 2 * n)},
    ),
    "dots elsewhere": lambda n: ({"email": f"d.{n}@gmx.example"}, {"email": f"d{n}@gmx.example"}),
    "plus elsewhere": lambda n: ({"email": f"e{n}@gmx.example"}, {"email": f"e{n}+1@gmx.example"}),
    "namesakes with one phone": lambda n: (
        {"email": f"j{n}a@x.example", "phone": phone_of(n), "first_name": "Jan"},
        {"email": f"j{n}b@x.example", "phone": phone_of(n), "first_name": "Jan"},
    ),
}
"""Two people who are not one; `namesakes with one phone`, father and son, cannot be told from one person."""

UNAVOIDABLE = ("namesakes with one phone",)


class Labelled:
    """Rows for the store, and who each record is: `who` by (source, contact id), `kind` by who."""

    def __init__(self, people: int = 1100, seed: int = 7) -> None:
        chance = random.Random(seed)
        self.contacts: list[Row] = []
        self.identifiers: list[Row] = []
        self.who: dict[tuple[str, str], str] = {}
        self.kind: dict[str, str] = {}
        for n in range(people):
            kind = list(NOISE)[n % len(NOISE)]
            self._two(n, NOISE[kind](n, chance), kind, is_one=True, chance=chance)
        for n in range(people, people + people // 2):
            kind = list(TRAPS)[n % len(TRAPS)] if n % 20 else "namesakes with one phone"
            kind = "same name" if kind in UNAVOIDABLE and n % 20 else kind  # one in twenty, which is more than there are
            self._two(n, TRAPS[kind](n), kind, is_one=False, chance=chance)
        for n in range(30):  # an address and a phone of the whole office
            self._add("mailchimp", f"office{n}", {"email": "info@office.example", "phone": "+49309999999"}, f"o{n}", "office")

    def _two(self, n: int, told: tuple[Row, Row], kind: str, *, is_one: bool, chance: random.Random) -> None:
        first, second = told
        name = chance.choice(NAMES)
        sources = ("hubspot", "hubspot") if "merged_into" in second else chance.sample(("shopify", "mailchimp", "hubspot"), 2)
        self._add(sources[0], f"{n}a", {"first_name": name} | first, f"{n}", kind)
        self._add(sources[1], f"{n}b", {"first_name": name} | second, f"{n}" if is_one else f"{n}*", kind)

    def _add(self, source: str, contact_id: str, given: Row, who: str, kind: str) -> None:
        given = dict(given)
        also = given.pop("also", "")
        if also:
            row = {"source": source, "contact_id": contact_id, "kind": "email", "value": also, "is_main": False}
            self.identifiers.append(row)
        blank = dict.fromkeys(("email", "phone", "first_name", "last_name", "merged_into"))
        self.contacts.append(contact(source, contact_id, **(blank | given)))
        self.who[source, contact_id] = who
        self.kind[who] = kind
