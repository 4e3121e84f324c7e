"""Stage 3: the store opens safely, keeps all or nothing, and says in words what is wrong with its file."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from connector import schema
from connector.store import Store
from models import records
from models.errors import LockedError, StoreError


def row(record_id: str, **columns: object) -> dict[str, object]:
    return {"source": "s", "stream": "t", "record_id": record_id, **columns}


@pytest.mark.parametrize("is_linked", [False, True], ids=["a copy half made", "a rename half done"])
def test_what_a_kill_in_the_middle_of_compacting_left_is_gone_at_the_next_start(tmp_path: Path, is_linked: bool) -> None:
    """It holds everybody, those too who were forgotten since. A file system may show one file under both names then."""
    path = tmp_path / "r.duckdb"
    with Store(path) as store:
        store.insert("contacts", [row("1")])
        left = store.staging / "compact.duckdb"
    left.parent.mkdir()
    os.link(path, left) if is_linked else shutil.copy(path, left)
    with Store(path) as store:
        assert not left.parent.exists() and path.stat().st_nlink == 1
        store.compact()
        assert store.value("SELECT count(*) FROM contacts") == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r.duckdb"]


def test_a_store_in_memory_leaves_no_folder_behind_even_when_nobody_closes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    store = Store(":memory:", threads=1)
    with store.staged() as folder:
        (folder / "rows.csv").write_text("a\n7\n")
        assert folder.parent == tmp_path
        assert store.value(f"SELECT a FROM read_csv('{folder / 'rows.csv'}')") == 7
    assert not list(tmp_path.iterdir())


def test_everything_beside_the_store_is_private(tmp_path: Path) -> None:
    with Store(tmp_path / "r.duckdb") as store:
        store.insert("contacts", [row("1")])
        with store.staged() as folder:
            (folder / "x").write_text("x")
            found = [p for p in (tmp_path, folder) for p in p.iterdir()]
            assert len(found) >= 3
            assert all(stat.S_IMODE(p.stat().st_mode) & 0o077 == 0 for p in found)
        assert not folder.exists()


def test_the_connection_reads_no_file_but_its_own_and_the_staged_ones(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with Store(tmp_path / "r.duckdb") as store, store.staged() as folder:
        (folder / "in.csv").write_text("a\n1\n")
        assert store.value(f"SELECT a FROM read_csv('{folder / 'in.csv'}')") == 1
        with pytest.raises(StoreError):
            store.sql(f"SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')")
        with pytest.raises(StoreError):
            store.sql("SET enable_external_access = true")


def test_exact_amounts_times_and_odd_text_come_back_as_they_went_in() -> None:
    with Store(":memory:") as store:
        store.insert(
            "orders", [row("1", total="12345678901234.5678", ordered_at="2026-01-02 03:04:05.678901", name="a\x00'\"é")]
        )
        found = store.rows("SELECT total::VARCHAR AS total, ordered_at::VARCHAR AS at_utc, name FROM orders")
        assert found == [{"total": "12345678901234.5678", "at_utc": "2026-01-02 03:04:05.678901", "name": "a\x00'\"é"}]


def test_rows_may_name_different_columns_but_only_known_ones() -> None:
    with Store(":memory:") as store:
        store.insert("contacts", [row("1", city="x"), row("2", region="y")])
        assert store.sql("SELECT record_id, city, region FROM contacts ORDER BY 1") == [("1", "x", None), ("2", None, "y")]
        with pytest.raises(StoreError, match="no column emial"):
            store.insert("contacts", [row("1", emial="x")])


def test_upsert_replaces_all_rows_of_a_record_and_no_others() -> None:
    with Store(":memory:") as store:
        bundle = {"orders": [row("1", total="1")], "order_lines": [row("1", sku="a"), row("1", sku="b")]}
        store.upsert("s", "t", {"1": bundle, "2": {"orders": [row("2", total="9")]}}, replaced=[])
        store.upsert("s", "other", {"1": {"orders": [{**row("1"), "stream": "other"}]}}, replaced=[])
        store.upsert("s", "t", {"1": {"orders": [row("1", total="2")]}}, replaced=["1"])
        assert store.sql("SELECT stream, record_id, total::INT FROM orders ORDER BY 1, 2") == [
            ("other", "1", None), ("t", "1", 2), ("t", "2", 9),
        ]  # fmt: skip
        assert store.value("SELECT count(*) FROM order_lines") == 0


def test_a_failed_transaction_leaves_nothing() -> None:
    with Store(":memory:") as store:
        with pytest.raises(ValueError, match="stop"), store.transaction():
            store.upsert("s", "t", {"1": {"orders": [row("1")]}}, replaced=[])
            raise ValueError("stop")
        assert store.value("SELECT count(*) FROM orders") == 0
        assert store.filled("s", "t") == set()


def test_opening_brings_an_older_store_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "r.duckdb"
    with Store(path) as store:
        store.insert("contacts", [row("1")])
    steps = (*schema.MIGRATIONS, ("ALTER TABLE contacts ADD COLUMN shoe_size INTEGER",))
    with pytest.raises(StoreError, match="older version"):
        Store(path, read_only=True, migrations=steps)
    with Store(path, migrations=steps) as store:
        assert store.sql("SELECT record_id, shoe_size FROM contacts") == [("1", None)]
        assert store.value("SELECT value FROM meta WHERE name = 'schema_version'") == str(len(steps))


def test_a_store_made_before_stock_was_known_learns_of_it(tmp_path: Path) -> None:
    path = tmp_path / "r.duckdb"
    with Store(path) as store:
        for name in ("stock", "list_price"):
            store.sql(f"ALTER TABLE products DROP COLUMN {name}")
        store.sql("UPDATE meta SET value = '2' WHERE name = 'schema_version'")
        store.sql("INSERT INTO products (product_id) VALUES ('1')")
    with Store(path) as store:
        store.insert("products", [{"product_id": "2", "stock": "3", "list_price": "9.5"}])
        assert store.sql("SELECT product_id, stock FROM products ORDER BY 1") == [("1", None), ("2", 3)]


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "r.duckdb"
    with Store(path) as store:
        store.sql("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
    with pytest.raises(StoreError, match="newer Rollcall"):
        Store(path)


def test_all_tables_of_the_model_are_there() -> None:
    with Store(":memory:") as store:
        names = {n for (n,) in store.sql("SELECT table_name FROM duckdb_tables() UNION SELECT view_name FROM duckdb_views()")}
        assert set(records.TABLES) <= names


@pytest.mark.parametrize("content", [b"", b"this is no database, whatever its name may say" * 100])
def test_a_file_that_is_no_store_is_not_touched(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "r.duckdb"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged or no DuckDB file"):
        Store(path)
    assert path.read_bytes() == content


def test_a_missing_store_is_not_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no store"):
        Store(tmp_path / "r.duckdb", read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists() or not hasattr(os, "symlink"), reason="needs a device that is always full")
def test_a_full_disk_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "r.duckdb.wal").symlink_to("/dev/full")
    with pytest.raises(StoreError, match="The disk is full"):
        store = Store(tmp_path / "r.duckdb")
        store.insert("contacts", [row("1")])


def test_a_process_that_writes_keeps_others_out(tmp_path: Path) -> None:
    path = tmp_path / "r.duckdb"
    with Store(path):
        code = (
            "import sys\nfrom connector.store import Store\nfrom models.errors import LockedError\n"
            "try:\n    Store(sys.argv[1], read_only=True)\nexcept LockedError as e:\n    print('locked', e)\n"
        )
        root = Path(schema.__file__).parents[1]
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.startswith("locked Another process has the store")
    assert issubclass(LockedError, Exception)
