from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connector.clock import as_of
from connector.evaluation import Evaluation
from connector.library import examples
from connector.rules import RuleError, declared, parse, say
from connector.rules.nearest import distance, nearest
from tests.stages.hand_shop import DAY, derive, new_store, shop_config

PLAIN = declared(("VIP", "Win back"), "EUR")
WORDS = replace(
    PLAIN,
    columns={**PLAIN.columns, "country": replace(PLAIN.columns["country"], values=frozenset({"DE", "FR"}))},
    topics={"category": frozenset({"Dark roast", "Tea"})},
)

GOOD = """
orders_365d >= 5 and revenue_365d > 500
not (aov > 30)
aov is null or not is_subscribed
is_subscribed is true and on_shopify is not true
country in ('DE', 'FR') and city ilike 'ber%'
country not in ('DE') and language not like 'en%'
last_order_on > current_date - interval 30 day
last_order_on >= today() - 30
current_date - last_order_on > 30
last_order_on between '2026-01-01' and date '2026-02-01'
bought(category => 'Dark roast', days => 90)
clicked(url => '%blog%', days => 60) >= 3
spent(category => 'Tea', days => 365) > 40 or not bought(product => 'X')
ordered(min_total => 100, days => 365) >= 2
opened() and received(campaign => 'News%', days => 30) >= 1 and viewed(url => '%/tea%') and rated(min => 4)
segment('vip') and not segment('Win back')
'x' in tags and not list_has_any(tags, ['a', 'b']) and len(groups) > 1
list_contains(tags, 'x') or contains(city, 'x') or starts_with(city, 'B')
case when orders_total > 3 then 'a' else 'b' end = 'a'
if(orders_total > 3, 1, 2) = 1
revenue_total / orders_total > 30.5
-orders_total + 2 * orders_30d <= 1e3
coalesce(aov, 0) < 10 and greatest(orders_30d, orders_90d) > 1 and nullif(orders_total, 0) > 1
year(last_order_on) = 2026 and month(first_order_on) in (11, 12)
lower(trim(city)) = 'o''hara; -- town'
5 <= orders_total and orders_total <> 7
ORDERS_TOTAL > 3 AND Country = 'DE'
"orders_total" > 3
true
""".strip().splitlines()

