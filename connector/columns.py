"""The columns of the profile: for each its meaning, unit, source, what it needs, and the SQL that makes it.

A column belongs to a *group*: one aggregation over one source. Expressions may use the marks `{day}` (the shop's day from
which days are counted), `{until}` (UTC; nothing at or after it is seen), `{from_N}` (UTC midnight of the shop's day N days
before `{day}`), `{currency}` and `{timezone}`: the only things that change from date to date or shop to shop. Three rules
keep the same values on every engine: day distances only as DATE minus DATE, ratios in DOUBLE, no decimal literal in them.
"""

from __future__ import annotations

from dataclasses import dataclass

WINDOWS = (7, 14, 30, 60, 90, 180, 365)


@dataclass(frozen=True)
class ProfileColumn:
    """`sql` is evaluated in the group's aggregation; `empty` is the value of people the group has nothing about."""

    name: str
    sql_type: str
    meaning: str
    unit: str
    source: str
    needs: tuple[str, ...]
    group: str
    sql: str
    empty: str = "NULL"
    is_personal: bool = False


def _number(group: str, needs: str, name: str, sql: str, meaning: str, unit: str) -> ProfileColumn:
    return ProfileColumn(name, "BIGINT", meaning, unit, group, (needs,), group, sql, "0")


def _money(group: str, needs: str, name: str, sql: str, meaning: str) -> ProfileColumn:
    return ProfileColumn(name, "DECIMAL(18,4)", meaning, "shop currency", group, (needs,), group, sql, "0")


def _share(group: str, needs: str, name: str, sql: str, meaning: str) -> ProfileColumn:
    return ProfileColumn(name, "DOUBLE", meaning, "0 to 1", group, (needs,), group, sql)


def _day(group: str, needs: str, name: str, sql: str, meaning: str) -> ProfileColumn:
    return ProfileColumn(name, "DATE", meaning, "shop's day", group, (needs,), group, sql)


def _since(name: str, of: str, meaning: str, needs: str) -> ProfileColumn:
    return ProfileColumn(name, "INTEGER", meaning, "days", "derived", (needs,), "derived", f"CAST({{day}} - {of} AS INTEGER)")


def _text(group: str, needs: str, name: str, sql: str, meaning: str, *, personal: bool = False) -> ProfileColumn:
    return ProfileColumn(name, "VARCHAR", meaning, "text", group, (needs,), group, sql, is_personal=personal)


def _flag(group: str, needs: str, name: str, sql: str, meaning: str) -> ProfileColumn:
    return ProfileColumn(name, "BOOLEAN", meaning, "yes or no", group, (needs,), group, sql, "FALSE")


def _list(group: str, needs: str, name: str, sql: str, meaning: str) -> ProfileColumn:
    return ProfileColumn(name, "VARCHAR[]", meaning, "list", group, (needs,), group, sql)


def _decimal(group: str, needs: str, name: str, sql: str, meaning: str, unit: str) -> ProfileColumn:
    return ProfileColumn(name, "DOUBLE", meaning, unit, group, (needs,), group, sql)


def _ever(noun: str) -> tuple[tuple[str, str, str], ...]:
    """(suffix, condition, words) of each window over shop days, 'ever' first."""
    windows = ((f"{n}d", f"ordered_on >= {{day}} - {n}", f"{noun} in the last {n} days") for n in WINDOWS)
    return (("total", "TRUE", f"{noun} ever"), *windows)


def _events(name: str, kind: str, noun: str, unit: str, windows: tuple[int, ...]) -> tuple[ProfileColumn, ...]:
    counts = [(f"{n}d", f"{kind} AND happened >= {{from_{n}}}", f"in the last {n} days") for n in windows]
    return tuple(
        _number("events", "events", f"{name}_{suffix}", f"count(*) FILTER ({condition})", f"{noun} {when}", unit)
        for suffix, condition, when in (*counts, ("total", kind, "ever seen"))
    )


HUMAN_OPEN = "kind = 'open' AND is_machine IS NOT TRUE"
ENGAGED = f"(kind = 'click' OR ({HUMAN_OPEN}))"
IN_MONEY = "currency = '{currency}'"


def local_day(column: str) -> str:
    return f"CAST(timezone('{{timezone}}', timezone('UTC', {column})) AS DATE)"


