"""Forget a person: out of the store, the raw pages, saved files, reports and backups, and not let in again.

The rows go in one transaction, together with the hashes that keep the person out. Files are rewritten after it, then the
store's own file, for a deleted row stays in its bytes. A crash in between is made up for when the store is next opened.
"""

from __future__ import annotations

import json
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import adapters
from connector import audit, clock, consent, erase, erase_files, forgotten, identity, identity_phones, traces
from connector.config import Config
from connector.store import Store
from connector.traces import Traces
from models.errors import StoreError, UsageError

log = logging.getLogger(__name__)

STEPS = {
    "shopify": "Shopify: Customers > the customer > More actions > Erase personal data (done after Shopify's waiting time).",
    "mailchimp": "Mailchimp: Audience > All contacts > the contact > Actions > Permanently delete.",
    "hubspot": "HubSpot: Contacts > the contact > Actions > Delete > Permanently delete (GDPR delete).",
    "import": "Your own files: take the person out of the files you imported.",
}
"""What the owner has to do where Rollcall may not write: the names of the links to follow."""

UNREACHED = "{}: it is not there now. Delete what Rollcall wrote into it until today (plans, letters, backups)."
MOVED_ON = "{} contact {} had this address before and has another now: if that is the same person, forget that address too."
OTHER_STEP = "{0}: erase the person there too, in the way {0} has for it."


@dataclass(frozen=True)
class Forgot:
    """What `forget` did. `people` 0: nobody had this address; it is kept out all the same.

    removed: rows by table; files: by kind, rewritten or removed; places: (platform, contact id) to erase there by hand;
    tags: memberships we wrote that the next push takes off; steps: what the owner does on the platforms.
    """

    people: int
    was_known: bool
    removed: dict[str, int]
    places: list[tuple[str, str]] = field(default_factory=list)
    tags: int = 0
    steps: list[str] = field(default_factory=list)
    files: dict[str, int] = field(default_factory=dict)

    @property
    def summary(self) -> dict[str, int]:
        """What was removed, in the owner's words."""
        rows = {f"rows of {len(self.removed)} tables": sum(self.removed.values())} if self.removed else {}
        return rows | self.files


def forget(
    store: Store,
    config: Config,
    email: str,
    run_id: str,
    *,
    everybody: bool = False,
    now: Callable[[], datetime] = clock.now_utc,
) -> Forgot:
    """Erase whoever has this address. Raises UsageError when several persons share it, unless `everybody` is meant."""
    identity.identify(store, config)
    people = traces.people_with(store, email)
    if len(people) > 1 and not everybody:
        raise UsageError(
            f"{len(people)} different people carry this address. Give the address that only one of them has, "
            "or add --everybody to forget them all."
        )
    was_known = forgotten.Forgotten(store).knows("email", traces.plain(email))
    found = traces.find(store, email, people)
    places = sorted(c for c in found.contacts if c[0] not in ("email", "import"))
    moved = _had_it_before(store, found)
    tags = _tags(store, found)
    removed = erase_rows(store, config, found, run_id, now)
    files = resume(store, config, now=now)
    sources = {s for s, _ in found.contacts}
    steps = [text for name, text in STEPS.items() if name in sources]
    steps += [OTHER_STEP.format(adapters.title(name)) for name in sorted(sources - STEPS.keys() - {"email"})]
    steps += [MOVED_ON.format(adapters.title(source), contact) for source, contact in moved]
    steps += [UNREACHED.format(folder) for folder in erase_files.out_of_reach(store)]
    return Forgot(len(people), was_known, removed, places, tags, steps, files)


def resume(store: Store, config: Config, *, now: Callable[[], datetime] = clock.now_utc) -> dict[str, int]:
    """Finish what a `forget` began: files, then the store's own file. Gives the files changed; cheap with nothing to do."""
    counts: dict[str, int] = {}
    for erasure_id, held in store.sql("SELECT erasure_id, traces FROM erasures WHERE state = 'begun' ORDER BY asked_at"):
        try:
            changed = erase_files.erase_files(store, config, Traces.from_json(held))
        except OSError as e:
            where = e.filename or "A file beside the store"
            raise StoreError(f"{where} may name them, and cannot be changed or removed ({e.strerror}).") from e
        for name, n in changed.items():
            counts[name] = counts.get(name, 0) + n
        store.sql("UPDATE erasures SET state = 'erased', traces = NULL WHERE erasure_id = ?", [erasure_id])
    if store.sql("SELECT 1 FROM erasures WHERE state = 'erased' LIMIT 1"):
        store.compact()
        store.sql("UPDATE erasures SET state = 'done', ended_at = ? WHERE state = 'erased'", [now()])
    return counts


