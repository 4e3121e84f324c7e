"""Where adapters come from."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

import adapters
from adapters.hubspot import HubspotAdapter
from models.errors import ConfigError


class MyShop(HubspotAdapter):
    name = "myshop"


class NoAdapter:
    name = "broken"


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if another package had been installed."""
    points = [EntryPoint(n, f"{__name__}:{c}", adapters.GROUP) for n, c in (("myshop", "MyShop"), ("broken", "NoAdapter"))]
    monkeypatch.setattr(EntryPoint, "load", lambda self: globals()[self.value.partition(":")[2]])
    monkeypatch.setattr(
        adapters, "entry_points", lambda group, name="": [p for p in points if p.group == group and name in ("", p.name)]
    )


@pytest.mark.parametrize("name", adapters.PLATFORMS)
def test_our_own_platforms_are_always_there(name: str) -> None:
    assert adapters.load(name).name == name


@pytest.mark.usefixtures("installed")
def test_another_package_can_bring_a_platform() -> None:
    assert adapters.load("myshop") is MyShop


@pytest.mark.usefixtures("installed")
def test_what_is_not_installed_or_no_adapter_is_said() -> None:
    with pytest.raises(ConfigError, match=r"no platform 'wooshop'\. Installed: shopify, mailchimp, hubspot, broken, myshop"):
        adapters.load("wooshop")
    with pytest.raises(ConfigError, match="no adapter of that name"):
        adapters.load("broken")
