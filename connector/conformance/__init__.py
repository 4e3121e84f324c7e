"""The promises every platform's adapter keeps, as tests to inherit. Ours run them, and so can a package of your own.

    class TestMyShop(Promises):
        @pytest.fixture(params=versions_of("myshop"))
        def world(self, request):
            with connected(World(name="myshop", simulator=..., settings={"api_version": request.param, ...}, ...)) as world:
                yield world

A World is one simulated account behind in-process HTTP: a clock that sleeping moves on, every request that was made, and a
hand to put in between (`hook`). docs/adding-a-platform.md says what it needs.

Only this package of Rollcall needs pytest and responses: `pip install pytest responses`. Nothing else imports it.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite(*(f"{__name__}.{part}" for part in ("world", "reading", "keeping", "writing", "manners")))

from connector.conformance.promises import Promises  # noqa: E402  # behind the line that lets pytest explain what failed
from connector.conformance.world import NOW, Clock, World, connected, versions_of  # noqa: E402  # as above

__all__ = ["NOW", "Clock", "Promises", "World", "connected", "versions_of"]
