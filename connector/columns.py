"""The columns of the profile: for each its meaning, unit, source, what it needs, and the SQL that makes it.

How a column is written stands in `connector/column.py`; the rows it is aggregated from, in `connector/facts.py`.
"""

from __future__ import annotations

from dataclasses import replace

from connector.column import (
    IN_MONEY,
    WINDOWS,
    ProfileColumn,
    day_of,
    decimal,
    flag,
    local_day,
    money,
    number,
    share,
    since,
    text_of,
    words,
)  # fmt: skip
from connector.columns_people import ADDRESSES, CONSENT, CONTACT, PERSON
from connector.columns_scores import SCORES

HUMAN_OPEN = "kind = 'open' AND is_machine IS NOT TRUE"
"""Over `events`; in `fact_events` the opens of machines are a kind of their own."""


def _ever(noun: str) -> tuple[tuple[str, str, str], ...]:
    """(suffix, condition, words) of each window over shop days, 'ever' first."""
    windows = ((f"{n}d", f" AND ordered_on >= {{day}} - {n}", f"{noun} in the last {n} days") for n in WINDOWS)
    return (("total", "", f"{noun} ever"), *windows)


ORDERS: tuple[ProfileColumn, ...] = (
    *(number("orders", "orders", f"orders_{s}", f"count(*) FILTER (counts{c})", w, "orders") for s, c, w in _ever("orders")),
    *(
        money("orders", "orders", f"revenue_{s}", f"coalesce(sum(net){f' FILTER ({c[5:]})' if c else ''}, 0)",
              f"{w}, net of refunds, in the shop's currency")
        for s, c, w in _ever("money spent")
    ),
    day_of("orders", "orders", "first_order_on", "min(ordered_on) FILTER (counts)", "day of the first order"),
    day_of("orders", "orders", "last_order_on", "max(ordered_on) FILTER (counts)", "day of the last order"),
    number("orders", "orders", "order_days", "count(*) FILTER (is_new_day)", "number of different days with an order", "days"),
    ProfileColumn("aov", "DOUBLE", "average order value: money spent divided by orders, both in the shop's currency",
                  "shop currency", "orders", ("orders",), "orders",
                  "CAST(sum(net) AS DOUBLE) / nullif(count(*) FILTER (counts AND in_money), 0)"),
    ProfileColumn("largest_order", "DECIMAL(18,4)", "highest net amount of one order", "shop currency", "orders", ("orders",),
                  "orders", "max(net) FILTER (counts)"),
    decimal("orders", "orders", "avg_days_between_orders",
            "CAST(max(ordered_on) FILTER (counts) - min(ordered_on) FILTER (counts) AS DOUBLE)"
            " / nullif(count(ordered_on) FILTER (counts) - 1, 0)",
            "average number of days from one order to the next; missing with fewer than two orders", "days"),
    ProfileColumn("longest_gap_days", "INTEGER", "longest time between two orders", "days", "orders", ("orders",), "orders",
                  "max(gap_days)"),
    number("orders", "orders", "discounted_orders", "count(*) FILTER (counts AND is_discounted)", "orders with a discount",
           "orders"),
    share("orders", "orders", "discounted_orders_share",
          "CAST(count(*) FILTER (counts AND is_discounted) AS DOUBLE) / nullif(count(*) FILTER (counts), 0)",
          "share of the orders that had a discount"),
    share("orders", "orders", "discount_share",
          "CAST(sum(discount) FILTER (counts) AS DOUBLE)"
          " / nullif(CAST(sum(total + coalesce(discount, 0)) FILTER (counts) AS DOUBLE), 0)",
          "discounts as a share of what the orders would have cost without them"),
    share("orders", "orders", "promotion_share",
          "CAST(count(*) FILTER (counts AND is_discounted AND NOT is_sale_day) AS DOUBLE)"
          " / nullif(count(*) FILTER (counts AND NOT is_sale_day), 0)",
          "share of the orders with a discount, days left out on which most of the shop's orders had one"),
    number("orders", "orders", "refunded_orders", "count(*) FILTER (counts AND is_refunded)",
           "orders with a full or partial refund", "orders"),
    money("orders", "orders", "refunded_total", "coalesce(sum(refunded) FILTER (counts), 0)", "money given back ever"),
    share("orders", "orders", "refund_share",
          "CAST(sum(refunded) FILTER (counts) AS DOUBLE) / nullif(CAST(sum(total) FILTER (counts) AS DOUBLE), 0)",
          "money given back as a share of money charged"),
    number("orders", "orders", "orders_other_currency", "count(*) FILTER (counts AND NOT in_money)",
           "orders in another currency than the shop's; no money column adds them", "orders"),
    text_of("orders", "orders", "last_order_source", "arg_max(source, purchase) FILTER (counts AND ordered_on IS NOT NULL)",
            "where the last order came from"),
    ProfileColumn("season_month", "INTEGER", "month in which the person bought in two or more different years, the "
        "latest such; "
                  "missing before two seasons are there", "1 to 12", "orders", ("orders",), "orders",
                  "CAST(month(max(ordered_on) FILTER (is_season)) AS INTEGER)"),
)  # fmt: skip

