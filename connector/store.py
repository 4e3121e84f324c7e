"""Stage 3 of 10: the only door to SQL. One DuckDB file, one writer, rows and cursors in one transaction.

The store's connection reaches no other file than its own and the staging folder beside it, through which imports load.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from connector import packing
from connector.schema import MIGRATIONS
from models import records
from models.errors import LockedError, QueryError, StoreError

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

log = logging.getLogger(__name__)

Row = dict[str, Any]
Bundle = dict[str, list[Row]]

MEMORY = ":memory:"


class Store:
    """A DuckDB file (or `:memory:`) with our tables, brought up to date when it is opened.

    Only one process may have it open for writing, and none may then read. `read_only` never creates or changes the
    file. Raises StoreError when it is damaged, not ours, newer than this program, or cannot be written; LockedError
    when another process has it open.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        memory_limit: str = "1500MB",
        threads: int = 0,
        read_only: bool = False,
        migrations: Sequence[Sequence[str]] = MIGRATIONS,
    ) -> None:
        if "?" in str(path):  # the database takes what follows for options of an address, and could not commit
            raise StoreError(
                f"The store cannot lie at {path}: the database takes no '?' in a path. Rename the folder, or set [store] path."
            )
        self.path = path
        self._migrations = migrations
        self._depth = 0
        self._shapes: dict[str, dict[str, str]] = {}
        self._filled: dict[tuple[str, str], set[str]] = {}
        self.staging = _staging(path)
        self._settings: dict[str, Any] = {"memory_limit": memory_limit} | ({"threads": threads} if threads else {})
        self._db = _connect(path, self._settings, read_only=read_only)
        try:
            if (
                path != MEMORY and not read_only
            ):  # nobody else writes now: what lies there a killed run left, half a copy perhaps
                shutil.rmtree(self.staging, ignore_errors=True)
            self._shut_in()
            self._migrate(read_only)
        except BaseException:
            self.close()
            raise

    def _shut_in(self) -> None:
        """The connection reaches its own file and the staging folder, nothing else."""
        self._db.execute("SET python_enable_replacements = false")
        self._db.execute("SET TimeZone = 'UTC'")
        self._db.execute("SET pandas_analyze_sample = 0")  # columns of ours are text until they are cast
        self._db.execute("SET checkpoint_threshold = '64MB'")  # each one rewrites the last rows of every table
        self._db.execute(f"SET allowed_directories = ['{str(self.staging).replace(chr(39), chr(39) * 2)}']")
        self._db.execute("SET enable_external_access = false")

    def sql(self, text: str, params: Sequence[Any] | dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Run one statement and give all rows. Wraps any failure with the SQL that failed."""
        with self._wrapped(text):
            return self._execute(text, params).fetchall()

    def rows(self, text: str, params: Sequence[Any] | dict[str, Any] | None = None) -> list[Row]:
        """The same, each row a dict by column name."""
        found = self.sql(text, params)
        names = [d[0] for d in self._db.description or ()]
        return [dict(zip(names, r, strict=True)) for r in found]

    def value(self, text: str, params: Sequence[Any] | dict[str, Any] | None = None) -> Any:
        """The first value of the first row, None when there is no row."""
        found = self.sql(text, params)
        return found[0][0] if found else None

    def arrays(self, text: str, params: Sequence[Any] | dict[str, Any] | None = None) -> dict[str, Any]:
        """The same as one numpy array a column."""
        with self._wrapped(text):
            return self._execute(text, params).fetchnumpy()

    def frame(self, text: str, params: Sequence[Any] | dict[str, Any] | None = None) -> pd.DataFrame:
        """The same as a pandas frame."""
        with self._wrapped(text):
            return self._execute(text, params).df()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; nested uses join the outer one."""
        if self._depth:
            yield
            return
        self.sql("BEGIN")
        self._depth = 1
        try:
            yield
            self.sql("COMMIT")
        except BaseException:
            self._filled.clear()
            with suppress(StoreError):  # the first failure says more; a full disk has ended the transaction already
                self.sql("ROLLBACK")
            raise
        finally:
            self._depth = 0

    @contextmanager
    def sparing(self, memory_limit: str) -> Iterator[None]:
        """For whoever only appends: keep fewer of the written blocks in memory meanwhile, they are not read again, and
        work in one thread, for the others would only wait for work."""
        before = self.sql("SELECT current_setting('memory_limit'), current_setting('threads')")[0]
        self._limit(memory_limit, 1)
        try:
            yield
        finally:
            with suppress(StoreError):  # a connection that was closed or has failed has no limit to restore
                self._limit(*before)

    def _limit(self, memory_limit: str, threads: int) -> None:
        self.sql(f"SET memory_limit = '{memory_limit}'")
        self.sql(f"SET threads = {threads}")

    def insert(self, table: str, rows: Sequence[Row]) -> None:
        """Append rows given as JSON-able dicts (decimals and times as text). Unknown keys are an error."""
        if not rows:
            return
        names = packing.names(rows)
        shape = self._shape_of(table, names)
        if (columns := packing.of_dicts(rows, shape)) is not None:
            self.append_columns(table, columns, {})
            return
        picked = ", ".join(f'r."{n}"' for n in names)
        self.sql(
            f'INSERT INTO "{table}" ({_quoted(names)}) SELECT {picked} FROM (SELECT unnest(from_json_strict(?, ?)) AS r)',
            [
                orjson.dumps([{n: r.get(n) for n in names} for r in rows]).decode(),
                orjson.dumps([{n: shape[n] for n in names}]).decode(),
            ],
        )

    def append(self, table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]], fixed: Row) -> None:
        """The same for rows as tuples of `columns`; `fixed` is what every row has besides. Much cheaper for many rows.

        The tuples hold text, numbers, truth values and None, and no lone surrogates.
        """
        if rows:
            self.append_columns(table, packing.of_tuples(columns, rows), fixed)

    def append_columns(self, table: str, columns: packing.Columns, fixed: Row) -> None:
        """The same for columns that are arrays already; they may be of numbers."""
        shape = self._shape_of(table, [*columns, *fixed])
        picked = [n if columns[n].dtype != object or shape[n] == "VARCHAR" else "" for n in columns]
        values = [f'"{n}"' if n else f'CAST("{name}" AS {shape[name]})' for n, name in zip(picked, columns, strict=True)]
        values += [f"CAST(${n} AS {shape[name]})" for n, name in enumerate(fixed, 1)]
        text = f'INSERT INTO "{table}" ({_quoted([*columns, *fixed])}) SELECT {", ".join(values)} FROM _incoming'
        with self._wrapped(text):
            self._db.register("_incoming", columns)
            try:
                self._execute(text, list(fixed.values()))
            finally:
                self._forget_incoming()

    def _forget_incoming(self) -> None:
        import duckdb

        with suppress(duckdb.Error):  # after an error the transaction takes it along
            self._db.unregister("_incoming")

    def _shape_of(self, table: str, names: Sequence[str]) -> dict[str, str]:
        """Column -> type of a table that has all of these."""
        shape = self._shape(table)
        if any(n not in shape for n in names):
            self._shapes.pop(table)  # the table may have been made anew since it was looked at
            shape = self._shape(table)
        if unknown := [n for n in names if n not in shape]:
            raise StoreError(f"The table {table} has no column {', '.join(unknown)}.")
        return shape

    def upsert(self, source: str, stream: str, bundles: dict[str, Bundle], *, replaced: Collection[str]) -> None:
        """Store the rows of records, each id once. `replaced`: ids that were stored before; their old rows go.

        Snapshots are history: they are neither deleted nor inserted here.
        """
        with self.transaction():
            self.remove(source, stream, replaced)
            tables: dict[str, list[Row]] = {}
            for bundle in bundles.values():
                for table, rows in bundle.items():
                    if table != "snapshots":
                        tables.setdefault(table, []).extend(rows)
            for table, rows in tables.items():
                self.insert(table, rows)
                self.filled(source, stream).add(table)

    def remove(self, source: str, stream: str, record_ids: Collection[str], *, tables: Collection[str] | None = None) -> None:
        """Delete the rows of records from the tables their stream fills (or only from `tables`)."""
        if not record_ids:
            return
        for table in sorted(self.filled(source, stream) if tables is None else self.filled(source, stream) & set(tables)):
            self.sql(
                f'DELETE FROM "{table}" WHERE source = ? AND stream = ? AND record_id IN (SELECT unnest(CAST(? AS VARCHAR[])))',
                [source, stream, list(record_ids)],
            )

    def filled(self, source: str, stream: str) -> set[str]:
        """The tables that hold rows of a stream, snapshots left out."""
        key = (source, stream)
        if key not in self._filled:
            self._filled[key] = {
                table
                for table in records.TABLES
                if table != "snapshots"
                and self.sql(f'SELECT 1 FROM "{table}" WHERE source = ? AND stream = ? LIMIT 1', [source, stream])
            }
        return self._filled[key]

    def load_frame(self, table: str, frame: pd.DataFrame) -> None:
        """Replace or create a table from a pandas frame."""
        self._shapes.pop(table, None)
        self._db.register("_incoming", frame)
        try:
            self.sql("SET pandas_analyze_sample = 1000")  # objects of a frame may be more than text
            self.sql(f'CREATE OR REPLACE TABLE "{table}" AS SELECT * FROM _incoming')
        finally:
            self.sql("SET pandas_analyze_sample = 0")
            self._forget_incoming()

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """A private folder beside the store that its SQL may read files from; emptied afterwards."""
        self.staging.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            yield self.staging
        finally:
            shutil.rmtree(self.staging, ignore_errors=True)

    def compact(self) -> None:
        """Copy what is there into a new file and put it in the place of the old one.

        A deleted row stays in the bytes of a DuckDB file until its block is used again; here it is gone at once. A crash
        leaves the old file or the new one. Temporary tables are lost.
        """
        if self.path == MEMORY:
            return
        path = Path(self.path).resolve()  # behind a link lies the file that holds the rows
        with self.staged() as folder:
            fresh = folder / "compact.duckdb"
            quoted = str(fresh).replace("'", "''")
            self.sql("FORCE CHECKPOINT")
            self.sql(f"ATTACH '{quoted}' AS rollcall_fresh")
            self.sql(f'COPY FROM DATABASE "{self.value("SELECT current_database()")}" TO rollcall_fresh')
            self.sql("CHECKPOINT rollcall_fresh")
            self.sql("DETACH rollcall_fresh")
            self._db.close()
            try:
                if any(p.with_name(p.name + ".wal").exists() for p in (path, Path(self.path))):
                    raise StoreError(f"The log beside {path} could not be emptied. Run the command again.")
                fresh.replace(path)
            finally:
                self._db = _connect(self.path, self._settings, read_only=False)
                self._shut_in()

    def create_tables(self) -> None:
        """Bring the store up to this program's schema; nothing happens when it is."""
        self._migrate(read_only=False)

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _migrate(self, read_only: bool) -> None:
        version = self._version()
        if version > len(self._migrations):
            raise StoreError(
                f"The store {self.path} was made by a newer Rollcall (schema {version}, not {len(self._migrations)}). "
                "Install that version or a later one; nothing was changed."
            )
        if read_only:
            if version < len(self._migrations):
                raise StoreError(
                    f"The store {self.path} is of an older version. Run `rollcall pull` once to bring it up to date."
                )
            return
        for step in range(version, len(self._migrations)):
            with self.transaction():
                for statement in self._migrations[step]:
                    self.sql(statement)
                self.sql("DELETE FROM meta WHERE name = 'schema_version'")
                self.sql("INSERT INTO meta VALUES ('schema_version', ?)", [str(step + 1)])
            self._shapes.clear()

    def _version(self) -> int:
        if not self.sql("SELECT 1 FROM duckdb_tables() WHERE table_name = 'meta' AND NOT temporary"):
            if self.sql("SELECT 1 FROM duckdb_tables() WHERE NOT temporary LIMIT 1"):
                raise StoreError(f"{self.path} is a DuckDB file of somebody else. Name another path under [store].")
            return 0
        return int(self.value("SELECT value FROM meta WHERE name = 'schema_version'") or 0)

    def _shape(self, table: str) -> dict[str, str]:
        if table not in self._shapes:
            found = self.sql("SELECT name, type FROM pragma_table_info(?)", [table])  # duckdb_columns() walks every table
            self._shapes[table] = {str(name): str(kind) for name, kind in found}
        return self._shapes[table]

    def _execute(self, text: str, params: Sequence[Any] | dict[str, Any] | None) -> duckdb.DuckDBPyConnection:
        return self._db.execute(text, params) if params else self._db.execute(text)

    @contextmanager
    def _wrapped(self, text: str) -> Iterator[None]:
        import duckdb

        try:
            yield
        except duckdb.Error as e:
            kind = QueryError if isinstance(e, (duckdb.DataError, duckdb.ProgrammingError)) else StoreError
            raise kind(f"{_in_words(self.path, e)}\nwhile running: {' '.join(text.split())[:400]}") from e


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f'"{n}"' for n in names)


