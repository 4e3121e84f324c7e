"""check, fields, why, runs: questions that change nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from connector.cli.screen import (
    Options,
    answer,
    options,
    save_private,
    say,
)
from models.errors import UsageError

if TYPE_CHECKING:
    from connector.config import Config


@click.command()
@click.option("--live-shapes", "with_shapes", is_flag=True, help="Compare the accounts' answers with the simulators' instead.")
@click.option("--out", type=click.Path(path_type=Path), help="Save what --live-shapes found, to be read and sent to us.")
@options
def check(o: Options, with_shapes: bool, out: Path | None) -> int:
    """Are the accounts, the configuration and the store right?

    Looks at credentials, every scope and what it unlocks, limits, API versions and their end, the clock and the store.
    With --live-shapes it reads a little of each stream and says where the answers are not like those Rollcall was tested
    with: names of fields and kinds of values, never a value. Exit code 3 when something differs that matters.
    Example: rollcall check
    """
    from connector import checks

    config = o.config()
    if with_shapes:
        return _live_shapes(o, config, out)
    if out:
        raise UsageError("--out goes with --live-shapes.")
    findings = checks.run(config)
    for f in findings:
        mark = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}[f.level]
        say(o, f"{mark} {f.name}: {f.text}")
    errors = [f for f in findings if f.level == "error"]
    answer(o, {"ok": not errors, "findings": [vars(f) for f in findings]})
    if not errors:
        say(
            o,
            "Everything that was looked at is in order."
            if all(f.level == "ok" for f in findings)
            else "Usable, with warnings.",
        )
    if any(f.code == "config" for f in errors):
        return 2
    return 6 if any(f.code in ("auth", "scope") for f in errors) else (1 if errors else 0)


def _live_shapes(o: Options, config: Config, out: Path | None) -> int:
    from connector import checks, clock, live_shapes

    looks, refused = checks.live_shapes(config)
    differences = [d for one in looks for d in one.differences]
    for one in looks:
        say(o, one.title, *([f"  {one.note}"] if one.note else []), *(x for s in one.streams for x in live_shapes.summary(s)))
    say(o, *(str(e) for e in refused))
    if out:
        lines = live_shapes.report_lines(looks, made=f"{clock.now_utc():%Y-%m-%d %H:%M} UTC")
        save_private(out, "\n".join([*lines, ""]))
        say(o, "", f"Saved: {out}. Read it, then send it to us; it holds no value of anybody.")
    matter = sum(d.matters for d in differences)
    unseen = sum(bool(s.problem) and not s.is_closed for one in looks for s in one.streams)
    told = [f"{unseen} stream{'s' * (unseen > 1)} could not be looked at."] if unseen else []
    told += [f"{matter:,} difference{'s' * (matter > 1)} that matter."] if matter else []
    say(o, "", *(told or ["Nothing differs that matters."] if not refused else told))
    answer(o, {"differences": [vars(d) for d in differences], "refused": [str(e) for e in refused], "unseen": unseen})
    if refused:
        return max(e.exit_code for e in refused)
    return 1 if unseen else 3 if matter else 0


@click.command()
@options
def fields(o: Options) -> int:
    """Every profile column: meaning, unit, source, how many people have it, an example.

    Example: rollcall fields
    """
    from connector import ask, show
    from connector.session import session

    with session(o.config(), "fields", as_of=o.as_of, records=False) as s:
        found = ask.fields(s)
        shop = ask.shop_measures(s)
    made = show.table("Column", "Type", "Meaning", "Unit", "Source", "Filled", "Example", numbers=(5,))
    for f in found:
        made.add_row(
            f["name"], f["type"], f["meaning"], f["unit"], f["source"], f"{f['coverage_pct']:.0f} %", str(f["example"] or "")
        )
    say(o, made, "", *shop["says"])
    say(o, "", "Not available from any platform:", *(f"  {what}: {why}" for what, why in ask.NOT_AVAILABLE.items()))
    answer(o, {"fields": found, "shop": shop, "not_available": ask.NOT_AVAILABLE})
    return 0


@click.command()
@click.argument("email")
@click.option("--segment", "name", help="Only this segment.")
@options
def why(o: Options, email: str, name: str | None) -> int:
    """Why is this person in or out, and what would change it?

    Example: rollcall why ana@example.com --segment VIP
    """
    from connector import ask
    from connector.session import session

    with session(o.config(), "why", as_of=o.as_of, records=False) as s:
        found = ask.why(s, email, name)
    known = [f"{r['record'] or 'an address without a record'} ({r['evidence']})" for r in found["records"]]
    say(o, f"Known by: {', '.join(known)}.")
    for item in found["segments"]:
        say(o, f"{item['segment']}: {'in' if item['is_member'] else 'out'}. {item['sentence']}")
        for clause in item["clauses"]:
            values = ", ".join(f"{k} is {'missing' if v is None else v}" for k, v in clause["values"].items())
            indent = "  " * (clause["depth"] + 1)
            say(o, f"{indent}{'yes' if clause['is_true'] else 'no '}  {clause['says']}" + (f"  ({values})" if values else ""))
            if clause["change"]:
                say(o, f"{indent}     {clause['change']}")
        if item["not_ready"]:
            say(o, f"  not ready: {item['not_ready']}")
    if not found["segments"]:
        say(o, "This person is in the store. There is no segment yet to be in: `rollcall segment new` builds one by questions.")
    for scored in found["scores"]:
        value = scored["value"]
        shown = f"{value:,.2f}" if isinstance(value, float) else ", ".join(value) if isinstance(value, list) else str(value)
        tier = f" ({scored['tier'].replace('_', ' ')})" if scored["tier"] else ""
        say(o, f"{scored['column']}: {shown}{tier}", *(f"  {text}" for text in scored["reasons"]))
    for platform, verdict in found["may_be_written"].items():
        say(o, f"{platform}: marketing tag: {verdict['marketing']}; service tag: {verdict['service']}")
        say(o, *([f"  conflict: {verdict['conflict']}"] if "conflict" in verdict else []))
    answer(o, found)
    return 0


@click.group("runs", invoke_without_command=True)
@click.pass_context
@options
def runs_group(o: Options, ctx: click.Context | None = None) -> int:
    """What ran, how it ended, what was set aside.

    Example: rollcall runs
    """
    ctx = click.get_current_context()
    if ctx.invoked_subcommand:
        return 0
    from connector import ask, show
    from connector.session import session

    with session(o.config(), "runs", records=False) as s:
        found = ask.list_runs(s.store)
    made = show.table("Run", "Command", "Started (UTC)", "Ended (UTC)", "Exit", numbers=(4,))
    for r in found:
        ended = "" if r["ended_at"] is None else f"{r['ended_at']:%Y-%m-%d %H:%M:%S}"
        made.add_row(r["run_id"], r["command"], f"{r['started_at']:%Y-%m-%d %H:%M:%S}", ended, str(r["exit_code"]))
    say(o, made)
    answer(o, {"runs": found})
    return 0


@runs_group.command("show")
@click.argument("run")
@options
def runs_show(o: Options, run: str) -> int:
    """One run: counts, what was set aside and why, what was written.

    Example: rollcall runs show 20261121-203000-ab12
    """
    from connector import ask
    from connector.session import session

    with session(o.config(), "runs show", records=False) as s:
        found = ask.one_run(s.store, run)
    say(o, json.dumps(found, indent=2, default=str))
    answer(o, found)
    return 0


@runs_group.command("verify")
@options
def runs_verify(o: Options) -> int:
    """Is the audit trail whole and unchanged?

    Example: rollcall runs verify
    """
    from connector import audit
    from connector.session import session

    with session(o.config(), "runs verify", records=False) as s:
        found = audit.verify(s.store)
    entries = f"{found.entries:,} {'entry' if found.entries == 1 else 'entries'}"
    if found.is_sound:
        say(o, f"The audit trail is whole: {entries}, none changed, none missing.")
        say(o, *([f"Note: {found.note}."] if found.note else []))
    else:
        say(o, f"The audit trail is NOT whole: {found.problem}. {entries} before it are sound.")
    answer(o, {"ok": found.is_sound, "entries": found.entries, "problem": found.problem, "note": found.note})
    return 0 if found.is_sound else 1


COMMANDS = (check, fields, why, runs_group)
