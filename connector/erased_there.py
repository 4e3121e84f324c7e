"""Contacts that their platform deleted for good are erased here too, as `forget` does it: rows, raw pages, files, backups.

A person may be known elsewhere as well. Their records there stay, for their platforms still hold them; in the place of the one that
was deleted stands a row that names nobody and says that it was erased, so that the erasure closes the person everywhere as before.
"""

from __future__ import annotations

from dataclasses import dataclass

import adapters
from connector import identity, privacy, traces
from connector.full_reads import FEW, MOST_GONE_PCT
from connector.session import Session, known_account

PLATFORMS = ("hubspot",)
"""Platforms where nobody is out of sight, neither alive nor in the recycle bin, who was not deleted for good."""

TOO_MANY = (
    "That is too many to be believed, so none of them was erased here; nobody mails them by us. Look whether the key still sees all "
    "contacts; whom you know to be deleted for good, `rollcall forget EMAIL` erases."
)


@dataclass(frozen=True)
class Erased:
    """What was done. contacts: deleted there; elsewhere: persons among them of whom other records stay; rows: removed here."""

    contacts: int
    elsewhere: int
    rows: int
    files: int

    @property
    def text(self) -> str:
        where = " and ".join(adapters.title(p) for p in PLATFORMS)
        again = "They are known by a hash alone, which keeps them from being taken in again."
        stay = (
            f" {self.elsewhere:,} of them are known elsewhere too: nobody mails them by us, and what is held of them there stays "
            "until you run `rollcall forget EMAIL`."
        )
        return (
            f"{self.contacts:,} contacts that {where} deleted for good were erased here ({self.rows:,} rows, {self.files:,} files "
            f"rewritten or removed). {again}{stay if self.elsewhere else ''}"
        )


def settle(s: Session, platform: str) -> Erased | None:
    """Erase those found to be gone since the last time; None where there are none. What is erased cannot be had back, so they are
    asked for once more, each by name and in the account that this store is of, and never many at once. A crash is made up for like
    that of `forget`."""
    rows = s.store.sql("SELECT DISTINCT contact_id FROM contacts WHERE state = 'gone' AND source = ?", [platform])
    if not rows:
        return None
    adapter = s.adapter(platform)
    known_account(s, adapter)
    gone = {(platform, i) for page in adapter.reread([c for (c,) in rows]) for i, state in page.gone.items() if state == "gone"}
    gone &= {(platform, c) for (c,) in rows}
    held = int(s.store.value("SELECT count(*) FROM contacts WHERE source = ?", [platform]))
    if len(gone) > FEW and len(gone) * 100 > held * MOST_GONE_PCT:
        s.notices.append(f"{len(gone):,} of {held:,} contacts are out of {adapter.title}'s sight. {TOO_MANY}")
        return None
    return _erase(s, gone) if gone else None


def _erase(s: Session, gone: set[tuple[str, str]]) -> Erased:
    identity.identify(s.store, s.config)
    theirs_too = gone | _merged_into(s, gone)
    found = traces.of_contacts(s.store, theirs_too)
    with traces.as_table(s.store, "deleted_there", ("source", "contact_id"), theirs_too) as theirs:
        known = s.store.sql(
            f"SELECT DISTINCT source, person_id FROM person_links JOIN {theirs} USING (source, contact_id) "
            "WHERE NOT list_contains(CAST(? AS VARCHAR[]), person_id) ORDER BY ALL",
            [sorted(found.people)],
        )
    removed = privacy.erase_rows(s.store, s.config, found, s.run_id, s.now, closed=known)
    files = privacy.resume(s.store, s.config, now=s.now)
    return Erased(len(gone), len({p for _, p in known}), sum(removed.values()), sum(files.values()))


def _merged_into(s: Session, gone: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """The records that lived on in these: they name the same person."""
    with traces.as_table(s.store, "deleted_there", ("source", "contact_id"), gone) as theirs:
        rows = s.store.sql(
            f"""SELECT k.source, k.contact_id FROM contacts k JOIN identifiers i ON i.source = k.source AND i.kind = k.source
                  AND i.value = k.contact_id JOIN {theirs} t ON t.source = i.source AND t.contact_id = i.contact_id
                WHERE k.state = 'merged'"""
        )
    return {(str(source), str(contact)) for source, contact in rows}
