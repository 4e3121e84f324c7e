"""ledger ...: what we added on the platforms, and rebuilding that knowledge after a loss."""

from __future__ import annotations

import sys

import click

from connector.cli.screen import Options, answer, options, progress, say, tell_problems
from models.errors import UsageError

ANOTHERS = (
    "{} {} carries the mark of another installation of Rollcall. Say yes only if that was this one before its store was lost: "
    "two that count the same people as theirs take each other's away."
)


@click.group("ledger")
def ledger_group() -> None:
    """What Rollcall added on the platforms; only that is ever removed.

    Example: rollcall ledger show
    """


@ledger_group.command("show")
@options
def ledger_show(o: Options) -> int:
    """Every tag and list of ours, and on how many people we put it.

    Example: rollcall ledger show
    """
    from connector import ledger, show
    from connector.session import session

    with session(o.config(), "ledger show", records=False) as s:
        found = ledger.objects(s.store)
    made = show.table("Written as", "Segment", "People we added", "Since (UTC)", "How", numbers=(2,))
    for row in found:
        name = f"{show.noun(row['platform'])} {row['name']}"
        made.add_row(name, row["segment"], f"{row['people']:,}", f"{row['since']:%Y-%m-%d}", row["how"])
    say(o, made if found else "Nothing has been written by Rollcall yet.")
    answer(o, {"objects": found})
    return 0


@ledger_group.command("rebuild")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options
def ledger_rebuild(o: Options, yes: bool) -> int:
    """After a lost store or an old backup: compare the platforms with the rules and propose what counts as ours.

    Who is in a tag or list of our name and matches its rule today would count as added by us, and could be removed later.
    Everybody else in it stays somebody else's. Nothing is written to any platform.
    Example: rollcall ledger rebuild
    """
    from connector import rebuild, show, sync
    from connector.session import session

    config = o.config()
    with progress(o) as told, session(config, "ledger rebuild", as_of=o.as_of, progress=told) as s:
        segments = sync.resolved(config)
        sync.derive(s, segments)
        found = rebuild.propose(s, segments)
        made = show.table(
            "Written as", "Members", "= Count as ours", "+ Stay others'", "Known before", "No longer there", numbers=range(1, 6)
        )
        for p in found:
            name = f"{show.noun(p.target.platform)} {p.target.name}"
            made.add_row(
                name, f"{p.members:,}", f"{len(p.counted):,}", f"{p.others:,}", f"{p.known:,}", f"{len(p.dropped):,}"
            )  # fmt: skip
        if found:
            say(o, made)
        say(o, *(ANOTHERS.format(show.noun(p.target.platform), p.target.name) for p in found if p.made_by == "another"))
        agrees = not any(p.changes_anything for p in found)
        done = not agrees and _agreed(o, yes)
        if done or (agrees and not s.problems):
            rebuild.carry_out(s, found)
        s.summary["rebuilt"] = done
        code = s.exit_code
    if not any(p.changes_anything for p in found):
        say(o, "The ledger agrees with the platforms; there is nothing to rebuild.")
    else:
        say(o, "The ledger is rebuilt. Look at `rollcall plan` before the next push." if done else "Nothing was changed.")
    tell_problems(o, s)
    answer(
        o,
        {
            "run": s.run_id,
            "rebuilt": done,
            "proposals": [
                {
                    "platform": p.target.platform, "segment": p.target.segment, "object": p.target.name, "is_new": p.is_new,
                    "members": p.members, "count_as_ours": len(p.counted), "others": p.others, "known_before": p.known,
                    "no_longer_there": len(p.dropped), "made_by": p.made_by,
                }
                for p in found
            ],
        },
    )  # fmt: skip
    return code


def _agreed(o: Options, yes: bool) -> bool:
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("Nothing was changed: this needs your yes. Look at the numbers, then add --yes.")
    return click.confirm("Count these people as added by Rollcall", default=False, err=True)


COMMANDS = (ledger_group,)
