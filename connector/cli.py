"""The command line: parse, call one function, print, return a code. Nothing else prints.

Heavy packages (duckdb, pandas, scikit-learn, sqlglot) are imported inside the commands that need them, so that
`rollcall --help` answers at once.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from models.errors import AuthError, ConnectorError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from connector.config import Config
    from connector.progress import Progress
    from connector.sync import Session

SCHEMA = 1
GROUPS = (
    ("Set up", ("check",)),
    ("Every day", ("sync", "plan", "push", "apply", "undo", "report")),
    ("Ask", ("why",)),
)


@dataclass
class Options:
    """What every command takes, before or after its name."""

    config_path: Path = Path("rollcall.toml")
    as_of: date | None = None
    verbose: int = 0
    quiet: bool = False
    json: bool = False

    def config(self) -> Config:
        from connector.config import load

        return load(self.config_path)


class Grouped(click.Group):
    """Help in groups; the rest under `rollcall help --all`."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS:
            with formatter.section(title):
                formatter.write_dl([(n, self.commands[n].get_short_help_str(90)) for n in names])
        formatter.write_paragraph()
        formatter.write_text("More commands: rollcall help --all")


def options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The global options, given before the command's name or after it."""

    @click.option(
        "--config", "config_path", type=click.Path(path_type=Path), help="Configuration file (default: rollcall.toml)."
    )
    @click.option(
        "--as-of", "as_of", type=click.DateTime(["%Y-%m-%d"]), help="Derive as on this day: nothing from it on is seen."
    )
    @click.option("-v", "--verbose", count=True, help="Say more on stderr; twice shows requests.")
    @click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr but errors.")
    @click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
    @functools.wraps(command)
    def wrapped(
        *args: Any,
        config_path: Path | None,
        as_of: datetime | None,
        verbose: int,
        quiet: bool,
        as_json: bool,
        **kwargs: Any,
    ) -> Any:
        ctx = click.get_current_context()
        known: Options = ctx.find_object(Options) or Options()
        known.config_path = config_path or known.config_path
        known.as_of = as_of.date() if as_of else known.as_of
        known.verbose = verbose or known.verbose
        known.quiet = quiet or known.quiet
        known.json = as_json or known.json
        ctx.obj = known
        set_up_logging(known)
        return command(known, *args, **kwargs)

    return wrapped


def set_up_logging(o: Options) -> None:
    level = logging.ERROR if o.quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(o.verbose, 2)]
    logging.basicConfig(stream=sys.stderr, level=level, format="%(levelname)s %(message)s", force=True)
    for noisy in ("urllib3", "matplotlib", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


@click.group(cls=Grouped, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="rollcall-sync", prog_name="rollcall")
@options
def rollcall(o: Options) -> None:
    """Knows which customer belongs in which segment, and keeps tags and static lists in step.

    \b
    First steps:
      rollcall demo                    a whole run on a made-up shop, without accounts
      rollcall check                   are my accounts and my configuration right?
      rollcall backfill                pull the whole history, once
      rollcall plan                    what would change on my platforms?
    """


@rollcall.command("help")
@click.option("--all", "everything", is_flag=True, help="All commands, not only the everyday ones.")
@click.argument("name", required=False)
@click.pass_context
def help_(ctx: click.Context, everything: bool, name: str | None) -> None:
    """Show help: for one command, or --all of them.

    Example: rollcall help --all
    """
    parent = ctx.parent or ctx
    if name:
        found = rollcall.commands.get(name)
        if found is None:
            raise click.UsageError(f"There is no command '{name}'.")
        with click.Context(found, info_name=f"rollcall {name}", parent=None) as sub:
            click.echo(found.get_help(sub))
        return
    if not everything:
        click.echo(rollcall.get_help(parent))
        return
    rows = [(n, c.get_short_help_str(90)) for n, c in sorted(rollcall.commands.items())]
    formatter = parent.make_formatter()
    with formatter.section("All commands"):
        formatter.write_dl(rows)
    click.echo(formatter.getvalue().rstrip())


# ---- printing


def console(stderr: bool = False) -> Console:
    from rich.console import Console

    return Console(
        stderr=stderr, highlight=False, soft_wrap=not sys.stdout.isatty(), width=None if sys.stdout.isatty() else 160
    )


def say(o: Options, *parts: Any) -> None:
    """Text for people, on stdout; nothing where JSON was asked for."""
    if o.json:
        return
    out = console()
    for part in parts:
        out.print(part, markup=False) if isinstance(part, str) else out.print(part)


def answer(o: Options, body: dict[str, Any]) -> None:
    """The one JSON document, where it was asked for."""
    if o.json:
        click.echo(json.dumps({"schema": SCHEMA, **body}, default=str, ensure_ascii=False, indent=2))


@contextmanager
def progress(o: Options) -> Iterator[Progress]:
    from connector.progress import Silent

    if o.quiet or o.json or not sys.stderr.isatty():
        yield Silent()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
        console=console(stderr=True),
    )  # fmt: skip
    with bars:
        yield Drawn(bars)


class Drawn:
    """Progress as bars on a terminal."""

    def __init__(self, bars: Any) -> None:
        self.bars = bars
        self.tasks: dict[str, Any] = {}

    def start(self, name: str, total: int | None) -> None:
        self.tasks[name] = self.bars.add_task(name, total=total)

    def advance(self, name: str, count: int) -> None:
        if name in self.tasks:
            self.bars.advance(self.tasks[name], count)

    def finish(self, name: str) -> None:
        if name in self.tasks:
            task = self.tasks[name]
            self.bars.update(task, total=self.bars.tasks[task].completed)


