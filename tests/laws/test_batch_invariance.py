"""Law: compiled, on a CPU, no bit of what a user's events score depends on who shares their batches, nor on where these
are cut; nor does any bit of their row.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.kernels import REFERENCE
from tests.shop import KERNELS, by_offset, pipeline, random_events, score_all, small_model, stored_rows

pytestmark = pytest.mark.skipif(KERNELS is REFERENCE, reason="needs Numba: what is not compiled differs by 1e-6")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    users=st.integers(1, 40),
    cuts=st.lists(st.integers(1, 199), max_size=30),
    max_steps=st.sampled_from([1, 3, 10_000]),
    hidden=st.sampled_from([8, 20, 64]),
    layers=st.sampled_from([1, 2]),
)
def test_scores_and_rows_are_the_same_bits_however_the_input_is_cut(
    *, seed: int, users: int, cuts: list[int], max_steps: int, hidden: int, layers: int
) -> None:
    events, model = random_events(seed, n=200, users=users), small_model(hidden=hidden, layers=layers, fraud=True)
    whole, whole_table = pipeline(model)
    parts, parts_table = pipeline(model, max_steps=max_steps)
    expected, found = by_offset(score_all(whole, events)), by_offset(score_all(parts, events, cuts))
    assert {name: column.tobytes() for name, column in found.items()} == {
        name: column.tobytes() for name, column in expected.items()
    }
    assert stored_rows(parts_table) == stored_rows(whole_table)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), users=st.integers(2, 40))
def test_a_user_alone_scores_the_same_bits_as_among_others(seed: int, users: int) -> None:
    events, model = random_events(seed, n=200, users=users), small_model(hidden=64)
    together, together_table = pipeline(model)
    alone, alone_table = pipeline(model)
    among = by_offset(score_all(together, events))
    keys = events.key
    rows = stored_rows(together_table)
    for key in set(keys.tolist()):
        theirs = by_offset(score_all(alone, events.take(keys == key)))
        mine = keys[among["offset"].argsort()] == key  # offsets are in order of arrival
        for name, column in theirs.items():
            assert column.tobytes() == among[name][mine].tobytes(), name
    assert stored_rows(alone_table) == rows
