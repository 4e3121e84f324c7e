"""Somebody else's connector: copies tags, statuses and names between the accounts, as owners have them running beside ours.

It knows no restraint: it resubscribes whoever is subscribed elsewhere, makes lists and tags where there are none, and brings
back what somebody else took away. Tags are written through the platforms' own APIs, so that automations start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from connector.sandbox.base import Request, Simulator

WHAT = ("tags", "statuses", "merge_fields")
MAILCHIMP = {"authorization": "Bearer 0123456789abcdef0123456789abcdef-us1"}
HUBSPOT = {"authorization": "Bearer pat-eu1-sandbox"}
SHOPIFY = {"x-shopify-access-token": "shpat_sandbox"}
AUDIENCE = "a1b2c3d4e5"
TAGS_ADD = "mutation T($id:ID!,$tags:[String!]!){ tagsAdd(id:$id,tags:$tags){ userErrors{ message } } }"

Json = dict[str, Any]


@dataclass
class Known:
    """What one account shows of one address. status: yes, no, or '' for anything else."""

    contact: str
    tags: set[str] = field(default_factory=set)
    status: str = ""
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Copying:
    """One direction that is copied; `every`: again after so many requests to the sandbox, 0 for once."""

    source: str
    goal: str
    what: tuple[str, ...] = WHAT
    every: int = 0

    @classmethod
    def parse(cls, body: Json, names: Iterable[str]) -> Copying:
        """From {"from": ..., "to": ..., "what": [...], "every": 20}. ValueError for what is not known."""
        known = tuple(names)
        made = cls(str(body.get("from")), str(body.get("to")), tuple(body.get("what", WHAT)), int(body.get("every", 0)))
        if made.source not in known or made.goal not in known or made.source == made.goal:
            raise ValueError(f"from and to must be two of {', '.join(known)}")
        wrong = [w for w in made.what if w not in WHAT]
        if wrong:
            raise ValueError(f"'{wrong[0]}' cannot be copied: {', '.join(WHAT)}")
        return made


def copy(simulators: dict[str, Simulator], copying: Copying) -> int:
    """Copy once, adding only; gives how many contacts of the goal were changed."""
    source = READ[copying.source](simulators[copying.source])
    goal = simulators[copying.goal]
    there = READ[copying.goal](goal)
    changed = 0
    for address, seen in sorted(source.items()):
        mine = there.get(address)
        if mine is None:
            continue
        tags = seen.tags - mine.tags if "tags" in copying.what else set()
        status = seen.status if "statuses" in copying.what and seen.status != mine.status else ""
        names = {k: v for k, v in seen.names.items() if v and v != mine.names.get(k)}
        names = names if "merge_fields" in copying.what else {}
        if tags:
            WRITE[copying.goal](goal, address, mine, tags)
        if status:
            goal.change(address, {"status": "subscribed" if status == "yes" else "unsubscribed"})
        if names:
            goal.change(address, names)
        changed += bool(tags or status or names)
    return changed


def _mailchimp(simulator: Simulator) -> dict[str, Known]:
    members = simulator.dump()["members"]
    words = {"subscribed": "yes", "unsubscribed": "no"}
    return {
        m["email_address"].lower(): Known(
            key, set(m["tags"]), words.get(m["status"], ""),
            {"first_name": m["merge_fields"].get("FNAME", ""), "last_name": m["merge_fields"].get("LNAME", "")},
        )
        for key, m in members.items()
    }  # fmt: skip


def _shopify(simulator: Simulator) -> dict[str, Known]:
    words = {"SUBSCRIBED": "yes", "UNSUBSCRIBED": "no"}
    return {
        c["email"].lower(): Known(
            f"gid://shopify/Customer/{c['id']}", set(c["tags"]), words.get(c["consent"], ""),
            {"first_name": c["first_name"], "last_name": c["last_name"]},
        )
        for c in simulator.dump()["customers"]
        if c["email"]
    }  # fmt: skip


def _hubspot(simulator: Simulator) -> dict[str, Known]:
    state = simulator.dump()
    found: dict[str, Known] = {}
    by_id: dict[str, Known] = {}
    for key, props in state["objects"].get("contacts", {}).get("live", {}).items():
        address = (props.get("email") or "").lower()
        status = "no" if props.get("hs_email_optout") == "true" else "yes" if props.get("hs_legal_basis") else ""
        names = {"first_name": props.get("firstname") or "", "last_name": props.get("lastname") or ""}
        by_id[key] = Known(key, set(), status, names)
        if address:
            found[address] = by_id[key]
    for one in state["lists"].values():
        for member in one["members"] if one["processingType"] == "MANUAL" else ():
            if str(member) in by_id:
                by_id[str(member)].tags.add(one["name"])
    return found


def _tag_mailchimp(simulator: Simulator, address: str, known: Known, tags: set[str]) -> None:
    body = {"tags": [{"name": t, "status": "active"} for t in sorted(tags)]}
    _call(simulator, "POST", f"/3.0/lists/{AUDIENCE}/members/{known.contact}/tags", MAILCHIMP, body)


def _tag_shopify(simulator: Simulator, address: str, known: Known, tags: set[str]) -> None:
    body = {"query": TAGS_ADD, "variables": {"id": known.contact, "tags": sorted(tags)}}
    _call(simulator, "POST", "/admin/api/2026-10/graphql.json", SHOPIFY, body)


def _tag_hubspot(simulator: Simulator, address: str, known: Known, tags: set[str]) -> None:
    lists = {one["name"]: key for key, one in simulator.dump()["lists"].items()}
    for tag in sorted(tags):
        if tag not in lists:
            body = {"name": tag, "objectTypeId": "0-1", "processingType": "MANUAL"}
            made = _call(simulator, "POST", "/crm/lists/2026-09", HUBSPOT, body)
            lists[tag] = str(made["list"]["listId"])
        _call(simulator, "PUT", f"/crm/lists/2026-09/{lists[tag]}/memberships/add", HUBSPOT, [known.contact])


def _call(simulator: Simulator, method: str, path: str, headers: dict[str, str], body: Any) -> Any:
    answer = simulator.handle(Request(method, path, {}, {**headers, "content-type": "application/json"}, orjson.dumps(body)))
    return orjson.loads(answer.body) if answer.body else None


READ = {"mailchimp": _mailchimp, "shopify": _shopify, "hubspot": _hubspot}
WRITE = {"mailchimp": _tag_mailchimp, "shopify": _tag_shopify, "hubspot": _tag_hubspot}
