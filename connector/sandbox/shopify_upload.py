"""Files sent to the simulated shop for bulk mutations: a multipart form whose file comes last."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from connector.sandbox.base import Request, Response

if TYPE_CHECKING:
    from connector.sandbox.shopify import ShopifySimulator

LARGEST = 100 * 1024 * 1024


def receive(simulator: ShopifySimulator, request: Request) -> Response:
    """Keep the file under its key. Parameters behind the file do not count, so a wrong order is refused."""
    boundary = re.search(r'boundary="?([^";]+)"?', request.headers.get("content-type", ""))
    if request.method != "POST" or boundary is None:
        return _problem("InvalidArgument", "The body must be a multipart form.")
    given: dict[str, bytes] = {}
    for name, is_file, content in _parts(request.body, boundary.group(1).encode()):
        if is_file:
            return _keep(simulator, given, content)
        given[name] = content
    return _problem("InvalidArgument", "The form holds no file.")


def _keep(simulator: ShopifySimulator, given: dict[str, bytes], content: bytes) -> Response:
    key = given.get("key", b"").decode()
    if key not in simulator.expected_uploads or "policy" not in given or "x-goog-signature" not in given:
        return _problem("AccessDenied", "The parameters do not stand before the file, or were not given by us.", 403)
    if len(content) > LARGEST:
        return _problem("EntityTooLarge", "The file is larger than 100 MB.")
    simulator.uploads[key] = content
    xml = f"<PostResponse><Key>{key}</Key></PostResponse>"
    return Response(201, {"Content-Type": "application/xml"}, xml.encode())


def _parts(body: bytes, boundary: bytes) -> list[tuple[str, bool, bytes]]:
    """(name, is a file, content) of each part, in order."""
    found = []
    for part in body.split(b"--" + boundary)[1:]:
        head, mark, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'[ ;]name="([^"]*)"', head)
        if mark and name:
            found.append((name.group(1).decode(), b'filename="' in head, content.removesuffix(b"\r\n")))
    return found


def _problem(code: str, message: str, status: int = 400) -> Response:
    xml = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Response(status, {"Content-Type": "application/xml"}, xml.encode())
