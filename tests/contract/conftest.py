"""A platform of another package: a real distribution in a folder of its own, found as any installed one is."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from connector.conformance import world
from connector.mapping import load_mapping
from connector.sandbox.orders_file import load_orders
from connector.sandbox.shop import Shop

POSTBOX = Path(__file__).parent / "postbox"
ENTRY = "[rollcall.adapters]\npostbox = rollcall_postbox.adapter:PostboxAdapter\n"


@pytest.fixture(scope="session")
def shops(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Shop]:
    """Small shops; HubSpot's pages cannot be made smaller than its hundred, so its account is larger."""
    found = {}
    for count in (45, 240):
        file = tmp_path_factory.mktemp("shops") / "orders.csv"
        rows = [f"{n:05d},2026-0{n % 9 + 1}-1{n % 9},{n}.50" for n in range(1, count + 1)]
        file.write_text("customer_id,date,amount\n" + "\n".join(rows) + "\n", encoding="utf-8")
        found[count] = load_orders(file)
    return found


@pytest.fixture(scope="module")
def postbox_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder that another package was installed into."""
    site = tmp_path_factory.mktemp("site-packages")
    shutil.copytree(POSTBOX, site / "rollcall_postbox", ignore=shutil.ignore_patterns("__pycache__"))
    about = site / "rollcall_postbox-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: rollcall-postbox\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY)
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    yield site
    sys.path.remove(str(site))
    for name in [n for n in sys.modules if n.split(".")[0] == "rollcall_postbox"]:
        del sys.modules[name]
    load_mapping.cache_clear()
    world.translator_of.cache_clear()
