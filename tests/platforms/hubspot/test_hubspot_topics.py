"""The subscription type the owner names: an opt-out of it must be found, or nothing may be pushed."""

from __future__ import annotations

from typing import Any

import pytest

from connector.normalize import Normalizer, load_mapping
from models.errors import ConfigError
from tests.platforms.hubspot.hubspot_world import World


def topics(world: World, record_id: str) -> set[tuple[str, str]]:
    normalizer = Normalizer(load_mapping("hubspot"), {}, world.now.date())
    record = next(r for r in world.pull("contacts", full=True)[0] if r["id"] == record_id)
    rows: Any = normalizer.normalize("contacts", record)["consents"]
    return {(r["topic"], r["status"]) for r in rows if r["topic"]}


@pytest.mark.parametrize("named", ["101001", "Newsletter", "newsletter"])
def test_an_opt_out_is_found_under_the_number_and_under_the_owners_words(world: World, named: str) -> None:
    world.new_adapter(subscription_type=named)
    world.simulator.change("00007", {"hs_email_optout_101001": "true", "hs_email_optout_101002": "false"})
    world.simulator.change("00008", {"hs_email_optout_101002": "true"})
    assert topics(world, world.id_of(7)) == {("101001", "unsubscribed"), (named, "unsubscribed")}
    assert topics(world, world.id_of(8)) == {("101002", "unsubscribed")}


@pytest.mark.parametrize("key", ["results", "subscriptionDefinitions"])
def test_names_are_found_under_both_keys_that_are_known_of_the_answer(server: Any, key: str) -> None:
    server.add("1", hs_email_optout_55="true")
    body = World.dumps({key: [{"id": 55, "name": "News"}]}).decode()
    server.once("communication-preferences", (200, {"Content-Type": "application/json"}, body))
    record = next(server.adapter(subscription_type="News").pages("contacts", None)).records[0]
    assert record["_optouts"] == ["55", "News"]


def test_a_type_nobody_has_stops_the_reading_of_contacts_and_names_those_there_are(world: World) -> None:
    world.new_adapter(subscription_type="Newsleter")
    with pytest.raises(ConfigError, match=r"Did you mean 'Newsletter'\? There are: 101001 \(Newsletter\), 101002 \(Offers\)"):
        world.pull("contacts")
    with pytest.raises(ConfigError):
        list(world.adapter.reread([world.id_of(1)]))


def test_where_names_may_not_be_read_the_number_works_and_the_scope_is_named(world: World) -> None:
    world.simulator.switches.scopes -= {"communication_preferences.read", "communication_preferences.read_write"}
    world.new_adapter(subscription_type="101001")
    assert len(world.pull("contacts")[0]) == 260
    world.new_adapter(subscription_type="Newsletter")
    with pytest.raises(ConfigError, match=r"add the scope communication_preferences\.read"):
        world.pull("contacts", full=True)


def test_check_says_which_type_is_meant(world: World) -> None:
    def about(named: str) -> tuple[str, str]:
        adapter = world.new_adapter(subscription_type=named)
        finding = next(f for f in adapter.check() if f.name == "hubspot subscription type")
        return finding.level, finding.text

    level, text = about("Offers")
    assert (level, "type 101002 'Offers'" in text) == ("ok", True)
    assert about("nothing of the kind")[0] == "error"
    assert not [f for f in world.new_adapter().check() if f.name == "hubspot subscription type"]