def tell_problems(o: Options, s: Session) -> None:
    if o.json:
        return
    err = console(stderr=True)
    for problem in s.problems:
        err.print(problem.text, style="yellow" if problem.exit_code == 3 else "red", markup=False)


def problems_json(s: Session) -> list[dict[str, Any]]:
    return [{"platform": p.platform, "code": p.exit_code, "text": p.text} for p in s.problems]


# ---- set up


@rollcall.command()
@options
def check(o: Options) -> int:
    """Are the accounts, the configuration and the store right?

    Looks at credentials, every scope and what it unlocks, limits, API versions and their end, the clock and the store.
    Example: rollcall check
    """
    from connector import checks

    config = o.config()
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


# ---- pull


@rollcall.command()
@click.option("--source", "sources", multiple=True, help="Only this platform (may be repeated).")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Not further back than this day.")
@options
def backfill(o: Options, sources: tuple[str, ...], since: datetime | None) -> int:
    """Pull the whole history, once. Safe to stop and start again: it goes on where it stood.

    Example: rollcall backfill --source shopify --since 2024-01-01
    """
    return _pull(o, "backfill", sources, since=since, full=True)


@rollcall.command()
@click.option("--source", "sources", multiple=True, help="Only this platform (may be repeated).")
@options
def pull(o: Options, sources: tuple[str, ...]) -> int:
    """Pull what changed since the last time.

    Example: rollcall pull
    """
    return _pull(o, "pull", sources, since=None, full=False)


def _pull(o: Options, command: str, sources: tuple[str, ...], *, since: datetime | None, full: bool) -> int:
    from connector import show, sync

    config = o.config()
    _known_sources(config, sources)
    if not config.platforms:
        raise UsageError("No platform is configured, so there is nothing to pull. Add a section, or use `rollcall import`.")
    with progress(o) as told, sync.session(config, command, as_of=o.as_of, progress=told) as s:
        counts = sync.pull_all(s, sources, since=since, full=full)
        code = s.exit_code
    say(o, show.streams(counts), _sum_line(counts))
    tell_problems(o, s)
    answer(o, {"run": s.run_id, "streams": show.stream_json(counts), "problems": problems_json(s)})
    return code


def _sum_line(counts: Any) -> str:
    fetched, stored, unchanged, aside = (
        sum(getattr(c, k) for c in counts) for k in ("fetched", "stored", "unchanged", "set_aside")
    )
    what = "Nothing had changed." if fetched and not stored and not aside else ""
    return f"Fetched {fetched:,} = stored {stored:,} + unchanged {unchanged:,} + set aside {aside:,}. {what}".rstrip()


def _known_sources(config: Config, sources: tuple[str, ...]) -> None:
    for name in sources:
        if name not in config.platforms:
            raise UsageError(f"'{name}' is not configured. Configured: {', '.join(config.platforms) or 'no platform'}.")


@rollcall.command("import")
@click.argument("kind")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--map", "map_file", type=click.Path(path_type=Path), help='TOML file: our column = "theirs".')
@options
def import_(o: Options, kind: str, file: Path, map_file: Path | None) -> int:
    """Read contacts, orders, order_lines, products or events from a file (CSV, Excel, Parquet, JSON lines).

    Reading the same file twice changes nothing. Rows that cannot be used are set aside with their line.
    The kind no_profiling is a list of addresses or customer ids of whom no score is to be made.
    Example: rollcall import orders orders.csv
    """
    from connector import imports, show, sync

    config = o.config()
    if kind == "no_profiling":
        return _import_no_profiling(o, config, file)
    with progress(o) as told, sync.session(config, "import", as_of=o.as_of, progress=told) as s:
        found = imports.import_file(s.store, config, kind, file, s.run_id, map_file=map_file, progress=told)
        s.new_set_aside = found.count.new_set_aside
        s.summary["import"] = vars(found.count)
        code = s.exit_code
    say(o, *(f"Read column '{theirs}' as {ours}" for ours, theirs in found.columns.items()))
    say(o, *found.notes)
    say(o, show.streams([found.count]), _sum_line([found.count]))
    for line, reason in found.set_aside[:10]:
        say(o, f"  line {line}: {reason}")
    answer(
        o,
        {
            "run": s.run_id,
            "columns": found.columns,
            "notes": list(found.notes),
            "streams": show.stream_json([found.count]),
            "set_aside": [{"line": n, "reason": r} for n, r in found.set_aside],
        },
    )
    return code


def _import_no_profiling(o: Options, config: Config, file: Path) -> int:
    from connector import no_profiling, sync

    with sync.session(config, "import", as_of=o.as_of) as s:
        found = no_profiling.import_file(s.store, file, s.run_id, s.now())
        sync.identify(s)
        people = no_profiling.enforce(s.store, config)
    say(o, f"Read {found.rows:,} rows = new {found.new:,} + known {found.known:,} + empty {found.empty:,}.")
    say(o, f"No score is made of {people:,} people; what there was of them is deleted.")
    answer(o, {"run": s.run_id, **vars(found), "people": people})
    return 0


# ---- ask


@rollcall.command()
@options
def fields(o: Options) -> int:
    """Every profile column: meaning, unit, source, how many people have it, an example.

    Example: rollcall fields
    """
    from connector import ask, show, sync

    with sync.session(o.config(), "fields", as_of=o.as_of, records=False) as s:
        found = ask.fields(s)
    made = show.table("Column", "Type", "Meaning", "Unit", "Source", "Filled", "Example", numbers=(5,))
    for f in found:
        made.add_row(
            f["name"], f["type"], f["meaning"], f["unit"], f["source"], f"{f['coverage_pct']:.0f} %", str(f["example"] or "")
        )
    say(o, made, "", "Not available from any platform:", *(f"  {what}: {why}" for what, why in ask.NOT_AVAILABLE.items()))
    answer(o, {"fields": found, "not_available": ask.NOT_AVAILABLE})
    return 0


