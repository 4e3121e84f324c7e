"""segment ...: look at segments, try rules, pin people."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connector.cli.screen import (
    Options,
    answer,
    options,
    say,
)
from models.errors import ConnectorError, UsageError

if TYPE_CHECKING:
    pass


@click.group("segment")
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
    from connector import ask, show
    from connector.session import session

    with session(o.config(), "segment list", as_of=o.as_of, records=False) as s:
        found = ask.sizes(s)
    made = show.table("Segment", "People", "Rule in words", "", numbers=(1,))
    for g in found:
        made.add_row(g["name"], f"{g['people']:,}", g["says"], "" if g["is_ready"] else f"not ready: {g['not_ready']}")
    say(o, made if found else "No segments yet. `rollcall segment new` builds one by questions.")
    answer(o, {"segments": found})
    return 0


@segment_group.command("library")
@click.option("--ready", "only_ready", is_flag=True, help="Only those whose data this shop has.")
@options
def segment_library(o: Options, only_ready: bool) -> int:
    """The ready-made segments: what each means and needs, and whether this shop has the data.

    Write `use = "NAME"` under a [[segment]] of the configuration; what it takes can be set there too.
    Example: rollcall segment library --ready
    """
    from connector import ask, show
    from connector.session import session

    with session(o.config(), "segment library", as_of=o.as_of, records=False) as s:
        found = [g for g in ask.ready_made(s) if g["is_ready"] or not only_ready]
    made = show.table("Ready-made segment", "Meaning", "Takes", "Needs", "In this shop")
    for g in found:
        takes = ", ".join(f"{k} (yours)" if v == "" else f"{k} = {v}" for k, v in g["parameters"].items())
        state = f"not ready: {g['not_ready']}" if not g["is_ready"] else "in use" if g["used_as"] else "ready"
        made.add_row(g["name"], g["meaning"], takes, ", ".join(g["needs"]), state)
    say(o, made if found else "No ready-made segment has all its data yet.")
    answer(o, {"library": found})
    return 0


@segment_group.command("resume")
@click.argument("name")
@options
def segment_resume(o: Options, name: str) -> int:
    """Go on with a segment that an undo paused.

    Example: rollcall segment resume VIP
    """
    from connector import choices
    from connector.session import session

    with session(o.config(), "segment resume") as s:
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
    from connector.session import session

    if kind is None:
        raise UsageError("Say --always, --never or --remove.")
    if kind != "remove" and not because.strip():
        raise UsageError('A pin needs a reason: --because "...".')
    with session(o.config(), "segment pin") as s:
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
    """One segment: its rule in words, its size, some of its people, and who enters and leaves with the next run.

    Example: rollcall segment show VIP
    """
    from connector import ask
    from connector.session import session

    with session(o.config(), "segment show", as_of=o.as_of, records=False) as s:
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
    from connector import ask, show
    from connector.session import session

    with session(o.config(), "segment history", as_of=o.as_of, records=False) as s:
        found = ask.segment_history(s, name, email)
    sizes = show.table("Day", "Before", "Entered", "Left", "After", numbers=(1, 2, 3, 4))
    for c in found["sizes"]:
        sizes.add_row(str(c["as_of"]), *(f"{c[k]:,}" for k in ("before", "entered", "left", "after")))
    stays = show.table("Person", "Entered", "Left", "Last seen moving (UTC)", "Why", "Run")
    for m in found["stays"][:50]:
        at = f"{m['happened_at']:%Y-%m-%d %H:%M}" if m["happened_at"] else ""
        stays.add_row(m["person_id"], str(m["entered_on"]), str(m["left_on"] or ""), at, m["reason"], m["run"])
    nothing = f"Nothing is written down of '{name}' yet: runs do that (sync, plan, push), looking does not."
    say(o, *((sizes, stays) if found["sizes"] or found["stays"] else (nothing,)))
    answer(o, found)
    return 0


@segment_group.command("overlap")
@options
def segment_overlap(o: Options) -> int:
    """How many people are in two segments at once, most first.

    Example: rollcall segment overlap
    """
    from connector import ask, show
    from connector.session import session

    with session(o.config(), "segment overlap", as_of=o.as_of, records=False) as s:
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
@click.option("--mark", default="", help="A column of this name that says yes: imported again, it holds these very people.")
@options
def segment_export(o: Options, name: str, file: Path, columns: tuple[str, ...], mark: str) -> int:
    """Write a segment's people to a CSV or Parquet file, with a column that says who may be mailed.

    Example: rollcall segment export VIP vip.csv --column city --column aov
    """
    from connector import ask
    from connector.session import session

    with session(o.config(), "segment export", as_of=o.as_of, records=False) as s:
        count = ask.segment_export(s, name, file, columns, mark)
    say(o, f"{count:,} people written to {file}. Only those with may_be_mailed may get marketing mail.")
    if mark:
        say(o, f"`rollcall import contacts {file}` makes '{mark}' a field: the rule {mark} holds these people from then on.")
    answer(o, {"segment": name, "people": count, "file": str(file)})
    return 0


@segment_group.command("new")
@options
def segment_new(o: Options) -> int:
    """Build a segment by answering questions; shows the rule, who would be in it, and what to put into rollcall.toml.

    Example: rollcall segment new
    """
    from connector import ask
    from connector.session import session

    config = o.config()
    with session(config, "segment new", as_of=o.as_of, records=False) as s:
        wizard = ask.Wizard(s)
        name = _new_name(wizard)
        ready = click.prompt(
            "A ready-made segment to begin with (empty: your own rule)", default="", show_default=False, err=True
        )
        block, where = _new_ready(wizard, name, ready) if ready else _new_rule(wizard, name)
        preview = ask.preview(s, where, name)
    code = _show_preview(o, preview)
    say(o, "", f"To keep it, add this to {config.path.name}:", "", block)
    if not o.json and click.confirm("Add it now", default=False, err=True):
        with config.path.open("a", encoding="utf-8") as out:
            out.write(f"\n{block}")
        say(o, f"Added to {config.path.name}.")
    return code


def _new_name(wizard: Any) -> str:
    while True:
        name: str = click.prompt("What should the segment be called", err=True)
        try:
            wizard.check_name(name)
            return name
        except ConnectorError as e:
            click.echo(str(e), err=True)


def _new_ready(wizard: Any, name: str, ready: str) -> tuple[str, str]:
    parameters = wizard.parameters(ready)
    given = {k: click.prompt(k, default=v if v != "" else None, type=type(v), err=True) for k, v in parameters.items()}
    return wizard.ready(name, ready, given)  # type: ignore[no-any-return]  # Wizard is imported inside the command


def _new_rule(wizard: Any, name: str) -> tuple[str, str]:
    from connector.rules.measures import MEASURES

    click.echo(f"Name a field (`rollcall fields` lists them), or what people did: {', '.join(MEASURES)}.", err=True)
    while True:
        field = click.prompt("Field (empty: done)", default="", show_default=False, err=True)
        if not field and wizard.answers:
            joined = "and"
            if len(wizard.answers) > 1:
                joined = click.prompt("Must all be true, or any", type=click.Choice(["all", "any"]), default="all", err=True)
            return wizard.own(name, "or" if joined == "any" else "and")  # type: ignore[no-any-return]  # as above
        try:
            words = wizard.words_for(field)
            given = _asked_of(wizard, field)
            word = click.prompt("Condition", type=click.Choice(words), default=words[0], err=True)
            if wizard.needs_value(field, word):
                _add_value(wizard, field, word, given)
            else:
                wizard.add(field, word, "", given)
        except ConnectorError as e:
            click.echo(str(e), err=True)


def _asked_of(wizard: Any, field: str) -> dict[str, str]:
    """What a measure is about, such as a category and a number of days; empty answers leave it open. Nothing for a field."""
    from connector.rules.measures import UNSAID

    given: dict[str, str] = {}
    asked = wizard.asks_of(field)
    if "event" in asked:
        given["event"] = click.prompt(f"{field} time of what (bought, clicked, ...)", err=True).strip().lower()
        asked = wizard.asks_of(field, given["event"])
    for name in asked:
        empty = UNSAID.get(given.get("event", field), {}).get(name, "any")
        given[name] = click.prompt(f"  {name} (empty: {empty})", default="", show_default=False, err=True).strip()
    if given:
        wizard.check_measure(field, given)
    return given


def _add_value(wizard: Any, field: str, word: str, given: dict[str, str]) -> None:
    """Ask until the value can be used; nothing goes back to the fields."""
    value = click.prompt("Value", err=True)
    while value:
        try:
            wizard.add(field, word, value, given)
            return
        except ConnectorError as e:
            click.echo(str(e), err=True)
        value = click.prompt("Value (empty: another field)", default="", show_default=False, err=True)


class RuleFirst(click.Command):
    """Takes a rule that begins with a minus for a rule, and not for options."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rules = [a for a in args if re.match(r"-(\d|\(|[a-z_]+\s)", a)] if "--" not in args else []
        if len(rules) == 1:
            args = [*(a for a in args if a is not rules[0]), "--", *rules]
        return super().parse_args(ctx, args)


@segment_group.command("test", cls=RuleFirst)
@click.argument("where")
@click.option("--as", "name", help="As the new rule of this segment: who would enter and leave it.")
@click.option("--addresses", is_flag=True, help="Show addresses in full.")
@options
def segment_test(o: Options, where: str, name: str | None, addresses: bool) -> int:
    """Try a rule before you save it: how many people, who, and what it says in words. Keeps nothing.

    With --as, who would enter and leave a segment of yours if this were its rule.
    Example: rollcall segment test 'orders_365d >= 2 and days_since_order > 60'
    Example: rollcall segment test 'orders_total >= 5' --as VIP
    """
    from connector import ask
    from connector.session import session

    with session(o.config(), "segment test", as_of=o.as_of, records=False) as s:
        own = ask.segment_called(s.config, name).name if name else ""
        preview = ask.preview(s, where, own, addresses=addresses)
    return _show_preview(o, preview)


def _show_preview(o: Options, preview: dict[str, Any]) -> int:
    say(o, *([preview["name"]] if preview["name"] else []), preview["says"])
    moves = f"; {preview['entered']:,} would enter, {preview['left']:,} leave" if preview["name"] else ""
    say(o, f"{preview['people']:,} of {preview['of']:,} people{moves}.")
    say(o, *(f"Note: {w}" for w in preview["warnings"]))
    if preview["not_ready"]:
        say(o, f"Not ready: {preview['not_ready']}")
    say(o, *(f"  {person}" for person in preview["sample"]))
    for word in ("entering", "leaving") if preview["name"] else ():
        say(o, *([f"{word.capitalize()}, for example: {', '.join(preview[word])}"] if preview[word] else []))
    answer(o, preview)
    return 0


COMMANDS = (segment_group,)
