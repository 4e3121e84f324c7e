"""The profile's SQL for other engines: sqlglot's translation, and what it does not know of the DuckDB we write.

`POSTGRES_FUNCTIONS` must be made once in the PostgreSQL database that runs a translation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import sqlglot
from sqlglot import exp

POSTGRES_FUNCTIONS = """
CREATE OR REPLACE FUNCTION words_of(t text) RETURNS text[] LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN t IS NOT NULL THEN ARRAY(SELECT json_array_elements_text(t::json)) END $$;
CREATE OR REPLACE FUNCTION titles_of(t text) RETURNS text[] LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN t IS NOT NULL THEN ARRAY(SELECT e->>'title' FROM json_array_elements(t::json) AS e) END $$;
CREATE OR REPLACE FUNCTION list_sort(a text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN a IS NOT NULL THEN ARRAY(SELECT x FROM unnest(a) AS x ORDER BY x COLLATE "C") END $$;
CREATE OR REPLACE FUNCTION list_distinct(a text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN a IS NOT NULL THEN ARRAY(SELECT DISTINCT x FROM unnest(a) AS x WHERE x IS NOT NULL) END $$;
CREATE OR REPLACE FUNCTION to_integer(t text) RETURNS integer LANGUAGE sql IMMUTABLE AS
  $$ SELECT CASE WHEN t ~ '^ *[0-9]+ *$' THEN t::integer END $$;
CREATE OR REPLACE FUNCTION round(double precision, integer) RETURNS double precision LANGUAGE sql IMMUTABLE AS
  $$ SELECT round($1::numeric, $2)::double precision $$;
CREATE OR REPLACE AGGREGATE join_lists(anycompatiblearray) (sfunc = array_cat, stype = anycompatiblearray);
"""

Change = Callable[[exp.Expr], exp.Expr]


def translated(sql: str, dialect: str, tables: Mapping[str, Sequence[str]]) -> str:
    """The statement for `postgres` or `spark`. `tables`: the columns of each table, to spell out what * REPLACE changes."""
    tree = sqlglot.parse_one(sql, read="duckdb")
    for change in (
        lambda n: _spelled_out(n, tables),
        _grouped,
        _wide,
        _qualified,
        {"postgres": _postgres, "spark": _spark}[dialect],
    ):
        tree = tree.transform(change)
    for number, query in enumerate(q for q in tree.find_all(exp.Subquery) if isinstance(q.parent, (exp.From, exp.Join))):
        if not query.alias:
            query.set("alias", exp.TableAlias(this=exp.to_identifier(f"unnamed{number}")))
    if dialect == "spark":
        for with_ in tree.find_all(exp.CTE):
            with_.set("materialized", None)
    return tree.sql(dialect=dialect)


def _spelled_out(node: exp.Expr, tables: Mapping[str, Sequence[str]]) -> exp.Expr:
    """`c.* REPLACE (x AS y)` as the columns of c one by one."""
    if not isinstance(node, exp.Select):
        return node
    found: list[exp.Expr] = []
    for item in node.expressions:
        star = item.this if isinstance(item, exp.Column) else item
        replaced = star.args.get("replace") or star.args.get("replace_") if isinstance(star, exp.Star) else None
        if not replaced:
            found.append(item)
            continue
        instead = {a.alias: a for a in replaced}
        alias = item.table
        source = next(t.name for t in node.find_all(exp.Table) if t.alias_or_name == alias)
        found += [instead.get(c) or exp.column(c, table=alias, quoted=True) for c in tables[source]]
    node.set("expressions", found)
    return node


def _grouped(node: exp.Expr) -> exp.Expr:
    """GROUP BY ALL as the projections that hold no aggregate."""
    if isinstance(node, exp.Select) and node.args.get("group") and node.args["group"].args.get("all"):
        plain = [e.unalias().copy() for e in node.expressions if not e.find(exp.AggFunc)]
        node.set("group", exp.Group(expressions=plain))
    return node


def _qualified(node: exp.Expr) -> exp.Expr:
    """QUALIFY as a column of its own and a WHERE around it."""
    if not isinstance(node, exp.Select) or not node.args.get("qualify"):
        return node
    kept = node.args["qualify"].this
    inner = node.copy()
    inner.set("qualify", None)
    inner.set("expressions", [*inner.expressions, exp.alias_(kept.copy(), "is_kept")])
    names = [exp.column(e.alias_or_name) for e in node.expressions]
    return exp.select(*names).from_(inner.subquery("qualified")).where(exp.column("is_kept"))


def _wide(node: exp.Expr) -> exp.Expr:
    """The widest whole number there is elsewhere."""
    if isinstance(node, exp.DataType) and node.this == exp.DType.INT128:
        return exp.DataType.build("DECIMAL(38, 0)")
    return node


def _call(name: str, *arguments: exp.Expr) -> exp.Expr:
    return exp.Anonymous(this=name, expressions=list(arguments))


def _latest(node: exp.Expr) -> tuple[exp.Expr, exp.Expr, exp.Expr | None, bool] | None:
    """(what, by what, condition, is the greatest) of an arg_max or arg_min with or without FILTER."""
    inner = node.this if isinstance(node, exp.Filter) else node
    if not isinstance(inner, (exp.ArgMax, exp.ArgMin)):
        return None
    condition = node.expression.this if isinstance(node, exp.Filter) else None
    return inner.this, inner.expression, condition, isinstance(inner, exp.ArgMax)


def _known_only(what: exp.Expr, by: exp.Expr, condition: exp.Expr | None) -> exp.Expr:
    """DuckDB passes over rows without a value, or without one to go by."""
    parts = [what] if isinstance(by, exp.Struct) else [what, by]
    known = exp.and_(*(exp.Not(this=exp.Is(this=exp.paren(p.copy()), expression=exp.Null())) for p in parts))
    return exp.and_(condition.copy(), known) if condition is not None else known


def _postgres(node: exp.Expr) -> exp.Expr:
    found = _latest(node)
    if found is not None and not (isinstance(node, (exp.ArgMax, exp.ArgMin)) and isinstance(node.parent, exp.Filter)):
        what, by, condition, is_greatest = found
        what, by = what.transform(_postgres), by.transform(_postgres)
        by = _call("ROW", *by.expressions) if isinstance(by, exp.Struct) else by
        order = exp.Order(expressions=[exp.Ordered(this=by.copy(), desc=is_greatest)])
        all_of = exp.Filter(
            this=_call("ARRAY_AGG", exp.Order(this=what.copy(), expressions=order.expressions)),
            expression=exp.Where(this=_known_only(what, found[1], condition)),
        )
        return exp.Bracket(this=exp.paren(all_of), expressions=[exp.Literal.number(1)], offset=1, safe=False)
    if isinstance(node, exp.Struct):
        return _call("ROW", *(e.expression if isinstance(e, exp.PropertyEQ) else e for e in node.expressions))
    if isinstance(node, exp.TryCast):
        return _call("to_integer", node.this.copy().transform(_postgres))
    if isinstance(node, exp.Round) and not node.args.get("decimals"):  # of a double it rounds halves to the even neighbour
        return exp.Round(this=exp.cast(node.this.copy().transform(_postgres), "numeric"))
    return _lists(node, "postgres")


def _lists(node: exp.Expr, dialect: str) -> exp.Expr:
    """Lists made from JSON, joined, cleaned, sorted and gone through."""

    def within(part: exp.Expr) -> exp.Expr:
        return part.copy().transform({"postgres": _postgres, "spark": _spark}[dialect])

    if isinstance(node, exp.Flatten) and isinstance(node.this, (exp.Filter, exp.ArrayAgg)):
        return _joined(node.this, dialect)
    if isinstance(node, exp.Transform):
        return _call("titles_of", within(node.this.this)) if dialect == "postgres" else _titles(within(node.this.this))
    if isinstance(node, exp.FromJson):
        return _call("words_of", within(node.this)) if dialect == "postgres" else _words(within(node.this))
    if dialect == "postgres" and isinstance(node, exp.ArraySort):
        return _call("list_sort", within(node.this))
    if dialect == "postgres" and isinstance(node, exp.ArrayDistinct):
        return _call("list_distinct", within(node.this))
    if dialect == "postgres" and isinstance(node, exp.ArrayFilter):
        return _filtered(node)
    return node


def _joined(aggregate: exp.Expr, dialect: str) -> exp.Expr:
    inner = aggregate.this if isinstance(aggregate, exp.Filter) else aggregate
    item = inner.this.transform(lambda n: _lists(n, dialect))
    made = _call("join_lists", item) if dialect == "postgres" else exp.ArrayAgg(this=item)
    whole: exp.Expr = exp.Filter(this=made, expression=aggregate.expression) if isinstance(aggregate, exp.Filter) else made
    return whole if dialect == "postgres" else _call("flatten", _call("nullif", whole, exp.Array(expressions=[])))


def _filtered(node: exp.Expr) -> exp.Expr:
    """list_filter(a, lambda t: condition) as a subquery over the unnested list."""
    name = node.expression.expressions[0].name
    condition = node.expression.this.sql("postgres")
    source = node.this.sql("postgres")
    return exp.maybe_parse(
        f"CASE WHEN {source} IS NOT NULL THEN ARRAY(SELECT {name} FROM UNNEST({source}) AS u({name}) WHERE {condition}) END",
        dialect="postgres",
    )


def _words(text: exp.Expr) -> exp.Expr:
    return _call("from_json", text, exp.Literal.string("array<string>"))


def _titles(text: exp.Expr) -> exp.Expr:
    made = _call("from_json", text, exp.Literal.string("array<struct<product_id:string,title:string>>"))
    return exp.Dot(this=exp.paren(made), expression=exp.to_identifier("title"))


def _is_day(node: exp.Expr) -> bool:
    """By name: days of the shop are called day or something_on."""
    while isinstance(node, (exp.Paren, exp.Filter, exp.Max, exp.Min)):
        node = node.this
    if isinstance(node, exp.Column):
        return node.name == "day" or node.name.endswith("_on")
    return isinstance(node, exp.Cast) and node.to.this == exp.DType.DATE


def _spark(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Sub) and _is_day(node.this) and _is_day(node.expression):  # an interval, which is no number
        return _call("datediff", *(part.copy().transform(_spark) for part in (node.this, node.expression)))
    if isinstance(node, exp.PercentileDisc) and node.expression:
        order = exp.Order(expressions=[exp.Ordered(this=node.this.copy())])
        return exp.WithinGroup(this=_call("percentile_disc", node.expression.copy()), expression=order)
    if isinstance(node, exp.Anonymous) and node.name.lower() == "timezone":
        inner = node.expressions[1]
        if isinstance(inner, exp.Anonymous) and inner.name.lower() == "timezone":
            return _call("from_utc_timestamp", inner.expressions[1].transform(_spark), node.expressions[0])
    if isinstance(node, exp.Filter) and isinstance(node.this, exp.ArrayAgg):  # a list of nothing is empty there, not missing
        return _call("nullif", node.copy(), exp.Array(expressions=[]))
    if isinstance(node, exp.Filter) and isinstance(node.this, (exp.ArgMax, exp.ArgMin)):
        what, by, condition, _ = _latest(node) or (None, None, None, None)
        assert what is not None and by is not None
        kept = _known_only(what, by, condition)
        node.set("expression", exp.Where(this=kept))
    return _lists(node, "spark")
