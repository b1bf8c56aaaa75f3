"""Which partitions change over, and which model scores meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from hypothesis import given
from hypothesis import strategies as st

from stream.changing.plan import Plan, plan
from stream.cuts import ModelId

A, B, C = ModelId(0, "a"), ModelId(1, "b"), ModelId(2, "c")


def planned(
    at: Mapping[int, ModelId | None],
    target: ModelId,
    *,
    unfinished: Collection[int] = (),
    lacks: Collection[ModelId] = (),
) -> Plan:
    return plan(at, target, unfinished=unfinished, has=lambda model: model not in lacks)


def test_where_all_have_the_target_all_are_scored_by_it() -> None:
    assert planned({0: B, 1: B}, B) == Plan(B, frozenset({0, 1}), frozenset(), frozenset())
    assert planned({}, B) == Plan(B, frozenset(), frozenset(), frozenset())


def test_live_partitions_are_cut_at_once() -> None:
    assert planned({0: A, 1: A}, B) == Plan(B, frozenset(), frozenset({0, 1}), frozenset())


def test_a_partition_without_a_row_is_cut_before_anything_of_it_is_scored() -> None:
    assert planned({0: None, 1: A}, A, unfinished={0, 1}) == Plan(A, frozenset({1}), frozenset({0}), frozenset())


def test_what_a_former_owner_may_have_published_is_scored_by_its_model_first() -> None:
    both = planned({0: A, 1: B}, B, unfinished={0, 1})
    assert both == Plan(A, frozenset({0}), frozenset(), frozenset())  # partition 1 waits: one model scores at a time
    assert planned({0: A, 1: B}, B, unfinished={1}) == Plan(B, frozenset({1}), frozenset({0}), frozenset())


def test_of_several_former_models_the_oldest_has_its_turn_first() -> None:
    assert planned({0: B, 1: A}, C, unfinished={0, 1}) == Plan(A, frozenset({1}), frozenset(), frozenset())
    assert planned({0: B, 1: C}, C, unfinished={0, 1}) == Plan(B, frozenset({0}), frozenset(), frozenset())


def test_a_former_model_that_is_not_here_cannot_have_its_turn() -> None:
    assert planned({0: A}, B, unfinished={0}, lacks={A}) == Plan(B, frozenset(), frozenset({0}), frozenset())


def test_a_partition_that_is_ahead_waits_and_is_never_cut_back() -> None:
    assert planned({0: C, 1: B}, B) == Plan(B, frozenset({1}), frozenset(), frozenset({0}))


def test_the_same_version_of_another_hash_is_another_model() -> None:
    assert planned({0: A}, ModelId(0, "other")).cut == {0}


_MODELS = st.sampled_from([None, A, B, C])


@given(
    at=st.dictionaries(st.integers(0, 5), _MODELS, max_size=6),
    target=st.sampled_from([A, B, C]),
    unfinished=st.sets(st.integers(0, 5)),
    lacks=st.sets(st.sampled_from([A, B, C])),
)
def test_each_partition_is_in_one_state_and_a_change_ends(
    at: dict[int, ModelId | None], target: ModelId, unfinished: set[int], lacks: set[ModelId]
) -> None:
    for _ in range(2 * len(at) + 2):
        found = planned(at, target, unfinished=unfinished, lacks=lacks)
        assert not (found.open & found.cut or found.open & found.ahead or found.cut & found.ahead)
        assert all(at[partition] == found.model for partition in found.open)  # scored by what the row names, only
        for partition in found.cut:
            at[partition] = target
        unfinished -= found.open  # what is open is scored
    assert found.model == target and not found.cut
    assert found.open | found.ahead == at.keys()
