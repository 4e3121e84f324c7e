"""Talk to the platforms. `load("shopify")` gives the adapter class of a platform.

A platform that is not among ours comes from another package, through the entry-point group `rollcall.adapters`; see
docs/adding-a-platform.md.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from adapters.base import Adapter
from models.errors import ConfigError

PLATFORMS = ("shopify", "mailchimp", "hubspot")
GROUP = "rollcall.adapters"
TITLES = {"shopify": "Shopify", "mailchimp": "Mailchimp", "hubspot": "HubSpot"}
NOUNS = {"shopify": "Shopify tag", "mailchimp": "Mailchimp tag", "hubspot": "HubSpot list"}
"""What `title` and `noun` of our own adapters say, without loading them."""
NAME = re.compile(r"[a-z][a-z0-9_]{1,30}")
TAKEN = frozenset({"import", "email", "phone"})
"""Words that mean something else where the name of a platform stands."""


def installed() -> tuple[str, ...]:
    """Every platform there is: ours, then those that other packages bring, by name."""
    return (*PLATFORMS, *sorted(_brought()))


def load(name: str) -> type[Adapter]:
    """The adapter class of the platform `name`; raises ConfigError for one that is not installed, or is no adapter."""
    if name in PLATFORMS:
        return import_module(f"adapters.{name}").adapter  # type: ignore[no-any-return]  # every platform module ends in `adapter = ...`
    found = _brought().get(name)
    if found is None:
        raise ConfigError(f"There is no platform '{name}'. Installed: {', '.join(installed())}.")
    try:
        adapter = found.load()
    except Exception as e:
        raise ConfigError(
            f"The package that offers '{name}' to Rollcall cannot be loaded ({type(e).__name__}). Install it again, or remove it."
        ) from e
    if not (isinstance(adapter, type) and issubclass(adapter, Adapter) and adapter.name == name):
        raise ConfigError(f"The package that offers '{name}' to Rollcall names something that is no adapter of that name.")
    return adapter


def title(name: str) -> str:
    """What the owner calls a platform; the name itself where its package is not installed any more."""
    if name in TITLES:
        return TITLES[name]
    return load(name).title if name in _brought() else name


def noun(name: str) -> str:
    """What we write there, in the owner's words: 'Mailchimp tag'."""
    if name in NOUNS:
        return NOUNS[name]
    return load(name).noun if name in _brought() else f"{name} tag"


def _brought() -> dict[str, EntryPoint]:
    """Name -> entry point of the platforms of other packages; nobody can take the place of one of ours."""
    return _found_on(tuple(sys.path))


@lru_cache(maxsize=4)
def _found_on(path: tuple[str, ...]) -> dict[str, EntryPoint]:
    """Looking through every installed package takes some milliseconds, so it is done once for each search path."""
    return {
        point.name: point
        for point in entry_points(group=GROUP)
        if NAME.fullmatch(point.name) and point.name not in TAKEN and point.name not in PLATFORMS
    }
