"""Write mappings/shapes/*.json anew: what the simulators answer of the sample shop, as shapes.

    .venv/bin/python tests/contract/make_shapes.py

`rollcall check --live-shapes` compares real accounts with these files; a test says when they are out of date.
"""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import responses  # noqa: E402  # behind the search path

from adapters import PLATFORMS, load  # noqa: E402  # as above
from connector import live_shapes  # noqa: E402  # as above
from connector.sandbox.sample_shop import sample_shop  # noqa: E402  # as above
from connector.sandbox.server import simulators  # noqa: E402  # as above
from connector.sandbox.shop import Shop  # noqa: E402  # as above
from tests.simulated import simulated  # noqa: E402  # as above

NOW = datetime(2026, 11, 21, 12)
SETTINGS: dict[str, dict[str, Any]] = {
    "shopify": {"store": "sandbox-shop.myshopify.com", "token": "shpat_sandbox", "bulk": "never"},
    "mailchimp": {"token": "0123456789abcdef0123456789abcdef-us1", "audience": "a1b2c3d4e5", "ecommerce": "always"},
    "hubspot": {"token": "pat-eu1-sandbox"},
}
FREE = {
    "shopify": ("metafields",),
    "mailchimp": ("interests", "merge_fields"),
    "hubspot": ("line_items[].properties", "properties"),
}
"""Objects to which an owner adds keys."""
OPTIONAL = {"shopify": ("metafields",), "mailchimp": ("interests", "merge_fields"), "hubspot": ()}
"""Those whose keys an owner may take away as well."""


def sample() -> Shop:
    return sample_shop(customers=300)


def shapes_text(platform: str, shop: Shop) -> str:
    simulator = simulators(lambda: NOW)[platform]
    simulator.load(shop)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        settings = {**SETTINGS[platform], "base_url": simulated(platform, simulator, mock), "tries": 2}
        adapter = load(platform)(settings, now_utc=lambda: NOW, sleep=lambda wait_s: None)
        return live_shapes.file_text(live_shapes.taken(adapter, FREE[platform], OPTIONAL[platform]))


def file_of(platform: str) -> Path:
    return ROOT / "mappings" / "shapes" / f"{platform}.json"


if __name__ == "__main__":
    for name in PLATFORMS:
        file_of(name).write_text(shapes_text(name, sample()), encoding="utf-8")
