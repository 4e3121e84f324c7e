"""The simulated HubSpot account: who may come in, how often, what it says of itself, mailings, consent, changes."""

from __future__ import annotations

from datetime import timedelta

import orjson
import pytest

from connector.sandbox.base import Limits, Request
from connector.sandbox.shop import Mailing
from tests.sandbox.hubspot_calls import CONTACTS, LISTS, NOON, VERSION, Account, people, purchase, shop


@pytest.fixture
def account() -> Account:
    return Account(shop(people(3)))


@pytest.fixture
def limited() -> Account:
    return Account(shop(people(3)), Limits(on=True))


def mailing(number: int, **more: object) -> Mailing:
    sent = NOON - timedelta(days=10 - number)
    made = Mailing(f"m{number}", f"News {number}", f"Subject {number}", sent, ["00001", "00002", "00003"])
    made.opens = [("00001", sent + timedelta(hours=1), False), ("00002", sent + timedelta(minutes=1), True)]
    made.clicks = [("00001", sent + timedelta(hours=2), "https://shop.example/beans")]
    made.bounces = [("00003", sent, "hard")]
    return made


def test_a_wrong_token_is_refused(account: Account) -> None:
    account.token = "wrong"
    status, body = account.get(CONTACTS)
    assert status == 401 and body["category"] == "INVALID_AUTHENTICATION"
    account.sim.switches.expired_tokens = {"wrong"}
    assert account.get(CONTACTS)[1]["category"] == "EXPIRED_AUTHENTICATION"
    account.token = "pat-eu1-sandbox"
    assert account.get(CONTACTS, hapikey="abc")[0] == 401
    assert account.sim.handle(Request("GET", CONTACTS)).status == 401


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", CONTACTS, "crm.objects.contacts.read"),
        ("POST", CONTACTS + "/search", "crm.objects.contacts.read"),
        ("POST", CONTACTS + "/batch/update", "crm.objects.contacts.write"),
        ("POST", f"/crm/properties/{VERSION}/contacts", "crm.schemas.contacts.write"),
        ("POST", LISTS, "crm.lists.write"),
        ("POST", LISTS, "crm.lists.read"),
        ("GET", f"/crm/objects/{VERSION}/orders", "crm.objects.orders.read"),
        ("POST", f"/crm/associations/{VERSION}/orders/contacts/batch/read", "crm.objects.contacts.read"),
        ("GET", f"/marketing/emails/{VERSION}", "content"),
        ("GET", f"/crm/owners/{VERSION}", "crm.objects.owners.read"),
    ],
)
def test_a_missing_scope_is_named(account: Account, method: str, path: str, scope: str) -> None:
    account.sim.switches.scopes.discard(scope)
    status, body = account.call(method, path, {} if method == "POST" else None)
    assert status == 403 and body["category"] == "MISSING_SCOPES"
    assert scope in body["errors"][0]["context"]["requiredGranularScopes"]


def test_account_details_need_no_scope(account: Account) -> None:
    account.sim.switches.scopes = {"crm.schemas.contacts.read"}
    status, body = account.get(f"/account-info/{VERSION}/details")
    assert status == 200 and body["timeZone"] == "Europe/Rome" and body["companyCurrency"] == "EUR" and body["portalId"]
    assert account.get(f"/crm/limits/{VERSION}/custom-properties")[0] == 403


def test_rate_headers_are_on_every_answer_but_searches(limited: Account) -> None:
    headers = limited.raw("GET", CONTACTS).headers
    assert headers["X-HubSpot-RateLimit-Max"] == "100" and headers["X-HubSpot-RateLimit-Remaining"] == "99"
    assert headers["X-HubSpot-RateLimit-Daily"] == "250000"
    searched = limited.raw("POST", CONTACTS + "/search", {}).headers
    assert not [name for name in searched if name.startswith("X-HubSpot-RateLimit")]


def test_ten_seconds_hold_a_hundred_calls(limited: Account) -> None:
    for _ in range(100):
        assert limited.raw("GET", CONTACTS, limit=1).status == 200
    status, body = limited.get(CONTACTS)
    assert status == 429 and body["policyName"] == "TEN_SECONDLY_ROLLING" and body["errorType"] == "RATE_LIMIT"
    assert limited.raw("POST", CONTACTS + "/search", {}).status == 200, "search has its own bucket"
    limited.clock.move(10)
    assert limited.get(CONTACTS)[0] == 200


def test_a_second_holds_five_searches(limited: Account) -> None:
    statuses = [limited.raw("POST", CONTACTS + "/search", {}).status for _ in range(6)]
    assert statuses == [200] * 5 + [429]
    assert "secondly" in limited.search()[1]["message"]
    limited.clock.move(1)
    assert limited.search()[0] == 200


