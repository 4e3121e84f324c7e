"""Rules that must be refused, with the place and something to go on. Written by the hand that wrote the checker."""

from __future__ import annotations

import pytest

from connector.rules import RuleError, declared, parse

BAD = {
    # other people's tables, files, settings
    "(select 1) = 1": "query of its own", "exists(select * from people)": "query of its own",
    "orders_total in (select 1)": "query of its own", "orders_total > all(select 1)": "query of its own",
    "1 = 1 union select * from people": "query", "orders_total = 1; drop table people": "take the ; away",
    "orders_total = 1;": "take the ; away", "orders_total = 1 -- and more": "comment", "orders_total /* x */ = 1": "comment",
    "read_csv('/etc/passwd') is null": "", "read_text('/etc/passwd') = ''": "", "getenv('HOME') = 'x'": "",
    "glob('*') is null": "", "current_setting('threads') = 1": "", "pragma_version() is null": "",
    "duckdb_settings() is null": "", "people.email = 'x'": "without a table", "main.profile.orders_total = "
    "1": "without a table",
    "profile.orders_total = 1": "without a table", "attach 'x.db'": "", "copy people to 'x'": "", "install httpfs": "",
    "load httpfs": "", "pragma version": "", "set threads = 1": "", "call x()": "", "create table x(y int)": "",
    "delete from people": "", "update people set email = ''": "", "insert into people values (1)": "",
    "with x as (select 1) select * from x": "", "values (1)": "", "from people": "query of its own",
    "where orders_total = 1": "Leave out the word where", "orders_total = 1 where true": "",
    # casts, lambdas, lists, structs, windows
    "orders_total::text = '1'": "change types", "cast(orders_total as text) = '1'": "change types",
    "try_cast(aov as int) = 1": "change types", "date(last_order_on) = '2026-01-01'": "", "orders_total = ?": "placeholder",
    "orders_total = $1": "placeholder", "orders_total = :x": "", "orders_total = @x": "",
    "list_filter(tags, t -> t = 'x') is null": "", "tags[1] = 'x'": "", "{'a': 1} is null": "", "row(1, 2) is null": "",
    "rank() over (order by aov) = 1": "compare people with each other", "sum(orders_total) > 1": "revenue_total",
    "count(*) > 1": "orders_total", "max(aov, 3) > 1": "greatest", "power(aov, 2) > 9": "aov * aov",
    "interval 30 day > interval 1 month": "current_date - last_order_on",
    "max(orders_total) = 1": "", "* = 1": "", "columns('x') = 1": "", "orders_total = any(values)": "",
    "city similar to 'B.*'": "like or ilike", "regexp_matches(city, 'B')": "", "city ~ 'B'": "like or ilike",
    "city glob 'B*'": "", "random() > 0": "", "uuid() = 'x'": "", "now() > date '2026-01-01'": "",
    "repeat('x', 1000000000) = ''": "", "range(1000000000) is null": "", "printf('%d', 1) = '1'": "",
    # names
    "orders_totl > 1": "orders_total", "revenue_356d > 1": "revenue_365d", "day_since_order > 1": "days_since_order",
    "is_subscribd": "is_subscribed", '"orders_total2" > 1': "single quotes", 'city = "Bonn"': "single quotes",
    "bougth()": "bought", "segment('Nobody')": "no segment", "segment(VIP)": "", "segment('a', 'b')": "Name one segment",
    "bought": "brackets", "today > last_order_on": "current_date", "lastt(event => 'bought')": "last",
    # arguments
    "bought('Tea')": "Name the argument", "bought(category = 'Tea')": "=>", "bought(category := 'Tea')": "=>",
    "bought(categry => 'Tea')": "category", "bought(days => 'x')": "written number", "bought(days => 0)": "from 1 on",
    "bought(days => 1.5)": "from 1 on", "bought(days => -3)": "from 1 on", "bought(days => orders_total)": "written number",
    "bought(category => city)": "text in single quotes", "bought(days => 3, days => 4)": "twice",
    "bought(category => 'x', category => 'y')": "twice", "last()": "Say what is meant", "last(event => 'buyed')": "bought",
    "last(event => 'opened', form => 'x')": "no argument", "last(event => 'spent')": "no "
    "event", "everyone_else(1)": "takes nothing",
    "bought() is null": "never missing",
    # kinds and units
    "orders_total": "Compare it", "city": "Compare it", "tags": "in tags", "1": "Compare", "'x'": "Compare", "null": "",
    "orders_total = 'two'": "number", "orders_total = '2'": "without quotes", "city = 1": "single quotes",
    "city > null": "is null", "orders_total = null": "is null", "aov <> null": "is not null", "orders_total in (1, "
    "null)": "null",
    "is_subscribed = 'yes'": "yes or no", "is_subscribed > 1": "", "tags = 'x'": "'x' in tags", "tags like 'x'": "'x' in tags",
    "tags in ('x')": "list_has_any", "last_order_on > 30": "is a day", "last_order_on > 'yesterday'": "no day",
    "last_order_on = date '2026-13-45'": "no day", "last_order_on = '2026-02-30'": "no day",
    "days_since_order > interval 30 day": "number of days alone", "last_order_on + last_order_on > "
    "current_date": "makes no sense",
    "city + 1 = 2": "makes no sense", "-city = 1": "a number is needed", "not city": "Compare it", "not "
    "orders_total": "Compare it",
    "orders_total and is_subscribed": "Compare it", "1 < orders_total < 3": "chained", "orders_total between null and "
    "3": "null",
    "revenue_total > orders_total": "money", "aov > days_since_order": "number of days", "spent() > bought()": "money",
    "spend_rank_pct > orders_total": "rank", "case when 1 then 2 end = 2": "Compare", "coalesce(aov, 'x') = 1": "one kind",
    "case when is_subscribed then 1 else 'x' end = 1": "one kind", "round(aov, orders_total) = 1": "places",
    "lower(orders_total) = 'x'": "needs", "orders_total = 1e400": "too large", "orders_total = "
    "1234567890123456789012345": "too",
    "orders_total = 0.0000000000001": "too",
    # not to be read at all
    "": "empty", "   ": "empty", "(": "never closed", "orders_total > (1": "never closed", "orders_total > "
    "1)": "closes nothing",
    "city = 'Bonn": "never closed", "orders_total >": "", "> 1": "", "orders_total >> 1": "", "and orders_total > 1": "",
    "orders_total > 1 and": "", "orders_total == = 1": "", "orders_total > > 1": "", "is_subscribed is_subscribed": "",
    "city in ()": "", "between 1 and 2": "", "case end": "", "orders_total = 1 orders_30d = 2": "", "\x00": "", "city "
    "= '\x00'": "",
    "((((" * 30 + "true" + "))))" * 30: "nested too deeply", "not " * 3000 + "true": "", "orders_total=1 or "
    "" * 400 + "true": "longer",
    "a" * 5000: "longer",
}  # fmt: skip
"""Rule -> part of the reason ('' where any reason will do)."""


def test_there_are_a_hundred():
    assert len(BAD) >= 100


@pytest.mark.parametrize("where", BAD, ids=range(len(BAD)))
def test_a_bad_rule_is_refused_with_a_place_and_a_reason(where: str):
    with pytest.raises(RuleError) as caught:
        parse(where, declared(("VIP",), "EUR"))

    error = caught.value
    assert BAD[where] in error.reason, error.reason
    assert error.reason.endswith((".", "?")) and "\n" not in error.reason
    assert 0 <= error.place.start <= max(len(where), 0)
    assert "^" in error.message()
    assert "sqlglot" not in error.message() and "Traceback" not in error.message()