BAD = {
    "": "empty",
    "revenue_356d > 500": "Did you mean 'revenue_365d'",
    "orders_total = null": "Write orders_total is null",
    "orders_total <> null": "Write orders_total is not null",
    "orders_total > 'abc'": "is a number",
    "orders_total > '5'": "Write 5 without quotes",
    "country = 5": "Write '5' in single quotes",
    'country = "DE"': "single quotes: 'DE'",
    "orders_total": "orders_total > 0",
    "country": "not a condition",
    "5": "not a condition",
    "1 < orders_total < 3": "chained",
    "profile.orders_total > 3": "without a table",
    "orders_total::int > 3": "change types",
    "cast(orders_total as int) > 3": "change types",
    "try_cast(country as int) = 1": "change types",
    "timestamp '2026-01-01' < last_order_on": "change types",
    "orders_total > 3; drop table people": "take the ; away",
    "orders_total > 3 -- hi": "comment",
    "orders_total > /* x */ 3": "comment",
    "exists(select 1)": "query of its own",
    "orders_total in (select 1)": "query of its own",
    "(select 1) = 1": "query of its own",
    "select * from people": "query of its own",
    "read_csv('x') = 1": "no function 'read_csv'",
    "getenv('HOME') = 'x'": "no function 'getenv'",
    "lowr(country) = 'de'": "Did you mean 'lower'",
    "boght(days => 3)": "Did you mean 'bought'",
    "bought(categry => 'x')": "Did you mean 'category'",
    "bought(category = 'x')": "category =>",
    "bought(category := 'x')": "category =>",
    "bought('x')": "category =>",
    "bought(days => -3)": "whole number",
    "bought(days => 1.5)": "whole number",
    "bought(days => orders_total)": "written number",
    "bought(category => null)": "text in single quotes",
    "bought(days => 3, days => 4)": "given twice",
    "bought(days => 3) is null": "never missing",
    "bought > 3": "needs brackets",
    "segment('VIPP')": "Did you mean 'VIP'",
    "segment(country)": "Name one segment",
    "tags = 'x'": "Write 'x' in tags",
    "tags in ('x')": "list_has_any",
    "tags like 'x'": "Write 'x' in tags",
    "days_since_last_order > 90": "Did you mean 'days_since_order'?",
    "total_spent > 100": "Did you mean 'revenue_total'?",
    "country = Bonn": "Text stands in single quotes: 'Bonn'.",
    "country is 'DE'": "Write country = 'DE'",
    "country is DE": "Write country = 'DE'",
    "orders_total is 3": "Write orders_total = 3",
    "null is null": "null is always unknown",
    "revenue_total >= 1,000": "thousands: 1000.",
    "revenue_total >= 1,000.50": "thousands: 1000.50.",
    "revenue_total >= 1.000,50": "decimal point: 1000.50.",
    "revenue_total >= 0,125": "with a point: 0.125.",
    "orders_total > ?": "placeholders",
    "orders_total > $1": "placeholders",
    "(orders_total > 3": "never closed",
    "orders_total > 3)": "closes nothing",
    "orders_total >": "missing",
    "orders_total > 3 and and aov > 3": "missing",
    "country = 'DE": "never closed",
    "last_order_on = '2026-13-45'": "is no day",
    "last_order_on > 5": "is a day",
    "days_since_order > interval 30 day": "days alone",
    "last_order_on > interval '1 hour'": "span",
    "orders_total > 1e400": "too large",
    "orders_total > 2222222222222222222222222": "too large",
    "is_subscribed = 'yes'": "yes or no",
    "is_subscribed > 3": "chained",
    "count(*) > 3": "sums already",
    "{ : }": "cannot be read",
    "sum(orders_total) over () > 3": "compare people",
    "random() > 0.5": "no function",
    "where orders_total > 3": "Leave out the word where",
    "orders_total > 3 limit 1": "cannot stand here",
    "orders_total like 'x'": "text pattern",
    "today > last_order_on": "current_date",
    "regexp_matches(country, 'x')": "like or ilike",
    "country similar to 'x'": "like or ilike",
    "orders_total between null and 3": "is null",
    "country in ('DE', null)": "null is in no list",
    "orders_total in ()": "empty",
    "orders_total between symmetric 1 and 2": "not allowed",
    "country like 'a' escape 'b'": "not allowed",
    "tags[1] = 'x'": "not allowed",
    "{'a': 1} = 1": "no function",
    "orders_total = any([1, 2])": "not allowed",
    "country || 'x' = 'y'": "cannot be joined",
    "orders_total ** 2 > 3": "Multiply instead",
    "* = 3": "*",
    "country collate nocase = 'x'": "lower(...)",
    "case when orders_total > 1 then 'a' else 1 end = 'a'": "one kind",
    "last_order_on + last_order_on > current_date": "makes no sense",
    "round(country) = 1": "round needs",
    "round(aov, orders_total) = 1": "written number",
    "round(aov, 2.5) = 1": "written number",
    "abs(orders_total, 2) = 1": "one too many",
    "(" * 60 + "true" + ")" * 60: "nested too deeply",
    "not " * 3000 + "true": "longer than",
    " and ".join(["true"] * 900): "longer than",
}


@pytest.mark.parametrize("rule", GOOD)
def test_good_rules_are_accepted_and_said_back(rule: str):
    sentence = say(parse(rule, WORDS), "EUR")

    assert sentence.startswith("Everybody") and sentence.endswith(".")


@pytest.mark.parametrize(("rule", "reason"), BAD.items(), ids=[r[:40] for r in BAD])
def test_bad_rules_are_refused_with_place_and_advice(rule: str, reason: str):
    with pytest.raises(RuleError) as caught:
        parse(rule, WORDS)

    assert reason in caught.value.reason
    assert "^" in str(caught.value)


def test_the_caret_stands_under_the_word():
    with pytest.raises(RuleError) as caught:
        parse("orders_total > 3 and\n  revenue_356d > 500", WORDS)

    assert str(caught.value).splitlines()[1:] == ["    revenue_356d > 500", "    ^^^^^^^^^^^^"]


