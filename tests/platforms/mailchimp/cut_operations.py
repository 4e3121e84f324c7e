"""Cut what we use out of Mailchimp's published description, for machines that do not have it.

    python tests/platforms/mailchimp/cut_operations.py PATH/marketing.json

Writes operations.json beside this file: the operations we call, their parameters, and what their bodies may hold.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

OPERATIONS = Path(__file__).with_name("operations.json")
USED = {
    "/": ("get",),
    "/lists": ("get",),
    "/lists/{list_id}": ("get",),
    "/lists/{list_id}/members": ("get",),
    "/lists/{list_id}/members/{subscriber_hash}": ("get", "patch"),
    "/lists/{list_id}/members/{subscriber_hash}/tags": ("get", "post"),
    "/lists/{list_id}/members/{subscriber_hash}/events": ("post",),
    "/lists/{list_id}/merge-fields": ("get", "post"),
    "/lists/{list_id}/interest-categories": ("get",),
    "/lists/{list_id}/interest-categories/{interest_category_id}/interests": ("get",),
    "/lists/{list_id}/segments": ("get", "post"),
    "/lists/{list_id}/segments/{segment_id}": ("get", "post"),
    "/lists/{list_id}/segments/{segment_id}/members": ("get",),
    "/lists/{list_id}/abuse-reports": ("get",),
    "/campaigns": ("get",),
    "/reports": ("get",),
    "/reports/{campaign_id}/email-activity": ("get",),
    "/reports/{campaign_id}/unsubscribed": ("get",),
    "/batches": ("post",),
    "/batches/{batch_id}": ("get",),
    "/ecommerce/stores": ("get",),
    "/ecommerce/stores/{store_id}/orders": ("get",),
    "/ecommerce/stores/{store_id}/products": ("get",),
    "/ecommerce/stores/{store_id}/carts": ("get",),
}


def cut(spec: dict[str, Any]) -> dict[str, Any]:
    """The same shape as the description, as small as the tests can do with."""
    paths = {p: {m: {"parameters": [_parameter(x) for x in spec["paths"][p][m]["parameters"]]} for m in USED[p]} for p in USED}
    return {"version": spec["info"]["version"], "paths": paths}


def _parameter(given: dict[str, Any]) -> dict[str, Any]:
    kept = {k: given[k] for k in ("name", "in", "type", "enum", "maximum") if k in given}
    return {**kept, "schema": _schema(given["schema"])} if "schema" in given else kept


def _schema(given: dict[str, Any]) -> dict[str, Any]:
    """Types, words and names only; `options`, which makes a computed segment, is never sent and left out."""
    kept = {k: given[k] for k in ("type", "enum", "required") if k in given}
    if "items" in given:
        kept["items"] = _schema(given["items"])
    if "properties" in given:
        kept["properties"] = {k: _schema(v) for k, v in sorted(given["properties"].items()) if k != "options"}
    return kept


if __name__ == "__main__":
    found = cut(json.loads(Path(sys.argv[1]).read_bytes()))
    OPERATIONS.write_text(json.dumps(found, indent=1) + "\n")
