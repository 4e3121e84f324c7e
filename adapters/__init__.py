"""Talk to the platforms. `load("shopify")` gives the adapter class of a platform."""

from __future__ import annotations

from importlib import import_module

from adapters.base import Adapter

PLATFORMS = ("shopify", "mailchimp", "hubspot")


def load(name: str) -> type[Adapter]:
    """The adapter class of the platform `name`; raises ModuleNotFoundError for a platform we do not have."""
    return import_module(f"adapters.{name}").adapter  # type: ignore[no-any-return]  # every platform module ends in `adapter = ...`
