"""Two processes of one owner pull one account at the same moment: two configurations, two stores, one set of limits.

Neither knows of the other; each sees by the platform's answers that somebody else is there, and both end with the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from connector.sandbox.base import Limits, Request, Response
from connector.sandbox.server import Sandbox
from tests.torture.account import PLATFORMS, Told, differences
from tests.torture.drama import VICTIM
from tests.torture.world import shop

SETTINGS: dict[str, dict[str, Any]] = {
    "shopify": {"page_size": 250},
    "mailchimp": {"page_size": 10, "workers": 10},
    "hubspot": {"workers": 4},
}
CUSTOMERS = {"shopify": 400, "mailchimp": 250, "hubspot": 1300}
MOST_REFUSED = {"shopify": 0.15, "mailchimp": 0.05, "hubspot": 0.05}
"""Shopify's THROTTLED costs nothing but the wait; of HubSpot's day no more than 5 % should be errors."""
FEW = 12


@dataclass
class Watch:
    """What the platform was asked and how often it refused."""

    asked: int = 0
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def around(self, handle: Any) -> Any:
        def handled(request: Request) -> Response:
            response: Response = handle(request)
            with self.lock:
                self.asked += 1
                self.refused += response.status == 429 or b'"THROTTLED"' in response.body
            return response

        return handled


def pulls(platform: str, url: str, store: Path) -> subprocess.Popen[str]:
    settings = json.dumps({**SETTINGS[platform], "is_patient": True, "timeout_s": 30})
    command = [sys.executable, str(VICTIM), platform, url, str(store), settings]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def told(process: subprocess.Popen[str]) -> Told:
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err[-2000:]
    streams, error = json.loads(out)
    return Told(streams, error)


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_two_processes_pull_one_account_at_the_same_moment_and_both_have_all_of_it(platform: str, tmp_path: Path) -> None:
    watch = Watch()
    with Sandbox(shop(CUSTOMERS[platform], 6, 4), limits=Limits(on=True)) as box:
        simulator: Any = box.simulators[platform]
        if platform == "mailchimp":
            simulator.switches.latency_s = 0.05  # its only limit is on what runs at once
        simulator.handle = watch.around(simulator.handle)
        stores = [tmp_path / "one.duckdb", tmp_path / "other.duckdb"]
        first, second = [told(p) for p in [pulls(platform, box.url, store) for store in stores]]
        print(f"\n{platform}: {watch.asked} requests of two processes, {watch.refused} refused")
        assert first.is_complete and second.is_complete, (first, second)
        assert differences(*stores) == []
        assert watch.refused <= max(FEW, watch.asked * MOST_REFUSED[platform])
