"""Read a shop's own files: contacts, orders, order lines, products, events, carts, subscriptions.

A file is cleaned in a database of its own and handed over as Parquet through the store's staging folder, so the store's
connection never opens a file of the owner's, and a million lines take seconds.

The record is the row's id (`order_id`, `customer_id`, ...). Without one it is the row itself and how often it has
occurred, so identical rows stay apart and the same file changes nothing the second time. What an earlier file said of a
contact in columns a later one does not have stays. The lines of an order are one
record: a later file that names the order replaces all of them, so an order must not be split between files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from connector import imports_clean, imports_free, imports_guess, imports_lines, imports_read, imports_told
from connector.config import Config
from connector.forgotten import MARK, REASON, Forgotten
from connector.imports_exports import Export, columns_of, known_export, other_kinds, stand_ins
from connector.imports_kinds import Kind, MapFile, free_columns, kind_named, read_map, recognise, squash
from connector.imports_store import SOURCE, bring_in
from connector.known import KEY_SQL
from connector.progress import Progress, Silent
from connector.store import Store
from models import records
from models.errors import StoreError, UsageError
from models.people import StreamCount

if TYPE_CHECKING:
    import duckdb

READER_MEMORY = "600MB"


@dataclass(frozen=True)
class Imported:
    """The account of one file. columns: ours -> theirs, for what was recognised; set_aside: the first 1000, line and reason."""

    count: StreamCount
    columns: dict[str, str]
    notes: tuple[str, ...]
    set_aside: list[tuple[int, str]]
    reasons: list[tuple[str, int]]
    """How many rows were set aside for what."""


def import_file(
    store: Store,
    config: Config,
    kind: str,
    file: Path,
    run_id: str,
    *,
    map_file: Path | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Read a file into the store, in one transaction. Raises UsageError when the file or its columns cannot be used."""
    import duckdb

    what = kind_named(kind)
    given_map = read_map(map_file, what)
    progress = progress or Silent()
    progress.start(f"import {kind}", None)
    try:
        with store.staged() as folder, duckdb.connect(":memory:", config={"memory_limit": READER_MEMORY}) as db:
            db.execute("SET TimeZone = 'UTC'")
            db.execute("SET python_enable_replacements = false")
            db.execute(f"SET temp_directory = '{str(folder / 'spill').replace(chr(39), chr(39) * 2)}'")
            given = imports_read.read(file, db, folder)
            given_map = _every_row(db, given, given_map)
            sample = imports_read.sample(db)
            if not known_export(what.name, given.header):
                given_map, noted = imports_guess.with_date(what, given.header, sample, given_map)
                given.notes += noted
            lines_map = imports_lines.as_lines(db, given.header, given_map) if what.name == "orders" else None
            if lines_map:
                what, given_map = kind_named("order_lines"), lines_map
                given.notes.append(imports_lines.note_of(given.header, what, given_map))
            export = known_export(what.name, given.header)
            if export:
                given_map = replace(given_map, columns=columns_of(export, given.header) | given_map.columns)
            found = recognise(what, given.header, given_map)
            given.notes += imports_guess.drop_unfit(what, given.header, sample, found, given_map)
            is_export_of_lines = export and what.name == "order_lines"  # the total in such a file is the order's
            if "amount" not in given_map.columns and (is_export_of_lines or imports_lines.is_total_of_orders(db, found)):
                found.pop("amount", None)
            if export:
                given.notes += _as_export(db, export, given.header)
            try:
                spoken_for = [n for pair in stand_ins(export, given.header) for n in pair] if export else []
                free, doubled = free_columns(what, given.header, {*found.values(), *spoken_for})
                given.notes += doubled
                said = imports_free.said(store) if free else {}
                notes = imports_clean.clean(db, what, found, given_map, config.shop, free, said)
                imports_told.name_totals(db, [c for c in _columns(db, "given") if c != "line"])
                notes += _leave_out_forgotten(db, store)
                notes += _key_rows(db, what, list(found))
                tables = _stage(db, what, list(found), folder, config.shop.currency, with_attributes=bool(free))
                notes += imports_told.orders_in_all(db, what, config.shop.timezone, config.shop.currency)
            except duckdb.Error as e:
                raise UsageError(f"{file} could not be read: {str(e).splitlines()[0]}") from e
            count, shown, reasons = bring_in(store, what, tables, folder, run_id, is_whole="other_emails" in found)
    finally:
        progress.finish(f"import {kind}")
    progress.advance(f"import {kind}", count.fetched)
    ignored = [theirs for n, theirs in enumerate(given.header) if n not in found.values() and n not in free.values()]
    if free:
        notes = [*notes, f"Kept for rules, as attributes of the person (see `rollcall fields`): {', '.join(free)}."]
    if ignored:
        notes = [*notes, f"Not read, because no column of ours goes by that name: {', '.join(ignored[:20])}. See --map."]
    notes += imports_guess.unnamed_money(what, given.header, sample, found)
    columns = {name: given.header[n] for name, n in found.items()}
    return Imported(count, columns, (*given.notes, *notes), shown, reasons)


