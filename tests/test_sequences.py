"""The packed order: against torch's own, and against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from stream.sequences import Packing, pack, running_max

SLOTS = st.lists(st.integers(0, 6) | st.integers(0, 10**6), max_size=60)


def _pack(slots: list[int]) -> Packing:
    return pack(np.array(slots, np.int64))


def _arrivals(slots: list[int]) -> dict[int, list[int]]:
    """The places of each user's events, in arrival order."""
    arrivals: dict[int, list[int]] = {}
    for i, slot in enumerate(slots):
        arrivals.setdefault(slot, []).append(i)
    return arrivals


@given(SLOTS)
def test_every_user_is_there_once_the_busiest_first(slots: list[int]) -> None:
    packing, arrivals = _pack(slots), _arrivals(slots)
    assert sorted(packing.users.tolist()) == sorted(arrivals)
    assert packing.counts.tolist() == [len(arrivals[user]) for user in packing.users.tolist()]
    assert packing.counts.tolist() == sorted(packing.counts.tolist(), reverse=True)


@given(SLOTS)
def test_batch_sizes_descend_and_count_every_event_once(slots: list[int]) -> None:
    packing = _pack(slots)
    sizes = packing.batch_sizes.tolist()
    assert sizes == sorted(sizes, reverse=True)
    assert sum(sizes) == len(slots)
    assert all(size > 0 for size in sizes)
    assert sorted(packing.arrival.tolist()) == list(range(len(slots)))


@given(SLOTS)
def test_a_users_events_keep_their_arrival_order(slots: list[int]) -> None:
    packing = _pack(slots)
    packed: dict[int, list[int]] = {}
    for place, arrival in zip(packing.user.tolist(), packing.arrival.tolist(), strict=True):
        packed.setdefault(int(packing.users[place]), []).append(arrival)
    assert packed == _arrivals(slots)


@given(SLOTS)
def test_before_points_to_the_users_event_before_or_to_their_state(slots: list[int]) -> None:
    packing, users = _pack(slots), len(set(slots))
    last = {slot: place for place, slot in enumerate(packing.users.tolist())}  # the U states before the batch
    for i, (place, rank, before) in enumerate(
        zip(packing.user.tolist(), packing.rank.tolist(), packing.before.tolist(), strict=True)
    ):
        slot = int(packing.users[place])
        assert before == last[slot]
        assert (before < users) == (rank == 0)
        last[slot] = users + i


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_the_packed_order_is_that_of_torch(slots: list[int]) -> None:
    packing, arrivals = _pack(slots), _arrivals(slots)
    theirs = pack_sequence([torch.tensor(arrivals[user]) for user in packing.users.tolist()])
    assert packing.arrival.tolist() == theirs.data.tolist()
    assert packing.batch_sizes.tolist() == theirs.batch_sizes.tolist()
    assert packing.batch_sizes.dtype == np.int64  # as an LSTM wants it


@given(st.lists(st.integers(0, 6), min_size=1, max_size=60))
def test_to_arrival_undoes_the_packing(slots: list[int]) -> None:
    packing = _pack(slots)
    column = np.array([[slot, i] for i, slot in enumerate(slots)])
    assert packing.to_arrival(column[packing.arrival]).tolist() == column.tolist()
    assert packing.users[packing.to_arrival(packing.user)].tolist() == slots


def test_no_events_are_packed_into_no_steps() -> None:
    packing = _pack([])
    for column in (packing.users, packing.counts, packing.batch_sizes, packing.arrival, packing.before):
        assert column.shape == (0,)
    assert running_max(np.empty(0, np.int64), packing, np.empty(0, np.int64)).shape == (0,)


@pytest.mark.parametrize(
    ("slots", "users", "arrival", "before"),
    [
        ([4], [4], [0], [0]),
        ([7, 7, 7], [7], [0, 1, 2], [0, 1, 2]),
        ([9, 3, 3, 9, 3], [3, 9], [1, 0, 2, 3, 4], [0, 1, 2, 3, 4]),
        ([5, 1, 2], [1, 2, 5], [1, 2, 0], [0, 1, 2]),
    ],
)
def test_small_packings_are_as_drawn_by_hand(
    slots: list[int], users: list[int], arrival: list[int], before: list[int]
) -> None:
    packing = _pack(slots)
    assert (packing.users.tolist(), packing.arrival.tolist(), packing.before.tolist()) == (users, arrival, before)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(-5, 100)), max_size=60), st.integers(-1, 50))
def test_the_running_maximum_is_that_of_a_plain_loop(events: list[tuple[int, int]], initial: int) -> None:
    slots, values = [slot for slot, _ in events], np.array([value for _, value in events], np.int64)
    packing = _pack(slots)
    start = initial + np.arange(len(packing.users))
    untouched = start.copy()
    found = packing.to_arrival(running_max(values[packing.arrival], packing, start)).tolist()

    high = dict(zip(packing.users.tolist(), start.tolist(), strict=True))
    for (slot, value), before in zip(events, found, strict=True):
        assert before == high[slot]
        high[slot] = max(high[slot], value)
    assert start.tolist() == untouched.tolist()  # the caller's column is not written to
