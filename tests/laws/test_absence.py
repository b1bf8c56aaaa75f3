"""Law: a user who is not in a batch keeps their row bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.model import Cell
from tests.shop import pipeline, random_events, score_all, small_model


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), layers=st.integers(1, 2), cell=st.sampled_from(["lstm", "gru", "rnn"]))
def test_a_user_absent_from_the_batch_keeps_their_state_bit_for_bit(seed: int, layers: int, cell: Cell) -> None:
    scoring, table = pipeline(small_model(layers=layers, cell=cell))
    events = random_events(seed, n=80, users=10)
    score_all(scoring, events)
    rows = dict(table.take_changed(0).to_bytes())

    later = random_events(seed + 1, n=40, users=10, first_offset=80)
    absent = b"user-3"
    score_all(scoring, later.take(later.key != absent))
    assert absent not in table.take_changed(0).keys.tolist()
    if absent in rows:
        slot = table.slots(np.zeros(1, np.int32), np.array([absent], object))
        assert table.rows(slot)[0].tobytes() == rows[absent]