@rollcall.group("segment")
def segment_group() -> None:
    """Segments: list, show, test a rule.

    Example: rollcall segment test 'orders_total >= 3'
    """


@segment_group.command("list")
@options
def segment_list(o: Options) -> int:
    """All segments with their sizes.

    Example: rollcall segment list
    """
    from connector import ask, show, sync

    with sync.session(o.config(), "segment list", as_of=o.as_of, records=False) as s:
        found = ask.sizes(s)
    made = show.table("Segment", "People", "Rule in words", "", numbers=(1,))
    for g in found:
        made.add_row(g["name"], f"{g['people']:,}", g["says"], "" if g["is_ready"] else f"not ready: {g['not_ready']}")
    say(o, made)
    answer(o, {"segments": found})
    return 0


@segment_group.command("resume")
@click.argument("name")
@options
def segment_resume(o: Options, name: str) -> int:
    """Go on with a segment that an undo paused.

    Example: rollcall segment resume VIP
    """
    from connector import choices, sync

    with sync.session(o.config(), "segment resume") as s:
        choices.resume(s.store, name)
    say(o, f"'{name}' goes on with the next push.")
    answer(o, {"resumed": name})
    return 0


@segment_group.command("pin")
@click.argument("name")
@click.argument("email")
@click.option("--always", "kind", flag_value="always", help="Always in, as far as consent permits.")
@click.option("--never", "kind", flag_value="never", help="Never in.")
@click.option("--remove", "kind", flag_value="remove", help="Take the pin away.")
@click.option("--because", default="", help="Why; kept with the pin.")
@options
def segment_pin(o: Options, name: str, email: str, kind: str | None, because: str) -> int:
    """Keep one person always in a segment's tags, or never.

    Example: rollcall segment pin VIP ana@example.com --never --because "asked on the phone"
    """
    from connector import ask, choices, sync

    if kind is None:
        raise UsageError("Say --always, --never or --remove.")
    if kind != "remove" and not because.strip():
        raise UsageError('A pin needs a reason: --because "...".')
    with sync.session(o.config(), "segment pin") as s:
        segment = ask.segment_called(s.config, name)
        sync.identify(s)
        person = ask.person_of(s.store, email)
        if kind == "remove":
            done = choices.unpin(s.store, person, segment.name)
        else:
            choices.pin(s.store, person, segment.name, "always" if kind == "always" else "never", because, s.now(), s.run_id)
            done = True
    say(o, f"Pinned: {kind}." if kind != "remove" else ("The pin is gone." if done else "There was no pin."))
    answer(o, {"segment": segment.name, "pin": kind, "done": done})
    return 0


@segment_group.command("show")
@click.argument("name")
@click.option("--addresses", is_flag=True, help="Show addresses in full.")
@options
def segment_show(o: Options, name: str, addresses: bool) -> int:
    """One segment: its rule in words, its size, some of its people.

    Example: rollcall segment show VIP
    """
    from connector import ask, sync

    with sync.session(o.config(), "segment show", as_of=o.as_of, records=False) as s:
        g = ask.segment_called(s.config, name)
        preview = ask.preview(s, g.where, g.name, addresses=addresses)
    return _show_preview(o, preview)


@segment_group.command("history")
@click.argument("name")
@click.option("--person", "email", help="Only the stays of the person with this address.")
@options
def segment_history(o: Options, name: str, email: str | None) -> int:
    """When people entered and left a segment, latest first, and the size after every run.

    Example: rollcall segment history VIP --person ana@example.com
    """
    from connector import ask, show, sync

    with sync.session(o.config(), "segment history", as_of=o.as_of, records=False) as s:
        found = ask.segment_history(s, name, email)
    sizes = show.table("Day", "Before", "Entered", "Left", "After", numbers=(1, 2, 3, 4))
    for c in found["sizes"]:
        sizes.add_row(str(c["as_of"]), *(f"{c[k]:,}" for k in ("before", "entered", "left", "after")))
    stays = show.table("Person", "Entered", "Left", "Run")
    for m in found["stays"][:50]:
        stays.add_row(m["person_id"], str(m["entered_on"]), str(m["left_on"] or ""), m["reason"] or "")
    say(o, sizes, stays)
    answer(o, found)
    return 0


@segment_group.command("overlap")
@options
def segment_overlap(o: Options) -> int:
    """How many people are in two segments at once, most first.

    Example: rollcall segment overlap
    """
    from connector import ask, show, sync

    with sync.session(o.config(), "segment overlap", as_of=o.as_of, records=False) as s:
        found = ask.segment_overlap(s)
    made = show.table("Segment", "and", "In both", "of the first", "of the second", numbers=(2, 3, 4))
    for p in found:
        made.add_row(p["first"], p["second"], f"{p['people']:,}", f"{p['of_first_pct']:.0f} %", f"{p['of_second_pct']:.0f} %")
    say(o, made)
    answer(o, {"pairs": found})
    return 0


@segment_group.command("export")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--column", "columns", multiple=True, help="A profile column to add (may be repeated).")
@options
def segment_export(o: Options, name: str, file: Path, columns: tuple[str, ...]) -> int:
    """Write a segment's people to a CSV or Parquet file, with a column that says who may be mailed.

    Example: rollcall segment export VIP vip.csv --column city --column aov
    """
    from connector import ask, sync

    with sync.session(o.config(), "segment export", as_of=o.as_of, records=False) as s:
        count = ask.segment_export(s, name, file, columns)
    say(o, f"{count:,} people written to {file}. Only those with may_be_mailed may get marketing mail.")
    answer(o, {"segment": name, "people": count, "file": str(file)})
    return 0


