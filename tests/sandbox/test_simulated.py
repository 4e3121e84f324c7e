"""The test helper lets requests reach a simulator without a socket."""

from __future__ import annotations

import requests
import responses

from connector.sandbox.shopify import TOKEN
from tests.sandbox.shopify_calls import Client
from tests.simulated import simulated


@responses.activate
def test_requests_reach_the_simulator_in_the_process() -> None:
    client = Client()
    url = simulated("shopify", client.simulator)
    path = f"{url}/admin/api/2026-10/graphql.json"
    answer = requests.post(path, json={"query": "{shop{name}}"}, headers={"X-Shopify-Access-Token": TOKEN}, timeout=5)
    assert answer.json()["data"] == {"shop": {"name": "Small shop"}}
    assert answer.headers["Date"] == "Sat, 21 Nov 2026 12:00:00 GMT"
    assert requests.get(f"{url}/bulk/nothing.jsonl", timeout=5).status_code == 404
