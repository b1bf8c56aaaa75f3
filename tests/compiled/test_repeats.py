"""Events that may have come before: nobody who has one is passed over, and nobody is suspected whom the reference is
sure of.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import admission, sequences
from stream.admission import repeats_of
from stream.compiled import repeats


@given(st.integers(0, 2**32), st.integers(0, 80), st.integers(1, 8), st.integers(1, 6), st.sampled_from([3, 20, 2**63]))
@settings(max_examples=300)
def test_every_user_who_has_a_repeat_is_suspected(seed: int, n: int, users: int, sequence: int, hashes: int) -> None:
    rng = np.random.default_rng(seed)
    slots = rng.choice(np.arange(20), users, replace=False)[rng.integers(users, size=n)]
    held = rng.integers(1, hashes, size=(20, sequence)).astype(np.uint64)
    ids = rng.integers(1, hashes, size=n).astype(np.uint64)
    packing = sequences.pack(slots)
    found = repeats.suspects(held, ids, packing)
    assert found.dtype.char == "?" and len(found) == n
    assert not (found & ~admission.suspects(held, ids, packing)).any()
    for slot in np.unique(slots):
        theirs = slots == slot
        if any(repeats_of(ids[theirs].tolist(), held[slot].tolist(), sequence)):
            assert found[theirs].any()


def test_events_that_are_all_new_are_none_suspected() -> None:
    hashes = np.arange(1, 1_001).astype(np.uint64)
    held = np.zeros((30, 50), np.uint64)
    for slots in (np.zeros(1_000, np.int64), np.arange(1_000) % 30):
        assert not repeats.suspects(held, hashes, sequences.pack(slots)).any()


def test_the_same_id_of_another_user_is_no_repeat() -> None:
    hashes = np.full(30, 7, np.uint64)
    assert not repeats.suspects(np.zeros((30, 5), np.uint64), hashes, sequences.pack(np.arange(30))).any()
