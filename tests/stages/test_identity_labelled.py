"""Precision and recall of identity on a labelled set of duplicates, by the way in which the records differ."""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations

import pytest

from connector.config import Identity
from connector.identity import identify
from tests.stages.duplicates import HOPELESS, NOISE, TRAPS, UNAVOIDABLE, Labelled
from tests.stages.hand_shop import new_store, shop_config


def pairs(groups):
    return {frozenset(pair) for group in groups for pair in combinations(sorted(group), 2)}


def judged(labelled: Labelled, **options):
    """(pairs joined, pairs that are one person, share of each kind that was joined)"""
    store = new_store()
    store.insert("contacts", labelled.contacts)
    store.insert("identifiers", labelled.identifiers)
    identify(store, shop_config().model_copy(update={"identity": Identity(**options)}))
    found, true = defaultdict(set), defaultdict(set)
    for source, contact_id, person in store.sql("SELECT source, contact_id, person_id FROM person_links"):
        found[person].add((source, contact_id))
    for record, who in labelled.who.items():
        true[who].add(record)
    joined, wanted = pairs(found.values()), pairs(true.values())
    tried = defaultdict(list)
    for pair in wanted:
        tried[labelled.kind[labelled.who[next(iter(pair))]]].append(pair in joined)
    return joined, wanted, {kind: sum(hits) / len(hits) for kind, hits in tried.items()}


@pytest.fixture(scope="module")
def labelled():
    return Labelled()


@pytest.fixture(scope="module")
def asked(labelled):
    return judged(labelled, plus_addresses=True, dots=True)


def test_what_can_be_known_is_found_whole_and_what_cannot_is_left_alone(asked):
    _, _, by_kind = asked

    assert by_kind == {kind: 0.0 if kind in HOPELESS else 1.0 for kind in NOISE}


def test_nobody_is_joined_with_a_stranger_who_can_be_told_apart(labelled, asked):
    joined, wanted, _ = asked
    wrong = joined - wanted
    kinds = {labelled.kind[labelled.who[record]] for pair in wrong for record in pair}

    assert set(TRAPS) <= set(labelled.kind.values())
    assert kinds == set(UNAVOIDABLE)


def test_precision_and_recall_over_all_of_it_stay_above_their_floors(asked):
    joined, wanted, _ = asked
    right = len(joined & wanted)
    precision, recall = right / len(joined), right / len(wanted)
    print(f"labelled pairs {len(wanted)}, joined {len(joined)}: precision {precision:.3f}, recall {recall:.3f}")

    assert precision >= 0.96 and recall >= 0.81


def test_plus_and_dots_are_folded_only_where_the_owner_asked(labelled):
    _, _, by_kind = judged(labelled)

    assert {kind for kind, share in by_kind.items() if share < 1} == {"plus address", "dots", "old provider name", *HOPELESS}
    assert judged(labelled, dots=True)[2]["plus address"] == 0 and judged(labelled, plus_addresses=True)[2]["dots"] == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_another_set_gives_the_same_figures(seed: int):
    joined, wanted, by_kind = judged(Labelled(people=440, seed=seed), plus_addresses=True, dots=True)

    assert len(joined & wanted) / len(joined) >= 0.96
    assert min(share for kind, share in by_kind.items() if kind not in HOPELESS) == 1
