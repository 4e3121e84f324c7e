"""Addresses without what their provider is known to ignore."""

from __future__ import annotations

from connector.config import Config

PLUS = ("gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "icloud.com", "me.com", "fastmail.com",
        "proton.me", "protonmail.com", "pm.me")  # fmt: skip
"""Providers that deliver ann+anything to ann; folded only when the owner asks (`identity.plus_addresses`)."""

DOTLESS = ("gmail.com", "googlemail.com")
"""The one provider that ignores dots before the @, and its old name."""

PLACE = (
    "CASE WHEN {0}.source = 'mailchimp' AND contains({0}.contact_id, ':') THEN split_part({0}.contact_id, ':', 1) ELSE '' END"
)
"""SQL of where within its platform a record stands: of Mailchimp's audiences all but the written one are named in the id."""


def folded(address: str, config: Config) -> str:
    """SQL of an address without what its provider is known to ignore, as far as the owner wants that."""
    local, domain = f"split_part({address}, '@', 1)", f"split_part({address}, '@', 2)"
    name = local
    is_folded: tuple[str, ...] = ()
    if config.identity.plus_addresses:
        listed = ", ".join(f"'{d}'" for d in PLUS)
        name = f"CASE WHEN {domain} IN ({listed}) THEN split_part({local}, '+', 1) ELSE {local} END"
        is_folded += PLUS
    if config.identity.dots:
        listed = ", ".join(f"'{d}'" for d in DOTLESS)
        name = f"CASE WHEN {domain} IN ({listed}) THEN replace({name}, '.', '') ELSE {name} END"
        is_folded += DOTLESS
    if not is_folded:
        return address
    listed = ", ".join(f"'{d}'" for d in dict.fromkeys(is_folded))
    return (
        f"CASE WHEN {domain} IN ({listed}) AND {name} <> ''"
        f" THEN {name} || '@' || replace({domain}, 'googlemail.com', 'gmail.com') ELSE {address} END"
    )