def _every_row(db: duckdb.DuckDBPyConnection, given: imports_read.Given, words: MapFile) -> MapFile:
    """A file whose rows are all of one kind gets the column that says so."""
    if not words.every_row or "kind" in words.columns:
        return words
    name = next(n for n in ("kind", "kind of event", "kind of every row") if n not in given.header)
    db.execute(f"ALTER TABLE given ADD COLUMN c{len(given.header)} VARCHAR DEFAULT '{words.every_row}'")
    given.header.append(name)
    given.notes.append(f"Every row is one of the kind {words.every_row}, as the --map file says.")
    return replace(words, columns={**words.columns, "kind": name})


def _leave_out_forgotten(db: duckdb.DuckDBPyConnection, store: Store) -> list[str]:
    """Mark the rows of people we were told to forget; they are set aside by their line alone."""
    known = Forgotten(store)
    kinds = {"email": "email", "customer_id": SOURCE}
    there = [c for c in _columns(db, "cleaned") if c in kinds] if known else []
    for column in there:
        values = [str(v) for (v,) in db.execute(f'SELECT DISTINCT "{column}" FROM cleaned').fetchall() if v]
        theirs = [v for v in values if known.knows(kinds[column], v)]
        db.execute(f'UPDATE cleaned SET wrong = ? WHERE "{column}" IN (SELECT unnest(CAST(? AS VARCHAR[])))', [REASON, theirs])
    if known and "other_emails" in _columns(db, "cleaned"):
        others = db.execute("SELECT DISTINCT unnest(other_emails) FROM cleaned").fetchall()
        theirs = [str(v) for (v,) in others if known.knows("email", str(v))]
        db.execute("UPDATE cleaned SET wrong = ? WHERE list_has_any(other_emails, CAST(? AS VARCHAR[]))", [REASON, theirs])
        there.append("other_emails")
    count = _value(db, f"SELECT count(*) FROM cleaned WHERE wrong = '{REASON}'") if there else 0
    return [f"{count} rows are about people you told us to forget; they are left out."] if count else []


def _as_export(db: duckdb.DuckDBPyConnection, export: Export, header: Sequence[str]) -> list[str]:
    """What was recognised; rows that only carry further lines of an order are taken out of an import of orders."""
    notes = [f"Recognised as {export.title}. Consent is not read from files."]
    for first, other in stand_ins(export, header):
        db.execute(f"UPDATE given SET c{first} = c{other} WHERE coalesce(trim(c{first}), '') = ''")
    if export.ids and (own := columns_of(export, header).get("customer_id")):
        c = f"c{list(header).index(own)}"
        db.execute(f"UPDATE given SET {c} = '{export.ids}' || ltrim(trim({c}), '''') WHERE trim({c}) <> ''")
    if export.is_phone_international and (own := columns_of(export, header).get("phone")):
        c = f"c{list(header).index(own)}"
        db.execute(f"UPDATE given SET {c} = '+' || trim({c}) WHERE regexp_matches(trim({c}), '^[1-9][0-9 ]{{6,}}$')")
    if export.continues:
        names = [squash(h) for h in header]
        column = f"c{names.index(squash(export.continues))}"
        count = _value(db, f"SELECT count(*) FROM given WHERE coalesce(trim({column}), '') = ''")
        db.execute(f"DELETE FROM given WHERE coalesce(trim({column}), '') = ''")
        if count:
            notes.append(f"{count} rows are further lines of the orders above them.")
    for kind in other_kinds(header, export.kind):
        notes.append(f"The same file can be imported as {kind} too.")
    return notes