def has_report(config: Config) -> bool:
    return (config.folder / erase_files.REPORT).is_file()


def _tags(store: Store, found: Traces) -> int:
    return sum(
        int(store.value("SELECT count(*) FROM ledger WHERE platform = ? AND contact_id = ?", [p, c])) for p, c in found.contacts
    )


def erase_rows(
    store: Store,
    config: Config,
    found: Traces,
    run_id: str,
    now: Callable[[], datetime],
    *,
    closed: Sequence[tuple[str, str]] = (),
) -> dict[str, int]:
    """In one transaction; `resume` then does the files. closed: (platform, person) that stay, closed by an erasure there."""
    moment = now()
    with store.transaction():
        forgotten.block(store, _recognised_by(found, config.shop.country), moment)
        left = _left_with_a_no(store, found)
        removed = erase.erase(store, found)
        _keep_closed(store, left, moment)
        _stand_in(store, closed)
        identity.identify(store, config)  # the facts behind profiles are made anew, without them
        audit.record(
            store, [audit.Entry("forget", contact=("person", secrets.token_hex(16)), is_forgotten=True)], moment, run_id
        )
        store.insert(
            "erasures",
            [
                {
                    "erasure_id": secrets.token_hex(8), "state": "begun", "traces": found.to_json(),
                    "counts": json.dumps(removed), "asked_at": str(moment), "ended_at": None,
                }
            ],
        )  # fmt: skip
    log.info("forget: %s rows of %s tables are gone", sum(removed.values()), len(removed))
    return removed


def _had_it_before(store: Store, found: Traces) -> list[tuple[str, str]]:
    """Contacts of others that had one of these addresses: nobody can tell whether it is the same person."""
    rows = store.sql(
        """SELECT DISTINCT source, contact_id FROM former_addresses SEMI JOIN contacts USING (source, contact_id)
           WHERE list_contains(?, email) ORDER BY ALL""",
        [sorted(found.emails)],
    )
    return [(str(s), str(c)) for s, c in rows if (s, c) not in found.contacts]


def _left_with_a_no(store: Store, found: Traces) -> list[str]:
    """Addresses that are closed by what they said: had by them too, or before, and by somebody else now, or of somebody else who had
    theirs before."""
    rows = store.sql(
        f"""WITH closed AS ({consent.REFUSING}), theirs AS (SELECT unnest(CAST($contacts AS VARCHAR[])) AS contact)
            SELECT email FROM (
              SELECT source, contact_id, email FROM former_addresses UNION SELECT source, contact_id, email FROM contacts)
            SEMI JOIN closed USING (email) WHERE source || chr(31) || contact_id IN (FROM theirs)
            UNION
            SELECT k.email FROM ({consent.CLOSED_WITH}) f SEMI JOIN closed USING (email)
            JOIN contacts k USING (source, contact_id)
            WHERE list_contains(CAST($emails AS VARCHAR[]), f.email) AND k.email IS NOT NULL
              AND source || chr(31) || contact_id NOT IN (FROM theirs)
            ORDER BY 1""",
        {"contacts": [f"{s}\x1f{c}" for s, c in sorted(found.contacts)], "emails": sorted(found.emails)},
    )
    return [str(email) for (email,) in rows if email not in found.emails]


def _keep_closed(store: Store, addresses: list[str], now: datetime) -> None:
    """Who asks to be forgotten says yes to nothing: an address that is still there stays closed, and nothing tells by whom."""
    held = "SELECT 1 FROM contacts WHERE email = ? LIMIT 1"
    rows = [
        {
            "source": "import", "stream": "events", "record_id": secrets.token_hex(8), "email": address, "kind": "unsubscribe",
            "occurred_at": str(now),
        }
        for address in addresses
        if store.sql(held, [address])
    ]  # fmt: skip
    store.insert("events", rows)


def _stand_in(store: Store, closed: Sequence[tuple[str, str]]) -> None:
    """A record that names nobody in the place of one that its platform erased: the person's other records hold it."""
    for source, person in closed:
        name = forgotten.MARK + secrets.token_hex(16)
        record = {"source": source, "stream": "erased", "record_id": name, "contact_id": name}
        store.insert("contacts", [record | {"state": "erased"}])
        store.insert("person_links", [{"source": source, "contact_id": name, "person_id": person, "evidence": "erased"}])


def _recognised_by(found: Traces, country: str) -> set[tuple[str, str]]:
    """Identifiers as they are, their id here, and phone numbers also as the whole world writes them."""
    ids = {(forgotten.PERSON, p) for p in found.people}
    return ids | found.identifiers | {("phone", p) for number in found.phones if (p := identity_phones.e164(number, country))}
