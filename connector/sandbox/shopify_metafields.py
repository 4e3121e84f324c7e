"""Metafields of customers: definitions, values that fit their type, all or nothing for each call. Sheet 9."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from connector.sandbox.shopify_objects import CustomerNode, metafield
from connector.sandbox.shopify_request import Context, refusal
from connector.sandbox.shopify_state import lag

AT_ONCE = 25
OWN = "$app"
KEY = re.compile(r"[A-Za-z0-9_-]{2,64}")
MOST_CHARACTERS = 65_536


def _error(kind: str, field: list[str] | None, message: str, **more: Any) -> dict[str, Any]:
    return {"__typename": kind, "field": field, "message": message, **more}


def _may_write(ctx: Context, payload: str) -> bool:
    if "write_customers" in ctx.scopes:
        return True
    ctx.deny(ctx.path, payload, "write_customers")
    return False


def _customer(ctx: Context, gid: str) -> CustomerNode | None:
    known = ctx.shop.world.by_id.get(gid)
    return known if isinstance(known, CustomerNode) else None


def _place(one: dict[str, Any]) -> tuple[str, str]:
    return one.get("namespace") or OWN, one["key"]


def definition(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    wanted = args.get("identifier")
    if not wanted:
        raise refusal("An identifier must be given.", "BAD_REQUEST")
    found: dict[str, Any] | None = ctx.shop.definitions.get(".".join(_place(wanted)))
    return found if wanted["ownerType"] == "CUSTOMER" else None


def define(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    """Values that are there already and fit take the type of the definition; others stay as they are."""
    if not _may_write(ctx, "metafieldDefinitionCreate"):
        return None
    given = args["definition"]
    namespace, key = _place(given)
    problem = _definition_problem(ctx, namespace, key, given)
    if problem:
        return {"createdDefinition": None, "userErrors": [_error("MetafieldDefinitionCreateUserError", **problem)]}
    made = {
        "__typename": "MetafieldDefinition", "id": f"gid://shopify/MetafieldDefinition/{len(ctx.shop.definitions) + 1}",
        "name": given["name"], "namespace": namespace, "key": key, "ownerType": given["ownerType"],
        "description": given.get("description"), "type": {"name": given["type"], "category": "TEXT"},
    }  # fmt: skip
    ctx.shop.definitions[f"{namespace}.{key}"] = made
    for customer in ctx.shop.world.customers:
        held = customer.metafields.get((namespace, key))
        if held and _fits(held["value"], given["type"]):
            held["type"] = given["type"]
    ctx.shop.effect("metafield_definition_created", f"{namespace}.{key}", "")
    return {"createdDefinition": made, "userErrors": []}


def _definition_problem(ctx: Context, namespace: str, key: str, given: dict[str, Any]) -> dict[str, Any] | None:
    if not KEY.fullmatch(key):
        return {"field": ["definition", "key"], "message": "Key is too short (minimum is 2 characters)", "code": "TOO_SHORT"}
    if given["type"] not in TYPES:
        return {"field": ["definition", "type"], "message": f"Type {given['type']} is not a valid type.", "code": "INVALID"}
    if (given.get("access") or {}).get("admin") and not namespace.startswith(OWN):
        message = "Admin access can only be specified for app-owned metafield definitions."
        return {"field": ["definition"], "message": message, "code": "ADMIN_ACCESS_INPUT_NOT_ALLOWED"}
    if f"{namespace}.{key}" in ctx.shop.definitions:
        return {"field": ["definition", "key"], "message": "Key is in use for Customer metafields.", "code": "TAKEN"}
    if len(ctx.shop.definitions) >= ctx.shop.switches.definition_room:
        message = "Stores can only have a limited number of definitions for each resource."
        return {"field": ["definition"], "message": message, "code": "RESOURCE_TYPE_LIMIT_EXCEEDED_BY_APP"}
    return None


def metafields_set(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    """All or nothing; at most 25; compareDigest sets only what has not moved since it was read."""
    if not _may_write(ctx, "metafieldsSet"):
        return None
    wanted = args["metafields"]
    if len(wanted) > AT_ONCE:
        message = "Exceeded the maximum metafields input limit of 25."
        problem = _error("MetafieldsSetUserError", ["metafields"], message, code="LESS_THAN_OR_EQUAL_TO")
        return {"metafields": None, "userErrors": [problem]}
    found = [(i, e) for i, one in enumerate(wanted) if (e := _problem(ctx, one))]
    if found:
        errors = [
            _error("MetafieldsSetUserError", ["metafields", str(i), *field], message, code=code, elementIndex=i)
            for i, (field, message, code) in found
        ]
        return {"metafields": None, "userErrors": errors}
    return {"metafields": [_set(ctx, one) for one in wanted], "userErrors": []}


def _set(ctx: Context, one: dict[str, Any]) -> dict[str, Any]:
    customer, place = _customer(ctx, one["ownerId"]), _place(one)
    assert customer is not None
    kind = _type(ctx, one) or ""
    old = customer.metafields.get(place)
    value = metafield(customer, *place, _kept(one["value"], kind), ctx.now) | {"type": kind}
    value |= {"id": old["id"], "createdAt": old["createdAt"]} if old else {}
    customer.metafields[place] = value
    _touch(ctx, customer)
    ctx.shop.effect("metafield_set", ".".join(place), customer.id)
    return value


def _problem(ctx: Context, one: dict[str, Any]) -> tuple[list[str], str, str] | None:
    """(field, message, code) of what is wrong with one value."""
    customer, place = _customer(ctx, one["ownerId"]), _place(one)
    if customer is None:
        return ["ownerId"], "Owner does not exist.", "INVALID"
    if not KEY.fullmatch(one["key"]):
        return ["key"], "Key must be 2 to 64 characters long.", "TOO_SHORT"
    known = customer.metafields.get(place)
    if "compareDigest" in one and one["compareDigest"] != (known and known["compareDigest"]):
        message = "The resource has been updated since it was loaded. Try again with an updated `compareDigest` value."
        return [], message, "STALE_OBJECT"
    kind = _type(ctx, one)
    if kind is None:
        return ["type"], "Type can't be blank", "BLANK"
    if kind not in TYPES or (one.get("type") and one["type"] != kind):
        return ["type"], f"Type must be consistent with the definition's type: {kind}", "INVALID_TYPE"
    if not one["value"]:
        return ["value"], "Value can't be blank", "BLANK"
    return None if _fits(one["value"], kind) else (["value"], f"Value must be a {kind}.", "INVALID_VALUE")


def _type(ctx: Context, one: dict[str, Any]) -> str | None:
    """The definition's type; without one the type that is given, or that the value there has."""
    known = ctx.shop.definitions.get(".".join(_place(one)))
    if known:
        return str(known["type"]["name"])
    customer = _customer(ctx, one["ownerId"])
    held = customer.metafields.get(_place(one)) if customer else None
    return one.get("type") or (held or {}).get("type")


