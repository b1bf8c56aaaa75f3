"""Law: given the order, cutting the input anywhere into batches changes no score beyond 1e-5, and no row but the
carry and the strain, which are rounded by batches.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.kernels import REFERENCE, Kernels
from stream.model import Cell
from tests.shop import (
    KERNELS,
    assert_rows_alike,
    by_offset,
    pipeline,
    random_events,
    score_all,
    small_model,
    stored_rows,
)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    users=st.integers(1, 12),
    cuts=st.lists(st.integers(1, 119), max_size=12),
    max_steps=st.sampled_from([1, 3, 10_000]),
    cell=st.sampled_from(["lstm", "gru", "rnn"]),
    kernels=st.sampled_from([KERNELS, REFERENCE]),
)
def test_splitting_a_batch_anywhere_changes_no_score(
    *, seed: int, users: int, cuts: list[int], max_steps: int, cell: Cell, kernels: Kernels
) -> None:
    events, model = random_events(seed, n=120, users=users), small_model(cell=cell, fraud=True)
    whole, whole_table = pipeline(model, kernels=kernels)
    parts, parts_table = pipeline(model, max_steps=max_steps, kernels=kernels)
    expected, found = by_offset(score_all(whole, events)), by_offset(score_all(parts, events, cuts))

    assert found["offset"].tolist() == expected["offset"].tolist()  # each once, none lost
    for name in ("events_seen", "late", "carry_rebuilt"):
        assert found[name].tolist() == expected[name].tolist()
    for name in ("intent", "surprise_parts", "strain", "anomaly", "fraud"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, rtol=0)

    rows, rows_in_parts = stored_rows(whole_table), stored_rows(parts_table)
    assert rows.keys() == rows_in_parts.keys()
    for key, row in rows.items():
        assert_rows_alike(rows_in_parts[key], row)


def test_a_users_events_are_scored_in_their_order_whatever_is_deferred() -> None:
    events = random_events(1, n=200, users=2)
    deferring, _ = pipeline(max_steps=2)
    results = score_all(deferring, events, cuts=range(20, 200, 20))
    assert any(len(s) < 20 for s in results)  # something was deferred
    keys = np.concatenate([s.events.key for s in results])
    offsets = np.concatenate([s.events["offset"] for s in results])
    seen = np.concatenate([s.events_seen for s in results])
    for key in set(keys.tolist()):
        assert np.all(np.diff(offsets[keys == key]) > 0)
        assert seen[keys == key].tolist() == list(range(1, int((keys == key).sum()) + 1))
