"""What category a product was in is written down as we see it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from connector import product_history
from connector.store import Store
from tests.stages.hand_shop import new_store
from tests.stories.story import rollcall

FIRST, THEN = datetime(2026, 5, 1, 10), datetime(2026, 6, 1, 10)


def product(name: str, category: str | None) -> dict[str, str | None]:
    return {
        "source": "shopify",
        "stream": "products",
        "record_id": name,
        "product_id": name,
        "title": name,
        "category": category,
    }


def test_only_what_differs_from_the_last_is_written_down_with_its_time() -> None:
    store = new_store()
    store.insert("products", [product("tea", "Leaf"), product("cup", "Ware"), product("new", None), product("pot", "Ware")])
    assert product_history.note(store, FIRST) == 3, "of one without a category there is nothing to say"
    assert product_history.note(store, THEN) == 0
    store.sql("UPDATE products SET category = 'Hot drinks' WHERE product_id = 'tea'")
    store.sql("UPDATE products SET category = NULL WHERE product_id = 'cup'")
    store.sql("DELETE FROM products WHERE product_id = 'pot'")
    assert product_history.note(store, THEN) == 2
    assert product_history.note(store, THEN) == 0
    assert store.sql("SELECT product_id, category, since FROM product_categories ORDER BY 1, 3") == [
        ("cup", "Ware", FIRST), ("cup", None, THEN), ("pot", "Ware", FIRST), ("tea", "Leaf", FIRST), ("tea", "Hot drinks", THEN),
    ]  # fmt: skip


def test_a_run_writes_it_down(tmp_path: Path) -> None:
    (tmp_path / "rollcall.toml").write_text('[shop]\nname = "Small"\ntimezone = "Europe/Berlin"\ncurrency = "EUR"\n')
    (tmp_path / "products.csv").write_text("product_id,title,category\nt,Tea,Leaf\n")
    (tmp_path / "orders.csv").write_text("order_id,customer_id,date,amount\n1,a,2026-05-01,10\n")
    for kind in ("products", "orders"):
        assert rollcall(tmp_path, "import", kind, f"{kind}.csv").code == 0
    assert rollcall(tmp_path, "score", "--json").code in (0, 3)
    with Store(tmp_path / "rollcall.duckdb") as store:
        assert store.sql("SELECT product_id, category FROM product_categories") == [("t", "Leaf")]