def _staging(path: Path | str) -> Path:
    if path == MEMORY:
        return Path(tempfile.gettempdir()) / f"rollcall-{uuid.uuid4().hex}"
    file = Path(path).resolve()
    return file.with_name(file.name + ".staging")


def _connect(path: Path | str, config: dict[str, Any], *, read_only: bool) -> duckdb.DuckDBPyConnection:
    import duckdb

    if path == MEMORY:
        return duckdb.connect(MEMORY, config=config)
    file = Path(path)
    if read_only and not file.exists():
        raise StoreError(f"There is no store at {path} yet. Run `rollcall backfill` or `rollcall import` first.")
    if os.name == "posix":
        os.umask(0o077)  # for the rest of the process: the log beside the file and spilled data hold the same people
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        db = duckdb.connect(str(path), read_only=read_only, config=config)
        if os.name == "posix" and not read_only:
            file.chmod(0o600)
        return db
    except OSError as e:
        raise StoreError(f"The store {path} cannot be opened: {_os_reason(e)}") from e
    except duckdb.IOException as e:
        if "lock" in str(e).lower():  # the engine gives no code for it
            raise LockedError(f"Another process has the store {path} open. Try again when it has ended.") from e
        raise StoreError(f"The store {path} cannot be opened: {_in_words(path, e)}") from e
    except duckdb.Error as e:
        raise StoreError(f"The store {path} cannot be opened, it may be damaged: {_first_line(e)}") from e