def test_a_higher_tier_and_a_scale_allow_more() -> None:
    account = Account(shop(people(1)), Limits(on=True, scale=10))
    account.sim.switches.tier = "professional"
    assert account.raw("GET", CONTACTS).headers["X-HubSpot-RateLimit-Max"] == "1900"


def test_the_day_ends_at_midnight_of_the_account(limited: Account) -> None:
    limited.get(CONTACTS)
    limited.sim.buckets.today = 250_000
    assert limited.get(CONTACTS)[1]["policyName"] == "DAILY"
    limited.clock.move(10 * 3600)
    assert limited.get(CONTACTS)[0] == 429, "22:00 UTC is 23:00 in Rome"
    limited.clock.move(3600)
    assert limited.get(CONTACTS)[0] == 200


def test_without_limits_the_headers_announce_room(account: Account) -> None:
    for _ in range(150):
        response = account.raw("GET", CONTACTS, limit=1)
    assert response.status == 200 and int(response.headers["X-HubSpot-RateLimit-Remaining"]) > 10_000


def test_an_account_that_moves_says_when_to_come_back(account: Account) -> None:
    account.sim.switches.moving_for_s = 3600
    response = account.raw("GET", CONTACTS)
    assert response.status == 477 and response.headers["Retry-After"] == "3600"


def test_errors_have_one_shape(account: Account) -> None:
    status, body = account.get(f"{CONTACTS}/999999")
    assert status == 404
    assert body == {
        "status": "error",
        "message": "resource not found",
        "correlationId": body["correlationId"],
        "category": "OBJECT_NOT_FOUND",
    }
    assert account.post("/account-info/2026-09/details", {})[0] == 405


def test_consent_words_become_properties() -> None:
    account = Account(shop([*people(1, "opted_out"), *people(2, "not_specified")[1:]]))
    names = "hs_email_optout,hs_marketable_status"
    _, out = account.get(f"{CONTACTS}/{account.contact_id(1)}", properties=names)
    _, unknown = account.get(f"{CONTACTS}/{account.contact_id(2)}", properties=names)
    assert out["properties"] == {"hs_email_optout": "true", "hs_marketable_status": "false"}
    assert unknown["properties"]["hs_email_optout"] is None
    base = f"/communication-preferences/{VERSION}"
    _, statuses = account.get(f"{base}/statuses/c1@shop.example", channel="EMAIL")
    assert {row["status"] for row in statuses["results"]} == {"UNSUBSCRIBED"}
    assert len(account.get(f"{base}/definitions")[1]["results"]) == 2
    status, body = account.post(f"{base}/statuses/batch/read", {"inputs": []})
    assert status == 403 and "Enterprise" in body["message"]


def test_mailings_leave_counters_on_the_contacts() -> None:
    account = Account(shop(people(3), mailings=[mailing(1), mailing(2)]))
    names = ["hs_email_delivered", "hs_email_open", "hs_email_click", "hs_email_last_click_date", "hs_email_bounce"]
    _, body = account.get(f"{CONTACTS}/{account.contact_id(1)}", properties=",".join(names))
    assert list(body["properties"].values()) == ["2", "2", "2", "2026-11-13T14:00:00.000Z", None]
    _, bounced = account.get(f"{CONTACTS}/{account.contact_id(3)}", properties="hs_email_bounce,hs_email_bad_address")
    assert bounced["properties"] == {"hs_email_bounce": "2", "hs_email_bad_address": "true"}


def test_email_events_page_from_the_newest_and_can_leave_out_machines() -> None:
    account = Account(shop(people(3), mailings=[mailing(1), mailing(2)]))
    path, seen, offset = "/email/public/v1/events", [], ""
    while True:
        _, page = account.get(path, limit=4, **({"offset": offset} if offset else {}))
        seen += page["events"]
        if not page["hasMore"]:
            break
        offset = page["offset"]
    assert len(seen) == 18 and len({(e["created"], e["id"]) for e in seen}) == 18
    assert [e["created"] for e in seen] == sorted((e["created"] for e in seen), reverse=True)
    assert "offset" not in page
    _, human = account.get(path, eventType="OPEN", excludeFilteredEvents="true")
    assert {e["recipient"] for e in human["events"]} == {"c1@shop.example"}
    at = human["events"][0]["created"]
    assert len(account.get(path, startTimestamp=at, endTimestamp=at, eventType="OPEN")[1]["events"]) == 1
    assert account.get(path, eventType="NOPE")[0] == 400


