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

from connector.consent import CLOSED, DEAD, REFUSING
from connector.store import Store
from models.errors import UsageError

RISKY = re.compile(r"'*[=+\-@\t\r\n|%＝＋－＠]")
"""What a spreadsheet may run, full-width signs of East Asian ones included; and the same behind apostrophes of ours."""
ALWAYS = ("person_id", "email", "first_name", "last_name", "may_be_mailed", "consent_email")
USUAL = ("orders_total", "revenue_total", "last_order_on", "lifecycle")


def segment_file(store: Store, segment: str, path: Path, columns: tuple[str, ...] = ()) -> int:
    """The members of the last evaluation, one row each. Returns how many. Raises UsageError for a wrong column or place."""
    shape = [n for (n,) in store.sql("SELECT column_name FROM duckdb_columns() WHERE table_name = 'profile'")]
    for name in columns:
        if name not in shape:
            from connector.rules.nearest import hint

            raise UsageError(f"There is no column '{name}'.{hint(name, shape)}")
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UsageError(f"{path} must end in .csv or .parquet.")
    if not path.parent.is_dir():
        raise UsageError(f"There is no folder {path.parent}.")
    picked = ", ".join(f'p."{n}"' for n in dict.fromkeys(columns or USUAL) if n not in ALWAYS)
    query = f"""
        SELECT q.person_id, q.email, q.first_name, q.last_name,
          coalesce(p.is_subscribed, FALSE) AND n.email IS NULL AND x.person_id IS NULL AND d.email IS NULL AS may_be_mailed,
          CASE WHEN n.email IS NULL AND x.person_id IS NULL THEN p.consent_email ELSE 'unsubscribed' END AS consent_email
          {", " + picked if picked else ""}
        FROM members AS m JOIN people AS q USING (person_id) JOIN profile AS p USING (person_id)
        LEFT JOIN ({REFUSING}) AS n ON n.email = q.email
        LEFT JOIN ({CLOSED}) AS x ON x.person_id = q.person_id
        LEFT JOIN ({DEAD}) AS d ON d.email = q.email
        WHERE m.segment = {_quoted(segment)} ORDER BY q.person_id"""
    if path.suffix.lower() == ".parquet":
        return _parquet(store, query, path)
    return _csv(store.rows(query), path)


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