def _in_words(path: Path | str, error: BaseException) -> str:
    """What went wrong with the disk, for which the engine has no codes; its own first line for everything else."""
    import duckdb

    text = str(error)
    if os.strerror(errno.ENOSPC) in text:
        return f"The disk is full. Nothing of the last page was kept; make room beside {path} and run the command again."
    if path == MEMORY or not isinstance(error, duckdb.IOException):
        return _first_line(error)
    file = Path(path)
    refused = os.strerror(errno.EROFS) in text or os.strerror(errno.EACCES) in text
    if refused or not os.access(file.absolute().parent, os.W_OK):
        return f"{path} or its folder cannot be written. Check their permissions and that the disk is not read-only."
    if file.exists() and not _is_duckdb(file):
        return f"{path} is damaged or no DuckDB file. Put a backup in its place, or move it away and run `rollcall backfill`."
    return _first_line(error)


def _is_duckdb(file: Path) -> bool:
    try:
        with file.open("rb") as f:
            return f.read(12)[8:] == b"DUCK"  # https://duckdb.org/docs/stable/internals/storage
    except OSError:
        return True


def _os_reason(error: OSError) -> str:
    return f"{error.strerror or type(error).__name__}. Check the folder's permissions and the room on the disk."


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


__all__ = ["Bundle", "LockedError", "Row", "Store"]
