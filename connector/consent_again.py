"""Consent is asked for again just before anything is written: of everybody who enters, on every platform that knows them.

A no said after the last pull counts too, wherever it was said. Only direct reading counts as asking: a pull is older than it
looks (search indexes lag). What was read directly in the same run within `FRESH` is not asked for twice, so that a second
platform's push costs next to no requests. Platforms are asked side by side, before the first write to the destination.

Requests for 100,000 who enter and whom every platform knows: HubSpot 1,000 (100 contacts each), Shopify 400 (250 each),
Mailchimp about 110 where they are the audience (walked, 1,000 each); Mailchimp alone has no reading in batches, so of fewer
than a twentieth of an audience it takes one request each.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

from adapters.base import Adapter, Page
from connector.feeds import Feed, Feeds
from connector.intake import Intake
from connector.raw import RawPages
from connector.session import Session, translator
from models.errors import ConnectorError, StoreError

log = logging.getLogger(__name__)

FRESH = timedelta(minutes=10)
"""What a platform said this long ago in the same run need not be asked for again."""
WAIT_S = 1.0


def of_contacts(s: Session, platform: str, contacts: Collection[str]) -> dict[str, frozenset[str]]:
    """Ask about these contacts of `platform`. Gives the platforms where an answer is missing or cannot be used, each
    with those of `contacts` it is about; a platform that did not answer at all is a problem of the run."""
    rows = s.store.sql(
        _KNOWN.replace("{asked}", "SELECT $platform AS source, unnest(CAST($contacts AS VARCHAR[])) AS contact_id"),
        {"platform": platform, "contacts": sorted(contacts), "platforms": list(s.config.platforms)},
    )
    return _of(s, rows)


def of_people(s: Session, people: Collection[str]) -> dict[str, frozenset[str]]:
    """The same about persons; given back are the contacts, of any platform, through which they were asked about."""
    asked = "SELECT source, contact_id FROM person_links WHERE list_contains(CAST($people AS VARCHAR[]), person_id)"
    rows = s.store.sql(_KNOWN.replace("{asked}", asked), {"people": sorted(people), "platforms": list(s.config.platforms)})
    return _of(s, rows)


def look_up(s: Session, platform: str, contacts: Collection[str]) -> None:
    """Read these contacts once more, and nobody else; one that is gone is known to be from then on."""
    for failed, error in _read(s, {platform: sorted(contacts)}).items():
        s.problem(error, failed)


def still_there(s: Session, platform: str, contacts: frozenset[str]) -> frozenset[str]:
    """Those who are contacts of their own at this moment, or were never known: who was merged since the last pull is on the
    platform's lists by another id, and was taken off by nobody."""
    unheard = of_contacts(s, platform, contacts).get(platform, frozenset())
    over = s.store.sql(
        "SELECT contact_id FROM contacts WHERE source = ? AND state <> 'live' AND list_contains(?, contact_id)",
        [platform, sorted(contacts)],
    )
    return contacts - unheard - {c for (c,) in over}


_KNOWN = r"""
WITH asked AS ({asked}),
places AS (
  SELECT a.contact_id AS asked, unnest([k.email, regexp_replace(k.phone, '[^0-9]', '', 'g')]) AS place
  FROM asked a JOIN contacts k ON k.source = a.source AND k.contact_id = a.contact_id
  UNION  -- what was said of an address that it had before counts for it too
  SELECT a.contact_id, unnest([f.email, regexp_replace(f.phone, '[^0-9]', '', 'g')])
  FROM asked a JOIN former_addresses f ON f.source = a.source AND f.contact_id = a.contact_id AND f.was_refused IS NOT false),
known AS (
  SELECT contact_id AS asked, source, contact_id FROM asked
  UNION
  SELECT a.contact_id, l.source, l.contact_id FROM asked a
  JOIN person_links p ON p.source = a.source AND p.contact_id = a.contact_id JOIN person_links l ON l.person_id = p.person_id
  UNION  -- the address itself may have said no, whoever holds it
  SELECT p.asked, k.source, k.contact_id FROM places p JOIN contacts k ON k.email = p.place
  UNION
  SELECT p.asked, f.source, f.contact_id FROM places p JOIN former_addresses f
  ON coalesce(f.email, regexp_replace(f.phone, '[^0-9]', '', 'g')) = p.place WHERE p.place <> ''
  UNION
  SELECT p.asked, k.source, k.contact_id FROM places p
  JOIN contacts k ON regexp_replace(k.phone, '[^0-9]', '', 'g') = p.place WHERE p.place <> '')
SELECT DISTINCT n.asked, n.source, n.contact_id, coalesce(k.state, '') IN ('merged', 'gone', 'erased')
FROM known n JOIN contacts k USING (source, contact_id)
WHERE list_contains(CAST($platforms AS VARCHAR[]), n.source) ORDER BY 2, 3, 1
"""
"""(who was asked about, platform, contact there, whether what it said stands for good), also of other contacts of the same
person, or with the same address."""


