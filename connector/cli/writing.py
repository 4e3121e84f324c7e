"""plan, push, apply, undo, sync, report: the everyday commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connector.cli.screen import (
    Options,
    answer,
    known_sources,
    options,
    problems_json,
    progress,
    save_private,
    say,
    sum_line,
    tell_problems,
)
from connector.plain import visible
from models.errors import UsageError

if TYPE_CHECKING:
    from connector.config import Config
    from connector.session import Session


def scoped(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say for which platforms and segments."""
    command = click.option("--segment", "named", multiple=True, help="Only this segment (may be repeated).")(command)
    return click.option("--platform", "only", multiple=True, help="Only this platform (may be repeated).")(command)


@click.command("plan")
@click.option("--out", type=click.Path(path_type=Path), help="Save the plan, to be carried out with `rollcall apply`.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 10 when there are changes.")
@click.option("--addresses", is_flag=True, help="Show addresses in full.")
@click.option("--markdown", is_flag=True, help="As Markdown, to paste into a message or a page.")
@scoped
@options
def plan_(
    o: Options,
    out: Path | None,
    detailed_exitcode: bool,
    addresses: bool,
    markdown: bool,
    only: tuple[str, ...],
    named: tuple[str, ...],
) -> int:
    """What would change, on which platform, and why. Writes nothing to any platform.

    Example: rollcall plan --out tonight.json
    """
    from connector import ask, show, sync
    from connector.session import session

    config = o.config()
    known_sources(config, only)
    with progress(o) as told, session(config, "plan", as_of=o.as_of, progress=told) as s:
        plan = sync.make_plan(s, only=only, named=named)
        says = ask.said(s, sync.resolved(config))
        s.summary["plan"] = plan.digest
        if out:
            s.summary["saved_files"] = [str(out.absolute())]  # it names people: `forget` must find it
        code = s.exit_code
    if markdown:
        say(o, show.plan_markdown(plan, addresses=addresses, says=says))
    else:
        tell_plan(o, plan, addresses, says)
    if out:
        save_private(out, json.dumps(plan.to_json(), indent=1, default=str))
        say(o, f"Saved: {out} (digest {plan.digest})")
    tell_problems(o, s)
    answer(o, {"run": s.run_id, **show.plan_json(plan, addresses=addresses, says=says)})
    if code == 0 and detailed_exitcode and plan.has_changes:
        return 10
    return code


