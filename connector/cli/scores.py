"""score ...: train, evaluate, show the cards."""

from __future__ import annotations

from pathlib import Path

import click

from connector.cli.screen import Options, answer, options, problems_json, progress, say, tell_problems
from models.errors import UsageError

MOST_DAYS = 3650


def _within(ctx: click.Context, param: click.Parameter, value: int | None) -> int | None:
    if value is not None and not 1 <= value <= MOST_DAYS:
        raise click.BadParameter(f"{value:,} days ahead is no horizon. Give 1 to {MOST_DAYS:,} days (ten years).")
    return value


@click.group("score", invoke_without_command=True)
@click.option(
    "--horizon", type=int, callback=_within, help="Days ahead, up to 3650 (default: scores.horizon_days of the configuration)."
)
@click.option("--out-dir", type=click.Path(path_type=Path), help="Write churn.csv and the other scores here.")
@click.option("--campaign", "campaigns", multiple=True, help="With --out-dir: P(an answer) to this campaign, by its id.")
@options
def score_group(o: Options, horizon: int | None, out_dir: Path | None, campaigns: tuple[str, ...]) -> int:
    """Train, evaluate and score: who will probably not order within the horizon, and what are they worth?

    Example: rollcall score --horizon 90 --out-dir scores
    """
    if click.get_current_context().invoked_subcommand:
        return 0
    from connector import no_profiling, score, sync
    from connector.session import Problem, session

    if campaigns and out_dir is None:
        raise UsageError("The chances of a campaign are written into engagement.csv. Name a folder for it: --out-dir DIR.")
    config = o.config()
    with progress(o) as told, session(config, "score", as_of=o.as_of, progress=told) as s:
        sync.derive(s, sync.resolved(config))
        score.lift(s.store, s.as_of)
        cards = score.train_and_score(s.store, config, s.as_of, s.run_id, horizon_days=horizon)
        s.problems += [Problem(text, 3) for text in score.problems(cards)]
        no_profiling.enforce(s.store, config)
        files = (
            score.write_files(s.store, config, s.as_of, out_dir, horizon_days=horizon, campaigns=campaigns) if out_dir else []
        )
        s.summary["scores"] = cards
    for card in cards:
        say(o, *score.say_card(card))
    say(o, *(f"Written: {f}" for f in files))
    tell_problems(o, s)
    answer(o, {"run": s.run_id, "cards": cards, "files": [str(f) for f in files], "problems": problems_json(s)})
    return s.exit_code


@score_group.command("card")
@options
def score_card(o: Options) -> int:
    """The card of every score in use: how good it is, on what data, against which simple rule. --as-of shows an earlier day's.

    Example: rollcall score card
    """
    from connector import score
    from connector.session import session

    with session(o.config(), "score card", as_of=o.as_of, records=False) as s:
        found = score.cards(s.store, s.as_of.day if s.as_of.is_given else None)
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
    from connector import score, show, sync
    from connector.session import session

    config = o.config()
    with session(config, "score ready", as_of=o.as_of, records=False) as s:
        sync.derive(s, sync.resolved(config))
        found = score.ready(s.store, config, s.as_of)
    say(o, show.readiness(found))
    answer(o, {"scores": found})
    return 0


@score_group.command("rollback")
@click.argument("name")
@options
def score_rollback(o: Options, name: str) -> int:
    """Take back the latest version of a score; the published one before counts again, until you run `rollcall score`.

    Example: rollcall score rollback churn
    """
    from connector import score_watch
    from connector.session import session

    with session(o.config(), "score rollback") as s:
        day = score_watch.rollback(s.store, name)
    say(o, f"'{name}' is again the one of {day}. {score_watch.STAYS}")
    answer(o, {"score": name, "cutoff": day})
    return 0


COMMANDS = (score_group,)
