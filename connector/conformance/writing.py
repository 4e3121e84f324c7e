"""Promises about writing: nothing but membership, once, each change with its outcome, and no status ever."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import requests

from adapters.base import Adapter
from connector import normalize
from connector.conformance.world import (
    World,
    batch,
    contacts,
    ids,
    members_of,
    nobody_like,
    read,
    rows,
    target,
)  # fmt: skip
from connector.mapping import Path
from connector.sandbox.base import Request, Response
from models.changes import Batch, Member, Outcome
from models.errors import AmbiguousWriteError, ConnectorError

STATUS_WORDS = (
    "status", "status_if_new", "email_status", "marketingState", "emailMarketingConsent", "consentUpdatedAt",
    r"hs_email_optout\w*",
)  # fmt: skip
STATUS_CALLS = rb"emailMarketingConsent|customerEmailMarketingConsentUpdate|subscriptions?/(un)?subscribe"


class Writing:
    """See connector/conformance/__init__.py."""

    def test_the_adapter_says_what_it_writes_and_how_much_at_once(self, world: World) -> None:
        adapter = world.adapter()
        assert adapter.noun and adapter.title and adapter.title.lower() in adapter.noun.lower()
        assert adapter.batch_size >= 1

    def test_what_is_not_there_is_not_observed_and_nothing_is_made_by_looking(self, world: World) -> None:
        (seen,) = world.adapter().observe([target(world)], {"Frequent": frozenset()})
        assert not seen.exists and not seen.members
        assert not world.writes()

    def test_ensuring_twice_gives_one_object(self, world: World) -> None:
        adapter = world.adapter()
        first, second = adapter.ensure(target(world)), world.adapter().ensure(target(world))
        assert first == second

    def test_several_targets_are_observed_in_their_order(self, world: World) -> None:
        adapter, (one, two) = world.adapter(), contacts(world, 2)
        adapter.apply(batch(world, adapter, adds=[one], segment="First"))
        adapter.apply(batch(world, adapter, adds=[two], segment="Second"))
        members_of(world)
        wanted = [target(world, adapter.ensure(target(world, segment=s)), s) for s in ("Second", "First")]
        seen = world.adapter().observe(wanted, {s: frozenset({one.contact_id, two.contact_id}) for s in ("First", "Second")})
        assert [s.target.segment for s in seen] == ["Second", "First"]
        assert [s.members for s in seen] == [{two.contact_id}, {one.contact_id}]

    def test_applying_twice_is_applying_once_and_each_change_has_one_outcome(self, world: World) -> None:
        adapter, members = world.adapter(), contacts(world, 3)
        for _ in range(2):
            assert results(adapter.apply(batch(world, adapter, adds=members)), members) <= {"done", "already"}
        assert members_of(world) == {m.contact_id for m in members}
        for _ in range(2):
            assert len(adapter.apply(batch(world, adapter, removes=members[:1]))) == 1
        assert members_of(world) == {m.contact_id for m in members[1:]}

    def test_adding_takes_nobody_off_and_removing_touches_no_other_object(self, world: World) -> None:
        adapter, members = world.adapter(), contacts(world, 4)
        adapter.apply(batch(world, adapter, adds=members[:2]))
        adapter.apply(batch(world, adapter, adds=members, segment="Other"))
        adapter.apply(batch(world, adapter, adds=members[2:], removes=members[:1]))
        assert members_of(world) == {m.contact_id for m in members[1:]}
        assert members_of(world, "Other") == {m.contact_id for m in members}

    def test_writing_quietly_does_the_same(self, world: World) -> None:
        adapter, members = world.adapter(), contacts(world, 2)
        assert results(adapter.apply_quietly(batch(world, adapter, adds=members)), members) <= {"done", "already"}
        assert members_of(world) == {m.contact_id for m in members}

    def test_a_contact_that_is_not_there_is_named_and_never_made(self, world: World) -> None:
        adapter = world.adapter()
        (someone,) = contacts(world, 1)
        nobody = Member(nobody_like(someone.contact_id), "nobody@nowhere.example")
        outcomes = {o.contact_id: o for o in adapter.apply(batch(world, adapter, adds=[someone, nobody]))}
        assert outcomes[someone.contact_id].result in ("done", "already")
        assert outcomes[nobody.contact_id].result in ("missing", "refused")
        assert "@" not in outcomes[nobody.contact_id].reason
        assert len(ids(world, read(world))) == len(world.customers)

    def test_a_write_whose_answer_is_lost_is_told_or_read_back(self, world: World) -> None:
        """Either the adapter says that nobody knows, or it has looked itself; what it says is what is so."""
        for kind in (
            requests.exceptions.ConnectionError("the answer was lost"),
            Response(502, {}, b"<html>Bad Gateway</html>"),
        ):
            adapter, segment = world.adapter(), type(kind).__name__
            members = contacts(world, 2)
            doing = batch(world, adapter, adds=members, segment=segment)
            lost: list[Request] = []
            world.hook = _losing(world, lost, kind)
            said = told(adapter, doing)
            assert lost
            assert said == {m.contact_id: True for m in members}
            assert members_of(world, segment) == said.keys()

    def test_a_write_that_never_arrived_is_told_or_made(self, world: World) -> None:
        adapter, members = world.adapter(), contacts(world, 2)
        doing = batch(world, adapter, adds=members)
        cut: list[Request] = []

        def cut_off(request: Request) -> Exception | None:
            if not world.is_write(request) or cut:
                return None
            cut.append(request)
            return requests.exceptions.ConnectionError("reset")

        world.hook = cut_off
        said = told(adapter, doing)
        assert cut
        assert members_of(world) == {i for i, is_in in said.items() if is_in}

    def test_a_refused_write_is_said_and_changes_nothing(self, world: World) -> None:
        adapter, members = world.adapter(), contacts(world, 2)
        doing = batch(world, adapter, adds=members)
        world.hook = lambda request: world.forbidden if world.is_write(request) else None
        try:
            assert results(adapter.apply(doing), members) <= {"refused", "unknown"}
        except ConnectorError as e:
            assert not isinstance(e, AmbiguousWriteError)
        assert members_of(world) == set()

    def test_no_request_ever_carries_a_status_and_no_answer_is_changed(self, world: World) -> None:
        before = sorted(map(str, rows(world, "consents")))
        adapter, members = world.adapter(), contacts(world, 4)
        adapter.apply(batch(world, adapter, adds=members))
        adapter.apply(batch(world, adapter, removes=members[:2]))
        writes = list(world.writes())
        assert writes
        assert not [w.path for w in writes if status_words(world).search(w.body)]
        members_of(world)
        assert sorted(map(str, rows(world, "consents"))) == before
        assert len(ids(world, read(world))) == len(world.customers)


def results(outcomes: Iterable[Outcome], members: list[Member]) -> set[str]:
    """The results, after a look that there is one for each member and no more."""
    found = list(outcomes)
    assert sorted(o.contact_id for o in found) == sorted(m.contact_id for m in members)
    return {o.result for o in found}


def told(adapter: Adapter, doing: Batch) -> dict[str, bool]:
    """Contact id -> is a member now, as the adapter says, or as it reads back where it cannot say."""
    try:
        return {o.contact_id: o.result in ("done", "already") for o in adapter.apply(doing)}
    except AmbiguousWriteError:
        return dict(adapter.written(doing))


def _losing(world: World, lost: list[Request], instead: Response | Exception) -> Any:
    def lose(request: Request) -> Response | Exception | None:
        if not world.is_write(request) or lost:
            return None
        lost.append(request)
        world.simulator.handle(request)
        return instead

    return lose


def status_words(world: World) -> re.Pattern[bytes]:
    """A subscription status under any of its names: those we know, and those this platform's mapping reads it from."""
    own = [
        alternative.value.steps[-1]
        for stream in normalize.load_mapping(world.name).streams.values()
        for part in stream.rows
        if part.table == "consents"
        for alternative in part.fields.get("status", ())
        if isinstance(alternative.value, Path) and alternative.value.steps
    ]
    names = "|".join([*STATUS_WORDS, *(re.escape(name) for name in own if name)])
    return re.compile(rb'"(' + names.encode() + rb')"\s*:|' + STATUS_CALLS)
