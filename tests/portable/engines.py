"""A PostgreSQL server and a Spark session of our own, filled with the tables of a store."""

from __future__ import annotations

import json
import math
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlglot
from sqlglot import exp

from connector.store import Store
from tests.portable.translate import POSTGRES_FUNCTIONS

POSTGRES_TYPES = {
    "VARCHAR": "text", "DOUBLE": "double precision", "FLOAT": "real", "HUGEINT": "numeric(38, 0)", "VARCHAR[]": "text[]",
    "TINYINT": "smallint", "UTINYINT": "smallint", "UBIGINT": "numeric(20, 0)",
}  # fmt: skip
KEPT_AS_JSON = ("card",)
"""Columns of JSON text that are looked into by path."""


def shapes(store: Store) -> dict[str, dict[str, str]]:
    """Table or view -> column -> type, of everything in a store but the profile itself."""
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in store.sql(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal AND table_name <> 'profile'"
        " ORDER BY table_name, column_index"
    ):
        found.setdefault(table, {})[column] = kind
    return found


def read_by(select: str, store: Store) -> dict[str, dict[str, str]]:
    """Shapes of the tables a statement reads."""
    named = {t.name for t in sqlglot.parse_one(select, read="duckdb").find_all(exp.Table)}
    return {table: columns for table, columns in shapes(store).items() if table in named}


def postgres_missing() -> str:
    """Why no server can be started here, '' where one can."""
    missing = [tool for tool in ("initdb", "pg_ctl", "psql") if not shutil.which(tool)]
    if missing:
        return f"{', '.join(missing)} not found (Debian: apt install postgresql)"
    return "" if os.getuid() or _server_user() else "run by root without a user 'postgres' to start the server as"


def _server_user() -> str:
    return next((u.pw_name for u in pwd.getpwall() if u.pw_name == "postgres"), "")


class Postgres:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._as = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"] if os.getuid() == 0 else []

    def run(self, *command: str, given: str | None = None) -> str:
        """What a program of the server's prints. Raises RuntimeError with what it says went wrong."""
        done = subprocess.run([*self._as, *command], input=given, capture_output=True, text=True, cwd=self.folder)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stderr[:2000]}")
        return done.stdout

    def sql(self, text: str) -> str:
        return self.run(
            "psql", "-h", str(self.folder), "-d", "postgres", "-qAtX", "-v", "ON_ERROR_STOP=1", "-f", "-", given=text
        )

    def fill(self, store: Store, select: str) -> None:
        """Copy what the statement reads."""
        self.sql(POSTGRES_FUNCTIONS)
        for table, columns in read_by(select, store).items():
            typed = ", ".join(f'"{c}" {_postgres_type(c, t)}' for c, t in columns.items())
            file = self.folder / f"{table}.csv"
            names = ", ".join(f'"{c}"' for c in columns)
            file.write_text("\n".join(",".join(map(_as_csv, row)) for row in store.sql(f"SELECT {names} FROM {table}")))
            file.chmod(0o644)  # another user reads it; what opens a store lets nobody else read for the rest of the process
            self.sql(f'CREATE TABLE "{table}" ({typed});')
            self.run("psql", "-h", str(self.folder), "-d", "postgres", "-qX", "-v", "ON_ERROR_STOP=1", "-c",
                      f"\\copy \"{table}\" FROM '{file}' (FORMAT csv, NULL '')")  # fmt: skip

    def rows(self, select: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.sql(f"SELECT row_to_json(q) FROM ({select}) AS q;").splitlines()]


def _postgres_type(column: str, kind: str) -> str:
    if column in KEPT_AS_JSON:
        return "json"
    return "text" if kind.startswith("ENUM") else POSTGRES_TYPES.get(kind, kind)


def _as_csv(value: Any) -> str:
    """A value in quotes, nothing for a missing one."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple)):
        value = "{" + ",".join('"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"' for v in value) + "}"
    return '"' + str(value).replace('"', '""') + '"'


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server of our own that listens on a socket in a folder of its own; both are gone afterwards."""
    with TemporaryDirectory(prefix="pg") as name:  # not pytest's own folder: the server's user may not look into that
        folder = Path(name)
        server = Postgres(folder)
        folder.chmod(0o755)
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        data = str(folder / "data")
        server.run("initdb", "-D", data, "-A", "trust", "--locale=C.UTF-8", "-E", "UTF8")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        server.run("pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield server
        finally:
            server.run("pg_ctl", "-D", data, "-m", "immediate", "stop")


def plain(value: Any) -> Any:
    """A value as JSON has it, whatever engine it comes from."""
    if isinstance(value, (Decimal, float)):
        return None if isinstance(value, float) and math.isnan(value) else float(value)
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return value


def is_same(a: Any, b: Any) -> bool:
    """Equal, floats to twelve digits: engines add up in different orders."""
    a, b = plain(a), plain(b)
    if isinstance(a, float) or isinstance(b, float):
        return None not in (a, b) and math.isclose(a, b, rel_tol=1e-12, abs_tol=1e-12)
    return bool(a == b)


def differing(ours: list[Mapping[str, Any]], theirs: list[Mapping[str, Any]]) -> dict[str, list[tuple[Any, Any]]]:
    """Column -> pairs of values that differ, by person."""
    by_person = {row["person_id"]: row for row in theirs}
    found: dict[str, list[tuple[Any, Any]]] = {}
    for row in ours:
        other = by_person[row["person_id"]]
        for column, value in row.items():
            if not is_same(value, other[column]):
                found.setdefault(column, []).append((value, other[column]))
    return found


class Spark:
    """A local session, where pyspark and Java are there. Times are UTC, as in the store."""

    def __init__(self) -> None:
        from pyspark.sql import SparkSession

        made = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        made = made.config("spark.sql.session.timeZone", "UTC").config("spark.sql.shuffle.partitions", "2")
        made = made.config("spark.sql.codegen.wholeStage", "false")  # hundreds of columns are too long for one method
        self.session = made.getOrCreate()
        self.session.sparkContext.setLogLevel("ERROR")

    def fill(self, store: Store, select: str) -> None:
        """Copy what the statement reads."""
        for table, columns in read_by(select, store).items():
            names = ", ".join(f'"{c}"' for c in columns)
            schema = ", ".join(f"`{c}` {_spark_type(t)}" for c, t in columns.items())
            rows = [
                tuple(v if not isinstance(v, tuple) else list(v) for v in row)
                for row in store.sql(f"SELECT {names} FROM {table}")
            ]
            self.session.createDataFrame(rows, schema).createOrReplaceTempView(table)

    def rows(self, select: str) -> list[dict[str, Any]]:
        return [row.asDict(recursive=True) for row in self.session.sql(select).collect()]


def _spark_type(kind: str) -> str:
    known = {"VARCHAR": "string", "INTEGER": "int", "BIGINT": "bigint", "HUGEINT": "decimal(38, 0)", "VARCHAR[]": "array<string>",
             "TIMESTAMP": "timestamp_ntz", "UBIGINT": "decimal(20, 0)",
             "TINYINT": "tinyint", "UTINYINT": "smallint", "SMALLINT": "smallint"}  # fmt: skip
    return "string" if kind.startswith("ENUM") else known.get(kind, kind.lower())
