"""Which tests the night runs alone: of files full of whole nights told one after the other, a sample runs by day."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

HERE = Path(__file__).parent

BY_DAY = {
    "laws/test_consent_moves.py": 8, "laws/test_consent_turns.py": 2, "laws/test_data_coverage.py": 4, "laws/test_hostile.py": 2,
    "laws/test_renames.py": 6, "laws/test_trigger_pauses.py": 4, "laws/test_whose_hand.py": 4, "sandbox/test_foreign.py": 4,
    "stories/test_bad_input.py": 4, "stories/test_cdnow.py": 2, "stories/test_consequences.py": 5, "stories/test_fields.py": 6,
    "stories/test_forgetting.py": 3, "stories/test_hands.py": 8, "stories/test_hubspot_owner.py": 6,
    "stories/test_journeys.py": 4, "stories/test_mailchimp_owner.py": 4, "stories/test_option_leaving.py": 6,
    "stories/test_owner_choices.py": 3, "stories/test_shopify_owner.py": 4, "stories/test_sync.py": 3,
    "stories/test_triggers.py": 5, "stories/test_trial.py": 4, "stories/test_two_installations.py": 4,
    "stories/test_writing_laws.py": 2, "torture/test_torture.py": 3,
}  # fmt: skip
"""File -> every how many of its cases one runs by day: seconds each, and close to one another. `make nightly` runs the others."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    met: Counter[str] = Counter()
    for item in items:
        name = item.path.relative_to(HERE).as_posix() if item.path.is_relative_to(HERE) else ""
        if name in BY_DAY:
            if met[name] % BY_DAY[name]:
                item.add_marker(pytest.mark.nightly)
            met[name] += 1
