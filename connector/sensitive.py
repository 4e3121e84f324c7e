"""Products that tell something private of who buys them: which rules speak of them alone, and which the owner may want to name.

`privacy.sensitive_products` holds parts of names, categories or vendors. What they match never reaches tags, taste, recommendations or
discovered groups.
"""

from __future__ import annotations

from connector.config import Config
from connector.rules import Rule
from connector.rules.measures import word_matches
from connector.store import Store

TELLING = (
    "pregnan", "maternity", "fertility", "ovulation", "menopaus", "menstrua", r"hiv\b", r"std\b", r"sti\b", "herpes",
    "incontinen", "diabet", "insulin", "antidepress", "anxiety", "dementia", "addiction", "nicotine",
    "hemorrhoid", "haemorrhoid", "potency", "viagra", "erotic", r"sex\b", "sex toy", "vibrator", r"condoms?\b", "lubricant",
    "weight loss", "slimming", r"cbd\b", "cannabis", "halal", "kosher", r"bibles?\b", r"qurans?\b", "rosary", "funeral", r"urns?\b",
    "schwanger", "kinderwunsch", "wechseljahre", "inkontinenz", "blutzucker", "erotik", "kondom", "abnehm", "trauer",
)  # fmt: skip
"""Beginnings of words in product names, in English and German, that speak of health, sex, faith or grief."""

SHOWN = 5

NAMED_BY = {
    "product": ("product", "shown", "title", "named", "sku"), "category": ("category_name",),
    "vendor": ("vendor_name", "vendor_now"),
}  # fmt: skip
"""Argument of a measure -> the columns of fact_products it speaks of."""


def only_of(store: Store, config: Config, rule: Rule) -> str:
    """The product, category or vendor of a rule that stands for sensitive products alone, whatever it is called; '' for none."""
    if not config.privacy.sensitive_products or not store.sql(
        "SELECT 1 FROM duckdb_tables() WHERE table_name = 'fact_products'"
    ):
        return ""
    for node in rule.tree.walk():
        for key, value in node.value if node.op == "measure" else ():
            if key in NAMED_BY:
                named = " OR ".join(word_matches(c, value) for c in NAMED_BY[key])
                if store.value(f"SELECT count(*) > 0 AND bool_and(is_sensitive) FROM fact_products WHERE {named}"):
                    return str(value).strip("%")
    return ""


def proposed(store: Store, config: Config) -> list[str]:
    """Names of products, categories and vendors that may be sensitive and that no configured word matches; the owner decides."""
    known = [w.lower().replace("'", "''") for w in config.privacy.sensitive_products]
    covered = " OR ".join(f"lower(name) LIKE '%{w}%'" for w in known) or "FALSE"
    pattern = r"\b(?:" + "|".join(TELLING) + ")"
    found = store.sql(
        f"""SELECT name FROM (SELECT title AS name FROM order_lines UNION SELECT title FROM products
                              UNION SELECT category FROM order_lines UNION SELECT category FROM products
                              UNION SELECT vendor FROM order_lines UNION SELECT vendor FROM products)
            WHERE regexp_matches(lower(name), $pattern) AND NOT ({covered}) ORDER BY name""",
        {"pattern": pattern},
    )
    return [str(name) for (name,) in found]


def advice(store: Store, config: Config) -> str:
    """What to tell the owner of them, '' where nothing looks sensitive."""
    names = proposed(store, config)
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (
        f"Some names may tell something private of who buys them: {', '.join(names[:SHOWN])}{more}. If so, put a part of each "
        "name into privacy.sensitive_products; they are then left out of tags, taste and recommendations."
    )