def _of(s: Session, rows: Collection[tuple[str, str, str, bool]]) -> dict[str, frozenset[str]]:
    now = s.now()
    due: dict[str, dict[str, set[str]]] = {}
    missing: dict[str, set[str]] = {}
    for asked, platform, contact, is_over in rows:
        heard = s.heard.get((platform, contact))
        if (platform, contact) in s.unclear:
            missing.setdefault(platform, set()).add(asked)
        elif not is_over and (heard is None or not timedelta(0) <= now - heard <= FRESH):
            due.setdefault(platform, {}).setdefault(contact, set()).add(asked)
    failed = _read(s, {platform: list(contacts) for platform, contacts in due.items()})
    for platform, error in failed.items():
        s.problem(error, platform)
    for platform, contacts in due.items():
        unheard = set(contacts) if platform in failed else _unclear(s, platform, contacts)
        s.heard.update(dict.fromkeys([(platform, c) for c in contacts.keys() - unheard], now))
        s.unclear |= {(platform, c) for c in unheard}
        missing.setdefault(platform, set()).update(*(contacts[c] for c in unheard))
    return {platform: frozenset(asked) for platform, asked in missing.items() if asked}


def _unclear(s: Session, platform: str, contacts: Collection[str]) -> set[str]:
    """Those whose answer came and cannot be used: a record that was set aside leaves its old consent standing, and whoever was
    merged away speaks through a record that no person has yet. The next pull knows more."""
    rows = s.store.sql(
        """SELECT DISTINCT c.contact_id FROM contacts AS c
        LEFT JOIN set_aside AS a ON a.source = c.source AND a.stream = c.stream AND a.record_id = c.record_id AND a.last_run = $run
        WHERE c.source = $platform AND list_contains(CAST($contacts AS VARCHAR[]), c.contact_id)
          AND (c.state = 'merged' OR a.record_id IS NOT NULL)""",
        {"run": s.run_id, "platform": platform, "contacts": sorted(contacts)},
    )
    return {contact for (contact,) in rows}


def _read(s: Session, wanted: Mapping[str, list[str]]) -> dict[str, ConnectorError]:
    """Read these contacts of several platforms side by side and store what changed; gives what kept a platform from answering."""
    failed: dict[str, ConnectorError] = {}
    raw = RawPages(s.store) if s.config.privacy.keep_raw_days > 0 else None
    with Feeds() as feeds:
        reading: dict[Feed, tuple[str, Intake]] = {}
        for platform, contacts in wanted.items():
            try:
                adapter = s.adapter(platform)
            except ConnectorError as e:  # also a secret that is gone: the other platforms' run goes on
                failed[platform] = e
                continue
            intake = Intake(s.store, platform, adapter.contacts_stream, s.run_id, translator(s, platform), adapter.now_utc, raw)
            reading[feeds.open(partial(_pages, adapter, contacts))] = platform, intake
        while reading:
            found = feeds.next(WAIT_S)
            if found is None:
                continue
            feed, item = found
            platform, intake = reading[feed]
            if isinstance(item, Page):
                intake.take(item)
                if intake.waiting >= s.config.store.commit_records:
                    intake.commit()
                continue
            intake.commit()
            del reading[feed]
            feeds.close(feed)
            if isinstance(item, ConnectorError) and not isinstance(item, StoreError):
                log.info("%s could not be asked again (%s)", platform, type(item).__name__)
                failed[platform] = item
            elif item is not None:
                raise item
    return failed


def _pages(adapter: Adapter, contacts: list[str]) -> Iterator[Page]:
    """Every page is one of several here; only the end of the walk is its end."""
    for page in adapter.reread(contacts):
        yield replace(page, done=False)
