"""Law: a carry made by another model is never used; the rolling sequence is run through the new model instead."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from stream.events import EventBatch
from stream.model import Cell
from tests.shop import (
    MODEL,
    by_offset,
    forget_strain,
    pipeline,
    random_events,
    score_all,
    small_model,
    stored_rows,
)

OTHER = MODEL + 1


def assert_first_events_alone(events: EventBatch, rebuilt: np.ndarray) -> None:
    """Events, in their order, of users who all have a row: the first of each has a carry that was made anew."""
    _, first = np.unique(events.key.astype(str), return_index=True)
    assert np.flatnonzero(rebuilt).tolist() == sorted(first.tolist())


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_carry_of_another_model_is_rebuilt_from_the_rolling_sequence(cell: Cell) -> None:
    events = random_events(5, n=40, users=4)
    later = random_events(6, n=30, users=4, first_offset=40)
    old, old_table = pipeline(small_model(0), sequence=64)
    score_all(old, events)
    stored = stored_rows(old_table)

    def fetch(partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        return [stored.get((partition, key)) for key in keys]

    moved, _ = pipeline(small_model(1, cell=cell), model_hash=OTHER, sequence=64, fetch_rows=fetch)
    found = by_offset(score_all(moved, later))
    # All events are still in the sequences, so it is as if the new model had been there from the start, but for the
    # strain, which begins anew.
    always, always_table = pipeline(small_model(1, cell=cell), model_hash=OTHER, sequence=64)
    score_all(always, events)
    forget_strain(always_table, 0, [key for _, key in stored])
    expected = by_offset(score_all(always, later))
    for name in ("intent", "surprise_parts", "strain", "anomaly"):
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5, rtol=0)
    assert_first_events_alone(later, found["carry_rebuilt"])


def test_a_carry_is_rebuilt_once() -> None:
    events, later = random_events(5, n=40, users=4), random_events(6, n=40, users=4, first_offset=40)
    old, old_table = pipeline(small_model(0))
    score_all(old, events)
    stored = stored_rows(old_table)
    moved, _ = pipeline(
        small_model(1), model_hash=OTHER, fetch_rows=lambda p, keys: [stored.get((p, key)) for key in keys]
    )
    first, second = (by_offset(score_all(moved, later.take(part))) for part in (slice(20), slice(20, None)))
    assert_first_events_alone(later, np.concatenate([first["carry_rebuilt"], second["carry_rebuilt"]]))


def test_what_is_remembered_of_a_user_but_for_the_strain_does_not_depend_on_the_model() -> None:
    events, later = random_events(5, n=200, users=4), random_events(6, n=40, users=4, first_offset=200)
    old, old_table = pipeline(small_model(0))
    score_all(old, events)
    stored = stored_rows(old_table)
    moved, table = pipeline(
        small_model(1), model_hash=OTHER, fetch_rows=lambda p, keys: [stored.get((p, key)) for key in keys]
    )
    assert by_offset(score_all(moved, later))["carry_rebuilt"].sum() == len(stored)
    score_all(old, later)
    keys = np.array([key for _, key in stored], object)
    here, there = (t.memory(t.slots(np.zeros(len(keys), np.int32), keys)) for t in (old_table, table))
    assert (there["strain"] != here["strain"]).all()
    for name in ("strain", "strain_weight"):
        here[name] = there[name] = 0.0
    assert there.tobytes() == here.tobytes()
    assert (here["prices"] > 20).all()  # of more events than the sequence holds


def test_a_user_never_seen_has_nothing_to_rebuild() -> None:
    fresh, _ = pipeline()
    assert not by_offset(score_all(fresh, random_events(0, n=10, users=10)))["carry_rebuilt"].any()
