"""Whom the owner keeps apart (`identity.keep_apart`): which records an entry names, and which entries cannot be heeded."""

from __future__ import annotations

import adapters
from connector.config import Config
from connector.identity_rules import folded
from connector.store import Store

ADDRESSES = """
    SELECT source, contact_id, email AS value, FALSE AS on_order FROM contacts WHERE contains(email, '@')
    UNION ALL SELECT source, contact_id, value, FALSE FROM identifiers WHERE kind = 'email' AND contains(value, '@')
    UNION ALL SELECT source, contact_id, email, TRUE FROM orders WHERE contact_id IS NOT NULL AND contains(email, '@')"""
"""Every address on a record of a contact."""


def named(store: Store, config: Config, entry: str, known: str = "person_links") -> list[tuple[str, str]]:
    """The records of the table `known` that an entry means: `platform:contact id`, or an e-mail address.

    An address means the records on which it is written that way; where there are none, those whose provider takes it for the
    same (`identity.plus_addresses`, `identity.dots`): so two ways of writing one address can be kept apart.
    """
    source, _, contact_id = entry.partition(":")
    if "@" not in entry or source in (*adapters.installed(), "import", "email"):
        found = store.sql(
            f"SELECT source, contact_id FROM {known} WHERE source = ? AND contact_id = ?", [source.strip(), contact_id.strip()]
        )
        return [(str(s), str(c)) for s, c in found]
    held = f"""
        SELECT DISTINCT k.source, k.contact_id, lower(trim(value)) AS a FROM {known} AS k JOIN (
          {ADDRESSES} UNION ALL SELECT source, contact_id, contact_id, FALSE FROM {known} WHERE source = 'email') AS f
          ON f.source = k.source AND f.contact_id = k.contact_id"""
    meant = f"SELECT {folded('a', config)} FROM (SELECT $entry AS a)"
    address = {"entry": entry.strip().lower()}
    found = store.sql(f"SELECT source, contact_id FROM ({held}) WHERE a = $entry", address) or store.sql(
        f"SELECT source, contact_id FROM ({held}) WHERE {folded('a', config)} = ({meant})", address
    )
    return [(str(s), str(c)) for s, c in found]


def unheeded(store: Store, config: Config) -> list[str]:
    """One sentence per pair that cannot be kept apart as it is written, without addresses. The persons must be known."""
    told = []
    for number, pair in enumerate(config.identity.keep_apart, 1):
        first, second = (set(named(store, config, entry)) for entry in pair)
        if first and second and not first & second:
            continue
        what = (
            "both entries name the same record, which is one person whatever is written here"
            if first & second
            else f"its {'first' if second else 'second' if first else 'first and its second'} entry names nobody in the store"
        )
        told.append(
            f"identity.keep_apart, pair {number}, is not heeded: {what}. An entry is platform:contact id, such as "
            "shopify:123, or an address that somebody has."
        )
    return told
