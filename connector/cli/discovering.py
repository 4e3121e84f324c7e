"""discover: groups of people who shop alike, and customers who break with their own habits."""

from __future__ import annotations

import click

from connector.cli.screen import Options, answer, options, progress, say


@click.command()
@options
def discover(o: Options) -> int:
    """Find groups of people who shop alike, as rules to adopt, and customers who break with their own habits.

    Says so where there are no natural groups. The columns `cluster` and `anomaly` hold the result.
    Example: rollcall discover
    """
    from connector import discover as found
    from connector import sync
    from connector.session import session

    config = o.config()
    with progress(o) as told, session(config, "discover", as_of=o.as_of, progress=told) as s:
        sync.derive(s, sync.resolved(config))
        cards = found.run(s.store, config, s.as_of, s.run_id)
        s.summary["discovered"] = {name: card["lines"] for name, card in cards.items()}
    for card in cards.values():
        say(o, str(card["title"]), *(f"  {line}" for line in card["lines"]), "")
    if cards["groups"]["groups"]:
        say(o, "To adopt a group, put its rule into the configuration as a [[segment]] with a name of yours.")
    answer(o, {"run": s.run_id, **cards})
    return 0


COMMANDS = (discover,)
