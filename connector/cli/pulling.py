"""backfill, pull, import: records come in."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from connector.cli.screen import (
    Options,
    answer,
    known_sources,
    options,
    problems_json,
    progress,
    say,
    sum_line,
    tell_problems,
)
from models.errors import UsageError

SHOWN_ASIDE = 10
"""Rows set aside that are told one by one."""

if TYPE_CHECKING:
    from connector.config import Config


@click.command()
@click.option("--source", "sources", multiple=True, help="Only this platform (may be repeated).")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Not further back than this day.")
@options
def backfill(o: Options, sources: tuple[str, ...], since: datetime | None) -> int:
    """Pull the whole history, once. Safe to stop and start again: it goes on where it stood.

    Example: rollcall backfill --source shopify --since 2024-01-01
    """
    return _pull(o, "backfill", sources, since=since, full=True)


@click.command()
@click.option("--source", "sources", multiple=True, help="Only this platform (may be repeated).")
@options
def pull(o: Options, sources: tuple[str, ...]) -> int:
    """Pull what changed since the last time.

    Example: rollcall pull
    """
    return _pull(o, "pull", sources, since=None, full=False)


def _pull(o: Options, command: str, sources: tuple[str, ...], *, since: datetime | None, full: bool) -> int:
    from connector import show, sync
    from connector.session import session

    config = o.config()
    known_sources(config, sources)
    if not config.platforms:
        raise UsageError("No platform is configured, so there is nothing to pull. Add a section, or use `rollcall import`.")
    with progress(o) as told, session(config, command, as_of=o.as_of, progress=told) as s:
        counts = sync.pull_all(s, sources, since=since, full=full)
        code = s.exit_code
    say(o, show.streams(counts), sum_line(counts))
    tell_problems(o, s)
    answer(o, {"run": s.run_id, "streams": show.stream_json(counts), "problems": problems_json(s), "notices": s.notices})
    return code


@click.command("import")
@click.argument("kind")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--map", "map_file", type=click.Path(path_type=Path), help='TOML file: our column = "theirs".')
@options
def import_(o: Options, kind: str, file: Path, map_file: Path | None) -> int:
    """Read contacts, orders, order_lines, products, events, carts or subscriptions from a file (CSV, Excel, Parquet, JSON lines).

    Reading the same file twice changes nothing. Rows that cannot be used are set aside with their line.
    The kind no_profiling is a list of addresses or customer ids of whom no score is to be made.
    In a folder without rollcall.toml a small one is written first; the answer says what is in it.
    Example: rollcall import orders orders.csv
    """
    from connector import first_config, imports, show
    from connector.session import session

    begun = () if o.is_config_named else first_config.write_where_none(o.config_path, kind, file, map_file)
    config = o.config()
    if kind == "no_profiling":
        return _import_no_profiling(o, config, file)
    with progress(o) as told, session(config, "import", as_of=o.as_of, progress=told) as s:
        found = imports.import_file(s.store, config, kind, file, s.run_id, map_file=map_file, progress=told)
        s.new_set_aside = found.count.new_set_aside
        s.summary["import"] = vars(found.count)
        code = s.exit_code
    say(o, *begun, *(f"Read column '{theirs}' as {ours}" for ours, theirs in found.columns.items()))
    say(o, *found.notes)
    say(o, show.streams([found.count]), sum_line([found.count]))
    for line, reason in found.set_aside[:SHOWN_ASIDE]:
        say(o, f"  line {line}: {reason}")
    if found.count.set_aside > SHOWN_ASIDE:
        say(o, "  In all: " + "; ".join(f"{n:,} x {reason}" for reason, n in found.reasons) + ".")
    answer(
        o,
        {
            "run": s.run_id,
            "columns": found.columns,
            "notes": [*begun, *found.notes],
            "streams": show.stream_json([found.count]),
            "set_aside": [{"line": n, "reason": r} for n, r in found.set_aside],
            "reasons": [{"reason": r, "rows": n} for r, n in found.reasons],
        },
    )
    return code


def _import_no_profiling(o: Options, config: Config, file: Path) -> int:
    from connector import no_profiling, sync
    from connector.session import session

    with session(config, "import", as_of=o.as_of) as s:
        found = no_profiling.import_file(s.store, file, s.run_id, s.now())
        sync.identify(s)
        people = no_profiling.enforce(s.store, config)
    say(o, f"Read {found.rows:,} rows = new {found.new:,} + known {found.known:,} + empty {found.empty:,}.")
    say(o, f"No score is made of {people:,} people; what there was of them is deleted.")
    answer(o, {"run": s.run_id, **vars(found), "people": people})
    return 0


COMMANDS = (backfill, pull, import_)
