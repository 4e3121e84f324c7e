"""Questions an owner asks of a store: sizes, previews, why, runs. Reads, and writes nothing to any platform."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from connector import consent, exports, journal, library, profile, questions, rhythm, runs, segment
from connector.columns import NOT_AVAILABLE
from connector.columns_scores import REASONED
from connector.config import Config
from connector.session import Session
from connector.stays import LOOK
from connector.store import Store
from connector.sync import derive, resolved
from connector.traces import PEOPLE_WITH
from models.errors import UsageError
from models.segments import Segment

__all__ = ["NOT_AVAILABLE"]

WHY_NOT = {"": "may be written"}


def sizes(s: Session) -> list[dict[str, Any]]:
    """Every configured segment with its size, its rule in words, and whether it is ready."""
    segments = resolved(s.config)
    counts = {c.segment: c for c in derive(s, segments)}
    words = said(s, segments)
    return [
        {
            "name": g.name,
            "where": g.where,
            "says": words[g.name],
            "people": counts[g.name].after,
            "is_ready": counts[g.name].is_ready,
            "not_ready": counts[g.name].not_ready,
            "push": list(g.push),
            "purpose": g.purpose,
            "use": g.use,
            "meaning": g.meaning,
            "action": g.action,
        }
        for g in segments
    ]


def ready_made(s: Session) -> list[dict[str, Any]]:
    """Every ready-made segment: what it means, needs and takes, and whether this shop has the data."""
    derive(s, resolved(s.config))
    used: dict[str, list[str]] = {}
    for section in s.config.segment:
        used.setdefault(section.use, []).append(section.name or section.use)
    return [
        {**asdict(found), "is_ready": not found.not_ready, "used_as": used.get(found.name, [])}
        for found in segment.ready_made(s.store, s.config, s.as_of)
    ]


def said(s: Session, segments: list[Segment]) -> dict[str, str]:
    """Each rule as one English sentence."""
    return segment.sentences(s.store, s.config, segments)


def preview(s: Session, where: str, name: str = "", *, addresses: bool = False) -> dict[str, Any]:
    """What a rule would do, without keeping anything. `name`: compare with that segment's members."""
    derive(s, resolved(s.config))
    found = segment.preview(s.store, s.config, s.as_of, where, name, addresses=addresses)
    return {
        "name": name,
        "where": where,
        "says": found.sentence,
        "people": found.size,
        "of": found.people,
        "entered": found.entered,
        "left": found.left,
        "sample": list(found.sample),
        "entering": list(found.entering),
        "leaving": list(found.leaving),
        "warnings": list(found.warnings),
        "not_ready": found.not_ready,
    }


def segment_history(s: Session, name: str, email: str | None) -> dict[str, Any]:
    """Every stay in a segment and its size after each run; also of segments that are no longer configured."""
    segments = resolved(s.config)
    derive(s, segments)
    person_id = person_of(s.store, email) if email else ""
    stays = segment.history(s.store, name, person_id)
    if not stays:
        segment.named(segments, name)
    sizes = s.store.rows(
        """SELECT run_id, as_of, members_before AS before, entered, members_left AS "left", members_after AS after
           FROM segment_counts WHERE lower(segment) = lower(?) AND run_id <> ? ORDER BY as_of, rowid""",
        [name, LOOK],
    )
    return {"segment": name, "sizes": sizes, "stays": [asdict(m) for m in stays]}


def segment_overlap(s: Session) -> list[dict[str, Any]]:
    counts = {c.segment: c.after for c in derive(s, resolved(s.config))}
    return [
        {"first": a, "second": b, "people": n, "of_first_pct": 100 * n / counts[a], "of_second_pct": 100 * n / counts[b]}
        for a, b, n in segment.overlap(s.store)
    ]


def segment_export(s: Session, name: str, file: Path, columns: tuple[str, ...], mark: str = "") -> int:
    segments = resolved(s.config)
    found = segment.named(segments, name)
    derive(s, segments)
    return exports.segment_file(s.store, s.config, found.name, file, columns, mark=mark)


