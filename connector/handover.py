"""Everything Rollcall holds of one person, for an access request: as data, in plain words, and as a letter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from decimal import Decimal
from typing import Any

import orjson

import adapters
from connector import audit, no_profiling, segment, traces
from connector.plain import visible
from connector.session import Session
from connector.store import Row, Store
from connector.sync import derive, resolved
from connector.traces import Traces, as_table
from models import records
from models.errors import UsageError

TITLES = {"import": "a file we imported", "email": "an order or message without an account"}
TABLES = {
    "contacts": "Your details",
    "identifiers": "Addresses and numbers by which we recognise you",
    "consents": "What you said about mailings",
    "addresses": "Places",
    "orders": "Orders",
    "order_lines": "What you ordered",
    "refunds": "Refunds",
    "discounts": "Discounts",
    "carts": "Carts",
    "events": "Mails, visits and other events",
    "subscriptions": "Subscriptions",
    "snapshots": "Figures a platform keeps of you",
}
OURS = ("source", "stream", "record_id")
ACTIONS = {"add": "added to", "remove": "taken off", "field": "given a value in"}
SHOWN = 20


def _title(source: str) -> str:
    return TITLES.get(source) or adapters.title(source)


def gather(s: Session, email: str) -> dict[str, Any]:
    """What there is, as plain values. Raises UsageError when nobody, or more than one person, has the address."""
    segments = resolved(s.config)
    derive(s, segments)
    people = traces.people_with(s.store, email)
    if not people:
        raise UsageError("Nobody in the store has this address. Check the spelling, or run `rollcall pull` first.")
    if len(people) > 1:
        raise UsageError(f"{len(people)} different people carry this address. Give the address that only one of them has.")
    found, person = traces.find(s.store, email, people), people[0]
    return {
        "person_id": person,
        "shop": s.config.shop.name,
        "made_at": str(s.now()),
        "known_as": sorted(found.emails),
        "sources": [
            {"source": _title(row["source"]), "id": row["contact_id"], "because": row["evidence"]}
            for row in s.store.rows("SELECT * FROM person_links WHERE person_id = ? ORDER BY ALL", [person])
        ],
        "data": _data(s.store, found),
        "answers": s.store.rows(
            """SELECT h.source, channel, topic, status, platform_status, changed_at, reason, seen_at FROM consent_history h
               JOIN person_links l USING (source, contact_id) WHERE l.person_id = ? ORDER BY seen_at, h.source""",
            [person],
        ),
        "figures": _filled(s.store.rows("SELECT * EXCLUDE (person_id) FROM profile WHERE person_id = ?", [person])),
        "segments": [_segment(s, person, asdict(segment.why(s.store, s.config, s.as_of, person, g))) for g in segments],
        "scores": _scores(s.store, person),
        "not_profiled": person in no_profiling.not_profiled(s.store, s.config),
        "written": _written(s.store, found),
        "kept_days": {"raw": s.config.privacy.keep_raw_days, "runs": s.config.privacy.keep_runs_days},
    }


def _data(store: Store, found: Traces) -> dict[str, list[Row]]:
    data: dict[str, list[Row]] = {}
    with (
        as_table(store, "their_contacts", ("source", "contact_id"), found.contacts),
        as_table(store, "their_records", ("source", "stream", "record_id"), found.records),
    ):
        for table in TABLES:
            own = "(t.source, t.stream, t.record_id) IN (SELECT (source, stream, record_id) FROM their_records)"
            if "contact_id" in {c.name for c in records.columns(table)}:
                own += " OR (t.source, t.contact_id) IN (SELECT (source, contact_id) FROM their_contacts)"
            rows = store.rows(f'SELECT t.* FROM "{table}" t WHERE {own} ORDER BY ALL')
            if rows:
                data[table] = [{"source": r["source"], **_known(r)} for r in rows]
    return data


def _known(row: Row) -> Row:
    return {k: v for k, v in row.items() if v is not None and k not in OURS}


def _filled(rows: list[Row]) -> Row:
    return _known(rows[0]) if rows else {}


def _segment(s: Session, person: str, why: dict[str, Any]) -> dict[str, Any]:
    stays = s.store.rows(
        "SELECT entered_on, left_on FROM memberships WHERE segment = ? AND person_id = ? ORDER BY entered_on",
        [why["segment"], person],
    )
    reasons = [c["says"] for c in why["clauses"] if c["is_true"]]
    return {
        "segment": why["segment"], "is_member": why["is_member"], "rule": why["sentence"], "because": reasons, "stays": stays,
    }  # fmt: skip


def _scores(store: Store, person: str) -> list[Row]:
    rows = store.rows(
        """SELECT score, value, tier, reasons, cutoff, horizon_days, model, is_published FROM scores WHERE person_id = ?
           QUALIFY row_number() OVER (PARTITION BY score ORDER BY cutoff DESC) = 1 ORDER BY score""",
        [person],
    )
    return [{**r, "reasons": orjson.loads(r["reasons"] or "[]")} for r in rows]


def _written(store: Store, found: Traces) -> dict[str, Any]:
    names = dict(store.sql("SELECT platform || ' ' || object_id, any_value(name) FROM ledger_objects GROUP BY ALL"))

    def called(row: Row) -> Row:
        return {**row, "name": names.get(f"{row['platform']} {row['object_id']}", row["object_id"])}

    with as_table(store, "their_contacts", ("source", "contact_id"), found.contacts) as theirs:
        now = store.rows(
            f"""SELECT platform, object_id, segment, added_at FROM ledger
                WHERE (platform, contact_id) IN (SELECT (source, contact_id) FROM {theirs}) ORDER BY ALL"""
        )
        fields = store.rows(
            f"""SELECT platform, field, value, written_at FROM field_values
                WHERE (platform, contact_id) IN (SELECT (source, contact_id) FROM {theirs}) AND value <> '' ORDER BY ALL"""
        )
    log = audit.of_contacts(store, sorted(found.contacts))
    return {"now": [called(r) for r in now], "fields": fields, "log": [called(r) for r in log]}


# ---- in words


def say(body: dict[str, Any], *, limit: int = SHOWN) -> list[str]:
    """The answer as lines to read; nothing in it can begin a line of its own.

    limit: rows of one kind that are spelled out; all of them are in the JSON.
    """
    return [visible(line) for part in (_who, _what, _segments, _predictions, _writes) for line in part(body, limit)]


def letter(body: dict[str, Any]) -> str:
    """A letter the owner can send: everything, spelled out."""
    day = body["made_at"][:10]
    head = [
        visible(body["shop"]), f"{day}", "", "Your personal data: our answer to your request", "", "Hello,", "",
        "you asked which data we hold about you, where it comes from and what we do with it. Here is all of it, as it is kept",
        f"in Rollcall, the program on our own computer that sorts our customers into groups, on {day}.", "",
    ]  # fmt: skip
    foot = [
        "",
        "The data lies on our own computer and goes to nobody but the platforms it came from, named above. Copies of what they",
        f"sent us are deleted after {body['kept_days']['raw']} days, the book of runs after {body['kept_days']['runs']} days.",
        "You may have your data corrected or erased, restrict its use, object to profiling, and complain to your data",
        "protection authority. An answer to this letter is enough.", "", "Kind regards", visible(body["shop"]), "",
    ]  # fmt: skip
    return "\n".join([*head, *say(body, limit=1_000_000), *foot])


def _who(body: dict[str, Any], limit: int) -> Iterator[str]:
    yield "Who you are to us"
    yield f"  Known as {', '.join(body['known_as'])}."
    for source in body["sources"]:
        yield f"  From {source['source']} (number {source['id']} there); taken to be the same person: {source['because']}."


def _what(body: dict[str, Any], limit: int) -> Iterator[str]:
    for table, title in TABLES.items():
        rows = body["data"].get(table, [])
        if rows:
            yield ""
            yield f"{title} ({len(rows)})"
            yield from (f"  {_title(r['source'])}: {_row(r)}" for r in rows[:limit])
            yield from _more(rows, limit)
    if body["answers"]:
        yield ""
        yield f"Every answer about mailings we have seen ({len(body['answers'])})"
        for row in body["answers"][:limit]:
            topic = f" ({row['topic']})" if row["topic"] else ""
            said = f"{row['channel']}{topic}: {row['status']}"
            yield f"  {_title(row['source'])}, {said}, seen {_day(row['seen_at'])}."
        yield from _more(body["answers"], limit)
    if body["figures"]:
        yield ""
        yield "Figures we work out from these"
        yield from (f"  {name.replace('_', ' ')}: {_value(v)}" for name, v in body["figures"].items())


def _segments(body: dict[str, Any], limit: int) -> Iterator[str]:
    yield ""
    yield "Groups we sort customers into"
    if not body["segments"]:
        yield "  None."
    for g in body["segments"]:
        yield f"  {g['segment']}: you are {'in' if g['is_member'] else 'not in'} it. The rule: {g['rule']}"
        for stay in g["stays"]:
            yield f"    In it from {stay['entered_on']}" + (f" to {stay['left_on']}." if stay["left_on"] else " on.")


def _predictions(body: dict[str, Any], limit: int) -> Iterator[str]:
    yield ""
    yield "Predictions about you"
    if body["not_profiled"]:
        yield "  None: you are on the list of those of whom we make none."
    elif not body["scores"]:
        yield "  None."
    for row in body["scores"]:
        tier = f", {row['tier']} compared with other customers" if row["tier"] else ""
        name, when = row["score"].replace("_", " "), f"the {row['horizon_days']} days after {row['cutoff']}"
        yield f"  {name}: {row['value']:.2f}{tier}; made for {when}."
        yield from (f"    because {reason}" for reason in row["reasons"])


def _writes(body: dict[str, Any], limit: int) -> Iterator[str]:
    yield ""
    yield "What we wrote on the platforms about you"
    written = body["written"]
    for row in written["now"]:
        yield f"  {_title(row['platform'])}: '{row['name']}', since {_day(row['added_at'])}."
    for row in written["fields"]:
        yield f"  {_title(row['platform'])}: the field '{row['field']}' holds {row['value']}, since {_day(row['written_at'])}."
    for row in written["log"][:limit]:
        what = ACTIONS.get(row["action"], row["action"])
        yield f"  {_day(row['happened_at'])}: {what} '{row['name']}' on {_title(row['platform'])}."
    yield from _more(written["log"], limit)
    if not written["now"] and not written["log"]:
        yield "  Nothing."


def _row(row: Row) -> str:
    return "; ".join(f"{k.replace('_', ' ')} {_value(v)}" for k, v in row.items() if k != "source")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:.2f}" if isinstance(value, Decimal) else str(value)
    return text.removesuffix(" 00:00:00")


def _day(moment: object) -> str:
    return str(moment)[:10]


def _more(rows: list[Any], limit: int) -> Iterator[str]:
    if len(rows) > limit:
        yield f"  and {len(rows) - limit:,} more (--json and --letter have them all)"
