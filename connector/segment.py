"""Stage 6 of 10: who is in which segment, since when, and why.

A segment is a rule over the profile (`connector/rules`), written by the owner or taken from the library. All rules are
evaluated in one statement; memberships are kept as intervals of the shop's days.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from connector import sensitive, stays
from connector.config import Config
from connector.evaluation import Evaluation, check_cycles
from connector.library import entries, entry
from connector.readiness import Readiness, needed
from connector.rules import Known, Node, Rule, RuleError, Vocabulary, declared, parse, say
from connector.rules.explain import Clause, explain
from connector.rules.measures import TOPICS
from connector.rules.nearest import hint
from connector.rules.vocabulary import VALUE_LIMIT, kind_of, meaning_of, unit_of
from connector.store import Store
from models.errors import UsageError
from models.segments import AsOf, Membership, Segment, SegmentCount

log = logging.getLogger(__name__)

NOBODY = "false"

REFERENCE = re.compile(r"""\bsegment\s*\(\s*'((?:[^']|'')+)'\s*\)""", re.IGNORECASE)
OTHERS = re.compile(r"\beveryone_else\s*\(", re.IGNORECASE)


@dataclass(frozen=True)
class Why:
    """Why a person is in a segment or not: the rule as a sentence, and every clause with what it found."""

    segment: str
    person_id: str
    is_member: bool
    sentence: str
    clauses: tuple[Clause, ...]
    not_ready: str = ""


@dataclass(frozen=True)
class Preview:
    """What a rule would do: how many, who for example (masked), and who would come and go compared with now."""

    sentence: str
    size: int
    people: int
    sample: tuple[str, ...]
    entered: int
    left: int
    warnings: tuple[str, ...]
    not_ready: str = ""
    entering: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()


@dataclass(frozen=True)
class ReadyMade:
    """An entry of the library as this shop may use it; a parameter of '' is to be given."""

    name: str
    meaning: str
    where: str
    parameters: dict[str, Any]
    needs: tuple[str, ...]
    action: str
    not_ready: str


def resolve(config: Config) -> list[Segment]:
    """The configured segments as rules; library segments with their parameters put in. Raises ConfigError."""
    found = []
    for section in config.segment:
        name = section.name or section.use
        where, meaning, tag, action = section.where, "", section.tag, ""
        if section.use:
            ready = entry(section.use, name)
            where, meaning = ready.filled(section.parameters, name)
            tag, action = section.tag or ready.tag, ready.action
        retire = config.platforms if section.retire is True else tuple(section.retire or ())
        found.append(
            Segment(
                name=name, where=where or NOBODY, tag=tag, push=tuple(section.push), purpose=section.purpose, channel=section.channel,
                starts=section.starts, adopt=section.adopt, was=section.was,
                stay_days=section.stay_days, stays_while=section.stays_while, retire=retire,
                use=section.use, meaning=meaning, action=action,
            )
        )  # fmt: skip
    rules = {g.name: f"{g.where} {g.stays_while}" for g in found}
    return [replace(g, behind=_behind(g.name, rules)) for g in found]


def _behind(name: str, rules: Mapping[str, str]) -> tuple[str, ...]:
    met, by_name = [name], {n.casefold(): n for n in rules}  # rules name segments without regard to case
    for one in met:
        named = (by_name.get(n.replace("''", "'").casefold(), "") for n in REFERENCE.findall(rules[one]))
        others = sorted(rules) if OTHERS.search(rules[one]) else []  # who is left over depends on all of them
        met += [n for n in dict.fromkeys([*named, *others]) if n in rules and n not in met]
    return tuple(rules[n] for n in met[1:])


def check(where: str, store: Store | None = None, config: Config | None = None, segments: tuple[str, ...] = ()) -> Rule:
    """Check one rule. With a store, its profile decides which columns there are, and unknown values are warned of."""
    currency = config.shop.currency if config else ""
    if store is None:
        return parse(where, declared(segments, currency))
    words = _columns(store, segments, currency)
    rule = parse(where, words)
    return parse(where, _with_values(store, words, [rule]))