class Wizard:
    """The state of `segment new`: what has been answered, and what it amounts to."""

    def __init__(self, s: Session) -> None:
        derive(s, resolved(s.config))
        self.s = s
        self.words = segment.words(s.store, s.config)
        self.answers: list[questions.Answer] = []

    def check_name(self, name: str) -> None:
        """Raises UsageError where a segment of the configuration has the name."""
        taken = next((g.name for g in resolved(self.s.config) if g.name.casefold() == name.strip().casefold()), None)
        if taken:
            raise UsageError(f"There is a segment '{taken}' already. Give this one another name.")

    def words_for(self, field: str) -> list[str]:
        return list(questions.conditions(field, self.words))

    def asks_of(self, field: str, event: str = "") -> dict[str, str]:
        """What is asked of a measure, by name and kind; nothing of a field."""
        return questions.arguments(field, event)

    def check_measure(self, field: str, given: dict[str, str]) -> None:
        """Raises RuleError when what was said of a measure cannot be used."""
        asked = questions.Answer(field, questions.EVER, "", tuple(given.items()))
        segment.check(questions.call(asked), self.s.store, self.s.config)

    def needs_value(self, field: str, word: str) -> bool:
        is_said = word.endswith("known") or word in (questions.EVER, questions.NEVER)
        return not is_said and questions.kind_of(field, self.words) != "yes or no"

    def add(self, field: str, word: str, value: str, given: dict[str, str]) -> None:
        """Raises RuleError when the condition cannot be used."""
        answer = questions.Answer(field, word, value, tuple(given.items()))
        segment.check(questions.condition(answer, self.words), self.s.store, self.s.config)
        self.answers.append(answer)

    def own(self, name: str, joined: str) -> tuple[str, str]:
        where = questions.rule(self.answers, self.words, joined)
        return questions.block(name, where=where), where

    def parameters(self, ready: str) -> dict[str, Any]:
        return library.entry(ready).parameters

    def ready(self, name: str, ready: str, given: dict[str, Any]) -> tuple[str, str]:
        where, _ = library.entry(ready).filled(given, name)
        return questions.block(name, use=ready, given=given), where


def segment_called(config: Config, name: str) -> Segment:
    return segment.named(resolved(config), name)


def why(s: Session, email: str, name: str | None) -> dict[str, Any]:
    """Why the person behind an address is in or out of segments and scored as they are, and where they may be written."""
    segments = resolved(s.config)
    derive(s, segments)
    person_id = person_of(s.store, email)
    asked = [segment.named(segments, name)] if name else segments
    return {
        "person_id": person_id,
        "records": _records(s.store, person_id),
        "segments": [asdict(segment.why(s.store, s.config, s.as_of, person_id, g)) for g in asked],
        "scores": _scores(s.store, person_id),
        "may_be_written": _verdicts(s, person_id),
    }


def _scores(store: Store, person_id: str) -> list[dict[str, Any]]:
    """What the published scores say of a person: value, tier and reasons, those of them that there are."""
    found = store.rows("SELECT * FROM profile WHERE person_id = ?", [person_id])
    return [
        {
            "column": name,
            "value": found[0][name],
            "tier": (tier and found[0][tier]) or "",
            "reasons": (reasons and found[0][reasons]) or [],
        }
        for name, tier, reasons in REASONED
        if found and found[0][name] is not None
    ]


def person_of(store: Store, email: str) -> str:
    """The person with this address: on a contact, as a guest, else on an order. Raises UsageError when nobody has it."""
    found = store.value(
        f"""SELECT person_id FROM (
              SELECT person_id, 0 AS place FROM ({PEOPLE_WITH})
              UNION ALL SELECT l.person_id, 1 FROM orders AS o JOIN person_links AS l USING (source, contact_id) WHERE o.email = $e)
            ORDER BY place, person_id LIMIT 1""",
        {"e": email.strip().lower()},
    )
    if found is None:
        raise UsageError("Nobody in the store has this address. Check the spelling, or run `rollcall pull` first.")
    return str(found)


