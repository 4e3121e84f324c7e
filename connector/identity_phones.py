"""Telephone numbers in E.164, whatever way they are written in."""

from __future__ import annotations

from connector.store import Store

WITH_TRUNK_ZERO = (
    "^[+](?:1|7|2[07]|3[0-469]|4[013-9]|5[1-8]|6[0-6]|8[1246]|9[0-58]"
    "|2[1-69][0-9]|3[578][0-9]|42[0-9]|5[09][0-9]|6[7-9][0-9]|8[0578][0-9]|9[679][0-9])0"
)
"""A 0 behind the country code (+49 030 ...): in most countries it is dialled within the country only."""


def translate(store: Store, phones: str, country: str) -> None:
    """Table id_phones(given, number): E.164 of every number that has one. Plain numbers with a country code need no library."""
    store.sql(f"""
        CREATE OR REPLACE TEMP TABLE id_phones AS
        SELECT given, CASE WHEN regexp_full_match(bare, '[+][1-9][0-9]{{7,14}}') AND NOT regexp_matches(bare, '{WITH_TRUNK_ZERO}')
          THEN bare END AS number
        FROM (SELECT DISTINCT value AS given, regexp_replace(value, '[ ./-]', '', 'g') AS bare FROM ({phones}))""")
    odd = [row[0] for row in store.sql("SELECT given FROM id_phones WHERE number IS NULL")]
    numbers = {given: number for given in odd if (number := e164(given, country))}
    if numbers:
        store.sql(
            "INSERT INTO id_phones SELECT unnest(?::VARCHAR[]), unnest(?::VARCHAR[])",
            [list(numbers), list(numbers.values())],
        )
    store.sql("DELETE FROM id_phones WHERE number IS NULL")


def e164(number: str, country: str = "") -> str:
    """The number as +<country code><number>, '' when it is none. `country` is where numbers without a code belong."""
    import phonenumbers

    try:
        parsed = phonenumbers.parse(number, country or None)
    except phonenumbers.NumberParseException:
        return ""
    if not phonenumbers.is_possible_number(parsed):
        return ""
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