def check_all(store: Store | None, config: Config, segments: list[Segment]) -> dict[str, Rule]:
    """Every segment's rule, checked, values included; circles refused. Errors name the segment."""
    names = tuple(s.name for s in segments)
    words = _columns(store, names, config.shop.currency) if store else declared(names, config.shop.currency)
    rules = {s.name: _parsed(s, words) for s in segments}
    staying = {f"{s.name} (stays_while)": _parsed(replace(s, where=s.stays_while), words) for s in segments if s.stays_while}
    check_cycles({**rules, **staying})
    if store is None:
        return rules
    words = _with_values(store, words, list(rules.values()))
    return {s.name: _parsed(s, words) for s in segments}


def _parsed(segment: Segment, words: Vocabulary) -> Rule:
    try:
        return parse(segment.where, replace(words, own=segment.name))
    except RuleError as e:
        raise e.of(segment.name) from e


def words(store: Store, config: Config) -> Vocabulary:
    """What a rule may speak of in this shop."""
    return _columns(store, tuple(s.name for s in resolve(config)), config.shop.currency)


def _columns(store: Store, segments: tuple[str, ...], currency: str) -> Vocabulary:
    """The columns of the profile as it stands; before the first one is built, the declared ones."""
    shape = store.sql(
        "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = 'profile' AND column_name NOT IN "
        "('person_id', 'person_n')"
    )
    if not shape:
        return declared(segments, currency)
    columns = {n: Known(kind, meaning_of(n), unit_of(n)) for n, t in shape if (kind := kind_of(t))}
    return Vocabulary(columns, segments, {}, currency)


def _with_values(store: Store, words: Vocabulary, rules: list[Rule]) -> Vocabulary:
    """The same words with the values of the text columns and measures these rules speak of."""
    if not store.value("SELECT count(*) FROM duckdb_columns() WHERE table_name = 'profile'"):
        return words
    columns = dict(words.columns)
    texts = sorted({str(t) for r in rules for n in r.tree.walk() for t in _texts(n) if "%" not in t})
    homes = dict(
        store.sql("SELECT column_name, table_name FROM duckdb_columns() WHERE table_name IN ('profile_rows', 'profile_dated')")
    )
    for name in {n for r in rules for n in r.columns}:
        known = columns[name]
        column = '"' + name.replace('"', '""') + '"'
        if known.kind in ("text", "list"):
            home = homes.get(name, "profile")
            source = f"SELECT {f'unnest({column})' if known.kind == 'list' else column} AS v FROM {home}"
            columns[name] = Known(known.kind, known.meaning, known.unit, _values(store, source, texts))
    asked = {k for r in rules for n in r.tree.walk() if n.op == "measure" for k, _ in n.value}
    topics = {key: _values(store, source, texts) for key, source in TOPICS.items() if key in asked}
    return Vocabulary(columns, words.segments, topics, words.currency, words.own)


def _texts(node: Node) -> list[str]:
    """The texts written in a part of a rule."""
    if node.op == "measure":
        return [v for _, v in node.value if isinstance(v, str)]
    return [str(node.value)] if node.op == "literal" and node.kind == "text" else []


def _values(store: Store, source: str, texts: list[str]) -> frozenset[str] | None:
    """What there is in the data; where that is too much to hold, of it what is written in the rules, and what looks like it."""
    found = store.sql(f"SELECT DISTINCT v FROM ({source}) WHERE v IS NOT NULL LIMIT {VALUE_LIMIT + 1}")
    if len(found) > VALUE_LIMIT:
        near = store.sql(
            f"""SELECT DISTINCT v FROM (SELECT DISTINCT CAST(v AS VARCHAR) AS v FROM ({source}) WHERE v IS NOT NULL)
                JOIN (SELECT unnest(CAST(? AS VARCHAR[])) AS t) ON lower(v) = lower(t) OR (abs(length(v) - length(t)) <= 3
                  AND damerau_levenshtein(lower(v), lower(t)) <= greatest(2, least(length(v), length(t)) // 3))
                LIMIT {VALUE_LIMIT}""",
            [texts],
        )
        found = [found[0], *near]  # one at least: there are values
    return frozenset(str(v) for (v,) in found)


