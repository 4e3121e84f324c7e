"""The mutations of the simulated shop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from connector.sandbox import shopify_bulk as bulk
from connector.sandbox.shopify_metafields import METAFIELDS
from connector.sandbox.shopify_objects import CustomerNode, hash_text, time_text
from connector.sandbox.shopify_request import Context, Refused
from connector.sandbox.shopify_segments import members_query_create
from connector.sandbox.shopify_state import lag

TAGS_AT_MOST = 250
TAG_LENGTH = 255
GONE = "Customer does not exist"


def _user_error(field: list[str] | None, message: str, **more: Any) -> dict[str, Any]:
    return {"__typename": "UserError", "field": field, "message": message, **more}


def _customer(ctx: Context, gid: str) -> CustomerNode | None:
    known = ctx.shop.world.by_id.get(gid)
    return known if isinstance(known, CustomerNode) else None


def _must_write(ctx: Context, payload: str) -> bool:
    if "write_customers" in ctx.scopes:
        return True
    ctx.deny(ctx.path, payload, "write_customers")
    return False


def split_tags(texts: list[str]) -> list[str]:
    """A comma separates tags wherever it stands; they are trimmed, empty ones are dropped."""
    return [part.strip() for text in texts for part in text.split(",") if part.strip()]


def tags_add(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    if not _must_write(ctx, "tagsAdd"):
        return None
    customer = _customer(ctx, args["id"])
    if customer is None:
        return {"node": None, "userErrors": [_user_error(["id"], GONE)]}
    wanted = split_tags(args["tags"])
    if any(len(tag) > TAG_LENGTH for tag in wanted):
        return {"node": customer, "userErrors": [_user_error(["tags"], "Tags is too long (maximum is 255 characters)")]}
    known = {tag.casefold() for tag in customer.tags}
    new: list[str] = []
    for tag in wanted:
        if tag.casefold() not in known:
            known.add(tag.casefold())
            new.append(tag)
    if len(known) > TAGS_AT_MOST:
        return {"node": customer, "userErrors": [_user_error(["tags"], "Tags cannot be more than 250")]}
    if new:
        _retag(ctx, customer, sorted([*customer.tags, *new], key=str.casefold))
        for tag in new:
            ctx.shop.effect("tag_added", tag, customer.id)
            ctx.shop.started(tag, customer.id)
    return {"node": customer, "userErrors": []}


def tags_remove(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    if not _must_write(ctx, "tagsRemove"):
        return None
    customer = _customer(ctx, args["id"])
    if customer is None:
        return {"node": None, "userErrors": [_user_error(["id"], GONE)]}
    gone = {tag.casefold() for tag in split_tags(args["tags"])}
    leaving = [tag for tag in customer.tags if tag.casefold() in gone]
    if leaving:
        _retag(ctx, customer, [tag for tag in customer.tags if tag.casefold() not in gone])
        for tag in leaving:
            ctx.shop.effect("tag_removed", tag, customer.id)
    return {"node": customer, "userErrors": []}


def _retag(ctx: Context, customer: CustomerNode, tags: list[str]) -> None:
    lag(ctx.shop, customer)
    customer.tags = tags
    _touch(ctx, customer)


def _touch(ctx: Context, customer: CustomerNode) -> None:
    lag(ctx.shop, customer)
    customer.updated_at = ctx.now
    ctx.shop.lists["customers"].changed()


def customer_update(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    """tags replaces the whole list, as on the real platform; consent is refused here."""
    if not _must_write(ctx, "customerUpdate"):
        return None
    wanted = args["input"]
    customer = _customer(ctx, wanted.get("id") or "")
    if customer is None:
        return {"customer": None, "userErrors": [_user_error(["id"], GONE)]}
    for name in ("emailMarketingConsent", "smsMarketingConsent"):
        if name in wanted:
            message = f"To update {name}, please use the {name[0].upper() + name[1:]}Update Mutation instead"
            return {"customer": None, "userErrors": [_user_error([name], message)]}
    if "tags" in wanted:
        tags = {tag.casefold(): tag for tag in reversed(split_tags(wanted["tags"]))}
        if len(tags) > TAGS_AT_MOST:
            return {"customer": None, "userErrors": [_user_error(["tags"], "Tags cannot be more than 250")]}
        _retag(ctx, customer, sorted(tags.values(), key=str.casefold))
    source = customer.source
    source.first_name = wanted.get("firstName", source.first_name) or ""
    source.last_name = wanted.get("lastName", source.last_name) or ""
    customer.note = wanted.get("note", customer.note) or ""
    _touch(ctx, customer)
    ctx.shop.effect("customer_updated", ",".join(sorted(set(wanted) - {"id"})), customer.id)
    return {"customer": customer, "userErrors": []}


def consent_update(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    if not _must_write(ctx, "customerEmailMarketingConsentUpdate"):
        return None
    wanted = args["input"]
    customer = _customer(ctx, wanted["customerId"])
    if customer is None:
        return {"customer": None, "userErrors": [_user_error(["input", "customerId"], GONE, code="INVALID")]}
    state = wanted["emailMarketingConsent"]["marketingState"]
    if state not in ("SUBSCRIBED", "UNSUBSCRIBED", "PENDING"):
        message = f"Cannot specify {state} as a marketing state input"
        return {"customer": None, "userErrors": [_user_error(["input", "emailMarketingConsent"], message, code="INVALID")]}
    customer.consent, customer.consent_at = state, ctx.now
    _touch(ctx, customer)
    ctx.shop.effect("consent_set", state, customer.id)
    return {"customer": customer, "userErrors": []}


def segment_create(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    """A name that is taken is not refused but numbered."""
    if not _must_write(ctx, "segmentCreate"):
        return None
    name, query = args["name"], args["query"]
    if not query.strip() or " " not in query.strip():
        word = query.strip() or "?"
        return {
            "segment": None,
            "userErrors": [_user_error(["query"], f"Query Line 1 Column 1: '{word}' filter cannot be found.")],
        }
    if len(name) > 255 or len(query) > 5000:
        return {"segment": None, "userErrors": [_user_error(["name"], "Name is too long (maximum is 255 characters)")]}
    taken = {s["name"] for s in ctx.shop.segments.values()}
    number = 2
    while name in taken:
        name, number = f"{args['name']} ({number})", number + 1
    gid = f"gid://shopify/Segment/{900_000_000_001 + ctx.shop.next_number()}"
    made = {
        "__typename": "Segment", "id": gid, "name": name, "query": query,
        "creationDate": time_text(ctx.now), "lastEditDate": time_text(ctx.now),
    }  # fmt: skip
    ctx.shop.segments[gid] = made
    ctx.shop.effect("segment_created", name, "")
    return {"segment": made, "userErrors": []}


def segment_update(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    if not _must_write(ctx, "segmentUpdate"):
        return None
    known = ctx.shop.segments.get(args["id"])
    if known is None:
        return {"segment": None, "userErrors": [_user_error(["id"], "Segment does not exist")]}
    known |= {key: args[key] for key in ("name", "query") if args.get(key)} | {"lastEditDate": time_text(ctx.now)}
    ctx.shop.effect("segment_updated", known["name"], "")
    return {"segment": known, "userErrors": []}


def segment_delete(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    if not _must_write(ctx, "segmentDelete"):
        return None
    known = ctx.shop.segments.pop(args["id"], None)
    if known is None:
        return {"deletedSegmentId": None, "userErrors": [_user_error(["id"], "Segment does not exist")]}
    ctx.shop.effect("segment_deleted", known["name"], "")
    return {"deletedSegmentId": args["id"], "userErrors": []}


def _slots(ctx: Context, kind: str) -> dict[str, Any] | None:
    for job in ctx.shop.jobs.values():
        job.look(ctx.now)
    running = [j for j in ctx.shop.jobs.values() if j.type == kind and j.status in bulk.OPEN]
    if len(running) < bulk.AT_ONCE:
        return None
    ids = ", ".join(j.id for j in running)
    message = f"The maximum number of bulk {kind.lower()} operations are already in progress: {ids}."
    return _user_error(None, message, code="OPERATION_IN_PROGRESS")


def bulk_query(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
    full = _slots(ctx, "QUERY")
    if full:
        return {"bulkOperation": None, "userErrors": [full]}
    try:
        bulk.check_query(ctx.shop.engine, args["query"])
    except bulk.Rule as e:
        return {"bulkOperation": None, "userErrors": [_user_error(["query"], str(e), code="INVALID")]}
    job = ctx.shop.new_job("QUERY", args["query"])
    inner = Context(ctx.shop, {}, ctx.scopes, ctx.now, is_bulk=True)
    try:
        bulk.run_query(ctx.shop.engine, job, inner, is_grouped=bool(args.get("groupObjects")))
    except Refused:
        job.ends_as, job.error = "FAILED", "INTERNAL_SERVER_ERROR"
    switches = ctx.shop.switches
    if switches.fail_bulk:
        switches.fail_bulk -= 1
        bulk.fail(job, switches.fail_bulk_with)
    return {"bulkOperation": job.answer(ctx.shop.result_url), "userErrors": []}


def bulk_cancel(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
    job = ctx.shop.jobs.get(args["id"])
    if job is None:
        return {"bulkOperation": None, "userErrors": [_user_error(["id"], "Bulk operation does not exist")]}
    if job.status not in bulk.OPEN:
        message = "A bulk operation cannot be canceled when it is completed"
        return {"bulkOperation": job.answer(ctx.shop.result_url), "userErrors": [_user_error(None, message)]}
    job.status = "CANCELING"
    return {"bulkOperation": job.answer(ctx.shop.result_url), "userErrors": []}


def staged_uploads(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
    targets = []
    for one in args["input"]:
        key = f"tmp/60000000001/bulk/{ctx.shop.next_number():08d}/{one['filename']}"
        parameters = {
            "Content-Type": one["mimeType"], "success_action_status": "201", "acl": "private", "key": key,
            "x-goog-signature": f"{hash_text(key):016x}", "policy": "sandbox",
        }  # fmt: skip
        ctx.shop.expected_uploads.add(key)
        rows = [{"name": name, "value": value} for name, value in parameters.items()]
        targets.append({"url": f"{ctx.shop.result_url}/upload", "resourceUrl": None, "parameters": rows})
    return {"stagedTargets": targets, "userErrors": []}


def bulk_mutation(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any]:
    """Runs the mutation once per line of the upload; a line that fails does not stop the others."""
    problem = _slots(ctx, "MUTATION") or _mutation_problem(ctx, args)
    if problem:
        return {"bulkOperation": None, "userErrors": [problem]}
    job = ctx.shop.new_job("MUTATION", args["mutation"])
    out = []
    for number, line in enumerate(ctx.shop.uploads.pop(args["stagedUploadPath"]).splitlines()):
        if not line.strip():
            continue
        try:
            answer = ctx.shop.run(args["mutation"], "", orjson.loads(line), ctx.scopes)
        except orjson.JSONDecodeError:
            answer = {"errors": [{"message": "Invalid JSON"}]}
        except Refused as e:
            answer = {"errors": e.errors}
        row = {key: answer[key] for key in ("data", "errors") if answer.get(key)}
        out.append(orjson.dumps({**row, "__lineNumber": number}))
    job.body = b"\n".join(out) + b"\n"
    job.lines = job.roots = len(out)
    return {"bulkOperation": job.answer(ctx.shop.result_url), "userErrors": []}


def _mutation_problem(ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    try:
        parsed = ctx.shop.engine.parsed(args["mutation"])
    except Refused as e:
        return _user_error(["mutation"], f"Invalid bulk mutation: {e}", code="INVALID_MUTATION")
    top = parsed.operation.selection_set.selections
    if parsed.operation.operation.value != "mutation" or len(top) != 1:
        return _user_error(["mutation"], "You must specify a single top level mutation.", code="INVALID_MUTATION")
    if top[0].name.value.startswith("bulkOperation"):
        return _user_error(["mutation"], "You must use an allowed mutation name.", code="INVALID_MUTATION")
    path = args["stagedUploadPath"]
    if not ctx.shop.uploads.get(path, b"").strip():
        message = (
            "The JSONL file could not be found. Try uploading the file again, and check that you've entered the URL correctly"
        )
        return _user_error(["stagedUploadPath"], message, code="NO_SUCH_FILE")
    return None


MUTATIONS: dict[str, Callable[..., Any]] = {
    "tagsAdd": tags_add,
    "tagsRemove": tags_remove,
    "customerUpdate": customer_update,
    "customerEmailMarketingConsentUpdate": consent_update,
    **METAFIELDS,
    "customerSegmentMembersQueryCreate": members_query_create,
    "segmentCreate": segment_create,
    "segmentUpdate": segment_update,
    "segmentDelete": segment_delete,
    "bulkOperationRunQuery": bulk_query,
    "bulkOperationCancel": bulk_cancel,
    "stagedUploadsCreate": staged_uploads,
    "bulkOperationRunMutation": bulk_mutation,
}
