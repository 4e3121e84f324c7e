"""Write the members of a segment to a file of the owner's: CSV or Parquet, with consent, safe to open in a spreadsheet.

A text cell that begins like a formula gets an apostrophe in front (CSV only): a name such as `=HYPERLINK(...)` is a customer's
input and must not run on the owner's machine. Our own import takes that apostrophe away again.
"""

from __future__ import annotations

import csv
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from connector.column import name_in_rules
from connector.config import Config
from connector.consent import CLOSED, DEAD, REFUSING, judge
from connector.store import Store
from models.errors import UsageError

RISKY = re.compile(r"'*[=+\-@\t\r\n|%＝＋－＠]")
"""What a spreadsheet may run, full-width signs of East Asian ones included; and the same behind apostrophes of ours."""
ALWAYS = ("person_id", "email", "first_name", "last_name", "may_be_mailed", "consent_email")
USUAL = ("orders_total", "revenue_total", "last_order_on", "lifecycle")


def segment_file(
    store: Store, config: Config, segment: str, path: Path, columns: tuple[str, ...] = (), *, mark: str = ""
) -> int:
    """The members of the last evaluation, one row each. Returns how many. Raises UsageError for a wrong column or place.

    may_be_mailed speaks of the address in the row: some source may mail this very address today, and nobody's refusal is known
    anywhere. Where the file will be taken nobody can tell, so also a no that closes one platform only is a no here.
    `mark`: a column of that name that says yes in every row. Imported as contacts it holds these very people, whatever they do.
    """
    shape = [n for (n,) in store.sql("SELECT column_name FROM duckdb_columns() WHERE table_name = 'profile'")]
    for name in columns:
        if name not in shape:
            from connector.rules.nearest import hint

            raise UsageError(f"There is no column '{name}'.{hint(name, shape)}")
    _check_mark(mark, shape)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UsageError(f"{path} must end in .csv or .parquet.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.")
    more = dict.fromkeys(columns or (() if mark else USUAL))
    picked = ", ".join([*(f'p."{n}"' for n in more if n not in ALWAYS), *([f"'true' AS \"{mark}\""] if mark else [])])
    _judge(store, config)
    query = f"""
        SELECT q.person_id, q.email, q.first_name, q.last_name,
          coalesce(p.is_subscribed, FALSE) AND v.email IS NOT NULL AND r.person_id IS NULL
            AND n.email IS NULL AND x.person_id IS NULL AND d.email IS NULL AS may_be_mailed,
          CASE WHEN n.email IS NULL AND x.person_id IS NULL AND r.person_id IS NULL THEN p.consent_email
            ELSE 'unsubscribed' END AS consent_email
          {", " + picked if picked else ""}
        FROM members AS m JOIN people AS q USING (person_id) JOIN profile AS p USING (person_id)
        LEFT JOIN (SELECT DISTINCT person_id, email FROM export_verdicts WHERE marketing = '') AS v
          ON v.person_id = q.person_id AND v.email = q.email
        LEFT JOIN (SELECT DISTINCT person_id FROM export_verdicts WHERE is_no) AS r ON r.person_id = q.person_id
        LEFT JOIN ({REFUSING}) AS n ON n.email = q.email
        LEFT JOIN ({CLOSED}) AS x ON x.person_id = q.person_id
        LEFT JOIN ({DEAD}) AS d ON d.email = q.email
        WHERE m.segment = {_quoted(segment)} ORDER BY q.person_id"""
    if path.suffix.lower() == ".parquet":
        return _parquet(store, query, path)
    return _csv(store.rows(query), path)


def _check_mark(mark: str, shape: list[str]) -> None:
    if mark and mark != name_in_rules(mark):
        raise UsageError(f"Write the mark as rules will have it: {name_in_rules(mark)}.")
    if mark in shape or mark in ALWAYS:
        raise UsageError(f"There is a column '{mark}' already. Give the mark another name.")


def _judge(store: Store, config: Config) -> None:
    """Temporary table export_verdicts: what every source of ours says of its own contacts."""
    made = "CREATE OR REPLACE TEMP TABLE export_verdicts (person_id VARCHAR, email VARCHAR, marketing VARCHAR, is_no BOOLEAN)"
    store.sql(made)
    for (source,) in store.sql("SELECT DISTINCT source FROM contacts ORDER BY 1"):
        judge(store, config, source, "email")
        store.sql("INSERT INTO export_verdicts SELECT person_id, email, marketing, is_no FROM verdicts")


def _csv(rows: list[dict[str, Any]], path: Path) -> int:
    names = list(rows[0]) if rows else list(ALWAYS)

    def fill(file: Path) -> None:
        with file.open("w", newline="", encoding="utf-8-sig") as out:
            writer = csv.writer(out)
            writer.writerow(names)
            writer.writerows([safe(row[n]) for n in names] for row in rows)

    _replace(path, fill)
    return len(rows)


def _parquet(store: Store, query: str, path: Path) -> int:
    with store.staged() as folder:
        made = folder / "segment.parquet"
        store.sql(f"COPY ({query}) TO {_quoted(str(made))} (FORMAT parquet)")
        _replace(path, lambda file: file.write_bytes(made.read_bytes()))
        return int(store.value(f"SELECT count(*) FROM read_parquet({_quoted(str(made))})"))


def _replace(path: Path, fill: Any) -> None:
    """Written beside its place and moved there whole, readable by the owner only."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".rollcall-", suffix=path.suffix)
    os.close(handle)
    try:
        fill(Path(name))
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def safe(value: Any) -> str:
    """The cell's text; nothing a spreadsheet would run. NUL, which no spreadsheet can hold, is shown as an escape."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        value = "; ".join(str(v) for v in value)
    text = str(value).replace("\x00", "\\x00")
    return "'" + text if isinstance(value, str) and RISKY.match(text) else text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