@segment_group.command("new")
@options
def segment_new(o: Options) -> int:
    """Build a segment by answering questions; shows the rule, who would be in it, and what to put into rollcall.toml.

    Example: rollcall segment new
    """
    from connector import ask, sync

    config = o.config()
    with sync.session(config, "segment new", as_of=o.as_of, records=False) as s:
        wizard = ask.Wizard(s)
        name = click.prompt("What should the segment be called", err=True)
        ready = click.prompt(
            "A ready-made segment to begin with (empty: your own rule)", default="", show_default=False, err=True
        )
        block, where = _new_ready(wizard, name, ready) if ready else _new_rule(wizard, name)
        preview = ask.preview(s, where)
    code = _show_preview(o, preview)
    say(o, "", f"To keep it, add this to {config.path.name}:", "", block)
    if not o.json and click.confirm("Add it now", default=False, err=True):
        with config.path.open("a", encoding="utf-8") as out:
            out.write(f"\n{block}")
        say(o, f"Added to {config.path.name}.")
    return code


def _new_ready(wizard: Any, name: str, ready: str) -> tuple[str, str]:
    parameters = wizard.parameters(ready)
    given = {k: click.prompt(k, default=v if v != "" else None, type=type(v), err=True) for k, v in parameters.items()}
    return wizard.ready(name, ready, given)  # type: ignore[no-any-return]  # Wizard is imported inside the command


def _new_rule(wizard: Any, name: str) -> tuple[str, str]:
    while True:
        field = click.prompt("Field (empty: done)", default="", show_default=False, err=True)
        if not field and wizard.answers:
            joined = "and"
            if len(wizard.answers) > 1:
                joined = click.prompt("Must all be true, or any", type=click.Choice(["all", "any"]), default="all", err=True)
            return wizard.own(name, "or" if joined == "any" else "and")  # type: ignore[no-any-return]  # as above
        try:
            words = wizard.words_for(field)
            word = click.prompt("Condition", type=click.Choice(words), default=words[0], err=True)
            value = click.prompt("Value", err=True) if wizard.needs_value(field, word) else ""
            wizard.add(field, word, value)
        except ConnectorError as e:
            click.echo(str(e), err=True)


@segment_group.command("test")
@click.argument("where")
@click.option("--addresses", is_flag=True, help="Show addresses in full.")
@options
def segment_test(o: Options, where: str, addresses: bool) -> int:
    """Try a rule before you save it: how many people, who, and what it says in words.

    Example: rollcall segment test 'orders_365d >= 2 and days_since_order > 60'
    """
    from connector import ask, sync

    with sync.session(o.config(), "segment test", as_of=o.as_of, records=False) as s:
        preview = ask.preview(s, where, addresses=addresses)
    return _show_preview(o, preview)


def _show_preview(o: Options, preview: dict[str, Any]) -> int:
    say(o, *([preview["name"]] if preview["name"] else []), preview["says"])
    say(o, f"{preview['people']:,} of {preview['of']:,} people; {preview['entered']:,} would enter, {preview['left']:,} leave.")
    say(o, *(f"Note: {w}" for w in preview["warnings"]))
    if preview["not_ready"]:
        say(o, f"Not ready: {preview['not_ready']}")
    say(o, *(f"  {person}" for person in preview["sample"]))
    answer(o, preview)
    return 0


@rollcall.command()
@click.argument("email")
@click.option("--segment", "name", help="Only this segment.")
@options
def why(o: Options, email: str, name: str | None) -> int:
    """Why is this person in or out, and what would change it?

    Example: rollcall why ana@example.com --segment VIP
    """
    from connector import ask, sync

    with sync.session(o.config(), "why", as_of=o.as_of, records=False) as s:
        found = ask.why(s, email, name)
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
    for platform, verdict in found["may_be_written"].items():
        say(o, f"{platform}: marketing tag: {verdict['marketing']}; service tag: {verdict['service']}")
    answer(o, found)
    return 0


@rollcall.group("score", invoke_without_command=True)
@click.option("--horizon", type=click.IntRange(1), help="Days ahead (default: scores.horizon_days of the configuration).")
@click.option("--out-dir", type=click.Path(path_type=Path), help="Write churn.csv and the other scores here.")
@options
def score_group(o: Options, horizon: int | None, out_dir: Path | None) -> int:
    """Train, evaluate and score: who will probably not order within the horizon, and what are they worth?

    Example: rollcall score --horizon 90 --out-dir scores
    """
    if click.get_current_context().invoked_subcommand:
        return 0
    from connector import no_profiling, score, sync

    config = o.config()
    with progress(o) as told, sync.session(config, "score", as_of=o.as_of, progress=told) as s:
        sync.derive(s, sync.resolved(config))
        cards = score.train_and_score(s.store, config, s.as_of, s.run_id, horizon_days=horizon)
        no_profiling.enforce(s.store, config)
        files = score.write_files(s.store, config, s.as_of, out_dir, horizon_days=horizon) if out_dir else []
        s.summary["scores"] = cards
    for card in cards:
        say(o, *score.say_card(card))
    say(o, *(f"Written: {f}" for f in files))
    answer(o, {"run": s.run_id, "cards": cards, "files": [str(f) for f in files]})
    return 0


@score_group.command("card")
@options
def score_card(o: Options) -> int:
    """The latest card of every score: how good it is, on what data, against which simple rule.

    Example: rollcall score card
    """
    from connector import score, sync

    with sync.session(o.config(), "score card", as_of=o.as_of, records=False) as s:
        found = score.cards(s.store)
    for card in found:
        say(o, *score.say_card(card), "")
    if not found:
        say(o, "No score has been trained yet: run `rollcall score`.")
    answer(o, {"cards": found})
    return 0


