"""Many tag changes as one job: an uploaded file with a line per customer, and a result file read by line number.

A job takes no points of the cost bucket except for starting and looking, so it pays above some 300 changes. The result
tells each line's fate; a line it does not tell is looked up on the customer. Adding and removing are two jobs.
https://shopify.dev/docs/api/usage/bulk-operations/imports
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any

import orjson
import requests

from adapters import shopify_documents as documents
from adapters.answers import is_loopback, loads, origin
from adapters.midway import told_or_unclear
from adapters.patience import LOOK_HOLDS
from adapters.shopify_api import ShopifyApi
from adapters.shopify_bulk import POLL_FIRST_S, POLL_GROWTH, POLL_MOST_S, RUNNING
from adapters.shopify_documents import customer_gid, gid_number
from models.errors import AmbiguousWriteError, ApiError, PermanentApiError, RetryableApiError, ScopeError

log = logging.getLogger(__name__)

WORTH_IT = 300
MOST_POLLS = 400
LATE_POLLS = 40
"""Of a job that an earlier try, or an earlier run, began and never saw the end of."""
UPLOAD_TRIES = 4
UPLOAD_TIMEOUT_S = (10.0, 120.0)
STAGE = {"resource": "BULK_MUTATION_VARIABLES", "filename": "tags.jsonl", "mimeType": "text/jsonl", "httpMethod": "POST"}


class NotAsJob(Exception):
    """Nothing was written: the changes must go out as ordinary requests."""


class BulkTags:
    """`run` carries out one kind of change for many customers and says what became of each."""

    def __init__(self, api: ShopifyApi, sleep: Callable[[float], None]) -> None:
        self.api, self._sleep = api, sleep

    def run(self, kind: str, name: str, contact_ids: Sequence[str], mark: str) -> dict[str, dict[str, Any]]:
        """contact id -> the mutation's answer for it; ids the result does not tell are left out.

        Raises NotAsJob before anything was written, AmbiguousWriteError when the job's end is not known.
        """
        document = _document(kind, mark)
        try:
            path = self._upload(b"".join(_line(contact_id, name) for contact_id in contact_ids))
        except ScopeError:
            raise
        except ApiError as e:
            raise NotAsJob(f"the list could not be uploaded ({e.code or e.status or 'no answer'})") from e
        operation = self._start(document, path)
        with told_or_unclear(lambda: True):
            job = self._finished(operation)
            if not job.get("url"):
                log.warning("shopify: a job of tag changes ended as %s without a result", job.get("status"))
                return {}
            return self._answers(kind, self.api.http.download(str(job["url"])), contact_ids)

    def _start(self, document: str, path: str) -> str:
        variables = {"mutation": document, "path": path}
        try:
            result = self.api.ask(documents.BULK_MUTATE, variables, cost=10, repeatable=False, holds=LOOK_HOLDS)[
                "bulkOperationRunMutation"
            ]
        except AmbiguousWriteError:
            found = self._mine(document)
            if not found:
                raise
            return str(found[0]["id"])
        except ScopeError:
            raise
        except PermanentApiError as e:
            raise NotAsJob(f"Shopify refused the job ({e.code})") from e
        errors, operation = result.get("userErrors") or [], result.get("bulkOperation")
        if errors or not operation:
            raise NotAsJob(f"Shopify refused the job ({(errors or [{}])[0].get('code') or 'no code'})")
        return str(operation["id"])

    def let_end(self, mark: str) -> None:
        """Wait for jobs of this mark that still run: what they have yet to change cannot be read back before. Raises
        AmbiguousWriteError when they do not end in time."""
        texts = {_document(kind, mark).strip() for kind in ("add", "remove")}
        for job in self._jobs():
            if str(job.get("query") or "").strip() in texts and str(job.get("status") or "").upper() in RUNNING:
                self._finished(str(job["id"]), LATE_POLLS)

    def _jobs(self) -> list[dict[str, Any]]:
        return [j for j in self.api.ask(documents.BULK_MUTATIONS)["bulkOperations"]["nodes"] if j]

    def _mine(self, document: str) -> list[dict[str, Any]]:
        """The jobs with exactly our document, mark and all; newest first."""
        return [j for j in self._jobs() if str(j.get("query") or "").strip() == document.strip()]

    def _finished(self, operation: str, polls: int = MOST_POLLS) -> dict[str, Any]:
        wait_s = POLL_FIRST_S
        for _ in range(polls):
            try:
                job: dict[str, Any] = self.api.ask(documents.BULK_POLL, {"id": operation})["bulkOperation"] or {}
            except RetryableApiError as e:
                raise AmbiguousWriteError(
                    "Shopify did not say how a job of tag changes ended.", platform="shopify", code=e.code, status=e.status
                ) from e
            if str(job.get("status") or "GONE").upper() not in RUNNING:
                return job
            self._sleep(wait_s)
            wait_s = min(POLL_MOST_S, wait_s * POLL_GROWTH)
        raise AmbiguousWriteError("A job of tag changes did not end in time.", platform="shopify")

    def _answers(self, kind: str, body: bytes, contact_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """By the customer named in the answer, else by the line number the answer carries; never by position."""
        action, known, found, nameless = "tagsAdd" if kind == "add" else "tagsRemove", set(contact_ids), {}, []
        shift = 0
        for line in body.splitlines():
            try:
                row = loads(line)
            except ValueError:
                continue
            number = row.get("__lineNumber")
            answer = (row.get("data") or {}).get(action) or {"userErrors": row.get("errors") or []}
            contact_id = gid_number((answer.get("node") or {}).get("id") or "")
            if contact_id in known:
                found[contact_id] = answer
                if isinstance(number, int) and 0 < number <= len(contact_ids) and contact_ids[number - 1] == contact_id:
                    shift = 1
            elif isinstance(number, int):
                nameless.append((number, answer))
        for number, answer in nameless:
            if 0 <= number - shift < len(contact_ids):
                found.setdefault(contact_ids[number - shift], answer)
        return found

    def _upload(self, content: bytes) -> str:
        """Put the file where Shopify says; the path that names it. The token does not go there."""
        answer = self.api.ask(documents.STAGE, {"input": [STAGE]}, cost=10)["stagedUploadsCreate"]
        targets = answer.get("stagedTargets") or []
        if answer.get("userErrors") or not targets:
            raise PermanentApiError("Shopify gave no place for an upload.", platform="shopify", code="STAGED_UPLOAD")
        url, parameters = str(targets[0]["url"]), {str(p["name"]): str(p["value"]) for p in targets[0]["parameters"]}
        if not (url.startswith("https://") or is_loopback(url) or origin(url) == origin(self.api.http.base_url)):
            raise PermanentApiError(
                "Shopify named an upload place that is not https.", platform="shopify", code="STAGED_UPLOAD"
            )
        head, body = form(parameters, "tags.jsonl", content)
        for left in reversed(range(UPLOAD_TRIES)):
            status = _post(url, body, head)
            if 200 <= status < 300:
                return parameters["key"]
            if 400 <= status < 500 and status not in (408, 429):
                break
            if left:
                self._sleep(POLL_FIRST_S)
        raise RetryableApiError("The list of tag changes could not be uploaded.", platform="shopify", status=status)


def _document(kind: str, mark: str) -> str:
    return documents.write_tag(kind, f"rollcall tags {mark} {kind}")


def _line(contact_id: str, name: str) -> bytes:
    return orjson.dumps({"id": customer_gid(contact_id), "tags": [name]}, option=orjson.OPT_APPEND_NEWLINE)


def form(parameters: dict[str, str], filename: str, content: bytes) -> tuple[str, bytes]:
    """Content type and body of a multipart form: every parameter first, the file last, as the storage demands."""
    mark = secrets.token_hex(16)
    parts = [_part(mark, f'name="{name}"', value.encode()) for name, value in parameters.items()]
    parts.append(_part(mark, f'name="file"; filename="{filename}"\r\nContent-Type: text/jsonl', content))
    return f"multipart/form-data; boundary={mark}", b"".join([*parts, f"--{mark}--\r\n".encode()])


def _part(mark: str, head: str, content: bytes) -> bytes:
    return f"--{mark}\r\nContent-Disposition: form-data; {head}\r\n\r\n".encode() + content + b"\r\n"


def _post(url: str, body: bytes, content_type: str) -> int:
    """The status; 0 when there was no answer. Nothing of ours but the form goes there, and no redirect is followed."""
    with requests.Session() as session:
        if is_loopback(url):
            session.trust_env = False
        else:
            session.auth = _no_auth
        try:
            headers = {"Content-Type": content_type}
            return session.post(url, body, headers=headers, timeout=UPLOAD_TIMEOUT_S, allow_redirects=False).status_code
        except requests.RequestException as e:
            log.debug("an upload failed: %s", type(e).__name__)
            return 0


def _no_auth(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Keeps .netrc out of it, while proxies and certificates of the environment stay."""
    return request
