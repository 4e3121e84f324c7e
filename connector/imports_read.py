"""Read a file of any kind we take into a table of text: `given(line, c0, c1, ...)`, in a database of its own.

Lines that cannot be split into the header's columns go to the table `broken(line, key, reason)`. The file is read as a
stream; neither the file nor its rows are ever whole in Python's memory.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain, islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import orjson

from connector import imports_csv, imports_json
from connector.imports_csv import FIELD_LIMIT, TITLE_ROWS, Broken, Line
from models.errors import UsageError

if TYPE_CHECKING:
    import duckdb

PARQUET = (".parquet", ".pq")
SEPARATOR_LINE = re.compile(r'"?sep=.?"?\s*$', re.IGNORECASE)


@dataclass
class Given:
    """A file as read: the names of its columns and what was found out about its form."""

    header: list[str]
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        """A file without names of columns begins with somebody's data, which no message of ours may repeat."""
        if any(re.search(r"\S@\S+\.\S", name) for name in self.header):
            raise UsageError(
                "The first line of this file holds an e-mail address where the names of the columns should stand. Put a line with "
                "their names above it, such as email, first_name."
            )


def read(path: Path, db: duckdb.DuckDBPyConnection, folder: Path) -> Given:
    """Fill `given` and `broken`; `folder` is private and emptied by the caller. Raises UsageError."""
    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    db.execute("CREATE TABLE broken (line BIGINT, key VARCHAR, reason VARCHAR)")
    try:
        if _ending(path) in PARQUET:
            return _parquet(path, db)
        return _staged(db, folder, lambda broken: _opened(path, broken))
    except OSError as e:
        raise UsageError(f"{path} cannot be read: {e.strerror or 'it is damaged'}.") from e


def first_rows(path: Path, limit: int) -> tuple[list[str], list[list[str]]]:
    """The names of the columns and the first rows, without reading the rest. Raises UsageError."""
    import duckdb

    if not path.is_file():
        raise UsageError(f"There is no file {path}.")
    try:
        if _ending(path) in PARQUET:
            with duckdb.connect(":memory:") as db:
                given = _parquet(path, db, limit)
                rows = db.execute("SELECT * EXCLUDE (line) FROM given").fetchall()
                return given.header, [[_cell(v) for v in row] for row in rows]
        given, lines = _opened(path, lambda *_: None)
        return given.header, [values for _, values in islice(lines, limit)]
    except OSError as e:
        raise UsageError(f"{path} cannot be read: {e.strerror or 'it is damaged'}.") from e


def sample(db: duckdb.DuckDBPyConnection, limit: int = 1000) -> list[list[str]]:
    """The first rows of `given`, without their lines."""
    return [[_cell(v) for v in row] for row in db.execute(f"SELECT * EXCLUDE (line) FROM given LIMIT {limit}").fetchall()]


def _ending(path: Path) -> str:
    """The ending of the name, in small letters; of x.csv.gz it is .csv."""
    suffixes = [s.lower() for s in path.suffixes[-2:]]
    return suffixes[-2] if suffixes and suffixes[-1] == ".gz" and len(suffixes) == 2 else (suffixes or [""])[-1]


def _opened(path: Path, broken: Broken) -> tuple[Given, Iterator[Line]]:
    if _ending(path) in (".xlsx", ".xlsm"):
        return _excel(path)
    if _ending(path) in (".jsonl", ".ndjson", ".json"):
        return _json(path, broken)
    return _csv(path, broken)


def _parquet(path: Path, db: duckdb.DuckDBPyConnection, limit: int | None = None) -> Given:
    import duckdb

    name = str(path).replace("'", "''")
    try:
        header = [str(r[0]) for r in db.execute(f"DESCRIBE SELECT * FROM read_parquet('{name}')").fetchall()]
        columns = ", ".join(f'CAST("{c.replace(chr(34), chr(34) * 2)}" AS VARCHAR) AS c{n}' for n, c in enumerate(header))
        db.execute(
            f"CREATE TABLE given AS SELECT file_row_number + 1 AS line, {columns} "
            f"FROM read_parquet('{name}', file_row_number = true) {f'LIMIT {limit}' if limit else ''}"
        )
    except duckdb.Error as e:
        raise UsageError(f"{path} cannot be read as Parquet. Write it again, or use CSV.") from e
    return Given(header, ["Format: Parquet; line = row of the file."])


def _staged(db: duckdb.DuckDBPyConnection, folder: Path, opened: Callable[[Broken], tuple[Given, Iterator[Line]]]) -> Given:
    """Rewrite the rows with their line numbers in one plain dialect, which DuckDB then reads without guessing."""
    rows_file, broken_file = folder / "given.csv", folder / "broken.csv"
    with rows_file.open("w", newline="", encoding="utf-8") as out, broken_file.open("w", newline="", encoding="utf-8") as bad:
        write, write_bad = csv.writer(out), csv.writer(bad)

        def broken(line: int, text: str, reason: str) -> None:
            write_bad.writerow([line, hashlib.md5(text.encode(errors="replace"), usedforsecurity=False).hexdigest(), reason])

        given, lines = opened(broken)
        write.writerows([line, *values] for line, values in lines)
    names = {"line": "BIGINT", **{f"c{n}": "VARCHAR" for n in range(len(given.header))}}
    _load(db, "given", rows_file, names)
    _load(db, "broken", broken_file, {"line": "BIGINT", "key": "VARCHAR", "reason": "VARCHAR"})
    return given


