"""The columns predictions fill, each with what it was made from beside it: people, horizon, cutoff, model, confidence.

Only published scores are seen here: where a score was last refused or no better than the simple rule, its columns are missing.
"""

from __future__ import annotations

import re

from connector.column import ProfileColumn, text_of, words


def _value(name: str, score: str, meaning: str, unit: str, *, sql_type: str = "DOUBLE", of: str = "value") -> ProfileColumn:
    sql = f"CAST(max({of}) FILTER (score = '{score}') AS {sql_type})"
    return ProfileColumn(name, sql_type, meaning, unit, f"score {score}", ("scores",), "scores", sql)


def _tier(prefix: str, score: str, meaning: str) -> ProfileColumn:
    return text_of("scores", "scores", f"{prefix}_tier", f"max(tier) FILTER (score = '{score}')", meaning)


def _reasons(prefix: str, score: str) -> ProfileColumn:
    sql = f"from_json(max(reasons) FILTER (score = '{score}'), '[\"VARCHAR\"]')"
    return words("scores", "scores", f"{prefix}_reasons", sql, f"what moves {prefix.replace('_', ' ')} most, in words")


KINDS = (
    ("n", "BIGINT", "people", "number of people the {} model learned from", "card->>'$.n'"),
    ("horizon_days", "INTEGER", "days", "horizon of the {} score: how many days ahead it speaks of", "card->>'$.horizon_days'"),
    ("cutoff_on", "DATE", "shop's day", "cutoff of the {} score, the day from which on it saw nothing", "cutoff"),
    ("model", "VARCHAR", "text", "model the {} score came from", "card->>'$.model'"),
    (
        "confidence",
        "VARCHAR",
        "text",
        "confidence of the {} score, from the amount of data: low, medium or high",
        "card->>'$.confidence'",
    ),
)
"""Ending of the column, type, unit, meaning, and where the card has it."""


def _beside(prefix: str, score: str, of: str) -> tuple[ProfileColumn, ...]:
    """n, horizon, cutoff, model and confidence of the score that column `of` came from: the same for everybody who has one,
    so they stand once among the shop's own figures (CARDS_SQL) and not with every person."""
    return tuple(
        ProfileColumn(
            f"{prefix}_{name}", sql_type, meaning.format(prefix.replace("_", " ")), unit, f"score {score}", ("scores",),
            "derived", f"CASE WHEN {of} IS NOT NULL THEN shop_{score}_{name} END",
        )
        for name, sql_type, unit, meaning, _ in KINDS
    )  # fmt: skip


def _day(name: str, score: str, meaning: str) -> ProfileColumn:
    sql = f"CAST(DATE '1970-01-01' + CAST(max(value) FILTER (score = '{score}') AS INTEGER) AS DATE)"
    return ProfileColumn(name, "DATE", meaning, "shop's day", f"score {score}", ("scores",), "scores", sql)


TIERS = "high (top 20 %), medium (next 30 %) or low"
TITLES = '[{{"product_id": "VARCHAR", "title": "VARCHAR"}}]'
WHYS = '[{{"why": "VARCHAR"}}]'

