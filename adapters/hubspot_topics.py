"""The subscription type the owner named in the configuration: by its number, or in words as HubSpot's pages show it.

Docs: https://developers.hubspot.com/docs/api-reference/latest/communication-preferences/guide
Each type has a contact property of its own, `hs_email_optout_<number>`; the numbers' names are read apart.
"""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable

from adapters.hubspot_client import HubspotClient
from adapters.hubspot_objects import CONTACTS, OPTOUT_PREFIX, Kind
from models.errors import ConfigError, PermanentApiError

SCOPE = "communication_preferences.read"


class Subscription:
    """`name`: what the configuration says, '' for none. catalogue: all property names of an object, None when not known."""

    def __init__(self, client: HubspotClient, catalogue: Callable[[Kind], frozenset[str] | None], name: str) -> None:
        self.client = client
        self.catalogue = catalogue
        self.name = name
        self._found = ""
        self._lock = threading.Lock()

    def property(self) -> str:
        """The contact property that tells who opted out of it. Raises ConfigError where none does: a no that is not found
        must not be taken for none."""
        known = self.catalogue(CONTACTS)
        with self._lock:
            if not self._found:
                self._found = self._find(known)
            return self._found

    def _find(self, known: frozenset[str] | None) -> str:
        plain = f"{OPTOUT_PREFIX}{self.name}"
        if plain in known if known is not None else self.name.isdigit():
            return plain
        types = self._types()
        found = [i for i, name in types.items() if self.name.casefold() in (i, name.casefold())]
        if len(found) == 1 and (known is None or f"{OPTOUT_PREFIX}{found[0]}" in known):
            return f"{OPTOUT_PREFIX}{found[0]}"
        near = difflib.get_close_matches(self.name, types.values(), n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        there = ", ".join(f"{i} ({name})" for i, name in sorted(types.items())) or "none"
        raise ConfigError(
            f'hubspot.subscription_type = "{self.name}" is no one subscription type of this account.{hint} There are: {there}.'
        )

    def _types(self) -> dict[str, str]:
        """Number -> name of every subscription type."""
        try:
            found = self.client.get(self.client.path("communication-preferences", "definitions"))
        except PermanentApiError as e:
            raise ConfigError(
                f'hubspot.subscription_type = "{self.name}" is no number of a subscription type of this account, and their '
                f"names cannot be read ({e.status}). Write its number, or add the scope {SCOPE} to the service key."
            ) from None
        rows = found.get("results") or found.get("subscriptionDefinitions") or ()  # the older name of the same list
        return {str(r["id"]): str(r.get("name") or "") for r in rows if r.get("id") is not None}
