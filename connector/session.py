"""One run: its lock, store, clock and adapters, what it found, and the exit code that stands for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from adapters import load
from adapters.base import Account, Adapter, ending_soon
from connector import (
    clock,
    guards,
    keys,
    lock,
    normalize,
    privacy,
    runs,
    stays,
)
from connector.config import Config
from connector.consent import Conflict
from connector.progress import Progress, Silent
from connector.store import Store
from models.changes import TargetResult
from models.errors import AuthError, ConnectorError, LockedError
from models.people import StreamCount
from models.segments import AsOf, SegmentCount

log = logging.getLogger(__name__)


EXIT_ORDER = (5, 2, 6, 4, 1, 3)


@dataclass
class Problem:
    """Something went wrong with one platform or one step, and the exit code it stands for."""

    text: str
    exit_code: int
    platform: str = ""


@dataclass
class Session:
    """One run: what it works with and what it found."""

    config: Config
    store: Store
    run_id: str
    as_of: AsOf
    progress: Progress
    now: Callable[[], datetime] = clock.now_utc
    sleep: Callable[[float], None] = clock.sleep
    problems: list[Problem] = field(default_factory=list)
    conflicts: dict[tuple[str, str], Conflict] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    streams: list[StreamCount] = field(default_factory=list)
    counts: list[SegmentCount] = field(default_factory=list)
    accounts: dict[str, Account] = field(default_factory=dict)
    results: list[TargetResult] = field(default_factory=list)
    field_results: list[dict[str, Any]] = field(default_factory=list)
    stops: list[guards.Stop] = field(default_factory=list)
    new_set_aside: int = 0
    records: bool = True
    """False: the command only looks, and leaves no history behind."""
    heard: dict[tuple[str, str], datetime] = field(default_factory=dict)
    """(platform, contact) -> when it was last read directly in this run."""
    unclear: set[tuple[str, str]] = field(default_factory=set)
    """(platform, contact) whose consent could not be read in this run, or not understood."""
    looked_at: dict[str, datetime] = field(default_factory=dict)
    """platform -> when the plan of this run began to look who is in its tags."""
    summary: dict[str, object] = field(default_factory=dict)
    _adapters: dict[str, Adapter] = field(default_factory=dict)

    def adapter(self, platform: str) -> Adapter:
        if platform not in self._adapters:
            own = keys.installation(self.store)
            made = make_adapter(self.config, platform, now=self.now, sleep=self.sleep, installation=own)
            self._adapters[platform] = made
            self.notices += ending_soon(made.ends(), self.now().date())
            self.summary["notices"] = self.notices
        return self._adapters[platform]

    def problem(self, error: ConnectorError, platform: str = "") -> None:
        found = Problem(str(error), error.exit_code, platform)
        if found not in self.problems:  # a key that is refused is refused again, and said once
            self.problems.append(found)
        log.info("%s: %s", platform or "run", type(error).__name__)

    @property
    def exit_code(self) -> int:
        found = {p.exit_code for p in self.problems}
        if self.new_set_aside:
            found.add(3)
        return next((code for code in EXIT_ORDER if code in found), 0)


def make_adapter(
    config: Config,
    platform: str,
    *,
    now: Callable[[], datetime] = clock.now_utc,
    sleep: Callable[[float], None] = clock.sleep,
    installation: str = "",
) -> Adapter:
    """The platform's adapter with its secrets; Mailchimp's copy of the shop is read only where no shop is connected.

    installation: what it marks as ours what it makes with; '' where nothing is made.
    """
    settings = {**config.settings(platform), "prefix": config.push.prefix, "installation": installation}
    if platform == "mailchimp" and settings["ecommerce"] == "auto":
        settings["ecommerce"] = "never" if config.shopify else "always"
    return load(platform)(settings, now_utc=now, sleep=sleep)


def translator(s: Session, platform: str) -> normalize.Normalizer:
    """The platform's mapping, compiled; tags we write ourselves are no facts about a contact and are left out."""
    return normalize.Normalizer(
        normalize.load_mapping(platform),
        s.config.platform(platform).attributes,
        s.as_of.day,
        own_prefix=s.config.push.prefix,
    )


@contextmanager
def session(
    config: Config, command: str, *, as_of: date | None = None, progress: Progress | None = None, records: bool = True
) -> Iterator[Session]:
    """Lock, store and run record around one command. `records` False: nothing is written to the run list,
    nor to the history of segments."""
    when = clock.as_of(as_of, config.shop.timezone)
    with lock.writer_lock(config.store_path, command):
        store = Store(config.store_path, memory_limit=config.store.memory_limit, threads=config.store.threads)
        try:
            unfinished = _forgetting(store, config)
            run_id = runs.begin(store, command, when.day) if records else stays.LOOK
            s = Session(config, store, run_id, when, progress or Silent(), records=records, problems=unfinished)
            try:
                yield s
            except BaseException as e:
                if records:
                    code = e.exit_code if isinstance(e, ConnectorError) else 1
                    runs.finish(store, run_id, code, {**s.summary, "error": type(e).__name__})
                raise
            if records:
                runs.finish(store, run_id, s.exit_code, s.summary)
        finally:
            store.close()


def _forgetting(store: Store, config: Config) -> list[Problem]:
    """What a `forget` began is finished. A file in its way is told in every run and stops none: who says no meanwhile is to be
    taken off all the same."""
    try:
        privacy.resume(store, config)
    except ConnectorError as e:
        if e.exit_code == LockedError.exit_code:
            raise
        return [Problem(f"Somebody was forgotten, but not everywhere yet: {e}", 1)]
    return []


def known_account(s: Session, adapter: Adapter) -> Account:
    """Who the credentials belong to; refuses when that is another account than the one this store was filled from."""
    account = adapter.account()
    name = f"account:{adapter.name}"
    before = s.store.value("SELECT value FROM meta WHERE name = ?", [name])
    if before is None:
        s.store.insert("meta", [{"name": name, "value": account.id}])
    elif before != account.id:
        raise AuthError(
            f"The {adapter.title} credentials belong to another account ({account.name}) than the data in this store. "
            "Use the right key, or another store file for the other account.",
            platform=adapter.name,
        )
    return account


@contextmanager
def noted(s: Session, platform: str) -> Iterator[None]:
    """What ends one platform's pull is kept as a problem of the run; only a mistake in the configuration ends the run."""
    try:
        yield
    except ConnectorError as e:
        if e.exit_code in (2, 5):
            raise
        s.problem(e, platform)
        s.stops.append(guards.Stop("incomplete_pull", f"{platform} could not be pulled to its end in this run."))
