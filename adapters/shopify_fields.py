"""Profile columns as metafields of Shopify customers, in the app's own namespace, which no other app and no person writes.

Another program with the key of the same app may: a definition gives each its type, lets the shop's people read it, and says
in its description who made it. Setting is all or nothing for each 25 values, so what Shopify minds is taken out and the rest
is sent again.
Docs: https://shopify.dev/docs/apps/build/custom-data/metafields and .../docs/api/admin-graphql/latest/mutations/metafieldsSet
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from adapters import field_texts, marks
from adapters.http import scrub
from adapters.shopify_api import ShopifyApi
from adapters.shopify_documents import customer_gid
from adapters.shopify_nodes import by_ids
from models.changes import FieldKind, Outcome
from models.errors import PermanentApiError

NAMESPACE = "$app"
MARK = "Written by Rollcall"
TYPES: dict[FieldKind, str] = {
    "text": "single_line_text_field",
    "number": "number_decimal",
    "date": "date",
    "yes or no": "boolean",
}
KINDS = {name: kind for kind, name in TYPES.items()}
AT_ONCE = 25
"""Values in one metafieldsSet, and in one metafieldsDelete."""
CALLS = 10
"""So many of these in one request."""
COST_EACH = 10
GONE = "the customer no longer exists in Shopify"
UNSHOWN = "Shopify did not show the change"
FULL = frozenset(
    {"LIMIT_EXCEEDED", "RESOURCE_TYPE_LIMIT_EXCEEDED", "RESOURCE_TYPE_LIMIT_EXCEEDED_BY_APP"}
)  # of definitions, for customers

DEFINITION = f"""query Definition($key:String!){{ metafieldDefinition(identifier:{{ownerType:CUSTOMER, namespace:"{NAMESPACE}",
 key:$key}}){{ id description type{{name}} }} }}"""
DEFINE = """mutation Define($definition:MetafieldDefinitionInput!){ metafieldDefinitionCreate(definition:$definition){
 createdDefinition{ id } userErrors{ field message code } } }"""

Row = tuple[str, Mapping[str, str]]


class Value(NamedTuple):
    """One value of one customer; '' takes the metafield away."""

    contact: str
    name: str
    text: str


class Fields:
    """installation: the id that the descriptions of definitions we make carry."""

    def __init__(self, api: ShopifyApi, installation: str = "") -> None:
        self.api = api
        self.installation = installation
        self._types: dict[str, str] = {}

    def problem(self, name: str, kind: FieldKind) -> str:
        found = self._definition(name)
        return self._unusable(name, kind, found) if found else ""

    def ensure(self, name: str, label: str, kind: FieldKind) -> None:
        """Making a definition twice is refused by Shopify, so a lost answer is simply asked for again."""
        found = self._definition(name)
        if not found and not self._make(name, label, kind):
            found = self._definition(name)
        if found and (problem := self._unusable(name, kind, found)):
            raise PermanentApiError(problem, platform="shopify")
        self._types[name] = TYPES[kind]

    def _make(self, name: str, label: str, kind: FieldKind) -> bool:
        """False where somebody else, or a request of ours whose answer was lost, made it meanwhile."""
        definition = {
            "name": field_texts.title(name), "namespace": NAMESPACE, "key": name, "type": TYPES[kind], "ownerType": "CUSTOMER",
            "description": marks.marked(f"{MARK}: {label}", self.installation), "access": {"admin": "MERCHANT_READ"},
        }  # fmt: skip
        answer = self.api.ask(DEFINE, {"definition": definition}, cost=COST_EACH)["metafieldDefinitionCreate"] or {}
        errors = answer.get("userErrors") or []
        codes = {str(e.get("code")) for e in errors}
        if codes & FULL:
            raise PermanentApiError(
                "Shopify has no room for another definition of customer metafields for this app. Delete one you no longer need.",
                platform="shopify",
            )
        if errors and "TAKEN" not in codes:
            said = scrub(str(errors[0].get("message") or ""))[:200]
            raise PermanentApiError(f"Shopify would not make the metafield {name}: {said}", platform="shopify")
        return not errors

    def _definition(self, name: str) -> Mapping[str, Any]:
        return self.api.ask(DEFINITION, {"key": name}).get("metafieldDefinition") or {}

    def _unusable(self, name: str, kind: FieldKind, found: Mapping[str, Any]) -> str:
        described, holds = str(found.get("description") or ""), str((found.get("type") or {}).get("name") or "")
        who = marks.maker(described, self.installation)
        if who == "another" or MARK not in described:
            whose = "is filled by another installation of Rollcall" if who else "was not made by Rollcall"
            return f"Shopify's metafield {name} of this app {whose}. Give the [[field]] another name."
        if holds == TYPES[kind]:
            return ""
        return (
            f"Shopify's metafield {name} of this app holds {holds}, not {TYPES[kind]}, and Shopify never changes that. Give the "
            "[[field]] another name, or delete the definition in Shopify."
        )

    def read(self, names: Sequence[str], ids: Sequence[str]) -> dict[str, dict[str, str]]:
        read: dict[str, dict[str, str]] = {}
        for found in by_ids(self.api, values_of(names), ids):
            for contact, node in found.items():
                if node:
                    read[contact] = {name: _text(node.get(f"f{n}")) for n, name in enumerate(names)}
        return read

    def write(self, rows: Sequence[Row]) -> list[Outcome]:
        todo = [Value(contact, name, text) for contact, values in rows for name, text in values.items()]
        minded: dict[str, Outcome] = {}
        waiting = _packed(todo)
        while waiting:
            asked, waiting = waiting[:CALLS], waiting[CALLS:]
            answer = self.api.ask(set_values(asked), self._variables(asked), cost=COST_EACH * len(asked))
            for n, values in enumerate(asked):
                outcomes, again = _looked_at(values, answer.get(f"c{n}") or {})
                minded.update(outcomes)
                waiting += again
        return [minded.get(contact) or Outcome(contact, "add", "done") for contact, _ in rows]

    def _variables(self, asked: Sequence[Sequence[Value]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for n, values in enumerate(asked):
            rows = [{"ownerId": customer_gid(v.contact), "namespace": NAMESPACE, "key": v.name} for v in values]
            if values[0].text:
                rows = [
                    {**r, "type": self._types.get(v.name) or TYPES["text"], "value": v.text}
                    for r, v in zip(rows, values, strict=True)
                ]
            found[f"m{n}"] = rows
        return found


def values_of(names: Sequence[str]) -> str:
    """The query for the values of these fields of customers by their ids."""
    parts = [f'f{n}: metafield(namespace:"{NAMESPACE}", key:"{name}"){{ type value }}' for n, name in enumerate(names)]
    return f"query Fields($ids:[ID!]!){{ nodes(ids:$ids){{ ... on Customer{{ id {' '.join(parts)} }} }} }}"


def set_values(asked: Sequence[Sequence[Value]]) -> str:
    """One request with a call for each group of values, all of which are set, or all taken away: $m0.. are theirs."""
    variables, calls = [], []
    for n, values in enumerate(asked):
        is_set = bool(values[0].text)
        variables.append(f"$m{n}:[{'MetafieldsSetInput' if is_set else 'MetafieldIdentifierInput'}!]!")
        answer = "userErrors{ field message code elementIndex }" if is_set else "userErrors{ field message }"
        calls.append(f"c{n}: {'metafieldsSet' if is_set else 'metafieldsDelete'}(metafields:$m{n}){{ {answer} }}")
    return f"mutation SetFields({','.join(variables)}){{ {' '.join(calls)} }}"


def _packed(values: Sequence[Value]) -> list[list[Value]]:
    """In groups as large as one call takes, those to be set apart from those to be taken away."""
    found = []
    for some in ([v for v in values if v.text], [v for v in values if not v.text]):
        found += [some[start : start + AT_ONCE] for start in range(0, len(some), AT_ONCE)]
    return found


def _looked_at(values: list[Value], answer: Mapping[str, Any]) -> tuple[dict[str, Outcome], list[list[Value]]]:
    """(what Shopify minds, by customer; the groups to be sent once more). An error spoils all of its call."""
    errors = answer.get("userErrors")
    if errors == []:
        return {}, []
    named = dict(_by_place(errors or [], len(values)))
    if named:
        rest = [v for n, v in enumerate(values) if n not in named]
        return {values[n].contact: _refused(values[n].contact, e) for n, e in named.items()}, [rest] if rest else []
    if len(values) == 1:
        contact = values[0].contact
        return {contact: _refused(contact, errors[0]) if errors else Outcome(contact, "add", "unknown", UNSHOWN)}, []
    middle = len(values) // 2
    return {}, [values[:middle], values[middle:]]


def _by_place(errors: Sequence[Mapping[str, Any]], most: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The values that errors name: by elementIndex, or by the number in the path to the field."""
    for error in errors:
        path = [str(p) for p in error.get("field") or ()]
        place = error.get("elementIndex")
        if place is None:
            place = next((int(p) for p in path if p.isdigit()), None)
        if isinstance(place, int) and 0 <= place < most:
            yield place, error


def _refused(contact: str, error: Mapping[str, Any]) -> Outcome:
    message = str(error.get("message") or "")
    if "ownerId" in (error.get("field") or ()) or "does not exist" in message.lower():
        return Outcome(contact, "add", "missing", GONE)
    return Outcome(contact, "add", "refused", scrub(message)[:200] or f"Shopify refused it ({error.get('code')})")


def _text(metafield: Mapping[str, Any] | None) -> str:
    if not metafield:
        return ""
    return field_texts.plain(metafield.get("value"), KINDS.get(str(metafield.get("type")), "text"))