@pytest.mark.parametrize(
    ("rule", "warning"),
    [
        ("country = 'DEE'", "'country' is never 'DEE' in the data. Did you mean 'DE'?"),
        ("country in ('DE', 'XX')", "'country' is never 'XX'"),
        ("bought(category => 'Dark rost')", "Did you mean 'Dark roast'?"),
        ("orders_total between 5 and 3", "Swap them"),
    ],
)
def test_values_never_seen_are_warned_of(rule: str, warning: str):
    assert any(warning in w.message for w in parse(rule, WORDS).warnings)


def test_known_values_are_not_warned_of():
    assert not parse("country = 'DE' and bought(category => 'dark roast') and bought(category => 'Dark%')", WORDS).warnings


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ("not (aov > 30)", "Everybody whose average order value is not more than 30 EUR (or is not known)."),
        ("days_since_order > 180", "Everybody whose last order was more than 180 days ago."),
        ("orders_365d >= 5 and is_subscribed",
         "Everybody whose number of orders in the last 365 days is at least 5 and who may be mailed."),
        ("bought(category => 'Tea', days => 90)", "Everybody who bought from category 'Tea' in the last 90 days."),
        ("not bought(product => 'X')", "Everybody who did not buy the product 'X'."),
        ("clicked(url => '%blog%') >= 3", "Everybody who clicked a link like '%blog%' at least 3 times."),
        ("segment('vip') or not is_subscribed", "Everybody who is in the segment 'VIP' or who may not be mailed."),
        ("5 < orders_total", "Everybody whose number of orders ever is more than 5."),
        ("last_order_on >= '2026-01-31'", "Everybody whose day of the last order is not before 2026-01-31."),
        ("true", "Everybody."),
    ],
)  # fmt: skip
def test_rules_are_said_back_in_plain_words(rule: str, sentence: str):
    assert say(parse(rule, WORDS), "EUR") == sentence


def test_places_cover_whole_clauses():
    rule = parse("orders_total > 3 and not (segment('VIP'))", WORDS)

    assert [rule.text[a.place.start : a.place.end] for a in rule.tree.args] == ["orders_total > 3", "not (segment('VIP'))"]
    assert rule.references == ("VIP",) and rule.columns == ("orders_total",)
    assert rule.tree.args[0].args[1].value == Decimal(3)


def test_nearest_names():
    assert distance("abcd", "acbd") == 1
    assert nearest("revenue_tota", ["revenue_total", "orders_total"]) == "revenue_total"
    assert nearest("revenue", ["revenue_total", "orders_total"]) == "revenue_total"
    assert nearest("zzz", ["revenue_total"]) == ""


SOUP = """orders_total aov country tags last_order_on is_subscribed bought( clicked( segment( and or not in between like is
null case when then else end date interval day ( ) [ ] , => = <> < >= + - * / % 'DE' '2026-01-01' 3 1.5 $1 ? . : :: ; -- select
from union distinct exists cast as over * { } current_date true lambda -> || ~ @ # ! \\ " ' days category 'VIP' abs( round("""


@pytest.fixture(scope="module")
def engine():
    """A shop without anybody: enough for the engine to check names and types of what it is given."""
    store = new_store()
    derive(store, shop_config())
    return store


def run(store, rule):
    rules = {"asked": rule, **{name: parse("true", WORDS) for name in WORDS.segments}}
    return store.sql(Evaluation(shop_config(), as_of(DAY, "UTC"), rules).masks())


@pytest.mark.parametrize("rule", GOOD)
def test_good_rules_run(engine, rule: str):
    assert run(engine, parse(rule, WORDS)) == []


def test_ready_made_rules_run(engine):
    for one, rule, _ in examples():
        assert run(engine, parse(rule, WORDS)) == [], one.name


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(SOUP.split()), max_size=12).map(" ".join) | st.text(max_size=30))
def test_whatever_is_written_is_refused_in_words_or_runs(engine, text: str):
    try:
        rule = parse(text, WORDS)
    except RuleError as e:
        assert e.reason and "^" in str(e)
    else:
        assert say(rule).endswith(".")
        assert run(engine, rule) == []
