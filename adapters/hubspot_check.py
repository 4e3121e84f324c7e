"""What `check` says about HubSpot: the account, each feature and its scope, names, versions, limits."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from datetime import date
from typing import Any

from adapters.base import Finding
from adapters.hubspot_client import API_VERSION, LISTS_BY_CURSOR_SINCE, SUPPORTED_UNTIL, HubspotClient
from adapters.hubspot_door import OURS
from adapters.hubspot_events import PATH as EVENTS_PATH
from adapters.hubspot_flows import PATH as FLOWS_PATH
from adapters.hubspot_flows import SCOPE as FLOWS_SCOPE
from adapters.hubspot_objects import CONTACTS, EMAILS_SCOPE, KINDS, LINE_ITEMS, OPTOUT_PREFIX
from adapters.hubspot_property import SegmentProperty
from adapters.hubspot_read import Reader, attribute_names
from models.errors import ApiError, AuthError, ConfigError, PermanentApiError, ScopeError

WARN_DAYS = 120


Ends = tuple[tuple[str, date], ...]


def findings(client: HubspotClient, reader: Reader, settings: dict[str, Any], account: str, ends: Ends) -> Iterator[Finding]:
    yield Finding("hubspot account", "ok", f"Connected to {account}.")
    for kind in (*KINDS.values(), LINE_ITEMS):
        path = client.path("crm/objects", kind.path)
        level = "error" if kind.needed else "warning"
        yield _probe(client, f"hubspot {kind.title}", kind.scope, lambda p=path: client.get(p, {"limit": 1}), level)
    yield _probe(client, "hubspot search", CONTACTS.scope, lambda: _search_one(client), "error")
    yield _probe(
        client, "hubspot marketing e-mails", EMAILS_SCOPE, lambda: client.get(client.path("marketing/emails", ""), {"limit": 1})
    )
    if settings.get("email_events"):
        yield _probe(client, "hubspot e-mail events", EMAILS_SCOPE, lambda: client.get(EVENTS_PATH, {"limit": 1}))
    every = "all" if client.version >= LISTS_BY_CURSOR_SINCE else "search"
    yield _probe(
        client, "hubspot lists", "crm.lists.read", lambda: client.ask(client.path("crm/lists", every), {"count": 1}), "error",
        more=" Filling them also needs crm.lists.write, which only the first push can show.",
    )  # fmt: skip
    yield _workflows(client)
    yield from _attributes(reader, settings)
    if client.has_property:
        yield _property(client, reader)
    if reader.subscription.name:
        yield _subscription(reader)
    yield from _versions(client, ends)
    yield from _rules(client)
    yield _limits(client)


def _probe(client: HubspotClient, name: str, scope: str, read: Any, level: Any = "warning", *, more: str = "") -> Finding:
    try:
        read()
    except ScopeError as e:
        lacking = e.scope.replace(" ", " or ") or scope
        return Finding(
            name, level, f"Not permitted: add the scope {lacking} to the service key (or the plan lacks it).", "scope"
        )
    except AuthError as e:
        return Finding(name, "error", str(e), "auth")
    except PermanentApiError as e:
        return Finding(name, level, f"Not available in this account ({e.status}).")
    except ApiError as e:
        return Finding(name, "warning", f"Could not be looked at now: {e}")
    return Finding(name, "ok", f"Readable ({scope}).{more}")


def _workflows(client: HubspotClient) -> Finding:
    """Optional: what may not be read costs nobody anything, so it is no warning."""
    try:
        client.get(FLOWS_PATH, {"limit": 1}, tries=2)
    except (ApiError, AuthError):
        return Finding(
            "hubspot workflows", "ok",
            f"Not readable (scope {FLOWS_SCOPE}, Professional and above). Without, plans cannot say which workflows would start.",
        )  # fmt: skip
    return Finding(
        "hubspot workflows",
        "ok",
        f"Readable ({FLOWS_SCOPE}, API v4 until about 2027-03): plans say which workflows would start.",
    )


def _search_one(client: HubspotClient) -> Any:
    body = {"filterGroups": [], "properties": ["hs_object_id"], "limit": 1}
    return client.ask(client.path("crm/objects", f"{CONTACTS.path}/search"), body)


def _attributes(reader: Reader, settings: dict[str, Any]) -> Iterator[Finding]:
    try:
        known = reader.catalogue(CONTACTS)
    except (ApiError, AuthError):
        return
    if known is None:
        yield Finding("hubspot properties", "warning", "The names of contact properties cannot be read.")
        return
    yield Finding("hubspot properties", "ok", f"{len(known)} contact properties, {len(reader.names(CONTACTS))} of them read.")
    for name in attribute_names(settings):
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            yield Finding("hubspot attributes", "warning", f"There is no contact property '{name}'.{hint}")


def _property(client: HubspotClient, reader: Reader) -> Finding:
    try:
        is_well, text = SegmentProperty(client, reader).describe()
    except (ApiError, AuthError) as e:
        is_well, text = False, f"Could not be looked at now: {e}"
    return Finding("hubspot property", "ok" if is_well else "warning", text)


def _subscription(reader: Reader) -> Finding:
    named = reader.subscription
    try:
        number = named.property().removeprefix(OPTOUT_PREFIX)
    except ConfigError as e:
        return Finding("hubspot subscription type", "error", str(e), "config")
    except (ApiError, AuthError) as e:
        return Finding("hubspot subscription type", "warning", f"Could not be looked up now: {e}")
    words = "" if number == named.name else f" '{named.name}'"
    return Finding("hubspot subscription type", "ok", f"Who opted out of type {number}{words} is left out of marketing lists.")


def _versions(client: HubspotClient, ends: Ends) -> Iterator[Finding]:
    if client.version not in SUPPORTED_UNTIL:
        yield Finding("hubspot version", "warning", f"Version {client.version} is not one we know; {API_VERSION} is.")
    for what, until in ends:
        days = (until - client.server_now.date()).days
        text = f"{what}: supported until about {until:%Y-%m}."
        yield Finding("hubspot version", "warning" if days <= WARN_DAYS else "ok", text)


def _rules(client: HubspotClient) -> Iterator[Finding]:
    """Rules an admin set on values; those on properties of ours would make our writes fail."""
    try:
        results = client.get(client.path("crm/property-validations", "0-1")).get("results") or ()
    except (ApiError, AuthError):
        return
    ours = sorted({str(r.get("propertyName")) for r in results if str(r.get("propertyName") or "").startswith(OURS)})
    if ours:
        yield Finding(
            "hubspot validation rules", "warning", f"Rules are set on {', '.join(ours)}: writes to these may be refused."
        )


def _limits(client: HubspotClient) -> Finding:
    window = client.window
    text = f"{window.max} requests in {window.interval_s:g} s"
    if window.daily_max:
        text += f", {window.daily_max} a day, {window.daily_remaining} of them left today"
    return Finding("hubspot limits", "warning" if window.is_daily_reserve_reached else "ok", f"{text}; 4 searches a second.")