REFUNDS = (day_of("refunds", "refunds", "last_refund_on", "max(" + local_day("refunded_at") + ")", "day of the last refund"),)

VISITS: tuple[ProfileColumn, ...] = (
    text_of("visits", "orders", "landing_page", "arg_min(landing_page, order_id) FILTER (landing_page IS NOT NULL)",
            "first page of the visit that led to the first order"),
    text_of("visits", "orders", "traffic_source", "arg_min(traffic_source, order_id) FILTER (traffic_source IS NOT NULL)",
            "where the visit of the first order came from"),
    text_of("visits", "orders", "utm_source", "arg_min(utm_source, order_id) FILTER (utm_source IS NOT NULL)",
            "utm_source of the visit of the first order"),
    text_of("visits", "orders", "utm_campaign", "arg_min(utm_campaign, order_id) FILTER (utm_campaign IS NOT NULL)",
            "utm_campaign of the visit of the first order"),
)  # fmt: skip

TASTE: tuple[ProfileColumn, ...] = (
    number("taste", "order_lines", "items_total", "CAST(round(sum(pieces)) AS BIGINT)", "pieces bought ever", "pieces"),
    number("taste", "order_lines", "products_count", "CAST(sum(products) AS BIGINT)", "number of different products bought",
           "products"),
    number("taste", "order_lines", "categories_count", "count(name)", "number of different categories bought", "categories"),
    words("taste", "order_lines", "bought_categories", "list_sort(list(name) FILTER (name IS NOT NULL))",
          "categories bought ever"),
    text_of("taste", "order_lines", "top_category", "arg_max(name, weight) FILTER (name IS NOT NULL)",
            "category with the most money spent; ties go to more lines, then the alphabet"),
    share("taste", "order_lines", "top_category_share",
          "CAST(arg_max(spent, weight) FILTER (name IS NOT NULL) AS DOUBLE)"
          " / nullif(CAST(sum(spent) FILTER (name IS NOT NULL) AS DOUBLE), 0)",
          "share of the money that went to the top category"),
    text_of("taste", "order_lines", "affinity_category",
            "arg_max(name, weight) FILTER (name IS NOT NULL AND is_repeated)",
            "category with the most money spent among those bought on two days or more; missing without one"),
)  # fmt: skip

VENDORS: tuple[ProfileColumn, ...] = (
    text_of("vendors", "order_lines", "affinity_vendor", "arg_max(name, weight)",
            "vendor with the most money spent among those bought from on two days or more; missing without one"),
)  # fmt: skip

