"""Profile columns as metafields in the app's own namespace: defined once, 25 a call, one bad value does not spoil the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import responses
from graphql import parse, validate

from adapters import shopify_documents, shopify_fields
from adapters.shopify_fields import Value
from connector.sandbox.shopify import ShopifySimulator
from connector.sandbox.shopify_graphql import schema as compact
from models.changes import FieldKind
from models.errors import PermanentApiError, ScopeError, UsageError
from tests.platforms.shopify.simulated_shop import Clock, connect
from tests.simulated import simulated

KINDS: dict[str, FieldKind] = {"city": "text", "spent": "number", "day": "date", "is_vip": "yes or no"}
VALUES = {"city": "Köln", "spent": "1234", "day": "2026-11-21", "is_vip": "true"}


class Place:
    """The shop, an adapter, and what it asked."""

    def __init__(self, simulator: ShopifySimulator, clock: Clock, mock: responses.RequestsMock) -> None:
        self.simulator, self.clock, self.mock = simulator, clock, mock
        self.url = simulated("shopify", simulator, mock)
        self.adapter = connect(self.url, clock)
        self.ids = [str(c.number) for c in simulator.world.customers]

    def new(self) -> Any:
        return connect(self.url, self.clock)

    def make(self, **kinds: FieldKind) -> None:
        for name, kind in kinds.items():
            self.adapter.ensure_field(name, name, kind)

    def own(self, number: int) -> dict[str, tuple[str, str]]:
        """Key -> (type, value) of what the customer at this place in the list carries of ours."""
        held = self.simulator.world.customers[number].metafields
        return {key: (m["type"], m["value"]) for (namespace, key), m in held.items() if namespace == "$app"}

    def asked(self, words: str) -> list[dict[str, Any]]:
        """The variables of every request whose document holds these words."""
        bodies = [orjson.loads(c.request.body) for c in self.mock.calls if isinstance(c.request.body, bytes)]
        return [b["variables"] for b in bodies if words in b["query"]]

    def writes(self) -> list[dict[str, Any]]:
        return self.asked("mutation SetFields")


@pytest.fixture
def place(simulator: ShopifySimulator, clock: Clock) -> Iterator[Place]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Place(simulator, clock, mock)


@pytest.mark.parametrize("version", [*shopify_documents.VERSIONS, "2027-01"])
def test_every_document_is_valid_in_each_version_we_speak(version: str) -> None:
    mixed = [[Value("1", "city", "x")], [Value("1", "city", "")]]
    texts = [
        shopify_fields.DEFINITION,
        shopify_fields.DEFINE,
        shopify_fields.values_of(list(KINDS)),
        shopify_fields.set_values(mixed),
    ]
    assert [validate(compact(version), parse(text)) for text in texts] == [[]] * 4


def test_a_definition_is_made_once_that_the_shops_people_may_read(place: Place) -> None:
    place.make(**KINDS)
    for name, kind in KINDS.items():
        place.new().ensure_field(name, name, kind)
    assert [e["kind"] for e in place.simulator.effects] == ["metafield_definition_created"] * 4
    definition = place.asked("mutation Define")[0]["definition"]
    assert (definition["namespace"], definition["key"], definition["name"]) == ("$app", "city", "Rollcall city")
    assert definition["access"] == {"admin": "MERCHANT_READ"}


def test_a_name_shopify_would_not_take_is_refused(place: Place) -> None:
    assert place.adapter.field_name("city") == "city"
    with pytest.raises(UsageError, match="two letters"):
        place.adapter.field_name("x")


def test_a_definition_of_ours_that_holds_something_else_is_refused(place: Place) -> None:
    place.make(spent="number")
    assert "holds number_decimal, not single_line_text_field" in place.adapter.field_problem("spent", "text")
    with pytest.raises(PermanentApiError, match="another name"):
        place.adapter.ensure_field("spent", "spent", "text")


@pytest.mark.parametrize("told", ["Number of the shirt", "Written by Rollcall: city [rollcall:00000000beef]", None])
def test_a_definition_that_another_program_of_the_app_made_is_left_alone(place: Place, told: str | None) -> None:
    place.make(city="text")
    place.adapter.write_fields([(place.ids[0], {"city": "Bonn"})])
    place.simulator.definitions["$app.city"]["description"] = told
    place.adapter = connect(place.url, place.clock, installation="00000000cafe")
    assert "Give the [[field]] another name" in place.adapter.field_problem("city", "text")
    assert "Give the [[field]] another name" in said(place.adapter)


def said(adapter: Any) -> str:
    with pytest.raises(PermanentApiError) as e:
        adapter.ensure_field("city", "city", "text")
    return str(e.value)


def test_a_definition_another_installation_makes_at_the_same_moment_is_not_taken_over(place: Place) -> None:
    handle, looks = place.simulator.handle, []

    def race(request: Any) -> Any:
        answer = handle(request)
        if b"query Definition" in request.body and not looks:
            looks.append(1)
            connect(place.url, place.clock, installation="00000000beef").ensure_field("city", "city", "text")
        return answer

    place.simulator.handle = race  # type: ignore[method-assign]  # somebody else, in the moment after we looked
    assert "another installation of Rollcall" in said(connect(place.url, place.clock, installation="00000000cafe"))


def test_our_own_definition_is_known_again_by_its_mark(place: Place) -> None:
    ours = connect(place.url, place.clock, installation="00000000cafe")
    ours.ensure_field("city", "city", "text")
    assert place.simulator.definitions["$app.city"]["description"].endswith("[rollcall:00000000cafe]")
    assert connect(place.url, place.clock, installation="00000000cafe").field_problem("city", "text") == ""


def test_no_room_for_another_definition_is_told(place: Place) -> None:
    place.simulator.switches.definition_room = 0
    with pytest.raises(PermanentApiError, match="no room"):
        place.adapter.ensure_field("city", "city", "text")


def test_without_the_scope_to_write_nothing_is_made(place: Place) -> None:
    place.simulator.switches.scopes = frozenset(place.simulator.switches.scopes) - {"write_customers"}
    with pytest.raises(ScopeError, match="write_customers"):
        place.adapter.ensure_field("city", "city", "text")


def test_values_are_read_back_as_written_in_their_types(place: Place) -> None:
    place.make(**KINDS)
    assert [o.result for o in place.adapter.write_fields([(place.ids[0], VALUES)])] == ["done"]
    assert place.own(0) == {
        "city": ("single_line_text_field", "Köln"), "spent": ("number_decimal", "1234.0"), "day": ("date", "2026-11-21"),
        "is_vip": ("boolean", "true"),
    }  # fmt: skip
    found = place.new().read_fields(list(KINDS), [place.ids[0], place.ids[1], "12345"])
    assert found == {place.ids[0]: VALUES, place.ids[1]: dict.fromkeys(KINDS, "")}


def test_at_most_25_values_go_out_in_one_call_and_ten_calls_in_one_request(place: Place) -> None:
    place.make(city="text")
    outcomes = place.adapter.write_fields([(c, {"city": "Bonn"}) for c in place.ids])
    assert [o.contact_id for o in outcomes] == place.ids and {o.result for o in outcomes} == {"done"}
    (request,) = place.writes()
    assert sorted(map(len, request.values())) == [20, 25, 25, 25, 25]


def test_only_our_metafields_of_these_customers_are_written(place: Place) -> None:
    place.make(city="text")
    before = [(dict(c.metafields), list(c.tags), c.consent) for c in place.simulator.world.customers]
    place.adapter.write_fields([(place.ids[0], {"city": "Bonn"})])
    place.adapter.write_fields([(place.ids[0], {"city": ""})])
    kinds = [(e["kind"], e["object"]) for e in place.simulator.effects if e["contact"]]
    assert kinds == [("metafield_set", "$app.city"), ("metafield_deleted", "$app.city")]
    assert [(dict(c.metafields), list(c.tags), c.consent) for c in place.simulator.world.customers] == before


def test_setting_and_clearing_travel_together_and_clearing_what_is_not_there_is_no_error(place: Place) -> None:
    place.make(city="text", spent="number")
    place.adapter.write_fields([(place.ids[0], {"city": "Bonn"})])
    rows = [(place.ids[0], {"city": "", "spent": "3"}), (place.ids[1], {"city": ""})]
    assert [o.result for o in place.adapter.write_fields(rows)] == ["done", "done"]
    assert (place.own(0), place.own(1)) == ({"spent": ("number_decimal", "3.0")}, {})
    assert len(place.writes()) == 2


@pytest.mark.parametrize("named", [True, False], ids=["named", "unnamed"])
def test_the_values_shopify_minds_are_found_and_the_rest_of_the_call_is_written(place: Place, named: bool) -> None:
    place.make(spent="number")
    if not named:
        _without_places(place.simulator)
    rows = [(c, {"spent": "many" if n in (3, 17) else "1"}) for n, c in enumerate(place.ids[:30])]
    gone = place.simulator.world.customers[5].id
    place.simulator.world.by_id.pop(gone)
    outcomes = place.adapter.write_fields(rows)
    assert {n: o.result for n, o in enumerate(outcomes) if o.result != "done"} == {3: "refused", 5: "missing", 17: "refused"}
    assert "number_decimal" in outcomes[3].reason and "no longer exists" in outcomes[5].reason
    assert sum(bool(place.own(n)) for n in range(30)) == 27
    assert (len(place.writes()) == 2) is named, "what is named is not searched for"


def _without_places(simulator: ShopifySimulator) -> None:
    """Errors that name no place of the list: only trying tells which value is meant."""
    handle = simulator.handle

    def bare(request: Any) -> Any:
        found = handle(request)
        body = orjson.loads(found.body)
        for answer in (body.get("data") or {}).values():
            for error in (answer or {}).get("userErrors") or () if isinstance(answer, dict) else ():
                error["elementIndex"] = None
                error["field"] = ["ownerId"] if "ownerId" in (error["field"] or ()) else None
        return type(found)(found.status, {}, orjson.dumps(body))

    simulator.handle = bare  # type: ignore[method-assign]  # an answer with less in it


def test_a_number_whose_definition_was_deleted_still_says_its_type(place: Place) -> None:
    place.make(spent="number")
    place.simulator.definitions.clear()
    place.adapter.write_fields([(place.ids[0], {"spent": "4"})])
    assert place.own(0)["spent"] == ("number_decimal", "4.0")
