"""One spelling of a country: its ISO 3166 code, whatever language a file names it in."""

from __future__ import annotations

import functools

ALSO = {
    "uk": "GB", "great britain": "GB", "england": "GB", "scotland": "GB", "wales": "GB", "northern ireland": "GB",
    "usa": "US", "u.s.a.": "US", "u.s.": "US", "united states of america": "US", "america": "US",
    "holland": "NL", "the netherlands": "NL", "eire": "IE", "republic of ireland": "IE", "czechia": "CZ", "türkiye": "TR",
    "bundesrepublik deutschland": "DE", "brd": "DE", "ger": "DE", "korea": "KR", "russian federation": "RU", "viet nam": "VN",
}  # fmt: skip
"""Names in use that the table of the telephone library does not have."""


def code_of(name: str) -> str:
    """Two capital letters; '' where the name belongs to no country, or to several."""
    return _names().get(" ".join(name.split()).casefold(), "")


@functools.cache
def _names() -> dict[str, str]:
    from phonenumbers.geodata.locale import LOCALE_DATA

    codes: dict[str, set[str]] = {}
    for code, names in LOCALE_DATA.items():
        for name in names.values():
            if name and not name.startswith("*"):
                codes.setdefault(name.casefold(), set()).add(code)
    own = {code.casefold(): code for code in LOCALE_DATA}
    return {name: min(found) for name, found in codes.items() if len(found) == 1} | own | ALSO
