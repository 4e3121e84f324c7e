"""Customer tags: who carries one, and adding and taking them away in aliased requests.

Shopify compares tags without case and keeps the first spelling. The search index trails the customers, so what counts
is always the customer itself, read by its id.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from adapters import shopify_documents as documents
from adapters.http import scrub
from adapters.midway import told_or_unclear
from adapters.paging import Chain
from adapters.patience import LOOK_HOLDS
from adapters.shopify_api import ShopifyApi
from adapters.shopify_bulk_tags import WORTH_IT, BulkTags, NotAsJob
from adapters.shopify_documents import customer_gid, gid_number
from adapters.shopify_nodes import by_ids
from adapters.shopify_walk import CHAIN_ROWS, Size, sized
from models.changes import Batch, Member, Observed, Outcome, OutcomeKind, Target
from models.errors import AmbiguousWriteError, NotSentError

log = logging.getLogger(__name__)

ALIASES = 50
COST_EACH = 10
MOST_TAGS = 245
"""Shopify takes 250 tags a customer; the last few are left to the people in the shop."""
FULL = f"{MOST_TAGS} tags or more already, of the 250 that Shopify allows a customer"

Key = tuple[str, str]
"""A change: its kind and the customer."""


@dataclass
class _Known:
    """What is known of a batch that is under way. sent: whom a request reached, one after the other."""

    outcomes: dict[Key, Outcome] = field(default_factory=dict)
    sent: list[str] = field(default_factory=list)


class Tags:
    """The tag side of the adapter."""

    def __init__(self, api: ShopifyApi, sleep: Callable[[float], None], *, chain_rows: int = 0, bulk: str = "auto") -> None:
        self.api, self._sleep = api, sleep
        self._chain_rows = chain_rows or CHAIN_ROWS
        self._jobs_from = {"always": 1, "never": None}.get(bulk, WORTH_IT)

    def observe(self, targets: Sequence[Target], maybe: dict[str, frozenset[str]]) -> list[Observed]:
        """Search finds whom we did not expect; the read by id decides, for those and for whom we did expect."""
        candidates = {t: set(self._search(t.name)) | maybe.get(t.segment, frozenset()) for t in targets}
        everybody = sorted(set().union(*candidates.values())) if candidates else []
        spellings: dict[str, str] = {}
        members: dict[str, set[str]] = {t.name.casefold(): set() for t in targets}
        full: dict[str, str] = {}
        for contact_id, tags in self.tags_of(everybody):
            if len(tags or ()) >= MOST_TAGS:
                full[contact_id] = FULL
            for tag in tags or ():
                if tag.casefold() in members:
                    members[tag.casefold()].add(contact_id)
                    spellings.setdefault(tag.casefold(), tag)
        return [self._observed(t, members[t.name.casefold()], spellings.get(t.name.casefold(), ""), full) for t in targets]

    def _observed(self, target: Target, members: set[str], spelling: str, full: dict[str, str]) -> Observed:
        """A tag that nobody carries cannot be told from one that was deleted: one of ours is there all the same."""
        exists = bool(members or target.object_id)
        return Observed(
            target, exists, target.name if exists else "", spelling or target.name, members=frozenset(members), closed_to=full
        )

    def tags_of(self, contact_ids: Iterable[str]) -> Iterator[tuple[str, list[str] | None]]:
        """(contact id, tags), None for a customer who does not exist."""
        for found in by_ids(self.api, documents.TAGS_OF, contact_ids):
            for contact_id, node in found.items():
                yield contact_id, list(node.get("tags") or []) if node else None

    def _search(self, name: str) -> Iterator[str]:
        """Ids of the customers that the index finds; a new chain, above the last id, before the chain grows too long."""
        size, after, above, rows = Size(), None, "", 0
        chain = Chain("Shopify's tagged customers", "shopify")
        while True:
            variables = {"after": after, "query": documents.tagged(name, above)}
            found = sized(self.api, size, documents.TAGGED, variables)["customers"]
            ids = [gid_number(n["id"]) for n in found["nodes"] if n]
            yield from ids
            rows += len(ids)
            after = chain.next(found["pageInfo"]["endCursor"]) if found["pageInfo"]["hasNextPage"] else None
            if not after:
                return
            if rows >= self._chain_rows and ids:
                after, above, rows = None, ids[-1], 0
                chain = Chain(chain.what, chain.platform)

    def apply(self, batch: Batch) -> list[Outcome]:
        """One outcome a change, in the order adds, removes.

        The customers are read first: who is gone, full, or already as wished costs no write. A request whose answer is lost
        is not repeated blindly: somebody may have put the tag on, or on again, in between. What was seen before, and whom no
        request was about, goes along with the error.
        """
        known, asked = _Known(), set[str]()
        try:
            with told_or_unclear(lambda: bool(known.sent)):
                return self._applied(batch, known, asked)
        except (AmbiguousWriteError, NotSentError) as e:
            e.told = tuple(o for o in known.outcomes.values() if o.result != "unknown")
            if isinstance(e, AmbiguousWriteError):
                e.unreached = frozenset(m.contact_id for m in (*batch.adds, *batch.removes)) - asked
            else:
                e.told += tuple(o for o in known.outcomes.values() if o.result == "unknown" and o.contact_id in known.sent)
            raise

    def _applied(self, batch: Batch, known: _Known, asked: set[str]) -> list[Outcome]:
        """asked: is given whom a request is about, before it is sent."""
        began = self.api.now_utc()
        todo = self._looked_at(batch.target.name, _keys(batch), known)
        settled: set[Key] = set()
        for outcome in self._as_jobs(batch, todo, known.sent, asked):
            known.outcomes[outcome.kind, outcome.contact_id] = outcome
            settled.add((outcome.kind, outcome.contact_id))
        todo = [key for key in todo if key not in settled]
        for start in range(0, len(todo), ALIASES):
            some = todo[start : start + ALIASES]
            if not timedelta(0) <= self.api.now_utc() - began < LOOK_HOLDS:
                some = self._looked_at(batch.target.name, some, known)
            asked |= {c for _, c in some}
            for outcome in self._write(batch.target.name, some) if some else ():
                known.outcomes[outcome.kind, outcome.contact_id] = outcome
                known.sent.append(outcome.contact_id)
        return [known.outcomes[key] for key in _keys(batch)]

    def _looked_at(self, name: str, changes: Sequence[Key], known: _Known) -> list[Key]:
        """Those of the changes that are to be written, by a look at the customers."""
        now = dict(self.tags_of(c for _, c in changes))
        known.outcomes |= {(kind, c): _before(kind, c, name, now[c]) for kind, c in changes}
        return [key for key in changes if known.outcomes[key].result == "unknown"]

    def let_jobs_end(self, batch: Batch) -> None:
        """A job goes on at Shopify whatever became of the run that began it."""
        BulkTags(self.api, self._sleep).let_end(batch.batch_id)

    def _as_jobs(self, batch: Batch, todo: list[Key], sent: list[str], asked: set[str]) -> Iterator[Outcome]:
        """The outcomes of what was worth a job of its own; the rest, and what a job could not begin with, is left over."""
        for kind in ("add", "remove"):
            contact_ids = [c for k, c in todo if k == kind]
            if self._jobs_from is None or len(contact_ids) < self._jobs_from:
                continue
            asked |= set(contact_ids)
            try:
                answers = BulkTags(self.api, self._sleep).run(kind, batch.target.name, contact_ids, batch.batch_id)
            except NotAsJob as e:
                log.info("shopify: tag changes go out one request at a time: %s", e)
                asked -= set(contact_ids)
                continue
            sent += contact_ids
            for contact_id, answer in answers.items():
                yield _after(kind, contact_id, batch.target.name, answer)
            for contact_id, tags in self.tags_of(c for c in contact_ids if c not in answers):
                yield _looked_up(kind, contact_id, batch.target.name, tags)

    def _write(self, name: str, todo: list[Key]) -> Iterator[Outcome]:
        adds = [c for kind, c in todo if kind == "add"]
        removes = [c for kind, c in todo if kind == "remove"]
        named = {f"a{i}": ("add", c) for i, c in enumerate(adds)} | {f"r{i}": ("remove", c) for i, c in enumerate(removes)}
        variables = {"tags": [name], **{alias: customer_gid(c) for alias, (_, c) in named.items()}}
        document = documents.write_tags(len(adds), len(removes))
        data = self.api.ask(document, variables, cost=COST_EACH * len(named), repeatable=False, holds=LOOK_HOLDS)
        for alias, (kind, contact_id) in named.items():
            yield _after(kind, contact_id, name, data.get(alias) or {})


def _keys(batch: Batch) -> list[Key]:
    return [("add", m.contact_id) for m in batch.adds] + [("remove", m.contact_id) for m in batch.removes]


def _outcome(kind: str, contact_id: str, result: OutcomeKind, reason: str = "") -> Outcome:
    return Outcome(contact_id, "add" if kind == "add" else "remove", result, reason)


def has(tags: Iterable[str], name: str) -> bool:
    return any(tag.casefold() == name.casefold() for tag in tags)


def _before(kind: str, contact_id: str, name: str, tags: list[str] | None) -> Outcome:
    """'unknown' means: to be written."""
    if tags is None:
        return _outcome(kind, contact_id, "missing", "the customer no longer exists in Shopify")
    if has(tags, name) == (kind == "add"):
        return _outcome(kind, contact_id, "already")
    if kind == "add" and len(tags) >= MOST_TAGS:
        return _outcome(kind, contact_id, "refused", f"the customer has {len(tags)} tags; Shopify allows 250")
    return _outcome(kind, contact_id, "unknown")


def _after(kind: str, contact_id: str, name: str, answer: dict[str, Any]) -> Outcome:
    errors = answer.get("userErrors") or []
    if errors:
        message = str(errors[0].get("message") or "")
        # UserError has no code; this is the one wording for a deleted or merged customer.
        if "does not exist" in message.lower():
            return _outcome(kind, contact_id, "missing", "the customer no longer exists in Shopify")
        return _outcome(kind, contact_id, "refused", scrub(message)[:200])
    node = answer.get("node")
    if node is None or has(node.get("tags") or [], name) != (kind == "add"):
        return _outcome(kind, contact_id, "unknown", "Shopify did not show the change")
    return _outcome(kind, contact_id, "done")


def _looked_up(kind: str, contact_id: str, name: str, tags: list[str] | None) -> Outcome:
    """What the customer shows, where the write itself gave no answer."""
    if tags is not None and has(tags, name) == (kind == "add"):
        return _outcome(kind, contact_id, "done")
    found = _before(kind, contact_id, name, tags)
    return found if found.result != "unknown" else _outcome(kind, contact_id, "unknown", "Shopify did not show the change")


def read_back(tags: Tags, batch: Batch) -> Iterator[tuple[str, bool]]:
    """(contact id, carries the tag now) for everybody of the batch."""
    members: tuple[Member, ...] = (*batch.adds, *batch.removes)
    for contact_id, found in tags.tags_of(m.contact_id for m in members):
        yield contact_id, has(found or (), batch.target.name)