def _load(db: duckdb.DuckDBPyConnection, table: str, file: Path, columns: dict[str, str]) -> None:
    spec = ", ".join(f"{n}: '{t}'" for n, t in columns.items())
    db.execute(
        f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM read_csv(?, columns = {{{spec}}}, header = false, delim = ',', "
        f"quote = '\"', escape = '\"', new_line = '\\r\\n', max_line_size = {FIELD_LIMIT}, auto_detect = false, parallel = false)",
        [str(file)],
    )


def _csv(path: Path, broken: Broken) -> tuple[Given, Iterator[Line]]:
    _refuse_packed(path)
    encoding = _encoding(path)
    stream = _open(path, encoding)
    before = 1 if SEPARATOR_LINE.match(stream.readline()) else 0  # a line for spreadsheets, before the header
    _back_to(stream, before)
    delimiter, titles = imports_csv.shape(stream)
    _back_to(stream, before + titles)
    if not stream.readline().strip():
        stream.close()
        raise UsageError(f"{path} is empty, or its first line does not name the columns.")
    _back_to(stream, before + titles)
    header, lines = imports_csv.rows(stream, delimiter, before + titles, broken)
    above = f" Lines above the names of the columns, not read: {titles}." if titles else ""
    return Given(
        header, [f"Format: {imports_csv.DELIMITERS[delimiter]}-separated, {encoding.removesuffix('-sig')}.{above}"]
    ), lines


def _back_to(stream: IO[str], line: int) -> None:
    stream.seek(0)
    for _ in range(line):
        stream.readline()


def _refuse_packed(path: Path) -> None:
    with _binary(path) as f:
        start = f.read(4)
    if start.startswith(b"PK\3\4"):
        raise UsageError(f"{path} is a zip archive. Unpack it, and import the file in it (an Excel file must be named .xlsx).")
    if start == b"\xd0\xcf\x11\xe0":
        raise UsageError(f"{path} is a file of an old Excel. Open it there and save it as .xlsx or CSV.")


def _excel(path: Path) -> tuple[Given, Iterator[Line]]:
    import zipfile

    import openpyxl

    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        rows = book.worksheets[0].iter_rows(values_only=True)
        first = list(islice(rows, TITLE_ROWS))
    except (zipfile.BadZipFile, KeyError, ValueError) as e:
        raise UsageError(f"{path} cannot be read as Excel. Save it as .xlsx or CSV.") from e
    titles = next((n for n, row in enumerate(first) if sum(_cell(v).strip() != "" for v in row) > 1), 0)
    header = [_cell(v).strip() for v in first[titles]] if first else []
    while header and not header[-1]:
        header.pop()
    if not header:
        raise UsageError(f"{path} is empty, or its first row does not name the columns.")
    width = len(header)

    def lines() -> Iterator[Line]:
        for line, row in enumerate(chain(first[titles + 1 :], rows), titles + 2):
            values = [_cell(v) for v in row[:width]]
            if any(values):
                yield line, values + [""] * (width - len(values))

    above = f" Rows above the names of the columns, not read: {titles}." if titles else ""
    return Given(header, [f"Format: Excel, first sheet; line = row of the sheet ({book.sheetnames[0]}).{above}"]), lines()


def _json(path: Path, broken: Broken) -> tuple[Given, Iterator[Line]]:
    def opened() -> IO[str]:
        return _open(path, _encoding(path))

    form, objects = imports_json.objects(opened)
    header: dict[str, None] = {}
    for _, record in objects(lambda *_: None):
        header.update(dict.fromkeys(record))
    if not header:
        raise UsageError(f"{path} holds no JSON objects, neither one a line nor as a list.")
    rows = ((line, [_cell(record.get(name)) for name in header]) for line, record in objects(broken))
    return Given(list(header), [f"Format: {form}."]), rows


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return str(value)


def _encoding(path: Path) -> str:
    """UTF-16 and UTF-8 by their marks, UTF-16 by its zeros too, UTF-8 where the whole file is, else Windows-1252."""
    with _binary(path) as f:
        start = f.read(4)
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return "utf-16"
        if len(start) == 4 and (start[1::2] == b"\0\0" or start[::2] == b"\0\0"):
            return "utf-16-le" if start[1] == 0 else "utf-16-be"
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            decoder.decode(start)
            while block := f.read(1 << 20):
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return "cp1252"
    return "utf-8-sig"


def _binary(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if path.suffix.lower() == ".gz" else path.open("rb")


def _open(path: Path, encoding: str) -> IO[str]:
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding=encoding, errors="replace", newline="")
    return path.open(encoding=encoding, errors="replace", newline="")