def _key_rows(db: duckdb.DuckDBPyConnection, kind: Kind, found: Sequence[str]) -> list[str]:
    """Give every good row its record id: `keyed(line, record_id, fields...)`, the last of equal ids; `bad` has the rest."""
    whole = ", ".join(f"coalesce(\"{n}\"::VARCHAR, '')" for n in found)
    row = f"md5(concat_ws(chr(31), {whole}))"
    key = _key(kind, found)
    db.execute(
        f"""CREATE TABLE numbered AS
            SELECT c.*, coalesce({key}, row_key || '-' || row_number() OVER (PARTITION BY row_key, {key} IS NULL ORDER BY line))
                     AS record_id
            FROM (SELECT *, {row} AS row_key FROM cleaned WHERE wrong IS NULL) c"""
    )
    raw = ", ".join(f"coalesce({c}, '')" for c in _columns(db, "given") if c != "line")
    db.execute(
        f"""CREATE TABLE bad AS
            SELECT line, wrong,
                   CASE WHEN wrong = '{REASON}' THEN '{MARK}line ' || line ELSE coalesce(
                     {key}, raw_key || '-' || row_number() OVER (PARTITION BY raw_key ORDER BY line)) END AS record_id
            FROM (SELECT c.*, md5(concat_ws(chr(31), {raw})) AS raw_key
                  FROM cleaned c JOIN given g USING (line) WHERE wrong IS NOT NULL)
            UNION ALL
            SELECT line, reason, key || '-' || row_number() OVER (PARTITION BY key ORDER BY line) FROM broken"""
    )
    db.execute("DROP TABLE given")
    if kind.name == "order_lines":
        db.execute("CREATE VIEW keyed AS SELECT * FROM numbered")
        return []
    db.execute(
        "CREATE TABLE keyed AS SELECT * FROM numbered QUALIFY row_number() OVER (PARTITION BY record_id ORDER BY line DESC) = 1"
    )
    again = _value(db, "SELECT (SELECT count(*) FROM numbered) - (SELECT count(*) FROM keyed)")
    if again and kind.name == "orders":
        return [
            f"{again} rows name an order that comes again later; an order counts once, as its last row tells it. If every row is a "
            "product, import the file as order_lines too."
        ]
    return [f"{again} rows name a record that comes again later; the last row counts."] if again else []


def _key(kind: Kind, found: Sequence[str]) -> str:
    names = [n for n in ((kind.key, "email") if kind.name == "contacts" else (kind.key,)) if n in found]
    return f"coalesce({', '.join(f'{chr(34)}{n}{chr(34)}' for n in names)})" if names else "NULL::VARCHAR"


def _stage(
    db: duckdb.DuckDBPyConnection,
    kind: Kind,
    found: Sequence[str],
    folder: Path,
    currency: str,
    *,
    with_attributes: bool,
) -> dict[str, list[str]]:
    """Write records.parquet, bad.parquet and one file per table; gives the columns of each table."""
    columns = _model_columns(kind, found, currency) | ({"attributes": "attributes"} if with_attributes else {})
    beside = [n for n in ("email", "other_emails") if n in found and n not in columns]
    select = ", ".join(f'{v} AS "{c}"' for c, v in [*columns.items(), *((n, n) for n in beside)])
    db.execute(f"CREATE TABLE rows AS SELECT line, record_id, {select} FROM keyed")
    text = ", ".join(f"coalesce(\"{c}\"::VARCHAR, '')" for c in (*columns, *beside) if c != "line_id")
    one = f"md5(concat_ws(chr(31), {text}))"
    whole = KEY_SQL.format(f"string_agg({one}, '' ORDER BY {one})")
    records_query = f"""SELECT record_id, {KEY_SQL.format("record_id")} AS record_key, greatest({whole}, 1) AS content_hash,
                        count(*) AS rows FROM rows GROUP BY record_id"""
    _write(db, folder, "records", records_query)
    _write(db, folder, "bad", "SELECT line, record_id, wrong AS reason FROM bad")
    counts = "SELECT (SELECT count(*) FROM numbered) AS good, (SELECT count(*) FROM bad) AS bad"
    _write(db, folder, "counts", counts)
    tables = {kind.table: list(columns)}
    _write(db, folder, kind.table, "SELECT * EXCLUDE (line) FROM rows")
    addresses = [
        f"SELECT DISTINCT record_id, contact_id, 'email' AS kind, {value} AS value, {is_main} AS is_main FROM rows"
        for name, value, is_main in (("email", "email", True), ("other_emails", "unnest(other_emails)", False))
        if name in found and kind.name in ("contacts", "order_lines")
    ]
    if addresses:
        _write(db, folder, "identifiers", f"SELECT * FROM ({' UNION ALL '.join(addresses)}) WHERE value IS NOT NULL")
        tables["identifiers"] = ["contact_id", "kind", "value", "is_main"]
    return tables