GAINING: tuple[ProfileColumn, ...] = (
    text_of("gaining", "order_lines", "gaining_category", "arg_max(name, struct_pack(a := gain, b := name))",
            "category whose share of the person's money grew most: the last 180 days against before, by 20 points or more, "
            "with two lines or more in those days; missing without money spent before"),
)  # fmt: skip


def _events(name: str, kind: str, noun: str, unit: str, windows: tuple[int, ...]) -> tuple[ProfileColumn, ...]:
    counts = [(f"{n}d", f" AND day >= {{day}} - {n}", f"in the last {n} days") for n in windows]
    return tuple(
        number("events", "events", f"{name}_{suffix}", f"count(*) FILTER ({kind}{since_when})", f"{noun} {when}", unit)
        for suffix, since_when, when in (*counts, ("total", "", "ever seen"))
    )


ENGAGED = "kind IN ('open', 'click')"

EVENTS: tuple[ProfileColumn, ...] = (
    *_events("emails_received", "kind = 'sent'", "mails sent to the person", "mails", (30, 90, 365)),
    *_events("opens_human", "kind = 'open'", "opens by a human (no proxies or bots, where the platform can tell)", "opens",
             (30, 90, 365)),
    *_events("clicks", "kind = 'click'", "clicks in mails", "clicks", (30, 90, 365)),
    *_events("page_views", "kind = 'page_view'", "pages viewed", "views", (30, 90)),
    *_events("product_views", "kind = 'product_view'", "products viewed", "views", (30, 90)),
    *_events("searches", "kind = 'search'", "searches on the site", "searches", (90,)),
    *_events("tickets", "kind = 'ticket'", "support tickets", "tickets", (30, 365)),
    *_events("forms", "kind = 'form'", "forms filled in", "forms", (30, 365)),
    *_events("downloads", "kind = 'download'", "downloads", "downloads", (90,)),
    *_events("logins", "kind = 'login'", "logins", "logins", (30, 90)),
    *_events("forwards", "kind = 'forward'", "mails forwarded", "forwards", (365,)),
    *_events("social", "kind = 'social'", "social interactions", "interactions", (90,)),
    *_events("surveys", "kind = 'survey'", "survey answers", "answers", (365,)),
    *(day_of("events", "events", name, f"max(day) FILTER ({kind})", meaning) for name, kind, meaning in (
        ("last_email_on", "kind = 'sent'", "day of the last mail sent"),
        ("last_open_on", "kind = 'open'", "day of the last human open"),
        ("last_click_on", "kind = 'click'", "day of the last click"),
        ("last_engaged_on", ENGAGED, "day of the last human open or click"),
        ("last_visit_on", "kind IN ('page_view', 'product_view', 'login')", "day of the last visit seen"),
        ("last_ticket_on", "kind = 'ticket'", "day of the last support ticket"),
    )),
    number("events", "events", "emails_since_engagement",
           "CASE WHEN max(sent_no) FILTER (kind IN ('open', 'click')) IS NULL"
           " THEN count(*) FILTER (kind = 'sent')"
           " ELSE greatest(0, coalesce(max(sent_no) FILTER (kind = 'sent')"
           " - max(sent_no) FILTER (kind IN ('open', 'click')), 0)) END",
           "mails sent since the last human open or click", "mails"),
    number("events", "events", "bounces_total", "count(*) FILTER (kind = 'bounce')",
           "mails that bounced", "mails"),
)  # fmt: skip

INTERESTS: tuple[ProfileColumn, ...] = (
    words("interests", "events", "viewed_categories", "list_sort(list(name) FILTER (NOT is_click))",
          "categories looked at on the site"),
    words("interests", "events", "clicked_topics", "list_sort(list(name) FILTER (is_click))",
          "topics ever clicked in mails: the category of the click, else the first part of the link's path"),
)  # fmt: skip

