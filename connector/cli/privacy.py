"""forget, export, backup."""

from __future__ import annotations

import sys
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
    pass


@click.command("forget")
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
    from connector.session import session

    config = o.config()
    if not yes and sys.stdin.isatty() and sys.stdout.isatty():
        click.confirm("This cannot be taken back. Erase this person?", abort=True, err=True)
    with session(config, "forget") as s:
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


@click.command("export")
@click.argument("email")
@click.option("--letter", is_flag=True, help="Write it as a letter, into a private file beside the configuration.")
@options
def export_(o: Options, email: str, letter: bool) -> int:
    """Everything held of a person, for an access request: data, sources, segments, scores, reasons, what was written.

    Example: rollcall export ana@example.com --letter
    """
    from connector import handover
    from connector.session import session

    config = o.config()
    with session(config, "export", as_of=o.as_of) as s:
        body = handover.gather(s, email)
        path = config.folder.absolute() / f"rollcall-letter-{s.run_id}.txt"
        if letter:
            s.summary["saved_files"] = [str(path)]
    if letter:
        save_private(path, handover.letter(body))
        say(o, f"Letter: {path}")
    else:
        say(o, *handover.say(body))
    answer(o, {"run": s.run_id, **body, **({"letter": str(path)} if letter else {})})
    return 0


@click.command("backup")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--restore", "is_back", is_flag=True, help="Put the newest backup of the folder (or this file) back.")
@click.option("--yes", is_flag=True, help="With --restore: do not ask.")
@options
def backup_(o: Options, folder: Path, is_back: bool, yes: bool) -> int:
    """Save what cannot be pulled again: ledger, journal, go-aheads, pins, audit trail, configuration. Ten are kept.

    One is made by itself after each push, in `rollcall.backups` beside the store. With --restore it is put back into a new
    store, or into this one, whose own is saved first. What was written since then is not known: nobody is taken off but who
    said no, until `rollcall ledger rebuild` has compared it with the platforms.
    Example: rollcall backup /media/usb/rollcall
    Example: rollcall backup /media/usb/rollcall --restore
    """
    from connector import backup
    from connector.session import session

    if is_back:
        return _put_back(o, folder, yes)
    config = o.config()
    with session(config, "backup", records=False) as s:
        found = backup.make(s.store, config, folder, s.now())
    say(o, f"Saved: {found.path} ({found.rows:,} rows, {found.size / 1024:,.0f} kB)")
    answer(o, {"file": str(found.path), "rows": found.rows, "bytes": found.size})
    return 0


def _put_back(o: Options, folder: Path, yes: bool) -> int:
    from connector import restore
    from connector.session import session

    path = restore.newest(folder)
    made = restore.made_at(path)
    if restore.put_configuration(path, o.config_path):
        say(o, f"The configuration was missing: {o.config_path} is the backup's. Its passwords and keys are not in it.")
    config = o.config()
    with session(config, "backup --restore") as s:
        here = restore.would_replace(s.store)
        if here and not yes:
            question = f"This store knows {here}; the backup of {made:%Y-%m-%d %H:%M} UTC would take its place"
            if not (sys.stdin.isatty() and sys.stdout.isatty()):
                raise UsageError(f"Nothing was changed. {question}. If that is what you want, add --yes.")
            click.confirm(f"{question}. Go on?", abort=True, err=True)
        rows = restore.carry_out(s.store, config, path, s.now(), s.run_id)
    say(
        o,
        f"Restored: {rows:,} rows of {path}, made {made:%Y-%m-%d %H:%M} UTC.",
        "Next: `rollcall backfill`, then `rollcall ledger rebuild`, and look at `rollcall plan` before the next push.",
        "Triggers need your go-ahead again (`rollcall push --first`).",
    )
    answer(o, {"run": s.run_id, "file": str(path), "made_at": f"{made:%Y-%m-%dT%H:%M:%S}", "rows": rows})
    return 0


COMMANDS = (forget_, export_, backup_)