def tell_plan(o: Options, plan: Any, addresses: bool = False, says: dict[str, str] | None = None) -> None:
    from connector import show

    if not (plan.targets or plan.fields):
        nowhere = 'No segment is pushed anywhere. Give one push = ["mailchimp"] in the configuration.'
        say(o, nowhere if plan.is_complete else "Nothing could be compared with the platforms; the reasons are below.")
    if plan.targets:
        say(o, show.plan_table(plan))
    if plan.fields:
        say(o, *([""] if plan.targets else []), show.field_table(plan))
    say(o, *show.plan_notes(plan, addresses=addresses, says=says or {}))
    now = sum(len(t.writable) for t in plan.targets) + sum(len(t.changes) for t in plan.triggers)
    now += sum(len(f.writable) for f in plan.fields)
    waiting = sum(t.held + len(t.changes) - len(t.writable) for t in (*plan.targets, *plan.fields))
    if waiting:
        say(o, f"{waiting:,} changes wait, for the reasons above; {now:,} would be made now.")
    elif not plan.has_changes and (plan.targets or plan.fields):
        say(o, "Nothing would change: the platforms are in step.")


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that override a guard for one run, with a reason that is kept."""
    command = click.option("--because", default="", help="Why; kept with the run.")(command)
    return click.option("--allow", multiple=True, help="Override this guard in this run (may be repeated).")(command)


@click.command()
@click.option("--first", is_flag=True, help="Give the go-ahead for first fills and changed rules.")
@scoped
@click.option("--only", "people", multiple=True, help="A canary: only this address (may be repeated).")
@click.option("--limit", type=click.IntRange(1), help="A canary: at most so many changes a tag, list, field or trigger.")
@guarded
@options
def push(
    o: Options,
    first: bool,
    only: tuple[str, ...],
    named: tuple[str, ...],
    people: tuple[str, ...],
    limit: int | None,
    allow: tuple[str, ...],
    because: str,
) -> int:
    """Make the plan and carry it out.

    The first push to a platform and the first push of a segment need --first: it shows the numbers, and on a terminal
    asks you to type the account's name. The first writes to an account are a trial of at most ten changes: add --limit 10.
    Example: rollcall push --first
    """
    from connector import ask, choices, sync, trial, undo, writer
    from connector.session import session

    config = o.config()
    known_sources(config, only)
    writer.allow_writing(config, as_of=o.as_of, platforms=_written(config, only))
    with progress(o) as told, session(config, "push", as_of=o.as_of, progress=told) as s:
        allowed = choices.allow(s.store, allow, because, s.now(), s.run_id)
        plan = sync.make_plan(s, with_go_ahead=first, only=only, named=named, allowed=allowed)
        canary = bool(people or limit)
        if canary:
            plan = trial.at_most_ten(s, undo.restricted(plan, people, limit))
        tell_plan(o, plan, says=ask.said(s, sync.resolved(config)))
        trial.require(s, plan, first=first, named=named)
        if first and sys.stdin.isatty() and sys.stdout.isatty() and plan.has_changes:
            _ask_for_names(s, plan)
        writer.carry_out(s, plan, first=first, canary=canary)
        code = _waiting(s, plan, begun=first)
    return _tell_results(o, s, plan, code)


@click.command("undo")
@click.argument("run")
@guarded
@options
def undo_(o: Options, run: str, allow: tuple[str, ...], because: str) -> int:
    """Take back what a run changed, as far as that is possible. Pauses the segments it touched.

    Example: rollcall undo 20261121T203000
    """
    from connector import choices, sync, trial, writer
    from connector.session import Problem, session

    config = o.config()
    writer.allow_writing(config, as_of=o.as_of, platforms=_written(config, ()))
    with progress(o) as told, session(config, "undo", as_of=o.as_of, progress=told) as s:
        plan, left = sync.undo_plan(s, run, choices.allow(s.store, allow, because, s.now(), s.run_id))
        tell_plan(o, plan)
        say(o, *left)
        trial.require(s, plan)
        writer.carry_out(s, plan)
        s.problems += [Problem(f"{t.target.platform} '{t.object_name}' waits: {t.parked}", 3) for t in plan.targets if t.parked]
        s.problems += [Problem(f"{f.platform} field {f.name} waits: {f.parked}", 3) for f in plan.fields if f.parked]
        code = s.exit_code
    say(o, "The segments it touched are paused: `rollcall segment resume NAME` goes on with them.")
    if plan.fields:
        say(o, 'So are the fields: `rollcall segment resume "field:NAME"`.')
    return _tell_results(o, s, plan, code)


def _written(config: Config, only: tuple[str, ...]) -> list[str]:
    return [p for p in (only or config.platforms) if config.platform(p).push]


def _ask_for_names(s: Session, plan: Any) -> None:
    changing = [t.target.platform for t in plan.targets if t.changes] + [f.platform for f in plan.fields if f.changes]
    for platform in dict.fromkeys(changing):
        name = visible(s.accounts[platform].name)
        entering = sum(t.entered for t in plan.targets if t.target.platform == platform)
        values = sum(len(f.changes) for f in plan.fields if f.platform == platform)
        what = f"{entering:,} people enter on {platform}" + (f", {values:,} values of fields change" if values else "")
        typed = click.prompt(f"{what}. Type the account's name ({name}) to go on", err=True)
        if typed.strip() != name:
            raise UsageError(f"That is not the name of the {platform} account. Nothing was written.")


def _waiting(s: Session, plan: Any, *, begun: bool = False) -> int:
    """The exit code, 3 when something was parked or waits for a go-ahead for the first time."""
    from connector import planner

    planner.note_parked(s, plan, begun=begun)
    return s.exit_code


def _tell_results(o: Options, s: Session, plan: Any, code: int) -> int:
    from connector import show

    told: Any = s.summary.get("triggers", [])
    if s.results:
        say(o, "", show.results(s.results))
    if s.field_results:
        say(o, "", show.field_results(s.field_results))
    if not (s.results or s.field_results or told):
        say(o, "Nothing was written.")
    _tell_beside(o, s)
    tell_problems(o, s)
    answer(
        o,
        {
            "run": s.run_id,
            "plan": show.plan_json(plan),
            "results": show.results_json(s.results),
            "triggers": s.summary.get("triggers", []),
            "fields": s.field_results,
            "dropped": s.summary.get("dropped_at_the_last_moment", 0),
            "consent_not_heard": s.summary.get("consent_not_heard", 0),
            "dropped_since_saved": s.summary.get("dropped_since_saved", 0),
            "refused_since_saved": s.summary.get("refused_since_saved", 0),
            "problems": problems_json(s),
            "notices": s.notices,
        },
    )
    return code


def _tell_beside(o: Options, s: Session) -> None:
    """What the table of results does not say: who was told of, and what of the plan was not sent."""
    told: Any = s.summary.get("triggers", [])
    say(o, *(f"Trigger {row['trigger']}: {row.get('done', 0):,} of {row['planned']:,} told." for row in told))
    if outdated := s.summary.get("dropped_since_saved", 0):
        say(o, f"{outdated} changes of the saved plan were dropped: a plan of now would no longer make them.")
    if refused := s.summary.get("refused_since_saved", 0):
        say(o, f"{refused} changes were added to the saved plan, to take off who said no since it was saved.")
    if dropped := s.summary.get("dropped_at_the_last_moment", 0):
        say(o, f"{dropped} entries were dropped: their consent, read again just before writing, no longer permits them.")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--first", is_flag=True, help="Give the go-ahead for first fills and changed rules in it.")
@scoped
@options
def apply(o: Options, file: Path, first: bool, only: tuple[str, ...], named: tuple[str, ...]) -> int:
    """Carry out a saved plan and nothing else, or the platforms and segments of it that you approve.

    What would no longer be made is dropped; too much of that, and it refuses. Who said no since it was saved is taken off
    too, as by every push, and counted.
    Example: rollcall apply tonight.json --segment VIP
    """
    from connector import saved, sync, trial, writer
    from connector.session import session

    config = o.config()
    known_sources(config, only)
    plan_of_then = saved.read(file)
    writer.allow_writing(config, as_of=o.as_of, platforms=_written(config, only or tuple(plan_of_then.accounts)))
    with progress(o) as told, session(config, "apply", as_of=o.as_of, progress=told) as s:
        plan = sync.still_valid(s, plan_of_then, with_go_ahead=first, only=only, named=named)
        tell_plan(o, plan)
        trial.require(s, plan, first=first, named=named)
        if first and sys.stdin.isatty() and sys.stdout.isatty() and plan.has_changes:
            _ask_for_names(s, plan)
        writer.carry_out(s, plan, first=first)
        code = _waiting(s, plan, begun=first)
    return _tell_results(o, s, plan, code)


@click.command("sync")
@click.option("--dry-run", is_flag=True, help="Everything but the writing.")
@options
def sync_(o: Options, dry_run: bool) -> int:
    """Pull, derive, plan, push, report: the command to put on a schedule.

    Writes only where the configuration says push = true and where you gave a go-ahead (`rollcall push --first`).
    Example: rollcall sync --dry-run
    """
    from connector import ask, report, show, sync, trial, writer
    from connector.session import session

    config = o.config()
    writing = [] if dry_run else _written(config, ())
    writer.allow_writing(config, as_of=o.as_of, platforms=writing, tells=not dry_run)
    sync.check_rules(config)
    with progress(o) as told, session(config, "sync", as_of=o.as_of, progress=told) as s:
        counts = sync.pull_all(s)
        say(o, show.streams(counts), sum_line(counts))
        for part in sync.read_in_full(s):
            say(o, f"Read whole: {part.source} {part.stream}, {part.read:,} records, {part.gone:,} gone. {part.note}".rstrip())
        sync.rescore(s)
        plan = trial.held_back(s, sync.make_plan(s))
        tell_plan(o, plan)
        if writing or (plan.triggers and not dry_run):
            writer.carry_out(s, plan)
        code = _waiting(s, plan)
        says = ask.said(s, sync.resolved(config))
        page = report.write(s.store, config, s.as_of, plan=plan, says=says, counts=s.counts)
    say(o, f"Report: {page}")
    if not any(c.stored or c.set_aside for c in counts) and not plan.has_changes:
        say(o, "Nothing had changed, nothing was written.")
    return _tell_results_of_sync(o, s, counts, plan, page, code)


def _tell_results_of_sync(o: Options, s: Session, counts: Any, plan: Any, page: Path, code: int) -> int:
    from connector import show

    if s.results:
        say(o, show.results(s.results))
    if s.field_results:
        say(o, show.field_results(s.field_results))
    _tell_beside(o, s)
    tell_problems(o, s)
    answer(
        o,
        {
            "run": s.run_id,
            "streams": show.stream_json(counts),
            "plan": show.plan_json(plan),
            "results": show.results_json(s.results),
            "triggers": s.summary.get("triggers", []),
            "fields": s.field_results,
            "dropped": s.summary.get("dropped_at_the_last_moment", 0),
            "consent_not_heard": s.summary.get("consent_not_heard", 0),
            "report": str(page),
            "problems": problems_json(s),
            "notices": s.notices,
        },
    )
    return code


@click.command()
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
@options
def report(o: Options, open_it: bool) -> int:
    """The HTML report: segments, scores, what was written and why.

    Example: rollcall report --open
    """
    from connector import ask, sync
    from connector import report as reporting
    from connector.session import session

    config = o.config()
    with session(config, "report", as_of=o.as_of, records=False) as s:
        sync.derive(s, sync.resolved(config))
        says = ask.said(s, sync.resolved(config))
        page = reporting.write(s.store, config, s.as_of, plan=None, says=says, counts=s.counts)
    say(o, f"Report: {page}")
    answer(o, {"report": str(page)})
    if open_it:
        click.launch(str(page))
    return 0


COMMANDS = (plan_, push, undo_, apply, sync_, report)