def sentences(store: Store, config: Config, segments: list[Segment]) -> dict[str, str]:
    """Each rule as one English sentence, by segment name."""
    everything = {s.name: s for s in (*resolve(config), *segments)}
    rules = check_all(store, config, list(everything.values()))
    return {s.name: say(rules[s.name], config.shop.currency) for s in segments}


def matching(store: Store, config: Config, as_of: AsOf, where: str) -> list[str]:
    """The people a rule describes, without keeping anything: used for [exclude]."""
    rules = check_all(store, config, [*resolve(config), Segment(name=DRAFT, where=where)])
    evaluation = Evaluation(config, as_of, rules)
    condition = evaluation.compiler().condition(rules[DRAFT].tree)
    return [
        p for (p,) in store.sql(f"SELECT person_id FROM ({evaluation.select([f'{condition} AS hit'])}) WHERE hit ORDER BY 1")
    ]


def evaluate(
    store: Store,
    config: Config,
    segments: list[Segment],
    as_of: AsOf,
    run_id: str,
    *,
    keeps: bool = True,
    today: date | None = None,
) -> list[SegmentCount]:
    """Who is in which segment now: fills `members`, keeps `memberships` and `segment_counts`. before + entered - left = after.

    When an as-of date before the latest evaluation is asked for, the history is not touched: before is what it says of
    that day. Nor is it where `keeps` is False (a command that only looks), nor by a day after `today`, the shop's day by the
    clock (None: any day may be kept); what was kept of such days before holds nothing back. A segment no longer configured
    ends for everybody.
    """
    rules = check_all(store, config, segments)
    evaluation = Evaluation(config, as_of, rules)
    with store.transaction():
        found = stays.slots(store, rules)
        store.sql(f"CREATE OR REPLACE TABLE segment_masks AS {evaluation.masks(found)}")
        stays.show_members(store, found)
        is_kept = keeps and (today is None or as_of.day <= today)
        if is_kept:
            stays.forget_looks(store, today)
        latest = store.value(
            "SELECT max(as_of) FROM segment_counts WHERE run_id <> ? AND as_of <= ?", [stays.LOOK, today or date.max]
        )
        is_look_back = latest is not None and as_of.day < latest
        numbers = stays.compare(store, found, as_of.day, is_look_back=is_look_back)
        data = Readiness(store, evaluation)
        counts = []
        for name in rules:
            reason = not_ready(store, evaluation, name, data)
            counts.append(SegmentCount(name, *numbers.get(name, (0, 0, 0, 0)), not reason, reason))
        if is_kept and not is_look_back:
            stays.write(store, found, as_of.day, run_id)
            _write_counts(store, evaluation, counts, as_of.day, run_id)
        store.sql("DROP TABLE mask_changes")
    log.info(
        "segments: %s evaluated, %s entered, %s left", len(counts), sum(c.entered for c in counts), sum(c.left for c in counts)
    )
    return counts


def _write_counts(store: Store, evaluation: Evaluation, counts: list[SegmentCount], day: date, run_id: str) -> None:
    store.sql("DELETE FROM segment_counts WHERE run_id = ?", [run_id])
    store.insert(
        "segment_counts",
        [
            {
                "run_id": run_id, "segment": c.segment, "as_of": day.isoformat(), "members_before": c.before,
                "entered": c.entered, "members_left": c.left, "members_after": c.after, "is_ready": c.is_ready,
                "not_ready": c.not_ready or None, "rule": evaluation.rules[c.segment].text,
            }
            for c in counts
        ],
    )  # fmt: skip