def test_the_listing_with_statistics_hides_some_emails() -> None:
    account = Account(shop(people(3), mailings=[mailing(n) for n in range(1, 9)]))
    path = f"/marketing/emails/{VERSION}"
    plain = account.get(path, limit=100)[1]["results"]
    with_stats = account.get(path, limit=100, includeStats="true")[1]["results"]
    assert len(plain) == 8 and len(with_stats) == 6
    assert with_stats[0]["stats"]["counters"]["open"] == 2
    times = {"startTimestamp": "2026-01-01T00:00:00Z", "endTimestamp": "2027-01-01T00:00:00Z"}
    assert account.get(f"{path}/statistics/list", **times)[1]["aggregate"]["counters"]["sent"] == 24


def test_changes_from_outside_move_exactly_the_contact(account: Account) -> None:
    account.clock.move(60)
    assert account.sim.change("00002", {"first_name": "Ada", "region": "TX", "consent": "unsubscribed", "tags": ["x"]})
    assert account.sim.change("C3@shop.example", {"city": "Rome"})
    assert not account.sim.change("99999", {"city": "Rome"})
    names = "firstname,state,hs_email_optout,lastmodifieddate"
    _, body = account.get(f"{CONTACTS}/{account.contact_id(2)}", properties=names)
    assert list(body["properties"].values()) == ["Ada", "TX", "true", "2026-11-21T12:01:00.000Z"]
    assert account.get(f"{CONTACTS}/{account.contact_id(1)}", properties=names)[1]["updatedAt"] < "2026-11-21"


def test_extra_properties_deals_and_companies_come_along() -> None:
    one = people(1)[0]
    deal = {"dealname": "Office beans", "amount": "900", "closedate": NOON}
    one.extra = {"hubspot": {"favourite_roast": "dark", "deals": [deal], "company": {"name": "Acme"}}}
    account = Account(shop([one]))
    _, body = account.get(CONTACTS, properties="favourite_roast,associatedcompanyid", associations="deals,companies")
    row = body["results"][0]
    assert row["properties"]["favourite_roast"] == "dark"
    assert row["associations"]["companies"]["results"][0]["id"] == row["properties"]["associatedcompanyid"]
    _, deals = account.get(f"/crm/objects/{VERSION}/deals", properties="hs_is_closed_won,closedate")
    assert deals["results"][0]["properties"] == {"hs_is_closed_won": "true", "closedate": "2026-11-21T12:00:00.000Z"}
    assert account.get(f"/crm/properties/{VERSION}/contacts/favourite_roast")[1]["hubspotDefined"] is False


def test_pipelines_owners_and_validations_answer(account: Account) -> None:
    _, body = account.get(f"/crm/pipelines/{VERSION}/deals")
    won = [stage for stage in body["results"][0]["stages"] if stage["metadata"]["probability"] == "1.0"]
    assert [stage["id"] for stage in won] == ["closedwon"]
    assert account.get(f"/crm/pipelines/{VERSION}/orders")[0] == 200
    assert account.get(f"/crm/owners/{VERSION}")[0] == 200
    assert account.get(f"/crm/property-validations/{VERSION}/0-1")[1] == {"results": []}


def test_two_accounts_that_did_the_same_have_the_same_dump() -> None:
    dumps = []
    for pause in (0, 77):
        account = Account(shop(people(3), [purchase(1, "00001", refunded=purchase(1, "00001").total)]))
        account.clock.move(pause)
        account.put(f"{LISTS}/{account.make_list('VIP')}/memberships/add", [account.contact_id(1)])
        dumps.append(orjson.dumps(account.sim.dump()))
    assert dumps[0] == dumps[1]


def test_the_limit_increase_allows_more_and_associations_have_a_bucket_of_their_own() -> None:
    account = Account(shop(people(1)), Limits(on=True))
    account.sim.switches.tier = "increased"
    headers = account.raw("GET", CONTACTS).headers
    assert (headers["X-HubSpot-RateLimit-Max"], headers["X-HubSpot-RateLimit-Daily"]) == ("250", "2000000")
    path = f"/crm/associations/{VERSION}/contacts/companies/batch/read"
    statuses = [account.raw("POST", path, {"inputs": [{"id": "101"}]}).status for _ in range(151)]
    assert statuses == [200] * 150 + [429]


def test_rules_on_values_are_listed(account: Account) -> None:
    account.sim.switches.validated = {"phone": "FORMAT"}
    _, body = account.get(f"/crm/property-validations/{VERSION}/0-1")
    assert [row["propertyName"] for row in body["results"]] == ["phone"]
