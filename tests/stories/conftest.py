"""Small shops for the stories; every one is made from a fixed seed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import responses

from connector.sandbox.faults import Faults
from tests.stories.shopkeeper import Shopkeeper
from tests.stories.story import Story, write_orders


@pytest.fixture(scope="session")
def orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 customers."""
    return write_orders(tmp_path_factory.mktemp("orders") / "orders.csv")


@pytest.fixture(scope="session")
def few_orders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 customers."""
    return write_orders(tmp_path_factory.mktemp("orders") / "few.csv", customers=120, seed=2)


@pytest.fixture
def tell(tmp_path: Path) -> Iterator[Callable[..., Story]]:
    """Opens stories and closes them afterwards."""
    opened: list[Story] = []

    def make(orders: Path, name: str = "shop", faults: Faults | None = None) -> Story:
        opened.append(Story(tmp_path / name, orders, faults))
        return opened[-1]

    yield make
    for story in opened:
        story.close()


@pytest.fixture
def story(tell: Callable[..., Story], few_orders: Path) -> Story:
    """A small shop, served, not yet pulled."""
    return tell(few_orders)


@pytest.fixture(scope="session")
def pulled_store(tmp_path_factory: pytest.TempPathFactory, few_orders: Path) -> Path:
    """The store of the small shop after a backfill; account and records do not depend on the port."""
    with Story(tmp_path_factory.mktemp("pulled") / "shop", few_orders) as story:
        story.ok("backfill")
        return story.folder


@pytest.fixture
def pulled(story: Story, pulled_store: Path) -> Story:
    """The same, pulled once."""
    story.take_store(pulled_store)
    return story


@pytest.fixture
def pushed(pulled: Story) -> Story:
    """The same, with the owner's go-ahead given and the tags filled."""
    pulled.ok("push", "--first", "--as-of", "1998-07-01")
    return pulled


@pytest.fixture
def mock() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield mock


@pytest.fixture
def keeper(mock: responses.RequestsMock, tmp_path: Path) -> Shopkeeper:
    """An owner whose HubSpot segments have options beside their lists."""
    return Shopkeeper(mock, tmp_path, more="hubspot_property = true")