ANSWERS: tuple[ProfileColumn, ...] = (
    decimal("answers", "events", "avg_rating", "CAST(sum(value) FILTER (kind = 'rating') AS DOUBLE)"
            " / nullif(count(value) FILTER (kind = 'rating'), 0)", "average rating given", "points"),
    number("answers", "events", "ratings_total", "count(value) FILTER (kind = 'rating')", "ratings given ever", "ratings"),
    decimal("answers", "events", "avg_survey_score", "CAST(sum(value) FILTER (kind = 'survey') AS DOUBLE)"
            " / nullif(count(value) FILTER (kind = 'survey'), 0)", "average score of survey answers", "points"),
    ProfileColumn("seconds_on_site", "BIGINT", "time on pages ever seen, where an import gives it", "seconds", "answers",
                  ("events",), "answers",
                  "CAST(round(sum(value) FILTER (kind IN ('page_view', 'product_view'))) AS BIGINT)"),
    ProfileColumn("last_rating", "DOUBLE", "latest rating given", "points", "answers", ("events",), "answers",
                  "CAST(arg_max(value, happened) FILTER (kind = 'rating' AND value IS NOT NULL) AS DOUBLE)"),
    *(text_of("answers", "events", name, f"arg_max(said, happened) FILTER (kind = '{kind}' AND said IS NOT NULL)", meaning)
      for name, kind, meaning in (
        ("last_survey_answer", "survey", "latest survey answer"), ("last_search", "search", "latest search on the site"),
        ("last_form", "form", "form filled in last"), ("last_download", "download", "file downloaded last"),
        ("last_ticket_topic", "ticket", "topic of the latest support ticket"),
        ("leaving_reason", "unsubscribe", "reason given when leaving a mailing"))),
)  # fmt: skip

WARMTH: tuple[ProfileColumn, ...] = (
    replace(decimal("warmth", "events", "engagement_decayed", "round(sum(warmth), 4)",
                    "human opens (1 each) and clicks (2 each) of two years, every one worth half as much for every 30 days it "
                    "is old", "points"), empty="0"),
)  # fmt: skip

REACH: tuple[ProfileColumn, ...] = (
    share("reach", "events", "open_rate_90d",
          "CAST(count(*) FILTER (is_sent AND is_opened) AS DOUBLE) / nullif(count(*) FILTER (is_sent), 0)",
          "share of the campaigns sent in the last 90 days that a human opened"),
)  # fmt: skip

CARTS: tuple[ProfileColumn, ...] = (
    flag("carts", "carts", "has_cart_abandoned_7d", "bool_or(is_open AND touched >= {from_7})",
          "left a cart in the last 7 days and has not bought since"),
    number("carts", "carts", "carts_abandoned_30d", "count(*) FILTER (is_open AND touched >= {from_30})",
            "carts left in the last 30 days without buying since", "carts"),
    day_of("carts", "carts", "last_cart_on", local_day("max(touched)"), "day of the last cart"),
    ProfileColumn("cart_value", "DECIMAL(18,4)", "value of the last cart left without buying since", "shop currency", "carts",
                  ("carts",), "carts", f"arg_max(total, touched) FILTER (is_open AND {IN_MONEY})"),
)  # fmt: skip

SUBSCRIPTIONS: tuple[ProfileColumn, ...] = (
    text_of("subscriptions", "subscriptions", "subscription_status", "max(now_status) FILTER (place = 1)",
          "active, paused, cancelled, expired or failed: the running subscription, else the one that ended or began last"),
    text_of("subscriptions", "subscriptions", "subscription_plan", "max(plan) FILTER (place = 1)", "plan of that subscription"),
    ProfileColumn("subscription_price", "DECIMAL(18,4)", "price of one period of that subscription; not known in another "
                  "currency than the shop's", "shop currency", "subscriptions", ("subscriptions",), "subscriptions",
                  f"max(price) FILTER (place = 1 AND {IN_MONEY})"),
    day_of("subscriptions", "subscriptions", "subscription_started_on", local_day("max(started_at) FILTER (place = 1)"),
         "day that subscription began"),
    day_of("subscriptions", "subscriptions", "subscription_renews_on", local_day("max(renews_at) FILTER (place = 1)"),
         "day it renews next"),
    day_of("subscriptions", "subscriptions", "subscription_cancelled_on", local_day("max(ended_at) FILTER (place = 1)"),
         "day it was cancelled"),
    number("subscriptions", "subscriptions", "subscriptions_active", "count(*) FILTER (now_status = 'active')",
            "subscriptions that run", "subscriptions"),
)  # fmt: skip


