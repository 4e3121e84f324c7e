"""Where an OAuth token without a data centre belongs, asked of Mailchimp's login host only.

The one host https://api.mailchimp.com serves every account today; where it refuses a token, the older way is tried.
Docs: https://mailchimp.com/developer/marketing/guides/access-user-data-oauth-2/
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from adapters.http import Http

LOGIN = "https://login.mailchimp.com/oauth2"
DATA_CENTRE = re.compile(r"[a-z]{2}[0-9]+")


def data_centre_of(token: str, *, now_utc: Callable[[], datetime], sleep: Callable[[float], None]) -> str:
    """'us6' of the token's account; '' when the token is not valid (any more).

    The metadata call answers 200 for a bad token too: what it lacks then is `api_endpoint`. That address itself is never
    used, so that no answer can move the token to another host.
    """
    http = Http(
        LOGIN,
        platform="mailchimp",
        headers=lambda: {"Authorization": f"OAuth {token}"},
        timeout_s=30,
        connect_timeout_s=10,
        tries=3,
        max_wait_s=60,
        sleep=sleep,
        now_utc=now_utc,
        explain=lambda response: None,
        workers=1,
    )
    body = http.json(http.get("metadata"))
    centre = str(body.get("dc") or "") if isinstance(body, dict) and body.get("api_endpoint") else ""
    return centre if DATA_CENTRE.fullmatch(centre) else ""