def not_ready(store: Store, evaluation: Evaluation, name: str, data: Readiness | None = None) -> str:
    """Why a segment must not be pushed: data that is not there, or not far enough back. '' when it may.

    Of the alternatives of an `or` one with data is enough: without the others people are missed, nobody is in wrongly. Under
    `not` it is the other way round. `cursors.complete_from` NULL means complete from the beginning. How far back mail events
    go counts for rules that look back a number of days (`connector/readiness.py`).
    """
    word = _sensitive(store, evaluation, evaluation.rules[name])
    if word:
        return f"speaks of '{word}', which privacy.sensitive_products keeps out of tags"
    return (data or Readiness(store, evaluation)).reason(evaluation.rules[name].tree)


def _sensitive(store: Store, evaluation: Evaluation, rule: Rule, seen: frozenset[str] = frozenset()) -> str:
    """The sensitive word a rule names, in itself or in a segment it refers to; '' where there is none."""
    words = [p.casefold() for p in evaluation.config.privacy.sensitive_products]
    for node in rule.tree.walk() if words else ():
        if node.op == "segment" and node.name in evaluation.rules and node.name not in seen:
            found = _sensitive(store, evaluation, evaluation.rules[node.name], seen | {node.name})
            if found:
                return found
        given = [v for _, v in node.value] if node.op == "measure" else [node.value]
        for text in (v.casefold().strip("%") for v in given if isinstance(v, str)):
            is_part = node.op == "measure" and len(text) > 2
            found = next((w for w in words if w in text or (is_part and text in w)), "")
            if found:
                return found
    return sensitive.only_of(store, evaluation.config, rule)


def why(store: Store, config: Config, as_of: AsOf, person_id: str, segment: Segment | str) -> Why:
    """Clause by clause, with the person's values. The same conditions as the evaluator's, run for one person."""
    segments = resolve(config)
    if isinstance(segment, str):
        segment = named(segments, segment)
    if segment.name not in {s.name for s in segments}:
        segments = [*segments, segment]
    rules = check_all(store, config, segments)
    evaluation = Evaluation(config, as_of, rules)
    is_member, clauses = explain(store, evaluation, rules[segment.name], person_id)
    return Why(
        segment.name, person_id, is_member, say(rules[segment.name], config.shop.currency), clauses,
        not_ready(store, evaluation, segment.name),
    )  # fmt: skip


def ready_made(store: Store, config: Config, as_of: AsOf) -> list[ReadyMade]:
    """The whole library, in its own order, with what each needs and why it is not ready here ('': it is)."""
    filled = {e.name: e.filled({k: "..." for k, v in e.parameters.items() if v == ""}) for e in entries().values()}
    rules = check_all(store, config, [Segment(name=name, where=where) for name, (where, _) in filled.items()])
    evaluation = Evaluation(config, as_of, rules)
    data = Readiness(store, evaluation)
    return [
        ReadyMade(
            e.name, filled[e.name][1], filled[e.name][0], dict(e.parameters), needed(rules[e.name].tree), e.action,
            not_ready(store, evaluation, e.name, data),
        )
        for e in entries().values()
    ]  # fmt: skip


def named(segments: list[Segment], name: str) -> Segment:
    found = next((s for s in segments if s.name.casefold() == name.casefold()), None)
    if found is None:
        raise UsageError(f"There is no segment '{name}'.{hint(name, [s.name for s in segments])}")
    return found


DRAFT = "this rule"


