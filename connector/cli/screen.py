"""What a command takes and how it answers: text for people, or one JSON document. The only place that prints."""

from __future__ import annotations

import contextlib
import functools
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

from connector.plain import json_text, visible
from models.errors import ConnectorError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from connector.config import Config
    from connector.progress import Progress
    from connector.session import Session

SCHEMA = 1


@dataclass
class Options:
    """What every command takes, before or after its name."""

    config_path: Path = Path("rollcall.toml")
    is_config_named: bool = False
    as_of: date | None = None
    verbose: int = 0
    quiet: bool = False
    json: bool = False

    def config(self) -> Config:
        from connector.config import load

        return load(self.config_path)


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
        known.is_config_named = known.is_config_named or config_path is not None
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
    logging.basicConfig(stream=sys.stderr, level=level, force=True)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(PlainFormatter("%(levelname)s %(message)s"))
    for noisy in ("urllib3", "matplotlib", "fontTools"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.captureWarnings(True)  # what a library says to programmers is for -vv, not for owners
    logging.getLogger("py.warnings").setLevel(logging.WARNING if o.verbose > 1 else logging.CRITICAL)


class PlainFormatter(logging.Formatter):
    """Lines that hold no control characters, whatever a message brings."""

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), keep="\n")


def console(stderr: bool = False) -> Console:
    """A console that writes no control character but its own, whatever a text or a table holds."""
    from rich.console import Console
    from rich.segment import Segment

    class Screen(Console):
        def render(self, *args: Any, **kwargs: Any) -> Iterator[Segment]:
            for part in super().render(*args, **kwargs):
                yield part if part.control else part._replace(text=visible(part.text, keep="\n"))

    is_terminal = sys.stdout.isatty()
    return Screen(stderr=stderr, highlight=False, emoji=False, soft_wrap=not is_terminal, width=None if is_terminal else 160)


def say(o: Options, *parts: Any) -> None:
    """Text for people, on stdout; nothing where JSON was asked for."""
    if o.json:
        return
    out = console()
    for part in parts:
        out.print(visible(part, keep="\n"), markup=False) if isinstance(part, str) else out.print(part)


def answer(o: Options, body: dict[str, Any]) -> None:
    """The one JSON document, where it was asked for."""
    if o.json:
        click.echo(json_text({"schema": SCHEMA, **body}))


@contextmanager
def progress(o: Options) -> Iterator[Progress]:
    from connector.progress import Silent

    if o.quiet or o.json or not sys.stderr.isatty():
        yield Silent()
        return
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(),
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
    say(o, *(f"Note: {notice}" for notice in s.notices))
    err = console(stderr=True)
    for problem in s.problems:
        err.print(visible(problem.text, keep="\n"), style="yellow" if problem.exit_code == 3 else "red", markup=False)


def problems_json(s: Session) -> list[dict[str, Any]]:
    return [{"platform": p.platform, "code": p.exit_code, "text": p.text} for p in s.problems]


def known_sources(config: Config, sources: tuple[str, ...]) -> None:
    for name in sources:
        if name not in config.platforms:
            raise UsageError(f"'{name}' is not configured. Configured: {', '.join(config.platforms) or 'no platform'}.")


def sum_line(counts: Any) -> str:
    fetched, stored, unchanged, aside = (
        sum(getattr(c, k) for c in counts) for k in ("fetched", "stored", "unchanged", "set_aside")
    )
    what = "Nothing had changed." if fetched and not stored and not aside else ""
    line = f"Fetched {fetched:,} = stored {stored:,} + unchanged {unchanged:,} + set aside {aside:,}. {what}".rstrip()
    return "\n".join([line, *(f"{c.source} {c.stream}: {c.note}" for c in counts if c.is_complete and c.note)])


def save_private(path: Path, text: str) -> None:
    import os

    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as f:
            f.write(text)
        path.chmod(0o600)
    except OSError as e:
        raise UsageError(f"{path} cannot be written ({e.strerror}). Choose another place.") from e


def fail(text: str, code: int, as_json: bool) -> None:
    with contextlib.suppress(OSError):
        if as_json:
            click.echo(json_text({"schema": SCHEMA, "error": {"code": code, "text": text}}))
        click.echo(visible(text, keep="\n"), err=True)
    sys.exit(code)


def crash_note(error: Exception) -> str:
    """Keep the trace for support in a private file; the message itself could hold personal data, so it stays there."""
    path = Path("rollcall-crash.txt")
    try:
        save_private(path, "".join(traceback.format_exception(error)))
    except ConnectorError:
        return f"Rollcall failed ({type(error).__name__}); this is our mistake, not yours. Nothing half-done is kept."
    return (
        f"Rollcall failed ({type(error).__name__}); this is our mistake, not yours. Nothing half-done is kept. "
        f"The details for us are in {path}; read it before you send it, it may name customers."
    )