ORDERS: tuple[ProfileColumn, ...] = (
    *(_number("orders", "orders", f"orders_{s}", f"count(*) FILTER (counts AND {c})", w, "orders")
      for s, c, w in _ever("orders")),
    *(
        _money("orders", "orders", f"revenue_{s}", f"coalesce(sum(net) FILTER ({IN_MONEY} AND {c}), 0)",
               f"{w}, net of refunds, in the shop's currency")
        for s, c, w in _ever("money spent")
    ),
    _day("orders", "orders", "first_order_on", "min(ordered_on) FILTER (counts)", "day of the first order"),
    _day("orders", "orders", "last_order_on", "max(ordered_on) FILTER (counts)", "day of the last order"),
    _number("orders", "orders", "order_days", "count(DISTINCT ordered_on) FILTER (counts)",
            "number of different days with an order", "days"),
    ProfileColumn("aov", "DOUBLE", "average order value: money spent divided by orders, both in the shop's currency",
                  "shop currency", "orders", ("orders",), "orders",
                  f"CAST(sum(net) FILTER ({IN_MONEY}) AS DOUBLE) / nullif(count(*) FILTER (counts AND {IN_MONEY}), 0)"),
    ProfileColumn("largest_order", "DECIMAL(18,4)", "highest net amount of one order", "shop currency", "orders", ("orders",),
                  "orders", f"max(net) FILTER (counts AND {IN_MONEY})"),
    _decimal("orders", "orders", "avg_days_between_orders",
             "CAST(max(ordered_on) FILTER (counts) - min(ordered_on) FILTER (counts) AS DOUBLE)"
             " / nullif(count(*) FILTER (counts) - 1, 0)",
             "average number of days from one order to the next; missing with fewer than two orders", "days"),
    _number("orders", "orders", "discounted_orders", "count(*) FILTER (counts AND discount > 0)", "orders with a discount",
            "orders"),
    _share("orders", "orders", "discounted_orders_share",
           "CAST(count(*) FILTER (counts AND discount > 0) AS DOUBLE) / nullif(count(*) FILTER (counts), 0)",
           "share of the orders that had a discount"),
    _share("orders", "orders", "discount_share",
           f"CAST(sum(discount) FILTER (counts AND {IN_MONEY}) AS DOUBLE)"
           f" / nullif(CAST(sum(total + coalesce(discount, 0)) FILTER (counts AND {IN_MONEY}) AS DOUBLE), 0)",
           "discounts as a share of what the orders would have cost without them"),
    _number("orders", "orders", "refunded_orders", "count(*) FILTER (counts AND refunded > 0)",
            "orders with a full or partial refund", "orders"),
    _money("orders", "orders", "refunded_total", f"coalesce(sum(refunded) FILTER (counts AND {IN_MONEY}), 0)",
           "money given back ever"),
    _share("orders", "orders", "refund_share",
           f"CAST(sum(refunded) FILTER (counts AND {IN_MONEY}) AS DOUBLE)"
           f" / nullif(CAST(sum(total) FILTER (counts AND {IN_MONEY}) AS DOUBLE), 0)",
           "money given back as a share of money charged"),
    _number("orders", "orders", "orders_other_currency", f"count(*) FILTER (counts AND NOT {IN_MONEY})",
            "orders in another currency than the shop's; no money column adds them", "orders"),
    _text("orders", "orders", "last_order_source",
          "arg_max(source, struct_pack(a := ordered_at, b := purchase_id)) FILTER (counts)",
          "where the last order came from"),
)  # fmt: skip

REFUNDS = (_day("refunds", "refunds", "last_refund_on", "max(" + local_day("refunded_at") + ")", "day of the last refund"),)

LINES: tuple[ProfileColumn, ...] = (
    _number("lines", "order_lines", "items_total", "CAST(round(sum(quantity)) AS BIGINT)", "pieces bought ever", "pieces"),
    _number("lines", "order_lines", "products_count", "count(DISTINCT product)",
            "number of different products bought", "products"),
)  # fmt: skip

TASTE: tuple[ProfileColumn, ...] = (
    _number("taste", "order_lines", "categories_count", "count(*)", "number of different categories bought", "categories"),
    _list("taste", "order_lines", "bought_categories", "list_sort(list(category))", "categories bought ever"),
    _text("taste", "order_lines", "top_category", "max(category) FILTER (place = 1)",
          "category with the most money spent; ties go to more lines, then the alphabet"),
    _share("taste", "order_lines", "top_category_share",
           "CAST(sum(spent) FILTER (place = 1) AS DOUBLE) / nullif(CAST(sum(spent) AS DOUBLE), 0)",
           "share of the money that went to the top category"),
)  # fmt: skip

