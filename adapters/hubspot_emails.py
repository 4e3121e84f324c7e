"""Marketing e-mails with their numbers: one record an e-mail, read whole each time because the numbers keep moving.

Docs: https://developers.hubspot.com/docs/api-reference/latest/marketing/marketing-emails/guide
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from adapters.base import Page
from adapters.hubspot_client import HubspotClient
from models.errors import PermanentApiError, ScopeError

LIMIT = 100
DONE = {"v": 1, "phase": "done"}


def email_pages(client: HubspotClient) -> Iterator[Page]:
    """Every marketing e-mail, archived ones too. Asking for numbers hides some e-mails, so names are read apart."""
    ways = ("true", "false")
    try:
        records = {str(e["id"]): e for way in ways for e in emails(client, {"archived": way})}
        counted = (e for way in ways for e in emails(client, {"archived": way, "includeStats": "true"}))
        numbers = {str(e["id"]): e.get("stats") for e in counted}
    except ScopeError:
        raise
    except PermanentApiError as e:
        if e.status != 404:
            raise
        yield Page([], DONE, done=True, note="this account has no marketing e-mails")
        return
    for email_id, record in records.items():
        if numbers.get(email_id):
            record["stats"] = numbers[email_id]
        if record.get("isPublished") is not False:  # a draft may name a day on which it was not sent
            record["_sent_at"] = record.get("publishDate") or record.get("publishedAt")
    yield Page([records[i] for i in sorted(records)], DONE, done=True, total=len(records))


def emails(client: HubspotClient, params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for results, _ in client.walk(client.path("marketing/emails", ""), {"limit": LIMIT, **params}):
        yield from results