def _verdicts(s: Session, person_id: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for platform in s.config.platforms:
        consent.judge(s.store, s.config, platform, "email")
        rows = s.store.sql(
            "SELECT marketing, service FROM verdicts WHERE person_id = ? ORDER BY marketing <> '', rank LIMIT 1", [person_id]
        )
        if rows:
            found[platform] = {
                "marketing": rows[0][0] or "may be written",
                "service": rows[0][1] or "may be written",
            }
            for c in consent.conflicts(s.store, platform):
                if c.person_id == person_id:
                    both = f"no on {c.said_no_on} on {c.no_at:%Y-%m-%d}, yes here on {c.yes_at:%Y-%m-%d}"
                    found[platform]["conflict"] = both
        else:
            found[platform] = {"marketing": consent.NOT_THERE, "service": consent.NOT_THERE}
    return found


def fields(s: Session) -> list[dict[str, Any]]:
    derive(s, resolved(s.config))
    return [
        {
            "name": f.name,
            "type": f.sql_type,
            "meaning": f.meaning,
            "unit": f.unit,
            "source": f.source,
            "needs": list(f.needs),
            "coverage_pct": round(100 * f.coverage, 1),
            "example": f.example,
        }
        for f in profile.fields(s.store)
    ]


def _records(store: Store, person_id: str) -> list[dict[str, str]]:
    """The records that are this person, as `identity.keep_apart` names them, and why each belongs to them. No addresses: a row
    of a file that has no number goes by its address, and is shown with that masked."""
    return [
        {"record": "" if source == "email" else f"{source}:{_unnamed(contact_id)}", "evidence": evidence}
        for source, contact_id, evidence in store.sql(
            "SELECT source, contact_id, evidence FROM person_links WHERE person_id = ? ORDER BY source, contact_id", [person_id]
        )
    ]


def _unnamed(contact_id: str) -> str:
    return segment.masked(contact_id) if "@" in contact_id else contact_id


def shop_measures(s: Session) -> dict[str, Any]:
    """Where RFM is cut and the shop's rhythm, as in the profile that stands (`fields` makes it)."""
    found = rhythm.of_shop(s.store)
    return {**found, "says": rhythm.sentences(found)}


def list_runs(store: Store, limit: int = 50) -> list[dict[str, Any]]:
    return store.rows(
        "SELECT run_id, command, started_at, ended_at, exit_code, as_of, state FROM runs ORDER BY run_id DESC LIMIT ?", [limit]
    )


def one_run(store: Store, run_id: str) -> dict[str, Any]:
    """Everything kept of one run; the id may be shortened as long as it is unambiguous. No addresses."""
    found = store.rows("SELECT * FROM runs WHERE starts_with(run_id, ?)", [run_id])
    if len(found) != 1:
        raise UsageError(f"There {'are several runs' if found else 'is no run'} called '{run_id}'. `rollcall runs` lists them.")
    run = found[0]
    summary = orjson.loads(run.pop("summary") or "{}")
    return {
        **run,
        "streams": [vars(c) for c in runs.counts(store, run["run_id"])],
        "set_aside": [
            row | {"record_id": _unnamed(row["record_id"])}
            for row in store.rows(
                """SELECT source, stream, record_id, line, reason, first_run = $run AS is_new FROM set_aside
               WHERE first_run <= $run AND last_run >= $run ORDER BY ALL LIMIT 1000""",
                {"run": run["run_id"]},
            )
        ],
        "written": store.rows(
            """SELECT platform, segment, object_name, state, count(*) AS batches,
                 sum(len(from_json(intent, '{"add":["JSON"],"remove":["JSON"]}')['add'])) AS adds,
                 sum(len(from_json(intent, '{"add":["JSON"],"remove":["JSON"]}')['remove'])) AS removes
               FROM journal WHERE run_id = ? GROUP BY ALL ORDER BY ALL""",
            [run["run_id"]],
        ),
        "parked": journal.parked(store, run["run_id"]),
        "stuck": journal.parked(store),
        "summary": summary,
    }