def _model_columns(kind: Kind, found: Sequence[str], currency: str) -> dict[str, str]:
    """Column of the model -> SQL over the cleaned fields."""
    types = {c.name: c.sql_type for c in records.columns(kind.table)}
    columns = {
        known.column: f'CAST("{name}" AS {types[known.column]})'
        for name, known in kind.fields.items()
        if name in found and known.column in types and known.column != "record_id"
    }
    if "contact_id" in types:
        who = [f'"{n}"' for n in ("customer_id", "email") if n in found]
        columns["contact_id"] = f"coalesce({', '.join(who)})" if who else "NULL::VARCHAR"
    if "currency" in types:
        # A line that says none has that of its order: exports name it in the first line only.
        columns["currency"] = "CAST(currency AS VARCHAR)" if kind.name == "order_lines" else f"coalesce(currency, '{currency}')"
    if kind.name == "contacts":
        columns["state"] = "'live'"
    if kind.name == "orders":
        columns |= _order_columns(found)
    if kind.name == "order_lines":
        columns |= _line_columns(found)
    if kind.name == "subscriptions":  # one that nobody says anything else of runs
        of_end = "CASE WHEN cancelled_at IS NULL THEN 'active' ELSE 'cancelled' END" if "cancelled_at" in found else "'active'"
        columns["status"] = f"coalesce(status, {of_end})" if "status" in found else of_end
    return columns


def _order_columns(found: Sequence[str]) -> dict[str, str]:
    """A cancelled order leaves no money, a refunded one what was kept: nothing where the file does not say how much went back."""
    status = "regexp_replace(lower(trim(status)), '^wc-', '')" if "status" in found else "NULL"
    amount = "amount" if "amount" in found else "NULL::DECIMAL(18,4)"
    back = "nullif(abs(refunded_amount), 0)" if "refunded_amount" in found else "NULL::DECIMAL(18,4)"
    back = f"coalesce({back}, CASE WHEN {status} IN {imports_clean.REFUNDED} AND {amount} > 0 THEN {amount} END)"
    dated = " OR cancelled_at IS NOT NULL" if "cancelled_at" in found else ""
    cancelled = f"(coalesce({status} IN {imports_clean.CANCELLED}, false){dated})"
    return {
        "order_id": "record_id",
        "kind": "'order'",
        "status": f"coalesce({status}, CASE WHEN {amount} < 0 THEN 'refunded' ELSE 'paid' END)",
        "is_test": "false",
        "is_cancelled": cancelled,
        "total": amount,
        "refunded": back,
        "net": f"CASE WHEN {cancelled} THEN 0 ELSE {amount} - coalesce({back}, 0) END",
    }


def _line_columns(found: Sequence[str]) -> dict[str, str]:
    quantity = "quantity" if "quantity" in found else "NULL::DECIMAL(18,4)"
    off = "coalesce(line_discount, 0)" if "line_discount" in found else "0"
    pieces = quantity if "quantity" in found else "1"  # a file without quantities has a row a piece
    price = f"round({pieces} * price - {off}, 4)::DECIMAL(18,4)" if "price" in found else "NULL::DECIMAL(18,4)"
    return {
        "line_id": "row_number() OVER (PARTITION BY record_id ORDER BY line)::VARCHAR",
        "quantity_kept": quantity,
        "amount": f"coalesce(amount, {price})" if "amount" in found else price,
    }


def _write(db: duckdb.DuckDBPyConnection, folder: Path, name: str, query: str) -> None:
    file = str(folder / f"{name}.parquet").replace("'", "''")
    db.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet)")


def _columns(db: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    return [str(r[0]) for r in db.execute(f"DESCRIBE {table}").fetchall()]


def _value(db: duckdb.DuckDBPyConnection, query: str) -> int:
    return int(db.execute(query).fetchall()[0][0])


__all__ = ["Imported", "StoreError", "import_file"]
