"""Where adapters come from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import adapters
from adapters.base import Adapter
from models.errors import ConfigError

MODULE = """
from adapters.hubspot import HubspotAdapter

class MyShop(HubspotAdapter):
    name = "myshop"

class NoAdapter:
    name = "broken"
"""
Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Install a package that offers these platforms, as a distribution in a folder of its own."""

    def write(entries: str) -> None:
        (tmp_path / "rollcall_myshop.py").write_text(MODULE)
        about = tmp_path / "rollcall_myshop-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rollcall-myshop\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[rollcall.adapters]\n{entries}\n")
        monkeypatch.syspath_prepend(str(tmp_path))

    yield write


@pytest.mark.parametrize("name", adapters.PLATFORMS)
def test_our_own_platforms_are_always_there(name: str) -> None:
    found = adapters.load(name)
    assert (found.name, found.title, found.noun) == (name, adapters.title(name), adapters.noun(name))
    assert issubclass(found, Adapter)


def test_another_package_can_bring_a_platform(install: Install) -> None:
    install("myshop = rollcall_myshop:MyShop")
    assert adapters.load("myshop").name == "myshop"
    assert adapters.installed() == (*adapters.PLATFORMS, "myshop")


def test_what_is_not_installed_or_no_adapter_is_said(install: Install) -> None:
    install("broken = rollcall_myshop:NoAdapter\nlost = rollcall_myshop:Lost\nother = rollcall_myshop:MyShop")
    with pytest.raises(
        ConfigError, match=r"no platform 'wooshop'\. Installed: shopify, mailchimp, hubspot, broken, lost, other"
    ):
        adapters.load("wooshop")
    for name in ("broken", "other"):
        with pytest.raises(ConfigError, match="no adapter of that name"):
            adapters.load(name)
    with pytest.raises(ConfigError, match=r"'lost' to Rollcall cannot be loaded \(AttributeError\)"):
        adapters.load("lost")


def test_nobody_can_take_the_place_of_one_of_ours_or_a_word_that_means_something_else(install: Install) -> None:
    install("shopify = rollcall_myshop:MyShop\nimport = rollcall_myshop:MyShop\nMy-Shop = rollcall_myshop:MyShop")
    assert adapters.installed() == adapters.PLATFORMS
    assert adapters.load("shopify").__module__ == "adapters.shopify"


def test_a_platform_whose_package_was_removed_is_called_by_its_name() -> None:
    assert (adapters.title("myshop"), adapters.noun("myshop")) == ("myshop", "myshop tag")
