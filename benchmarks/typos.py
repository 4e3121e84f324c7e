"""How often the first guess puts a mistyped name right: fields, functions, measures, library and segment names, values.

    python benchmarks/typos.py [--two 40]

A typo of one letter is every deletion, every swap of neighbours, one replacement and one insertion by place; typos of two
letters are two of those, drawn with a fixed seed. A typo that is another valid name is no typo and left out.
"""

from __future__ import annotations

import argparse
import random
import string
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from connector.columns import COLUMNS
from connector.library import entries
from connector.rules.nearest import nearest
from connector.rules.syntax import ALL_FUNCTIONS
from connector.sandbox.sample_people import PLACES
from connector.sandbox.sample_shop import GOODS

LETTERS = string.ascii_lowercase + "_"


def typos(word: str, chance: random.Random) -> list[str]:
    """Words one slip away from this one."""
    found = {word[:i] + word[i + 1 :] for i in range(len(word))}
    found |= {word[:i] + word[i + 1] + word[i] + word[i + 2 :] for i in range(len(word) - 1)}
    found |= {word[:i] + chance.choice(LETTERS) + word[i + 1 :] for i in range(len(word))}
    found |= {word[:i] + chance.choice(LETTERS) + word[i:] for i in range(len(word) + 1)}
    return sorted(found - {word})


def share(names: list[str], two: int, seed: int = 5) -> tuple[float, float, int]:
    """(share right of one-letter typos, of two-letter typos, how many were tried)."""
    chance = random.Random(seed)
    known = {name.casefold() for name in names}
    tried = [0, 0]
    right = [0, 0]
    for name in names:
        ones = [t for t in typos(name, chance) if t.casefold() not in known]
        twos = [
            t
            for o in chance.sample(ones, min(two, len(ones)))
            for t in [chance.choice(typos(o, chance))]
            if t.casefold() not in known
        ]
        for i, words in enumerate((ones, [t for t in twos if t != name])):
            tried[i] += len(words)
            right[i] += sum(nearest(w, names) == name for w in words)
    return right[0] / tried[0], right[1] / tried[1], sum(tried)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--two", type=int, default=40, help="typos of two letters by name, at most")
    given = parser.parse_args()
    for title, names in (
        ("fields", [c.name for c in COLUMNS]), ("functions and measures", list(ALL_FUNCTIONS)),
        ("library segments", list(entries())),
        ("segments of a shop", sorted({e.tag for e in entries().values()})),
        ("products and categories", sorted({title for _, title, *_ in GOODS} | {category for _, _, category, *_ in GOODS})),
        ("cities and regions", sorted({name for *_, towns in PLACES for town in towns for name in town[:2]})),
    ):  # fmt: skip
        one, both, count = share(list(names), given.two)
        print(f"{title:25} {len(names):4} names {count:6} typos: {one:6.1%} of one letter, {both:6.1%} of two put right")


if __name__ == "__main__":
    main()