def metafields_delete(_obj: Any, ctx: Context, args: dict[str, Any]) -> dict[str, Any] | None:
    """What is not there is no error: null stands in its place."""
    if not _may_write(ctx, "metafieldsDelete"):
        return None
    gone: list[dict[str, Any] | None] = []
    for one in args["metafields"]:
        customer = _customer(ctx, one["ownerId"])
        held = customer.metafields.pop(_place(one), None) if customer else None
        if customer is None or held is None:
            gone.append(None)
            continue
        _touch(ctx, customer)
        ctx.shop.effect("metafield_deleted", ".".join(_place(one)), customer.id)
        gone.append({"__typename": "MetafieldIdentifier", **{k: one[k] for k in ("key", "namespace", "ownerId")}})
    return {"deletedMetafields": gone, "userErrors": []}


def _touch(ctx: Context, customer: CustomerNode) -> None:
    lag(ctx.shop, customer)
    customer.updated_at = ctx.now
    ctx.shop.lists["customers"].changed()


def _decimal(text: str) -> bool:
    try:
        return Decimal(text).is_finite()
    except InvalidOperation:
        return False


def _date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


TYPES: dict[str, Callable[[str], bool]] = {
    "single_line_text_field": lambda text: "\n" not in text and len(text) <= MOST_CHARACTERS,
    "multi_line_text_field": lambda text: len(text) <= MOST_CHARACTERS,
    "number_decimal": _decimal,
    "number_integer": lambda text: bool(re.fullmatch(r"-?\d+", text)),
    "boolean": lambda text: text in ("true", "false"),
    "date": _date,
    "json": lambda text: True,
}


def _fits(text: str, kind: str) -> bool:
    return TYPES[kind](text)


def _kept(text: str, kind: str) -> str:
    """Decimals come back with at least one digit behind the point."""
    return f"{Decimal(text):f}" + ("" if "." in text else ".0") if kind == "number_decimal" else text


METAFIELDS: dict[str, Callable[..., Any]] = {
    "metafieldDefinitionCreate": define,
    "metafieldsSet": metafields_set,
    "metafieldsDelete": metafields_delete,
}
