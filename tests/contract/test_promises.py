"""The promises can be broken: an adapter with one flaw is found out by the promise it breaks."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any, cast

import pytest

from connector.conformance import Clock, Promises, World, connected
from connector.sandbox.shop import Shop
from models.changes import Outcome
from models.errors import ConnectorError, PermanentApiError, RecordError
from tests.contract.test_postbox import postbox_world

pytestmark = pytest.mark.usefixtures("postbox_installed")
Flaw = Callable[[Any], None]


def pages_with(change: Callable[..., Any]) -> Flaw:
    """An adapter that gives its pages changed; `change` gets adapter, page and its number."""

    def flaw(adapter: Any) -> None:
        whole = adapter.pages

        def pages(*args: Any, **more: Any) -> Any:
            for n, page in enumerate(whole(*args, **more)):
                yield change(adapter, page, n)

        adapter.pages = pages

    return flaw


def apply_with(change: Callable[[Any, Callable[..., Any], Any], Any]) -> Flaw:
    def flaw(adapter: Any) -> None:
        right = adapter.apply
        adapter.apply = lambda batch: change(adapter, right, batch)

    return flaw


def hides_what_failed(adapter: Any, apply: Callable[..., Any], batch: Any) -> list[Outcome]:
    try:
        return cast(list[Outcome], apply(batch))
    except ConnectorError:
        return [Outcome(m.contact_id, "add", "done") for m in batch.adds]


def takes_others_off(adapter: Any, apply: Callable[..., Any], batch: Any) -> Any:
    (seen,) = adapter.observe([replace(batch.target, object_id=batch.object_id)], {})
    for other in seen.members - {m.contact_id for m in batch.adds} if batch.adds else ():
        adapter.http.post(adapter._path(f"labels/{batch.object_id}/readers"), {"add": [], "remove": [other]})
    return apply(batch)


def sends_an_answer(adapter: Any, apply: Callable[..., Any], batch: Any) -> Any:
    body = {"add": [m.contact_id for m in batch.adds], "remove": [], "answer": "yes"}
    adapter.http.post(adapter._path(f"labels/{batch.object_id}/readers"), body)
    return apply(batch)


def says_the_body(adapter: Any) -> None:
    def explain(response: Any) -> Any:
        return PermanentApiError(response.text) if response.status_code >= 400 else None

    adapter.http._explain = explain


def logs_addresses(adapter: Any, apply: Callable[..., Any], batch: Any) -> Any:
    logging.getLogger("postbox").info("adding %s", [m.email for m in batch.adds])
    return apply(batch)


def follows_no_hint(adapter: Any) -> None:
    right = adapter.http._explain

    def explain(response: Any) -> Any:
        error = right(response)
        if response.status_code == 429:
            error.wait_s = 1
        return error

    adapter.http._explain = explain


def reads_ahead(adapter: Any) -> None:
    """All is read before the first page is given, and the end of that walk is taken to be now."""
    whole = adapter.pages

    def pages(*args: Any, **more: Any) -> Any:
        for page in list(whole(*args, **more)):
            yield replace(page, cursor={"after": "2099", "done": True} if page.done else page.cursor)

    adapter.pages = pages


def without_chain(adapter: Any) -> None:
    """Believes whatever the platform says comes next."""
    import_module("rollcall_postbox.adapter").Chain.next = lambda self, cursor: cursor or None


def forgets_the_wait(adapter: Any) -> None:
    adapter.http._before = None


FLAWS: dict[str, tuple[str, Flaw]] = {
    "cursors hold nothing": (
        "it_goes_on_behind_every_page_with_nothing_but_the_saved_cursor",
        pages_with(lambda a, p, n: replace(p, cursor={"after": "", "done": False})),
    ),
    "a page is passed over": (
        "a_backfill_gives_every_contact_and_says_how_many_there_are",
        pages_with(lambda a, p, n: replace(p, records=[]) if n == 1 else p),
    ),
    "no total is said": (
        "a_backfill_gives_every_contact_and_says_how_many_there_are",
        pages_with(lambda a, p, n: replace(p, total=None)),
    ),
    "an emptied page passes for the end": (
        "a_page_that_came_empty_is_reported_or_never_called_whole",
        pages_with(lambda a, p, n: replace(p, total=None)),
    ),
    "every walk reads all": (
        "after_a_whole_walk_only_what_changed_is_read",
        pages_with(lambda a, p, n: replace(p, cursor={"after": "", "done": True})),
    ),
    "the cursor is of the end of the walk": (
        "a_change_while_the_walk_is_under_way_is_met_by_it_or_by_the_next",
        reads_ahead,
    ),
    "the cursor is shared": (
        "a_saved_cursor_is_not_moved_by_reading_on",
        pages_with(lambda a, p, n: replace(p, cursor=_shared(a, p.cursor))),
    ),
    "the cursor holds an address": (
        "a_cursor_holds_no_address_and_no_key",
        pages_with(lambda a, p, n: replace(p, cursor={**p.cursor, "last": p.records[-1]["email"] if p.records else ""})),
    ),
    "who is gone is passed over": (
        "a_contact_that_ceased_to_be_there_is_found_out",
        pages_with(lambda a, p, n: replace(p, gone={}, total=99)),
    ),
    "records lose their id": (
        "every_record_of_every_stream_can_be_translated_and_has_an_id",
        pages_with(lambda a, p, n: replace(p, records=[{**r, "id": None} for r in p.records])),
    ),
    "no answer is read": (
        "every_contact_carries_an_answer_about_email",
        pages_with(lambda a, p, n: replace(p, records=[{**r, "answer": None} for r in p.records])),
    ),
    "unknown fields are dropped": (
        "a_field_we_do_not_know_is_kept",
        pages_with(lambda a, p, n: replace(p, records=[{k: v for k, v in r.items() if k != "a_new_field"} for r in p.records])),
    ),
    "what failed is called done": ("a_write_that_never_arrived_is_told_or_made", apply_with(hides_what_failed)),
    "a refusal is called done": ("a_refused_write_is_said_and_changes_nothing", apply_with(hides_what_failed)),
    "one outcome is lacking": (
        "applying_twice_is_applying_once_and_each_change_has_one_outcome",
        apply_with(lambda a, right, b: right(b)[1:]),
    ),
    "adding takes others off": ("adding_takes_nobody_off_and_removing_touches_no_other_object", apply_with(takes_others_off)),
    "a status is sent": ("no_request_ever_carries_a_status_and_no_answer_is_changed", apply_with(sends_an_answer)),
    "a member is named that is not there": (
        "a_contact_that_is_not_there_is_named_and_never_made",
        apply_with(lambda a, right, b: [replace(o, result="done") for o in right(b)]),
    ),
    "addresses are logged": ("no_address_and_no_key_is_ever_logged", apply_with(logs_addresses)),
    "the platform's words are repeated": ("nobodys_address_and_no_key_is_in_an_error", says_the_body),
    "the hint is passed over": ("it_waits_as_long_as_the_platform_asks", follows_no_hint),
    "limits are passed over": ("the_platforms_limits_are_kept_without_a_refusal", forgets_the_wait),
    "pages that repeat are believed": ("pages_that_repeat_themselves_are_reported_or_never_called_whole", without_chain),
    "the account changes": (
        "the_account_is_the_same_whenever_it_is_asked",
        lambda a: setattr(a, "account", lambda: a.__class__.account(a).__class__(str(a.now_utc()), "Post")),
    ),
    "another version is spoken": ("the_version_asked_for_is_the_one_spoken", lambda a: setattr(a, "version", "1")),
    "observed out of order": (
        "several_targets_are_observed_in_their_order",
        lambda a: setattr(a, "observe", lambda targets, maybe: [a._observe(t) for t in reversed(targets)]),
    ),
    "a look makes a label": (
        "what_is_not_there_is_not_observed_and_nothing_is_made_by_looking",
        lambda a: setattr(a, "_label", lambda target: str(a.http.post(a._path("labels"), {"name": target.name}).json()["id"])),
    ),
}


def _shared(adapter: Any, cursor: dict[str, Any]) -> dict[str, Any]:
    if not hasattr(adapter, "shared"):
        adapter.shared = {}
    adapter.shared.update(cursor)
    return cast(dict[str, Any], adapter.shared)


@pytest.mark.parametrize("name", FLAWS)
def test_a_flaw_is_found_out(
    name: str, shops: dict[int, Shop], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    promise, flaw = FLAWS[name]
    chain = import_module("rollcall_postbox.adapter").Chain
    monkeypatch.setattr(chain, "next", chain.next)  # so that a flaw that replaces it is undone

    class Flawed(World):
        def adapter(self, **more: Any) -> Any:
            made = super().adapter(**more)
            flaw(made)
            return made

    plain = postbox_world(shops[45])
    with connected(Flawed(**vars(plain))) as world:
        clock = cast(Clock, world.simulator.clock)  # type: ignore[attr-defined]  # every simulator keeps its clock
        clock.world = world
        world.simulator.load(shops[45])
        test = getattr(Promises(), f"test_{promise}")
        with pytest.raises((AssertionError, pytest.fail.Exception, RecordError)):
            test(world, caplog) if "logged" in promise else test(world)
