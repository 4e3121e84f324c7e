"""The first minutes of an owner who has a file of orders and nothing else: no command leaves them without an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.stories.story import rollcall

SHOP = '[shop]\nname = "Corner"\ntimezone = "Europe/Berlin"\ncurrency = "EUR"\n'
ORDERS = "Customer Email;Order No;Order Date;Total\nana@shop.example;1;03.02.2026;12,50\nbo@shop.example;2;04.02.2026;8,00\n"


@pytest.fixture(scope="module")
def corner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corner")
    (folder / "rollcall.toml").write_text(SHOP)
    (folder / "orders.csv").write_text(ORDERS)
    assert rollcall(folder, "import", "orders", str(folder / "orders.csv")).code == 0
    return folder


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("segment", "list"), "No segments yet. `rollcall segment new`"),
        (("why", "ana@shop.example"), "There is no segment yet to be in"),
        (("plan",), "No segment is pushed anywhere"),
        (("ledger", "show"), "Nothing has been written"),
        (("runs",), "import"),
        (("fields",), "has a live record on HubSpot"),
    ],
)
def test_every_question_of_the_first_minutes_is_answered(corner: Path, command: tuple[str, ...], words: str) -> None:
    said = rollcall(corner, *command)
    assert said.code == 0
    assert words in " ".join(said.out.split())