@score_group.command("ready")
@options
def score_ready(o: Options) -> int:
    """Per score: what there is, what is needed, and when it may be enough.

    Example: rollcall score ready
    """
    from connector import score, sync

    config = o.config()
    with sync.session(config, "score ready", as_of=o.as_of, records=False) as s:
        sync.derive(s, sync.resolved(config))
        found = score.ready(s.store, config, s.as_of)
    for item in found:
        say(o, ", ".join(f"{k.replace('_', ' ')}: {v}" for k, v in item.items() if v not in ("", [], None)))
    answer(o, {"scores": found})
    return 0


@score_group.command("rollback")
@click.argument("name")
@options
def score_rollback(o: Options, name: str) -> int:
    """Take back the latest version of a score; the one before counts again.

    Example: rollcall score rollback churn
    """
    from connector import score, sync

    with sync.session(o.config(), "score rollback") as s:
        day = score.rollback(s.store, name)
    say(o, f"'{name}' is again the one of {day}.")
    answer(o, {"score": name, "cutoff": day})
    return 0


# ---- every day


@rollcall.command("plan")
@click.option("--out", type=click.Path(path_type=Path), help="Save the plan, to be carried out with `rollcall apply`.")
@click.option("--detailed-exitcode", is_flag=True, help="Exit 10 when there are changes.")
@click.option("--addresses", is_flag=True, help="Show addresses in full.")
@click.option("--platform", "only", multiple=True, help="Only this platform (may be repeated).")
@options
def plan_(o: Options, out: Path | None, detailed_exitcode: bool, addresses: bool, only: tuple[str, ...]) -> int:
    """What would change, on which platform, and why. Writes nothing to any platform.

    Example: rollcall plan --out tonight.json
    """
    from connector import show, sync

    config = o.config()
    _known_sources(config, only)
    with progress(o) as told, sync.session(config, "plan", as_of=o.as_of, progress=told) as s:
        plan = sync.make_plan(s, only=only)
        s.summary["plan"] = plan.digest
        if out:
            s.summary["saved_files"] = [str(out.absolute())]  # it names people: `forget` must find it
        code = s.exit_code
    _tell_plan(o, plan, addresses)
    if out:
        _save_private(out, json.dumps(plan.to_json(), indent=1, default=str))
        say(o, f"Saved: {out} (digest {plan.digest})")
    tell_problems(o, s)
    answer(o, {"run": s.run_id, **show.plan_json(plan, addresses=addresses)})
    if code == 0 and detailed_exitcode and plan.has_changes:
        return 10
    return code


def _save_private(path: Path, text: str) -> None:
    import os

    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as f:
            f.write(text)
    except OSError as e:
        raise UsageError(f"{path} cannot be written ({e.strerror}). Choose another place.") from e


def _tell_plan(o: Options, plan: Any, addresses: bool = False) -> None:
    from connector import show

    if not plan.targets:
        say(o, 'No segment is pushed anywhere. Give one push = ["mailchimp"] in the configuration.')
        return
    say(o, show.plan_table(plan))
    say(o, *show.plan_notes(plan, addresses=addresses))
    now = sum(len(t.writable) for t in plan.targets)
    waiting = sum(t.held + len(t.changes) - len(t.writable) for t in plan.targets)
    if waiting:
        say(o, f"{waiting:,} changes wait, for the reasons above; {now:,} would be made now.")
    elif not plan.has_changes:
        say(o, "Nothing would change: the platforms are in step.")


