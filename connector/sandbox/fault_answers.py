"""What a fault says where it says anything: the platform's own words, a proxy's page, or bytes that mean nothing."""

from __future__ import annotations

from typing import Any

from connector.sandbox.base import Clock, Response

ELSEWHERE = "https://shop-moved.example/"
MOVING_S = 3600
HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json; charset=utf-8"}
GARBAGE = bytes((31, 139, 8, 0)) + b"these bytes were never packed" * 3
"""Begins like gzip and is none."""


def answer(platform: str, kind: str, clock: Clock, hint_s: float | None = None) -> Response:
    """The answer of a fault that has one. hint_s: what Retry-After asks for instead of the platform's own number."""
    made = _answer(platform, kind, f"{clock().timestamp():.6f}")
    if hint_s is None or kind == "477":
        return made
    return Response(made.status, {**made.headers, "Retry-After": f"{hint_s:g}"}, made.body)


def _answer(platform: str, kind: str, reference: str) -> Response:
    if kind in ("502", "503", "html"):
        words = {"502": "502 Bad Gateway", "503": "Service Unavailable", "html": "Please wait while we check your browser"}[
            kind
        ]
        page = f"<html><head><title>{words}</title></head><body><center><h1>{words}</h1></center></body></html>"
        return Response(200 if kind == "html" else int(kind), HTML, page.encode())
    if kind == "gzip":
        return Response(200, {**JSON, "Content-Encoding": "gzip"}, GARBAGE)
    if kind == "empty":
        return Response(200, JSON)
    if kind == "redirect":
        return Response(302, {"Location": ELSEWHERE})
    if kind == "403":
        denied = b"<HTML><HEAD><TITLE>Access Denied</TITLE></HEAD><BODY><H1>Access Denied</H1>Reference #18.0</BODY></HTML>"
        return Response(403, HTML, denied)
    return _ANSWERS[platform](kind, reference)


def _shopify(kind: str, reference: str) -> Response:
    if kind == "429":
        body = {"errors": "Exceeded 2 calls per second for api client. Reduce request rates to resume uninterrupted service."}
        return Response.json(body, 429, {"Retry-After": "1.0"})
    if kind == "throttled":
        status = {"maximumAvailable": 2000.0, "currentlyAvailable": 1900, "restoreRate": 100.0}
        cost = {"requestedQueryCost": 1950, "actualQueryCost": None, "throttleStatus": status}
        problem = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        return Response.json({"errors": [problem], "extensions": {"cost": cost}})
    return Response.json({"errors": "Internal Server Error"}, 500)


def _mailchimp(kind: str, reference: str) -> Response:
    titles = {"429": ("TooManyRequests", "You have exceeded the limit of 10 simultaneous connections."),
              "500": ("Internal Server Error", "An unexpected internal error has occurred.")}  # fmt: skip
    title, detail = titles[kind]
    body = {
        "type": "https://mailchimp.com/developer/marketing/docs/errors/",
        "title": title,
        "status": int(kind),
        "detail": detail,
        "instance": reference,
    }
    return Response.json(body, int(kind), {"Content-Type": "application/problem+json; charset=utf-8"})


def _hubspot(kind: str, reference: str) -> Response:
    body: dict[str, Any] = {"status": "error", "correlationId": reference}
    if kind == "477":
        return Response.json({**body, "message": "The account is being migrated"}, 477, {"Retry-After": str(MOVING_S)})
    if kind == "429":
        body |= {
            "message": "You have reached your ten_secondly_rolling limit.",
            "errorType": "RATE_LIMIT",
            "policyName": "TEN_SECONDLY_ROLLING",
            "groupName": "publicapi:crm",
            "requestId": reference,
        }
    else:
        body |= {"message": "internal error", "category": "INTERNAL_ERROR"}
    return Response.json(body, int(kind))


_ANSWERS = {"shopify": _shopify, "mailchimp": _mailchimp, "hubspot": _hubspot}
