"""What `check` says about a shop: scopes and what each unlocks, the history wall, personal data, version, plan, clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from adapters import shopify_documents as documents
from adapters.base import Finding
from adapters.shopify_answers import FieldDenied
from adapters.shopify_api import ShopifyApi
from models.errors import ApiError, AuthError, ScopeError

UNLOCKS = {
    "read_customers": "customers, their consent and tags",
    "write_customers": "adding and removing our tags",
    "read_orders": "orders, refunds and abandoned checkouts",
    "read_products": "products, and which product an order line is",
}
ENDING_SOON_DAYS = 120
CLOCK_MAY_DIFFER = timedelta(minutes=5)
CLOSED_PLANS = ("Inactive", "Paused")

HIDDEN = (
    "Shopify shows this app nobody's e-mail address ({0}), so nobody can be matched or mailed. Personal data is withheld by plan "
    "from apps made in the shop's admin (Basic and Starter, as others report): make the app in the Dev Dashboard, or ask there for "
    "protected customer data. Orders are read all the same."
)

Look = Callable[[], tuple[dict[str, Any], frozenset[str]]]


def findings(api: ShopifyApi, look: Look, now_utc: datetime) -> list[Finding]:
    """Never raises for what it finds; a refused key ends the list."""
    try:
        about, scopes = look()
    except AuthError as e:
        return [Finding("sign-in", "error", str(e), "auth")]
    except ApiError as e:
        return [Finding("sign-in", "error", str(e), "scope" if isinstance(e, ScopeError) else e.code)]
    shop = about["shop"]
    return [
        Finding("sign-in", "ok", f"Signed in to {shop['name']} ({shop.get('myshopifyDomain') or shop['id']})."),
        *_scopes(scopes),
        *_history(api, shop, scopes),
        *_personal_data(api, scopes),
        *_checkouts(api, scopes),
        *_version(api, about, now_utc.date()),
        *_plan(shop),
        *_clock(api, now_utc),
    ]


def _scopes(scopes: frozenset[str]) -> Iterator[Finding]:
    for scope, unlocks in UNLOCKS.items():
        if scope in scopes:
            yield Finding(scope, "ok", f"Granted: {unlocks}.")
        else:
            text = f"Missing: {unlocks}. Add the scope {scope} to the app and release a version."
            yield Finding(scope, "error", text, "scope")


def _history(api: ShopifyApi, shop: dict[str, Any], scopes: frozenset[str]) -> Iterator[Finding]:
    """Without read_all_orders only 60 days of orders exist, and nothing in an answer says so."""
    if "read_orders" not in scopes:
        return
    if "read_all_orders" in scopes:
        yield Finding("order history", "ok", "The whole order history can be read.")
        return
    text = (
        "Only the last 60 days of orders can be read: the app lacks read_all_orders. Lifetime figures would be wrong. "
        "Ask for it in the Dev Dashboard under Access requests, Read all orders."
    )
    yield Finding("order history", "warning", text + _oldest(api, shop), "history_wall")


def _oldest(api: ShopifyApi, shop: dict[str, Any]) -> str:
    try:
        orders = api.ask(documents.OLDEST_ORDER)["orders"]["nodes"]
    except ApiError:
        return ""
    seen = f"the oldest order seen is of {str(orders[0]['createdAt'])[:10]}" if orders else "no order is seen"
    return f" The shop exists since {str(shop.get('createdAt'))[:10]}; {seen}."


def _checkouts(api: ShopifyApi, scopes: frozenset[str]) -> Iterator[Finding]:
    if "read_orders" not in scopes:
        return
    try:
        is_partial = hides_closed(api)
    except ScopeError as e:
        yield Finding("abandoned checkouts", "warning", f"Abandoned checkouts cannot be read; the rest goes on. {e}", "scope")
        return
    except ApiError:
        return
    if is_partial:
        text = (
            "Shopify's list of abandoned checkouts leaves out the closed ones; open and closed ones are read one after another."
        )
        yield Finding("abandoned checkouts", "ok", text)


def hides_closed(api: ShopifyApi) -> bool:
    """Whether a list of checkouts without a status shows a part of them only. It is not documented, so we count."""
    found = api.ask(documents.CHECKOUT_COUNTS)
    seen, of_open, of_closed = (int((found.get(name) or {}).get("count") or 0) for name in ("all", "open", "closed"))
    return seen < of_open + of_closed


def _personal_data(api: ShopifyApi, scopes: frozenset[str]) -> Iterator[Finding]:
    """A plan may blank names and addresses, or refuse them; its name does not tell, so we look."""
    if "read_customers" not in scopes:
        return
    try:
        people = probed(api)
    except ApiError as e:
        yield Finding("personal data", "warning", f"Whether e-mail addresses can be read is not known: {e}")
        return
    if people.is_withheld:
        yield Finding("personal data", "error", HIDDEN.format(people.reason), "scope")
    elif people.seen and not people.addressed:
        text = (
            f"None of the first {people.seen} customers has an e-mail address. If they should, ask for protected customer data."
        )
        yield Finding("personal data", "warning", text, "personal_data")
    else:
        yield Finding("personal data", "ok", f"{people.addressed} of the first {people.seen} customers show an e-mail address.")


@dataclass(frozen=True)
class People:
    """The first customers of a shop: how many were seen, how many show an address, how many show anything personal.

    refusal: in Shopify's words, where it denies the address itself.
    """

    seen: int = 0
    addressed: int = 0
    shown: int = 0
    refusal: str = ""

    @property
    def is_withheld(self) -> bool:
        """No address is to be had, or nobody is to be seen and there are enough of them to say so."""
        return bool(self.refusal) or (self.seen >= documents.PROBED and not self.shown)

    @property
    def reason(self) -> str:
        return self.refusal or f"none of the first {self.seen} customers"


def probed(api: ShopifyApi) -> People:
    """One request, or one more for each field that is denied; a plan's name does not tell what it withholds."""
    asked, refusal = list(documents.PERSONAL), ""
    while True:
        document = documents.PERSONAL_DATA.replace(" ".join(documents.PERSONAL), " ".join(asked))
        try:
            nodes = [n for n in api.ask(document, cost=30)["customers"]["nodes"] if n]
            break
        except ScopeError as e:
            denied = {trail[0] for trail in e.trails} if isinstance(e, FieldDenied) else set()
            left = [field for field in asked if _name(field) not in denied]
            if "defaultEmailAddress" in denied:
                refusal = "Shopify denies access to customers.defaultEmailAddress"
            if not left or left == asked:
                return People(refusal=refusal or str(e).partition(". ")[0])
            asked = left
    addressed = sum(1 for n in nodes if (n.get("defaultEmailAddress") or {}).get("emailAddress"))
    shown = sum(1 for n in nodes if any(n.get(_name(field)) for field in asked))
    return People(len(nodes), addressed, shown, refusal)


