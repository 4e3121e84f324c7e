"""E-mail events, one record an event: who was sent, opened or clicked what. Off unless `email_events = true`.

Only version 1 of the API has them, HubSpot supports it until September 2027, and nothing replaces it. Kept apart so that
its end breaks nothing else.
Docs: https://developers.hubspot.com/docs/api-reference/legacy/email-analytics-v1/guide
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

from adapters.base import Cursor, Page, Record
from adapters.hubspot_client import HubspotClient
from adapters.hubspot_emails import emails
from models.errors import PermanentApiError

PATH = "/email/public/v1/events"
SUPPORTED_UNTIL = date(2027, 9, 30)
CURSOR_VERSION = 1
LIMIT = 1000
DAY_MS = 86_400_000
FIRST_DAYS = 365  # how far a backfill looks back when nobody says
OVERLAP_MS = DAY_MS  # events come late
ENDED = (404, 410)
ENDED_NOTE = (
    "HubSpot no longer answers for e-mail events (API v1, supported until September 2027). What was read is kept; "
    "opens and clicks stay as numbers on the contact. Write email_events = false under [hubspot]."
)


def event_pages(client: HubspotClient, cursor: Cursor | None, *, full: bool, since: datetime | None) -> Iterator[Page]:
    """Day by day, oldest day first; within a day HubSpot gives the newest first and an offset."""
    state = _start(client, cursor, full, since)
    by_campaign: dict[str, str] | None = None
    while state["phase"] != "done":
        start, until = state["start"], state["until"]
        params: dict[str, Any] = {"limit": LIMIT, "startTimestamp": start, "endTimestamp": min(start + DAY_MS - 1, until)}
        if state["offset"]:
            params["offset"] = state["offset"]
        try:
            body = client.get(PATH, params)
        except PermanentApiError as e:
            if e.status not in ENDED:
                raise
            today = client.server_now.date()
            never = cursor is None or cursor.get("phase") != "done"
            yield Page([], cursor or state, done=True, note=ENDED_NOTE, complete_from=today if never else None)
            return
        by_campaign = _emails_by_campaign(client) if by_campaign is None else by_campaign
        records = [_whole(event, by_campaign) for event in body.get("events") or ()]
        offset = str(body.get("offset") or "") if body.get("hasMore") else ""
        if offset and offset == state["offset"]:
            raise PermanentApiError("The pages of HubSpot's e-mail events repeat themselves.", platform="hubspot")
        first = state.get("first")
        if offset:
            state = {**state, "offset": offset}
        elif start + DAY_MS <= until:
            state = {**state, "start": start + DAY_MS, "offset": ""}
        else:
            state = {"v": CURSOR_VERSION, "phase": "done", "watermark": until}
        is_done = state["phase"] == "done"
        yield Page(records, state, done=is_done, complete_from=_day(first) if is_done and first else None)


def _day(ms: int) -> date:
    """The first whole day (UTC) of what was read from then on."""
    return (datetime.fromtimestamp(ms / 1000, UTC) + timedelta(days=1) - timedelta(milliseconds=1)).date()


def _start(client: HubspotClient, cursor: Cursor | None, full: bool, since: datetime | None) -> Cursor:
    state = cursor if cursor and cursor.get("v") == CURSOR_VERSION else None
    if state and state["phase"] != "done":
        return state
    until = round(client.server_now.replace(tzinfo=UTC).timestamp() * 1000) + 999
    start = until - FIRST_DAYS * DAY_MS
    if state and not full:
        start = state["watermark"] - OVERLAP_MS
    elif since:
        start = round(since.replace(tzinfo=UTC).timestamp() * 1000)
    walk = {"v": CURSOR_VERSION, "phase": "walk", "start": max(1000, start), "until": until, "offset": ""}
    return walk if state and not full else {**walk, "first": walk["start"]}


def _whole(event: Record, by_campaign: dict[str, str]) -> Record:
    """`created` and `id` together are unique; the e-mail it belongs to has another id than its campaign."""
    event["_id"] = f"{event.get('created')}-{event.get('id')}"
    campaign = str(event.get("emailCampaignId") or "")
    event["_email_id"] = by_campaign.get(campaign, campaign)
    return event


def _emails_by_campaign(client: HubspotClient) -> dict[str, str]:
    try:
        return {str(c): str(e["id"]) for e in emails(client, {}) for c in e.get("allEmailCampaignIds") or ()}
    except PermanentApiError:
        return {}
