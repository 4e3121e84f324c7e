"""sandbox serve, demo: everything without accounts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from connector.cli.screen import (
    Options,
    answer,
    options,
    progress,
    say,
    sum_line,
    tell_problems,
)
from connector.cli.writing import tell_plan
from models.errors import UsageError

if TYPE_CHECKING:
    pass


@click.group()
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


@click.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path), default=Path("rollcall-demo"), show_default=True)
@click.option("--customers", type=int, default=2500, show_default=True, help="Size of the made-up shop.")
@options
def demo(o: Options, directory: Path, customers: int) -> int:
    """A whole run on a made-up coffee roaster: pull, score, plan, push, report. Needs no accounts.

    Example: rollcall demo
    """
    import shutil

    from connector import ask, report, show, sync, writer
    from connector.sandbox.folder import require_made_up, write_folder
    from connector.sandbox.sample_segments import SEGMENTS
    from connector.sandbox.sample_shop import sample_shop
    from connector.sandbox.server import Sandbox
    from connector.session import session

    try:
        directory.mkdir(parents=True, exist_ok=True)
        require_made_up(directory)
    except OSError as e:
        raise UsageError(f"The demo cannot be made: {e.strerror or e}. Choose another --dir.") from e
    for old in (*directory.glob("rollcall.duckdb*"), *directory.glob("rollcall.toml")):
        old.unlink()
    shutil.rmtree(directory / "rollcall.raw", ignore_errors=True)
    shop = sample_shop(customers=customers)
    with Sandbox(shop) as sandbox:
        try:
            write_folder(directory, shop, sandbox.url, SEGMENTS)
        except OSError as e:
            raise UsageError(f"The demo cannot be made: {e.strerror or e}. Choose another --dir.") from e
        say(o, f"Simulated Shopify, Mailchimp and HubSpot at {sandbox.url}; everything is kept in {directory}.", "")
        o.config_path = directory / "rollcall.toml"
        config = o.config()
        with progress(o) as told, session(config, "demo", as_of=o.as_of, progress=told) as s:
            counts = sync.pull_all(s, full=True)
            say(o, "Pulled:", show.streams(counts), sum_line(counts), "")
            sync.rescore(s)
            plan = sync.make_plan(s, with_go_ahead=True)
            say(o, "Plan:")
            tell_plan(o, plan)
            writer.carry_out(s, plan, first=True)
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


COMMANDS = (sandbox, demo)