EVENTS: tuple[ProfileColumn, ...] = (
    *_events("emails_received", "kind = 'sent'", "mails sent to the person", "mails", (30, 90, 365)),
    *_events("opens_human", HUMAN_OPEN, "opens by a human (no proxies or bots, where the platform can tell)", "opens",
             (30, 90, 365)),
    *_events("clicks", "kind = 'click'", "clicks in mails", "clicks", (30, 90, 365)),
    *_events("page_views", "kind = 'page_view'", "pages viewed", "views", (30, 90)),
    *_events("product_views", "kind = 'product_view'", "products viewed", "views", (30, 90)),
    *_events("tickets", "kind = 'ticket'", "support tickets", "tickets", (30, 365)),
    *_events("forms", "kind = 'form'", "forms filled in", "forms", (30, 365)),
    *_events("downloads", "kind = 'download'", "downloads", "downloads", (90,)),
    *_events("logins", "kind = 'login'", "logins", "logins", (30, 90)),
    *_events("forwards", "kind = 'forward'", "mails forwarded", "forwards", (365,)),
    *_events("social", "kind = 'social'", "social interactions", "interactions", (90,)),
    _day("events", "events", "last_email_on", local_day("max(happened) FILTER (kind = 'sent')"), "day of the last mail sent"),
    _day("events", "events", "last_open_on", local_day(f"max(happened) FILTER ({HUMAN_OPEN})"), "day of the last human open"),
    _day("events", "events", "last_click_on", local_day("max(happened) FILTER (kind = 'click')"), "day of the last click"),
    _day("events", "events", "last_engaged_on", local_day(f"max(happened) FILTER ({ENGAGED})"),
         "day of the last human open or click"),
    _day("events", "events", "last_visit_on",
         local_day("max(happened) FILTER (kind IN ('page_view', 'product_view', 'login'))"),
         "day of the last visit seen"),
    _day("events", "events", "last_ticket_on", local_day("max(happened) FILTER (kind = 'ticket')"),
         "day of the last support ticket"),
    _decimal("events", "events", "avg_rating", "CAST(sum(value) FILTER (kind = 'rating') AS DOUBLE)"
             " / nullif(count(value) FILTER (kind = 'rating'), 0)", "average rating given", "points"),
    _number("events", "events", "ratings_total", "count(value) FILTER (kind = 'rating')", "ratings given ever", "ratings"),
    _number("events", "events", "bounces_total", "count(*) FILTER (kind = 'bounce')", "mails that bounced", "mails"),
    _list("events", "events", "viewed_categories",
          "list_sort(list(DISTINCT category) FILTER (kind IN ('page_view', 'product_view') AND category IS NOT NULL))",
          "categories looked at on the site"),
)  # fmt: skip

REACH: tuple[ProfileColumn, ...] = (
    _share("reach", "events", "open_rate_90d",
           "CAST(count(*) FILTER (is_sent AND is_opened) AS DOUBLE) / nullif(count(*) FILTER (is_sent), 0)",
           "share of the campaigns sent in the last 90 days that a human opened"),
)  # fmt: skip

CARTS: tuple[ProfileColumn, ...] = (
    _flag("carts", "carts", "has_cart_abandoned_7d", "bool_or(is_open AND touched >= {from_7})",
          "left a cart in the last 7 days and has not bought since"),
    _number("carts", "carts", "carts_abandoned_30d", "count(*) FILTER (is_open AND touched >= {from_30})",
            "carts left in the last 30 days without buying since", "carts"),
    _day("carts", "carts", "last_cart_on", local_day("max(touched)"), "day of the last cart"),
    ProfileColumn("cart_value", "DECIMAL(18,4)", "value of the last cart left without buying since", "shop currency", "carts",
                  ("carts",), "carts", f"arg_max(total, touched) FILTER (is_open AND {IN_MONEY})"),
)  # fmt: skip

