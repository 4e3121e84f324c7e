"""The command line: parse, call one function, print, return a code. Nothing else prints.

One file a group of commands; each is imported when it is called. Heavy packages (duckdb, pandas, scikit-learn, sqlglot) are
imported inside the commands that need them, so that `rollcall --help` answers at once.
"""

from __future__ import annotations

import io
import sys

import click

from connector.cli import asking, discovering, ledgers, privacy, pulling, scores, segments, trying, writing
from connector.cli.screen import Options, crash_note, fail, options
from connector.plain import visible
from models.errors import AuthError, ConnectorError

GROUPS = (
    ("Set up", ("check",)),
    ("Every day", ("sync", "plan", "push", "apply", "undo", "report")),
    ("Ask", ("why",)),
)


class Grouped(click.Group):
    """Help in groups; the rest under `rollcall help --all`."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS:
            with formatter.section(title):
                formatter.write_dl([(n, self.commands[n].get_short_help_str(90)) for n in names])
        formatter.write_paragraph()
        formatter.write_text("More commands: rollcall help --all")


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


for room in (asking, discovering, ledgers, privacy, pulling, scores, segments, trying, writing):
    for command in room.COMMANDS:
        rollcall.add_command(command)


def main() -> None:
    """Run a command and turn what it says into an exit code; nobody ever sees a stack trace."""
    as_json = "--json" in sys.argv
    broken = next((a for a in sys.argv[1:] if not a.isascii() and a.encode(errors="replace").decode() != a), None)
    if broken is not None:
        fail(f"'{broken}' holds bytes that are no text (UTF-8). Write it again, or rename the file.", 2, as_json)
    try:
        code = rollcall.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as e:
        sys.exit(e.exit_code)
    except click.ClickException as e:
        if as_json:
            fail(e.format_message(), 2, as_json)
        said = io.StringIO()
        e.show(said)
        click.echo(visible(said.getvalue().rstrip(), keep="\n"), err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        fail("Stopped. What was finished is kept; the next run goes on from there.", 1, as_json)
    except ConnectorError as e:
        text = str(e)
        if isinstance(e, AuthError) and e.platform and e.platform not in text.lower():
            text = f"{e.platform}: {text}"
        fail(text, e.exit_code, as_json)
    except BrokenPipeError:
        sys.exit(0)
    except OSError as e:
        fail(
            f"{e.strerror or type(e).__name__}: {e.filename or ''}. Check the path, its permissions and the free space.",
            1,
            as_json,
        )
    except Exception as e:  # noqa: BLE001 - the last line of defence: an owner cannot read a stack trace
        fail(crash_note(e), 1, as_json)