SCORES: tuple[ProfileColumn, ...] = (
    _value("churn_probability", "churn", "probability of no order within the horizon", "0 to 1"),
    _tier("churn", "churn", TIERS), _reasons("churn", "churn"), *_beside("churn", "churn", "churn_probability"),
    _value("purchase_probability_30d", "purchase_30d", "probability of an order within 30 days", "0 to 1"),
    _tier("purchase", "purchase_30d", TIERS), _reasons("purchase", "purchase_30d"),
    *_beside("purchase", "purchase_30d", "purchase_probability_30d"),
    _value("clv", "clv", "expected spend within the horizon, net of refunds", "shop currency"),
    _tier("clv", "clv", TIERS), _reasons("clv", "clv"), *_beside("clv", "clv", "clv"),
    _value("clv_365d", "clv_365d", "expected spend within 365 days, net of refunds", "shop currency"),
    _reasons("clv_365d", "clv_365d"),
    *_beside("clv_365d", "clv_365d", "clv_365d"),
    _value("p_alive", "p_alive", "probability that the person still buys here at all; says nothing about when, and is no churn "
           "score", "0 to 1"),
    *_beside("p_alive", "p_alive", "p_alive"),
    _day("next_order_on", "next_order", "likely day of the next order, if one comes within the horizon"),
    _day("next_order_from_on", "next_order_lo", "first day of the range that holds 8 of 10 next orders"),
    _day("next_order_until_on", "next_order_hi", "last day of that range"),
    words("scores", "scores", "next_order_reasons",
          "from_json(max(reasons) FILTER (score = 'next_order'), '[\"VARCHAR\"]')", "what is said of the next order, in words"),
    *_beside("next_order", "next_order", "next_order_on"),
    text_of("scores", "scores", "next_category", "max(tier) FILTER (score = 'next_category')",
            "likely category of the next order"),
    _value("next_category_probability", "next_category", "probability of that category in the next order", "0 to 1"),
    _reasons("next_category", "next_category"),
    *_beside("next_category", "next_category", "next_category"),
    text_of("scores", "scores", "next_topic", "max(tier) FILTER (score = 'next_topic')",
            "likely topic of the next click in a mail"),
    _value("next_topic_probability", "next_topic", "probability of that topic in the next click", "0 to 1"),
    _reasons("next_topic", "next_topic"),
    *_beside("next_topic", "next_topic", "next_topic"),
    words("scores", "scores", "recommended_products",
          f"list_transform(from_json(max(reasons) FILTER (score = 'recommendations'), '{TITLES}'), lambda t: t.title)",
          "ten products to recommend, best first"),
    words("scores", "scores", "recommended_products_reasons",
          f"list_transform(from_json(max(reasons) FILTER (score = 'recommendations'), '{WHYS}'), lambda t: t.why)",
          "why each of them is recommended, in the same order"),
    *_beside("recommended_products", "recommendations", "recommended_products"),
    _value("engagement_probability", "engagement", "probability of a human open or click within the horizon", "0 to 1"),
    _tier("engagement", "engagement", TIERS), _reasons("engagement", "engagement"),
    *_beside("engagement", "engagement", "engagement_probability"),
    _value("uplift", "uplift", "how much likelier an order within 30 days is if the person is written to, learned from people held "
           "out by lot", "-1 to 1"),
    *_beside("uplift", "uplift", "uplift"),
    text_of("scores", "scores", "cluster", "max(tier) FILTER (score = 'cluster')", "group found by `rollcall discover`"),
    _reasons("cluster", "cluster"),
    *_beside("cluster", "cluster", "cluster"),
    _value("anomaly_score", "anomaly", "how unusual the person's last weeks are against the own history: 3 is one in a thousand "
           "by chance; 0 where nothing stands out", "points"),
    text_of("scores", "scores", "anomaly", "max(tier) FILTER (score = 'anomaly')",
            "drop, jump, large_order or small_order: what stands out against the own history"),
    _reasons("anomaly", "anomaly"), *_beside("anomaly", "anomaly", "anomaly_score"),
)  # fmt: skip

REASONED = (
    ("churn_probability", "churn_tier", "churn_reasons"), ("purchase_probability_30d", "purchase_tier", "purchase_reasons"),
    ("clv", "clv_tier", "clv_reasons"), ("clv_365d", "", "clv_365d_reasons"), ("next_order_on", "", "next_order_reasons"),
    ("engagement_probability", "engagement_tier", "engagement_reasons"), ("next_category", "", "next_category_reasons"),
    ("next_topic", "", "next_topic_reasons"),
    ("recommended_products", "", "recommended_products_reasons"), ("cluster", "", "cluster_reasons"), ("uplift", "", ""),
    ("anomaly_score", "anomaly", "anomaly_reasons"),
)  # fmt: skip
"""Columns that `why` tells of a person, each with its tier and its reasons ('' where it has none)."""

CARDS_SQL = (
    "SELECT "
    + ", ".join(
        f"CAST(max({value}) FILTER (score = '{score}') AS {sql_type}) AS shop_{score}_{name}"
        for score in sorted({c.source.removeprefix("score ") for c in SCORES if c.group == "derived"})
        for name, sql_type, _, _, value in KINDS
    )
    + " FROM (SELECT score, cutoff, card, is_published FROM score_cards WHERE cutoff <= {day}"
    " QUALIFY row_number() OVER (PARTITION BY score ORDER BY cutoff DESC, made_run DESC) = 1) WHERE is_published"
)
"""One row: what stands on the card of each score whose values the profile shows. The newest card decides, as in score_rows:
what was refused today has no values, whatever was published before."""


def made_by(name: str) -> tuple[str, ...]:
    """The columns that the score behind this column fills, itself among them; none where it is no score's."""
    score = next((s for c in SCORES if c.name == name for s in _score_of(c)), "")
    return tuple(c.name for c in SCORES if c.group == "scores" and score in _score_of(c)) if score else ()


def _score_of(column: ProfileColumn) -> tuple[str, ...]:
    if column.group == "derived":
        return (column.source.removeprefix("score "),)
    return tuple(re.findall(r"score = '(\w+?)(?:_lo|_hi)?'", column.sql))