SUBSCRIPTIONS: tuple[ProfileColumn, ...] = (
    _text("subscriptions", "subscriptions", "subscription_status", "max(now_status) FILTER (place = 1)",
          "active, paused, cancelled, expired or failed: the running subscription, else the latest"),
    _text("subscriptions", "subscriptions", "subscription_plan", "max(plan) FILTER (place = 1)", "plan of that subscription"),
    _day("subscriptions", "subscriptions", "subscription_started_on", local_day("max(started_at) FILTER (place = 1)"),
         "day that subscription began"),
    _day("subscriptions", "subscriptions", "subscription_renews_on", local_day("max(renews_at) FILTER (place = 1)"),
         "day it renews next"),
    _day("subscriptions", "subscriptions", "subscription_cancelled_on", local_day("max(ended_at) FILTER (place = 1)"),
         "day it was cancelled"),
    _number("subscriptions", "subscriptions", "subscriptions_active", "count(*) FILTER (now_status = 'active')",
            "subscriptions that run", "subscriptions"),
)  # fmt: skip


def _given(name: str, meaning: str, column: str = "", *, personal: bool = False) -> ProfileColumn:
    """A field of the contact: what the record changed last says, if it says anything."""
    column = column or name
    sql = f"arg_min({column}, place) FILTER ({column} IS NOT NULL)"
    return _text("contact", "contacts", name, sql, meaning, personal=personal)


def _placed(name: str, meaning: str) -> ProfileColumn:
    """Country, region, city and postcode come from one and the same record."""
    return _text("contact", "contacts", name, f"max({name}) FILTER (address_place = 1)", meaning)


CONTACT: tuple[ProfileColumn, ...] = (
    _list("contact", "contacts", "platforms", "list_sort(list(DISTINCT source) FILTER (is_live))",
          "platforms on which the person has a live record"),
    *(_flag("contact", "contacts", f"on_{p}", f"bool_or(source = '{p}' AND is_live)", f"has a live record on {p.capitalize()}")
      for p in ("shopify", "mailchimp", "hubspot")),
    _flag("contact", "contacts", "has_email", "bool_or(email IS NOT NULL)", "has a known e-mail address"),
    _flag("contact", "contacts", "has_phone", "bool_or(phone IS NOT NULL)", "has a known phone number"),
    _given("email_domain", "part of the e-mail address behind the @", "split_part(email, '@', 2)", personal=True),
    _placed("country", "country as given"),
    _placed("region", "state, province or region as given"),
    _placed("city", "city as given"),
    _placed("postcode", "postal code as given"),
    _given("timezone", "time zone of the person"),
    _given("language", "language as the platform has it"),
    _given("company", "company", personal=True),
    _given("job_title", "job title or occupation as given", personal=True),
    _given("industry", "industry of person or company", "coalesce(industry, company_industry)"),
    ProfileColumn("company_size", "BIGINT", "employees of the company", "people", "contact", ("companies",), "contact",
                  "arg_min(employees, place) FILTER (employees IS NOT NULL)"),
    _given("lifecycle_stage", "lifecycle stage of the CRM"),
    _given("lead_status", "lead status of the CRM"),
    _text("contact", "contacts", "signup_source",
          "arg_min(signup_source, struct_pack(a := created_at, b := place)) FILTER (signup_source IS NOT NULL)",
          "how the person first came in"),
    ProfileColumn("rating", "BIGINT", "the platform's own engagement rating", "1 to 5", "contact", ("contacts",), "contact",
                  "arg_min(rating, place) FILTER (rating IS NOT NULL)"),
    _given("gender", "gender as the customer gave it"),
    ProfileColumn("age", "BIGINT", "age as the customer gave it", "years", "contact", ("contacts",), "contact",
                  "arg_min(age, place) FILTER (age IS NOT NULL)"),
    _given("income_band", "income band as the customer gave it"),
    _given("education", "education as the customer gave it"),
    ProfileColumn("birthday_month", "INTEGER", "month of the birthday", "1 to 12", "contact", ("contacts",), "contact",
                  "arg_min(birthday_month, place) FILTER (birthday_month BETWEEN 1 AND 12)"),
    _list("contact", "contacts", "tags",
          "list_sort(list_distinct(flatten(list(from_json(tags, '[\"VARCHAR\"]')) FILTER (tags IS NOT NULL))))",
          "tags on any platform; our own are left out"),
    _list("contact", "contacts", "groups",
          "list_sort(list_distinct(flatten(list(from_json(groups, '[\"VARCHAR\"]')) FILTER (groups IS NOT NULL))))",
          "preference groups chosen"),
)  # fmt: skip


