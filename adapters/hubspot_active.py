"""Workflows that start by way of active lists: HubSpot puts into those whoever meets their filters, and some speak of what we
write. Read with the workflows, never changed.

Docs: https://developers.hubspot.com/docs/api-reference/legacy/crm/lists/list-filters
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from adapters.hubspot_client import HubspotClient
from adapters.hubspot_flows import Flow, On, Waits, branch_waits
from models.errors import ApiError, ScopeError

log = logging.getLogger(__name__)

AT_ONCE = 50
TRIES = 3
ALSO = "some may also start through active lists, which {}"

OPPOSITE: Mapping[On, On] = {"enter": "leave", "leave": "enter", "value": "value"}

Json = dict[str, Any]
Active = Mapping[str, tuple[Waits, ...]]


def with_lists(client: HubspotClient, flows: Sequence[Flow]) -> tuple[tuple[Flow, ...], str]:
    """The workflows with what starts them by way of active lists, and why some of that is not known ('' where it is).

    Only lists that workflows wait for are read, and those that such lists are made of, 50 in one request.
    """
    found: dict[str, tuple[Waits, ...]] = {}
    unclear: set[str] = set()
    asked: set[str] = set()
    due = _lists(w for f in flows for w in f.waits)
    try:
        while due:
            asked |= due
            for row in _read(client, sorted(due)):
                waits = _understood(row)
                if waits is None:
                    unclear.add(str(row.get("listId")))
                elif waits:
                    found[str(row.get("listId"))] = waits
            due = _lists(w for waits in found.values() for w in waits) - asked
    except ScopeError:
        return tuple(flows), ALSO.format("the key may not read (scope crm.lists.read)")
    except ApiError as e:
        log.info("HubSpot's lists cannot be read (%s)", e.code or e.status)
        return tuple(flows), ALSO.format(f"HubSpot does not give here ({e.status or 'no answer'})")
    said = ALSO.format(f"cannot be read ({len(unclear)} of them)") if unclear else ""
    return tuple(replace(f, waits=tuple(dict.fromkeys(_expanded(f.waits, found)))) for f in flows), said


def _lists(waits: Iterable[Waits]) -> set[str]:
    return {w.name for w in waits if w.on != "value"}


def _read(client: HubspotClient, ids: list[str]) -> Iterator[Json]:
    path = client.path("crm/lists", "")
    for start in range(0, len(ids), AT_ONCE):
        params = {"listIds": ids[start : start + AT_ONCE], "includeFilters": "true"}
        rows = client.get(path, params, tries=TRIES).get("lists")
        yield from (r for r in rows or () if isinstance(r, dict))


def _understood(row: Json) -> tuple[Waits, ...] | None:
    """What puts contacts on an active list, () for one that is not active; None where its filters cannot be read."""
    if row.get("processingType") != "DYNAMIC":
        return ()
    branch = row.get("filterBranch")
    try:
        return tuple(w._replace(is_direct=False) for w in branch_waits(branch)) if isinstance(branch, dict) else None
    except (TypeError, ValueError, AttributeError, KeyError, RecursionError):
        return None


def _expanded(waits: Iterable[Waits], active: Active, passed: frozenset[str] = frozenset()) -> Iterator[Waits]:
    for w in waits:
        yield w
        if w.on == "value" or w.name in passed:
            continue
        inner = [_instead(w, x) for x in active.get(w.name, ())]
        yield from _expanded(inner, active, passed | {w.name})


def _instead(outer: Waits, inner: Waits) -> Waits:
    """What of ours makes somebody enter (or leave) an active list. Whoever leaves one met its filters before."""
    if outer.on == "enter":
        return inner._replace(is_sure=outer.is_sure and inner.is_sure)
    return Waits(OPPOSITE[inner.on], inner.name, (), is_sure=False)
