"""Talk to the platforms. `load("shopify")` gives the adapter class of a platform.

A platform that is not among ours comes from another package, through the entry-point group `rollcall.adapters`; see
docs/adding-a-platform.md.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from adapters.base import Adapter
from models.errors import ConfigError

PLATFORMS = ("shopify", "mailchimp", "hubspot")
GROUP = "rollcall.adapters"


def load(name: str) -> type[Adapter]:
    """The adapter class of the platform `name`; raises ConfigError for one that is not installed, or is no adapter."""
    if name in PLATFORMS:
        return import_module(f"adapters.{name}").adapter  # type: ignore[no-any-return]  # every platform module ends in `adapter = ...`
    found = list(entry_points(group=GROUP, name=name))
    if not found:
        known = ", ".join((*PLATFORMS, *sorted(e.name for e in entry_points(group=GROUP))))
        raise ConfigError(f"There is no platform '{name}'. Installed: {known}.")
    adapter = found[0].load()
    if not (isinstance(adapter, type) and issubclass(adapter, Adapter) and adapter.name == name):
        raise ConfigError(f"The package that offers '{name}' to Rollcall names something that is no adapter of that name.")
    return adapter