def _channel(channel: str) -> ProfileColumn:
    return _text("consent", "consents", f"consent_{channel}", f"arg_min(status, weight) FILTER (channel = '{channel}')",
                 f"the strictest answer about {channel} on any platform")  # fmt: skip


CONSENT: tuple[ProfileColumn, ...] = (
    _flag("consent", "consents", "is_subscribed",
          "bool_or(channel = 'email' AND may_mail) AND NOT bool_or(channel = 'email' AND status IN ('unsubscribed', 'erased'))",
          "may be mailed on at least one platform and has said no nowhere"),
    _channel("email"), _channel("sms"), _channel("ads"),
    _day("consent", "consents", "subscribed_on",
         local_day("max(changed_at) FILTER (channel = 'email' AND status = 'subscribed')"),
         "day of the latest yes to e-mail, where the platform says"),
    _text("consent", "consents", "unsubscribe_reason", "max(reason) FILTER (status = 'unsubscribed')",
          "reason given for leaving"),
)  # fmt: skip

PERSON: tuple[ProfileColumn, ...] = (
    ProfileColumn("records", "INTEGER", "contact records that are this person", "records", "identity", ("contacts",), "person",
                  "p.records"),
    _day("person", "contacts", "known_since", local_day("p.since"), "day the first record was created"),
)  # fmt: skip

DERIVED: tuple[ProfileColumn, ...] = (
    _since("days_since_order", "last_order_on", "days since the last order", "orders"),
    _since("days_since_first_order", "first_order_on", "days since the first order", "orders"),
    _since("days_since_refund", "last_refund_on", "days since the last refund", "refunds"),
    _since("days_since_open", "last_open_on", "days since the last human open", "events"),
    _since("days_since_click", "last_click_on", "days since the last click", "events"),
    _since("days_since_engagement", "last_engaged_on", "days since the last human open or click", "events"),
    _since("days_since_visit", "last_visit_on", "days since the last visit", "events"),
    _since("days_since_subscribed", "subscribed_on", "days since the latest yes to e-mail", "consents"),
    _since("days_known", "known_since", "days since the first record was created", "contacts"),
    ProfileColumn("days_to_renewal", "INTEGER", "days until the subscription renews", "days", "derived", ("subscriptions",),
                  "derived", "CAST(subscription_renews_on - {day} AS INTEGER)"),
    ProfileColumn("spend_rank_pct", "DOUBLE", "place among buyers by money spent: 100 times rank by number of buyers, top "
                  "spenders first", "0 to 100", "derived", ("orders",), "rank", "spend_rank_pct"),
    *(ProfileColumn(f"rfm_{k}", "INTEGER", f"{w}: fifth of the shop's buyers, 5 is best; missing below 50 buyers", "1 to 5",
                    "derived", ("orders",), "rank", f"rfm_{k}")
      for k, w in (("r", "recency"), ("f", "frequency"), ("m", "money"))),
    _text("rank", "orders", "rfm_group", "rfm_group", "one of eleven groups by recency, frequency and money"),
)  # fmt: skip

SCORES: tuple[ProfileColumn, ...] = (
    ProfileColumn("churn_probability", "DOUBLE", "probability of no order within the horizon", "0 to 1", "score churn",
                  ("scores",), "scores", "max(value) FILTER (score = 'churn')"),
    _text("scores", "scores", "churn_tier", "max(tier) FILTER (score = 'churn')", "high (top 20 %), medium (next 30 %) or low"),
)  # fmt: skip

COLUMNS: tuple[ProfileColumn, ...] = (
    *PERSON, *CONTACT, *CONSENT, *ORDERS, *REFUNDS, *LINES, *TASTE, *EVENTS, *REACH, *CARTS, *SUBSCRIPTIONS, *DERIVED, *SCORES,
)  # fmt: skip

BY_NAME: dict[str, ProfileColumn] = {c.name: c for c in COLUMNS}

RFM_GRID = {
    5: ("new", "potential_loyalist", "potential_loyalist", "champions", "champions"),
    4: ("promising", "potential_loyalist", "loyal", "loyal", "champions"),
    3: ("about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"),
    2: ("hibernating", "hibernating", "at_risk", "at_risk", "at_risk"),
    1: ("lost", "hibernating", "at_risk", "cannot_lose", "cannot_lose"),
}
"""Recency fifth -> group by the mean of frequency and money fifths, rounded up (1 to 5)."""

RFM_LEAST_BUYERS = 50
