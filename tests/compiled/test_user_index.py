"""User to slot, compiled: what a dictionary says, whatever was added and removed before."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.compiled.user_index import KEY_MOST, UserIndex
from stream.events import EVENT, EventBatch
from stream.slots import NO_ROOM

User = tuple[int, bytes]


def _events(users: Sequence[User]) -> EventBatch:
    events = EventBatch.of(np.zeros(len(users), EVENT), [key for _, key in users], ["event"] * len(users))
    events["partition"][:] = [partition for partition, _ in users]
    return events


def _assert_finds(index: UserIndex, there: dict[User, int], users: Sequence[User]) -> None:
    """Those who are there, but for longer ids than are kept."""
    expected = [there.get(user, NO_ROOM) if len(user[1]) <= KEY_MOST else NO_ROOM for user in users]
    assert index.find(_events(users)).tolist() == expected


_KEYS = st.builds(
    lambda byte, size: bytes([byte]) * size,
    st.sampled_from(b"ab\x00\xff"),
    st.sampled_from([*range(1, 5), 8, 16, 17, 47, 48, 49, 256]),
)
_USERS = st.tuples(st.sampled_from([0, 1, 11, 2**31 - 1]), _KEYS)
_CHANGES = st.tuples(
    st.sampled_from(["add", "add", "remove", "grow", "clear"]), st.lists(_USERS, max_size=8, unique=True)
)


@given(st.lists(_CHANGES, max_size=30))
@settings(max_examples=300)
def test_after_any_changes_it_says_what_a_dictionary_says(changes: list[tuple[str, list[User]]]) -> None:
    index, there, free, capacity = UserIndex(), dict[User, int](), list[int](), 0
    asked: set[User] = set()
    for kind, users in changes:
        asked |= {*users}
        if kind == "add":
            new = [user for user in users if user not in there]
            if len(new) > len(free):
                more = 2 * capacity + len(new)
                free += range(capacity, more)
                index.grow(capacity := more)
            for partition in {partition for partition, _ in new}:
                of_it = [user for user in new if user[0] == partition]
                slots = [free.pop() for _ in of_it]
                index.add(partition, [key for _, key in of_it], np.array(slots, np.int64))
                there |= dict(zip(of_it, slots, strict=True))
        elif kind == "remove":
            gone = [there.pop(user) for user in users if user in there]
            index.remove(np.array(gone, np.int64))
            free += gone
        elif kind == "grow":
            free += range(capacity, capacity + len(users))
            index.grow(capacity := capacity + len(users))
        else:
            index.clear()
            free += there.values()
            there.clear()
        _assert_finds(index, there, sorted(asked))


@pytest.mark.parametrize("users", [1, 8, 1_000, 20_000])
def test_a_full_index_finds_all_and_nobody_else(users: int) -> None:
    there = {
        (i % 3, b"user-%d" % (i // 3)): slot
        for i, slot in enumerate(np.random.default_rng(0).permutation(users).tolist())
    }
    index = UserIndex()
    index.grow(users)
    for partition in range(3):
        of_it = [(key, slot) for (p, key), slot in there.items() if p == partition]
        index.add(partition, [key for key, _ in of_it], np.array([slot for _, slot in of_it], np.int64))
    others = [(p + 1, key) for p, key in there]
    _assert_finds(index, there, [*there, *others])
    gone = [user for i, user in enumerate(there) if i % 3 != 1]
    index.remove(np.array([there.pop(user) for user in gone], np.int64))
    _assert_finds(index, there, [*there, *gone, *others])


def test_no_events_find_nobody_and_an_empty_index_finds_none() -> None:
    index = UserIndex()
    _assert_finds(index, {}, [])
    _assert_finds(index, {}, [(0, b"u"), (1, b"x" * 300)])