def _name(field: str) -> str:
    return field.partition("{")[0]


def _version(api: ShopifyApi, about: dict[str, Any], today: date) -> Iterator[Finding]:
    asked, answered = api.version, api.answered_version or api.version
    if answered != asked:
        text = f"Asked for API {asked}, answered with {answered}: {asked} has ended or is not out yet. Update Rollcall, or "
        text += "take api_version out of the configuration."
        yield Finding("API version", "warning", text, "version")
        return
    if asked < "2026-07":
        text = f"Collections made with the newer condition model are missing from answers below 2026-07 ({asked} is asked for)."
        yield Finding("collections", "warning", text, "version")
    ends = documents.version_end(asked)
    supported = {str(v["handle"]): bool(v["supported"]) for v in about.get("publicApiVersions") or []}
    days = (ends - today).days if ends else None
    if not supported.get(asked, True) or (days is not None and days < ENDING_SOON_DAYS):
        yield Finding("API version", "warning", f"API {asked} ends on {ends or 'an unknown day'}. Update Rollcall.", "version")
    else:
        yield Finding("API version", "ok", f"API {asked}" + (f", supported until {ends}." if ends else "."))


def _plan(shop: dict[str, Any]) -> Iterator[Finding]:
    plan = str((shop.get("plan") or {}).get("publicDisplayName") or "unknown")
    if plan in CLOSED_PLANS:
        yield Finding("plan", "warning", f"The shop's plan is {plan}: reading may stop at any time.", "plan")
    else:
        yield Finding("plan", "ok", f"Plan: {plan}.")


def _clock(api: ShopifyApi, now_utc: datetime) -> Iterator[Finding]:
    server = api.http.server_now
    if server and abs(server - now_utc) > CLOCK_MAY_DIFFER:
        minutes = round(abs(server - now_utc).total_seconds() / 60)
        yield Finding("clock", "warning", f"This machine's clock differs from Shopify's by {minutes} minutes.", "clock")