def preview(store: Store, config: Config, as_of: AsOf, where: str, name: str = "", *, addresses: bool = False) -> Preview:
    """Try a rule without keeping anything. With the name of a segment, entered and left compare with its members now.

    addresses: samples with their addresses, for an owner who asked to see them.
    """
    segments = [s for s in resolve(config) if s.name.casefold() != name.casefold()]
    label = name or DRAFT
    rules = check_all(store, config, [*segments, Segment(name=label, where=where)])
    evaluation = Evaluation(config, as_of, rules)
    condition = evaluation.compiler().condition(rules[label].tree)
    found = f"SELECT person_id FROM ({evaluation.select([f'{condition} AS hit'])}) WHERE hit"
    store.sql(f"CREATE OR REPLACE TEMP TABLE preview_now AS {found}")
    store.sql(
        """CREATE OR REPLACE TEMP TABLE preview_before AS
           SELECT DISTINCT person_id FROM memberships WHERE left_on IS NULL AND lower(segment) = lower(?)""",
        [name],
    )
    queries = ("FROM preview_now", "FROM preview_now ANTI JOIN preview_before USING (person_id)",
               "FROM preview_before ANTI JOIN preview_now USING (person_id)")  # fmt: skip
    size, entered, left = (int(store.value(f"SELECT count(*) {q}")) for q in queries)
    sample, entering, leaving = (_sample(store, q, addresses) for q in queries)
    for table in ("preview_now", "preview_before"):
        store.sql(f"DROP TABLE {table}")
    return Preview(
        sentence=say(rules[label], config.shop.currency), size=size,
        people=int(store.value("SELECT count(*) FROM profile")),
        sample=sample, entered=entered, left=left, entering=entering, leaving=leaving,
        warnings=tuple(w.message for w in rules[label].warnings), not_ready=not_ready(store, evaluation, label),
    )  # fmt: skip


def _sample(store: Store, found: str, addresses: bool) -> tuple[str, ...]:
    """Five people of a query (FROM ...), the same ones every time."""
    rows = store.sql(
        f"SELECT p.person_id, p.email FROM (SELECT person_id {found}) AS f JOIN people AS p USING (person_id) "
        "ORDER BY md5(p.person_id) LIMIT 5"
    )
    return tuple((email if addresses else masked(email)) if email else f"person {person_id}" for person_id, email in rows)


def masked(email: str) -> str:
    """An address nobody can be written to by: a***@b***.com."""
    local, _, domain = email.partition("@")
    host, dot, end = domain.rpartition(".")
    return f"{local[:1]}***@{host[:1]}***{dot}{end}"


def history(store: Store, segment: str, person_id: str = "") -> list[Membership]:
    """Every stay in a segment, latest first, with when and why it began or ended: the rule was another than in the run before,
    or what is known of the person was (or the day)."""
    rows = store.sql(
        """
        WITH counted AS (
          SELECT run_id, rule, lag(rule) OVER (ORDER BY rowid) AS rule_before FROM segment_counts
          WHERE lower(segment) = lower($segment)),
        stays AS (
          SELECT *, CASE WHEN left_on IS NULL THEN entered_run ELSE left_run END AS run_id FROM memberships
          WHERE lower(segment) = lower($segment) AND ($person = '' OR person_id = $person))
        SELECT s.segment, s.person_id, s.entered_on, s.left_on,
          CASE WHEN r.run_id IS NULL THEN '' WHEN c.run_id IS NULL AND s.left_on IS NOT NULL THEN 'the segment was taken out'
            WHEN c.rule_before IS NULL THEN 'the first count kept of this segment' WHEN c.rule <> c.rule_before THEN 'the rule was changed'
            ELSE 'by the rule' END,
          coalesce(s.run_id, ''), r.started_at
        FROM stays AS s LEFT JOIN runs AS r ON r.run_id = s.run_id LEFT JOIN counted AS c ON c.run_id = s.run_id
        ORDER BY s.entered_on DESC, s.person_id""",
        {"segment": segment, "person": person_id},
    )
    return [Membership(*row) for row in rows]


def overlap(store: Store) -> list[tuple[str, str, int]]:
    """Pairs of segments and how many people are in both, most first."""
    return [
        (str(a), str(b), int(n))
        for a, b, n in store.sql("""
            SELECT a.segment, b.segment, count(*) FROM members AS a JOIN members AS b
            ON a.person_id = b.person_id AND a.segment < b.segment GROUP BY ALL ORDER BY 3 DESC, 1, 2""")
    ]