STAGES = {
    "lead": "lead", "marketingqualifiedlead": "marketing_qualified", "salesqualifiedlead": "sales_qualified",
    "opportunity": "sales_qualified", "customer": "customer", "evangelist": "customer",
}  # fmt: skip
"""A CRM stage -> ours, for people without an order: we never say less of a person than the CRM does."""

LIFECYCLE = (
    "CASE WHEN orders_total = 0 THEN CASE lifecycle_stage "
    + " ".join(f"WHEN '{k}' THEN '{v}'" for k, v in STAGES.items())
    + " ELSE CASE WHEN has_email THEN 'lead' ELSE 'visitor' END END"
    " WHEN days_since_order > 2 * shop_long_gap THEN 'churned' WHEN days_since_order > shop_long_gap THEN 'at_risk'"
    " WHEN orders_total >= 2 THEN 'repeat' ELSE 'customer' END"
)

ENGAGEMENT_SCORE = (
    "CAST(round(40 * least(1, CAST(2 * clicks_90d + opens_human_90d AS DOUBLE) / 10)"
    " + 20 * least(1, CAST(page_views_30d + product_views_30d + logins_30d AS DOUBLE) / 10)"
    " + 20 * least(1, CAST(orders_365d AS DOUBLE) / 4)"
    " + 20 * greatest(0, 1 - CAST(coalesce(days_since_order, 365) AS DOUBLE) / 365)) AS INTEGER)"
)

DERIVED: tuple[ProfileColumn, ...] = (
    since("days_since_order", "last_order_on", "days since the last order", "orders"),
    since("days_since_first_order", "first_order_on", "days since the first order", "orders"),
    since("days_since_refund", "last_refund_on", "days since the last refund", "refunds"),
    since("days_since_open", "last_open_on", "days since the last human open", "events"),
    since("days_since_click", "last_click_on", "days since the last click", "events"),
    since("days_since_engagement", "last_engaged_on", "days since the last human open or click", "events"),
    since("days_since_visit", "last_visit_on", "days since the last visit", "events"),
    since("days_since_subscribed", "subscribed_on", "days since the latest yes to e-mail", "consents"),
    since("days_known", "known_since", "days since the first record was created", "contacts"),
    ProfileColumn("days_to_renewal", "INTEGER", "days until the subscription renews", "days", "derived", ("subscriptions",),
                  "derived", "CAST(subscription_renews_on - {day} AS INTEGER)"),
    ProfileColumn("usual_gap_days", "DOUBLE", "days the person usually lets pass between two orders: the own average "
        "from three "
                  "orders on (on more than one day), else the middle of all gaps in the shop", "days", "derived", ("orders",),
                  "derived",
                  "CASE WHEN orders_total >= 3 AND avg_days_between_orders > 0 THEN avg_days_between_orders "
                  "WHEN orders_total > 0 THEN shop_usual_gap END"),
    ProfileColumn("lateness", "DOUBLE", "days since the last order divided by the usual gap: 1 is when the next is "
        "due", "times",
                  "derived", ("orders",), "derived", "CAST(days_since_order AS DOUBLE) / nullif(usual_gap_days, 0)"),
    text_of("derived", "orders", "lifecycle", LIFECYCLE,
            "visitor, lead, marketing_qualified, sales_qualified, customer, repeat, at_risk (silent for longer than "
            "nine of ten "
            "gaps between orders in this shop) or churned (twice that); never less than the CRM says"),
    ProfileColumn("engagement_score", "INTEGER", "engagement from 0 to 100: 40 for mail (10 points in 90 days are "
        "full; a click "
                  "counts 2, a human open 1), 20 for visits (10 views or logins in 30 days are full), 20 for orders (4 in 365 "
                  "days are full), 20 for a recent order (0 after 365 days)", "0 to 100", "derived", ("orders", "events"),
                  "derived", ENGAGEMENT_SCORE),
    ProfileColumn("branch_km", "DOUBLE", "distance to the nearest branch in a straight line, from the place's latitude and "
                  "longitude; branches stand in the configuration", "km", "derived", ("contacts",), "derived", "{branch_km}"),
    text_of("derived", "contacts", "nearest_branch", "{nearest_branch}", "name of the nearest branch"),
)  # fmt: skip