def guarded(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that override a guard for one run, with a reason that is kept."""
    command = click.option("--because", default="", help="Why; kept with the run.")(command)
    return click.option("--allow", multiple=True, help="Override this guard in this run (may be repeated).")(command)


@rollcall.command()
@click.option("--first", is_flag=True, help="Give the go-ahead for first fills and changed rules.")
@click.option("--platform", "only", multiple=True, help="Only this platform (may be repeated).")
@click.option("--only", "people", multiple=True, help="A canary: only this address (may be repeated).")
@click.option("--limit", type=click.IntRange(1), help="A canary: at most so many changes a tag or list.")
@guarded
@options
def push(
    o: Options,
    first: bool,
    only: tuple[str, ...],
    people: tuple[str, ...],
    limit: int | None,
    allow: tuple[str, ...],
    because: str,
) -> int:
    """Make the plan and carry it out.

    The first push to a platform and the first push of a segment need --first: it shows the numbers, and on a terminal
    asks you to type the account's name.
    Example: rollcall push --first
    """
    from connector import choices, sync, undo

    config = o.config()
    _known_sources(config, only)
    sync.allow_writing(config, as_of=o.as_of, platforms=_written(config, only))
    with progress(o) as told, sync.session(config, "push", as_of=o.as_of, progress=told) as s:
        allowed = choices.allow(s.store, allow, because, s.now(), s.run_id)
        plan = sync.make_plan(s, with_go_ahead=first, only=only, allowed=allowed)
        canary = bool(people or limit)
        if canary:
            plan = undo.restricted(plan, people, limit)
        _tell_plan(o, plan)
        if first and sys.stdin.isatty() and sys.stdout.isatty() and plan.has_changes:
            _ask_for_names(s, plan)
        sync.carry_out(s, plan, first=first, canary=canary)
        code = _waiting(s, plan)
    return _tell_results(o, s, plan, code)


@rollcall.command("undo")
@click.argument("run")
@guarded
@options
def undo_(o: Options, run: str, allow: tuple[str, ...], because: str) -> int:
    """Take back what a run changed, as far as that is possible. Pauses the segments it touched.

    Example: rollcall undo 20261121T203000
    """
    from connector import choices, sync

    config = o.config()
    sync.allow_writing(config, as_of=o.as_of, platforms=_written(config, ()))
    with progress(o) as told, sync.session(config, "undo", as_of=o.as_of, progress=told) as s:
        plan, left = sync.undo_plan(s, run, choices.allow(s.store, allow, because, s.now(), s.run_id))
        _tell_plan(o, plan)
        say(o, *left)
        sync.carry_out(s, plan)
        code = s.exit_code
    say(o, "The segments it touched are paused: `rollcall segment resume NAME` goes on with them.")
    return _tell_results(o, s, plan, code)


def _written(config: Config, only: tuple[str, ...]) -> list[str]:
    return [p for p in (only or config.platforms) if config.platform(p).push]


def _ask_for_names(s: Session, plan: Any) -> None:
    for platform in dict.fromkeys(t.target.platform for t in plan.targets if t.changes):
        name = s.accounts[platform].name
        entering = sum(t.entered for t in plan.targets if t.target.platform == platform)
        typed = click.prompt(f"{entering:,} people enter on {platform}. Type the account's name ({name}) to go on", err=True)
        if typed.strip() != name:
            raise UsageError(f"That is not the name of the {platform} account. Nothing was written.")


def _waiting(s: Session, plan: Any) -> int:
    """The exit code, 3 when something was parked or waits for a go-ahead for the first time."""
    from connector import sync

    sync.note_parked(s, plan)
    return s.exit_code


def _tell_results(o: Options, s: Session, plan: Any, code: int) -> int:
    from connector import show

    if s.results:
        say(o, "", show.results(s.results))
    else:
        say(o, "Nothing was written.")
    dropped = s.summary.get("dropped_at_the_last_moment", 0)
    outdated = s.summary.get("dropped_since_saved", 0)
    if outdated:
        say(o, f"{outdated} changes of the saved plan were dropped: a plan of now would no longer make them.")
    if dropped:
        say(o, f"{dropped} entries were dropped: their consent, read again just before writing, no longer permits them.")
    tell_problems(o, s)
    answer(
        o,
        {
            "run": s.run_id,
            "plan": show.plan_json(plan),
            "results": show.results_json(s.results),
            "dropped": dropped,
            "dropped_since_saved": outdated,
            "problems": problems_json(s),
        },
    )
    return code


@rollcall.command()
@click.argument("file", type=click.Path(path_type=Path))
@options
def apply(o: Options, file: Path) -> int:
    """Carry out exactly a saved plan. What would no longer be made is dropped; too much of that, and it refuses.

    Example: rollcall apply tonight.json
    """
    from connector import saved, sync

    config = o.config()
    plan_of_then = saved.read(file)
    sync.allow_writing(config, as_of=o.as_of, platforms=_written(config, tuple(plan_of_then.accounts)))
    with progress(o) as told, sync.session(config, "apply", as_of=o.as_of, progress=told) as s:
        plan = sync.still_valid(s, plan_of_then)
        _tell_plan(o, plan)
        sync.carry_out(s, plan)
        code = _waiting(s, plan)
    return _tell_results(o, s, plan, code)


@rollcall.command("sync")
@click.option("--dry-run", is_flag=True, help="Everything but the writing.")
@options
def sync_(o: Options, dry_run: bool) -> int:
    """Pull, derive, plan, push, report: the command to put on a schedule.

    Writes only where the configuration says push = true and where you gave a go-ahead (`rollcall push --first`).
    Example: rollcall sync --dry-run
    """
    from connector import ask, report, show, sync

    config = o.config()
    writing = [] if dry_run else _written(config, ())
    sync.allow_writing(config, as_of=o.as_of, platforms=writing)
    sync.check_rules(config)
    with progress(o) as told, sync.session(config, "sync", as_of=o.as_of, progress=told) as s:
        counts = sync.pull_all(s)
        say(o, show.streams(counts), _sum_line(counts))
        for part in sync.read_in_full(s):
            say(o, f"Read whole: {part.source} {part.stream}, {part.read:,} records, {part.gone:,} gone. {part.note}".rstrip())
        sync.rescore(s)
        plan = sync.make_plan(s)
        _tell_plan(o, plan)
        if writing:
            sync.carry_out(s, plan)
        code = _waiting(s, plan)
        page = report.write(s.store, config, s.as_of, plan=plan, says=ask.said(s, sync.resolved(config)))
    say(o, f"Report: {page}")
    if not any(c.stored or c.set_aside for c in counts) and not plan.has_changes:
        say(o, "Nothing had changed, nothing was written.")
    return _tell_results_of_sync(o, s, counts, plan, page, code)


def _tell_results_of_sync(o: Options, s: Session, counts: Any, plan: Any, page: Path, code: int) -> int:
    from connector import show

    if s.results:
        say(o, show.results(s.results))
    tell_problems(o, s)
    answer(
        o,
        {
            "run": s.run_id,
            "streams": show.stream_json(counts),
            "plan": show.plan_json(plan),
            "results": show.results_json(s.results),
            "report": str(page),
            "problems": problems_json(s),
        },
    )
    return code


@rollcall.command()
@click.option("--open", "open_it", is_flag=True, help="Open it in the browser.")
@options
def report(o: Options, open_it: bool) -> int:
    """The HTML report: segments, scores, what was written and why.

    Example: rollcall report --open
    """
    from connector import ask, sync
    from connector import report as reporting

    config = o.config()
    with sync.session(config, "report", as_of=o.as_of, records=False) as s:
        sync.derive(s, sync.resolved(config))
        page = reporting.write(s.store, config, s.as_of, plan=None, says=ask.said(s, sync.resolved(config)))
    say(o, f"Report: {page}")
    answer(o, {"report": str(page)})
    if open_it:
        click.launch(str(page))
    return 0


@rollcall.group("runs", invoke_without_command=True)
@click.pass_context
@options
def runs_group(o: Options, ctx: click.Context | None = None) -> int:
    """What ran, how it ended, what was set aside.

    Example: rollcall runs
    """
    ctx = click.get_current_context()
    if ctx.invoked_subcommand:
        return 0
    from connector import ask, show, sync

    with sync.session(o.config(), "runs", records=False) as s:
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
    from connector import ask, sync

    with sync.session(o.config(), "runs show", records=False) as s:
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
    from connector import audit, sync

    with sync.session(o.config(), "runs verify", records=False) as s:
        found = audit.verify(s.store)
    entries = f"{found.entries:,} {'entry' if found.entries == 1 else 'entries'}"
    if found.is_sound:
        say(o, f"The audit trail is whole: {entries}, none changed, none missing.")
        say(o, *([f"Note: {found.note}."] if found.note else []))
    else:
        say(o, f"The audit trail is NOT whole: {found.problem}. {entries} before it are sound.")
    answer(o, {"ok": found.is_sound, "entries": found.entries, "problem": found.problem, "note": found.note})
    return 0 if found.is_sound else 1


# ---- privacy and safety


@rollcall.command("forget")
@click.argument("email")
@click.option("--everybody", is_flag=True, help="Also where several people share this address.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options
def forget_(o: Options, email: str, everybody: bool, yes: bool) -> int:
    """Erase a person here: store, raw data, history, scores, plans, report, backups. They are not imported again.

    The platforms are not touched: what to do there is listed. Tags and lists of ours are taken off by the next push.
    Example: rollcall forget ana@example.com
    """
    from connector import privacy, sync

    config = o.config()
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        click.confirm("This cannot be taken back. Erase this person?", abort=True, err=True)
    with sync.session(config, "forget") as s:
        had_report = privacy.has_report(config)
        found = privacy.forget(s.store, config, email, s.run_id, everybody=everybody)
        s.summary["forgot"] = {"people": found.people, "removed": found.removed}
        page = sync.fresh_report(s) if had_report else None
    if not found.people:
        known = "were forgotten before" if found.was_known else "were in nobody's records"
        say(o, f"Nobody here has this address: they {known}. It is not imported again.")
    else:
        say(o, "Erased here. They are not imported again, and no audit entry can be traced to them any more.")
    say(o, *(f"  {n:,} {what}" for what, n in found.summary.items()))
    if found.tags:
        say(o, f"{found.tags:,} tags and lists of ours are taken off by the next push.")
    if found.steps:
        say(o, "Still to do by hand, where Rollcall may not write:", *(f"  {step}" for step in found.steps))
        say(o, *(f"    {platform} contact {contact}" for platform, contact in found.places))
    say(o, "Files you made yourself (exports, mails, printed letters) and copies of the disk are yours to clean.")
    if had_report and page is None:
        say(o, "The report was removed; `rollcall report` makes a new one.")
    answer(o, {"run": s.run_id, **vars(found)})
    return 0


@rollcall.command("export")
@click.argument("email")
@click.option("--letter", is_flag=True, help="Write it as a letter, into a private file beside the configuration.")
@options
def export_(o: Options, email: str, letter: bool) -> int:
    """Everything held of a person, for an access request: data, sources, segments, scores, reasons, what was written.

    Example: rollcall export ana@example.com --letter
    """
    from connector import handover, sync

    config = o.config()
    with sync.session(config, "export", as_of=o.as_of) as s:
        body = handover.gather(s, email)
        path = config.folder.absolute() / f"rollcall-letter-{s.run_id}.txt"
        if letter:
            s.summary["saved_files"] = [str(path)]
    if letter:
        _save_private(path, handover.letter(body))
        say(o, f"Letter: {path}")
    else:
        say(o, *handover.say(body))
    answer(o, {"run": s.run_id, **body, **({"letter": str(path)} if letter else {})})
    return 0


@rollcall.command("backup")
@click.argument("folder", type=click.Path(path_type=Path))
@options
def backup_(o: Options, folder: Path) -> int:
    """Save what cannot be pulled again: ledger, journal, go-aheads, pins, audit trail, configuration. Ten are kept.

    One is made by itself after each push, in `rollcall.backups` beside the store.
    Example: rollcall backup /media/usb/rollcall
    """
    from connector import backup, sync

    config = o.config()
    with sync.session(config, "backup", records=False) as s:
        found = backup.make(s.store, config, folder, s.now())
    say(o, f"Saved: {found.path} ({found.rows:,} rows, {found.size / 1024:,.0f} kB)")
    answer(o, {"file": str(found.path), "rows": found.rows, "bytes": found.size})
    return 0


# ---- sandbox


@rollcall.group()
def sandbox() -> None:
    """Simulated platforms to try everything on.

    Example: rollcall sandbox serve --dir try
    """


@sandbox.command("serve")
@click.option(
    "--orders", type=click.Path(path_type=Path), help="CSV or Parquet with customer_id, date, amount (default: a sample shop)."
)
@click.option("--port", type=int, default=8030, show_default=True, help="0 picks a free one.")
@click.option("--dir", "directory", type=click.Path(path_type=Path), required=True, help="Gets rollcall.toml and the secrets.")
@click.option("--faults", default="", help="For example p=0.02,seed=1: this share of requests fails.")
@click.option("--limits", default="off", show_default=True, help="off, on (the platforms' real limits) or xN (N times faster).")
@options
def sandbox_serve(o: Options, orders: Path | None, port: int, directory: Path, faults: str, limits: str) -> int:
    """Serve simulated Shopify, Mailchimp and HubSpot on one port.

    Example: rollcall sandbox serve --orders orders.csv --port 8030 --dir try
    """
    from connector.sandbox import server
    from connector.sandbox.base import Limits
    from connector.sandbox.faults import Faults

    def ready(url: str) -> None:
        click.echo(f"ready {url}")
        sys.stdout.flush()

    try:
        known = Faults.parse(faults) if faults else None
        pace = Limits.parse(limits)
    except ValueError as e:
        raise UsageError(f"{e}. Example: --faults p=0.02,seed=1 --limits x10") from e
    shop = _shop(orders)
    try:
        return server.serve(shop, port, directory, known, pace, ready=ready)
    except OSError as e:
        raise UsageError(f"The sandbox cannot be served: {e.strerror or e}. Choose another --port or --dir.") from e


def _shop(orders: Path | None) -> Any:
    """The shop to simulate: made from an orders file, else the generated sample shop."""
    if orders is None:
        from connector.sandbox.sample_shop import sample_shop

        return sample_shop()
    from connector.sandbox.orders_file import OrdersFileError, load_orders

    try:
        return load_orders(orders)
    except (OrdersFileError, OSError) as e:
        raise UsageError(str(e)) from e


@rollcall.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), default=Path("rollcall-demo"), show_default=True)
@click.option("--customers", type=int, default=2500, show_default=True, help="Size of the made-up shop.")
@options
def demo(o: Options, directory: Path, customers: int) -> int:
    """A whole run on a made-up coffee roaster: pull, score, plan, push, report. Needs no accounts.

    Example: rollcall demo
    """
    import shutil

    from connector import ask, report, show, sync
    from connector.sandbox.folder import write_folder
    from connector.sandbox.sample_segments import SEGMENTS
    from connector.sandbox.sample_shop import sample_shop
    from connector.sandbox.server import Sandbox

    directory.mkdir(parents=True, exist_ok=True)
    for old in (*directory.glob("rollcall.duckdb*"), *directory.glob("rollcall.toml")):
        old.unlink()
    shutil.rmtree(directory / "rollcall.raw", ignore_errors=True)
    shop = sample_shop(customers=customers)
    with Sandbox(shop) as sandbox:
        write_folder(directory, shop, sandbox.url, SEGMENTS)
        say(o, f"Simulated Shopify, Mailchimp and HubSpot at {sandbox.url}; everything is kept in {directory}.", "")
        o.config_path = directory / "rollcall.toml"
        config = o.config()
        with progress(o) as told, sync.session(config, "demo", as_of=o.as_of, progress=told) as s:
            counts = sync.pull_all(s, full=True)
            say(o, "Pulled:", show.streams(counts), _sum_line(counts), "")
            sync.rescore(s)
            plan = sync.make_plan(s, with_go_ahead=True)
            say(o, "Plan:")
            _tell_plan(o, plan)
            sync.carry_out(s, plan, first=True)
            say(o, "", "Written:", show.results(s.results), "")
            again = sync.make_plan(s)
            left = "is empty" if not again.changes else f"still has {len(again.changes)} changes"
            say(o, f"A second plan, read from the platforms, {left}.")
            page = report.write(s.store, config, s.as_of, plan=plan, says=ask.said(s, sync.resolved(config)))
            code = s.exit_code
        tell_problems(o, s)
    say(o, f"Report: {page}")
    answer(
        o,
        {
            "streams": show.stream_json(counts),
            "plan": show.plan_json(plan),
            "results": show.results_json(s.results),
            "second_plan_changes": len(again.changes),
            "report": str(page),
        },
    )
    return code


# ---- the way out


def main() -> None:
    """Run a command and turn what it says into an exit code; nobody ever sees a stack trace."""
    as_json = "--json" in sys.argv
    try:
        code = rollcall.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as e:
        sys.exit(e.exit_code)
    except click.ClickException as e:
        if as_json:
            _fail(e.format_message(), 2, as_json)
        e.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        _fail("Stopped. What was finished is kept; the next run goes on from there.", 1, as_json)
    except ConnectorError as e:
        text = str(e)
        if isinstance(e, AuthError) and e.platform and e.platform not in text.lower():
            text = f"{e.platform}: {text}"
        _fail(text, e.exit_code, as_json)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as e:
        _fail(
            f"{e.strerror or type(e).__name__}: {e.filename or ''}. Check the path, its permissions and the free space.",
            1,
            as_json,
        )
    except Exception as e:  # noqa: BLE001 - the last line of defence: an owner cannot read a stack trace
        _fail(_crash_note(e), 1, as_json)


def _fail(text: str, code: int, as_json: bool) -> None:
    with contextlib.suppress(OSError):
        if as_json:
            click.echo(json.dumps({"schema": SCHEMA, "error": {"code": code, "text": text}}, ensure_ascii=False, indent=2))
        click.echo(text, err=True)
    sys.exit(code)


def _crash_note(error: Exception) -> str:
    """Keep the trace for support in a private file; the message itself could hold personal data, so it stays there."""
    path = Path("rollcall-crash.txt")
    try:
        _save_private(path, "".join(traceback.format_exception(error)))
    except ConnectorError:
        return f"Rollcall failed ({type(error).__name__}); this is our mistake, not yours. Nothing half-done is kept."
    return (
        f"Rollcall failed ({type(error).__name__}); this is our mistake, not yours. Nothing half-done is kept. "
        f"The details for us are in {path}; read it before you send it, it may name customers."
    )


if __name__ == "__main__":
    main()
