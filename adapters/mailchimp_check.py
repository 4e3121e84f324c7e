"""What `check` says about Mailchimp: key, role, plan, audiences, fields, tags, shop data, batches, version."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from adapters import mailchimp_shop
from adapters.base import Account, Finding
from adapters.mailchimp_api import Api, data_centre
from adapters.mailchimp_gate import AT_ONCE
from models.errors import ApiError, AuthError, ConfigError, ConnectorError, ScopeError

READ_ONLY_ROLES = frozenset({"viewer", "author"})


def findings(api: Api, settings: dict[str, Any], account: Callable[[], Account]) -> Iterator[Finding]:
    """Everything that may go wrong with an account, one line each. Never raises for a finding."""
    for found in _findings(api, settings, account):
        yield replace(found, name=f"Mailchimp {found.name}")


def _findings(api: Api, settings: dict[str, Any], account: Callable[[], Account]) -> Iterator[Finding]:
    try:
        found = account()
    except ConnectorError as e:
        name = "credentials" if isinstance(e, AuthError) else "audience" if isinstance(e, ConfigError) else "connection"
        yield Finding(name, "error", str(e), _code(e))
        return
    details = found.details
    place = data_centre(str(settings.get("token") or "")) or "the one host for every account"
    yield Finding("credentials", "ok", f"account '{found.name}', role {details['role'] or 'unknown'}, data centre {place}")
    yield _role(details["role"])
    yield Finding("plan", "ok", f"{details['plan'] or 'unknown'} (Mailchimp does not tell the plan's name)")
    yield _audience(details)
    looks: tuple[tuple[str, Callable[[], str]], ...] = (
        ("other audiences", lambda: _others(api)),
        ("merge fields", lambda: _merge_fields(api)),
        ("tags", lambda: _tags(api)),
        ("reports", lambda: _reports(api)),
        ("shop data", lambda: _shop_data(api, settings)),
    )
    for name, look in looks:
        try:
            yield Finding(name, "ok", look())
        except ApiError as e:
            yield Finding(name, "warning", str(e), _code(e))
    yield Finding("requests at once", "ok", f"{api.workers} of the {AT_ONCE} that all programs of this user share")
    yield Finding("version", "ok", "Marketing API 3.0; Mailchimp has named no end date")


def _code(error: ConnectorError) -> str:
    return "auth" if isinstance(error, AuthError) else "scope" if isinstance(error, ScopeError) else ""


def _role(role: str) -> Finding:
    if role.lower() in READ_ONLY_ROLES:
        text = (
            f"the key belongs to a {role}, who may read but not change tags; to push, use the key of a manager, an admin or "
            "the owner"
        )
        return Finding("role", "warning", text, "scope")
    return Finding("role", "ok", "may change tags")


def _audience(details: dict[str, str]) -> Finding:
    text = f"'{details['audience_name']}' with {details['contacts'] or 'an unknown number of'} contacts"
    if details["double_optin"] == "yes":
        text += ", double opt-in"
    if details["marketing_permissions"] == "yes":
        text += ", with marketing permissions: who has not ticked e-mail gets no marketing tag"
    return Finding("audience", "ok", text)


def _others(api: Api) -> str:
    names = [f"'{r.get('name')}'" for r in api.audiences()[1:]]
    if not names:
        return "none"
    return (
        f"{', '.join(names[:5])}{' ...' if len(names) > 5 else ''}: read, never written; a no there counts here, a yes does not"
    )


def _merge_fields(api: Api) -> str:
    answer = api.get(f"{api.list_path}/merge-fields", "total_items,merge_field_limit", count=1)
    limit = answer.get("merge_field_limit")
    return f"{answer.get('total_items', 0)} used" + (f" of {limit}" if limit else "")


def _tags(api: Api) -> str:
    total = api.page(f"{api.list_path}/segments", "segments", ("id",), offset=0, count=1, type="static").total
    return f"{total} in this audience"


def _reports(api: Api) -> str:
    return f"of {api.page('reports', 'reports', ('id',), offset=0, count=1).total} campaigns"


def _shop_data(api: Api, settings: dict[str, Any]) -> str:
    if settings.get("ecommerce") == "never":
        return "not read: orders come from the shop itself"
    number = len(mailchimp_shop.stores(api))
    return f"{number} connected store(s)" if number else "no shop is connected to this account"