RANKS: tuple[ProfileColumn, ...] = (
    ProfileColumn("spend_rank_pct", "DOUBLE", "place among buyers by money spent: 100 times rank by number of buyers, top "
                  "spenders first", "0 to 100", "derived", ("orders",), "rank", "spend_rank_pct"),
    *(ProfileColumn(f"rfm_{k}", "INTEGER", f"{w}: fifth of the shop's buyers, 5 is best; missing below 50 buyers", "1 to 5",
                    "derived", ("orders",), "rank", f"rfm_{k}")
      for k, w in (("r", "recency"), ("f", "frequency"), ("m", "money"))),
    text_of("rank", "orders", "rfm_group", "rfm_group", "one of eleven groups by recency, frequency and money"),
)  # fmt: skip

COLUMNS: tuple[ProfileColumn, ...] = (
    *PERSON, *CONTACT, *ADDRESSES, *CONSENT, *ORDERS, *REFUNDS, *VISITS, *TASTE, *VENDORS, *GAINING, *EVENTS, *INTERESTS, *ANSWERS,
    *WARMTH, *REACH, *CARTS, *SUBSCRIPTIONS, *SCORES, *RANKS, *DERIVED,
)  # fmt: skip

BY_NAME: dict[str, ProfileColumn] = {c.name: c for c in COLUMNS}

NOT_AVAILABLE: dict[str, str] = {
    "time spent reading a mail (S20)": "no platform we read gives it; clicks_90d and open_rate_90d stand in",
    "who forwarded a mail (S21)": "platforms count forwards per campaign, not per person; forwards_365d comes from imports",
    "neighbourhood and local climate (S2)": "no platform gives them; postcode, region and branch_km stand in",
    "values, interests and attitudes (S4)": "only what a survey import says: last_survey_answer, groups and free attributes",
    "opens behind a privacy proxy (S9)": "a machine's open is no human's; of a Mailchimp campaign that does not tell them apart "
    "none counts, elsewhere all",
    "likes and comments on social media (S32)": "no platform we read gives them; import events of the kind social",
    "pages and time on site of strangers (S13, S14)": "a visit without a known person is nobody's; import identified "
    "page views",
}
"""Data points of the guides that no platform gives, and what stands in for each."""

RFM_GRID = {
    5: ("new", "potential_loyalist", "potential_loyalist", "champions", "champions"),
    4: ("promising", "potential_loyalist", "loyal", "loyal", "champions"),
    3: ("about_to_sleep", "about_to_sleep", "need_attention", "loyal", "loyal"),
    2: ("hibernating", "hibernating", "at_risk", "at_risk", "at_risk"),
    1: ("lost", "hibernating", "at_risk", "cannot_lose", "cannot_lose"),
}
"""Recency fifth -> group by the mean of frequency and money fifths, rounded up (1 to 5)."""

RFM_LEAST_BUYERS = 50
