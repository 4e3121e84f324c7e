"""A pull in a process of its own, to be killed: every page is committed at once. Prints the accounts of its streams."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from adapters import load
from connector import clock, normalize, pull, runs
from connector.store import Store


def main(platform: str, url: str, store_path: str) -> None:
    """Settings keep pages small, so that there are moments between them, and give up nothing for being slow."""
    settings = {
        "shopify": {"store": "sandbox-shop.myshopify.com", "token": "shpat_sandbox", "bulk": "never", "page_size": 25},
        "mailchimp": {
            "token": "0123456789abcdef0123456789abcdef-us1", "audience": "a1b2c3d4e5", "ecommerce": "never", "page_size": 25,
        },
        "hubspot": {"token": "pat-eu1-sandbox"},
    }[platform]  # fmt: skip
    common = {
        "base_url": f"{url}/{platform}",
        "timeout_s": 2,
        "tries": 8,
        "max_wait_s": 120,
        "workers": 2,
        "prefix": "Rollcall: ",
    }
    adapter = load(platform)({**settings, **common}, now_utc=clock.now_utc, sleep=time.sleep)
    translate = normalize.Normalizer(normalize.load_mapping(platform), {}, clock.now_utc().date())
    with Store(store_path, threads=1) as store:
        run = runs.begin(store, "torture")
        counts = pull.pull(store, adapter, translate, run, commit_records=1)
    print(json.dumps([vars(c) for c in counts]))


if __name__ == "__main__":
    main(*sys.argv[1:])
