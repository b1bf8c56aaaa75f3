"""A user's strain, compiled: what the reference gives, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import anomaly, sequences
from stream.compiled import straining
from stream.features import PARTS
from stream.rows import MEMORY
from tests.shop import NORMAL


def _assert_alike(nats: np.ndarray, slots: np.ndarray, seed: int) -> None:
    rng, packing = np.random.default_rng(seed), sequences.pack(slots)
    memory = np.zeros(len(packing.users), MEMORY)
    memory["strain"] = rng.normal(size=len(memory)) * 10
    memory["strain_weight"] = rng.exponential(size=len(memory)) * 30
    memory["prices"] = 7
    before = memory.tobytes()
    with np.errstate(all="ignore"):
        expected, found = (f.strained(nats, packing, memory, NORMAL) for f in (anomaly, straining))
    np.testing.assert_array_equal(found.strain, expected.strain)
    assert found.strain.tobytes() == expected.strain.tobytes()
    assert found.memory.tobytes() == expected.memory.tobytes()
    assert memory.tobytes() == before


@given(st.integers(0, 2**32), st.integers(0, 200), st.integers(1, 30), st.sampled_from([0.1, 1.0, 10.0, 1e4]))
@settings(max_examples=150)
def test_any_nats_of_any_users(seed: int, n: int, users: int, size: float) -> None:
    rng = np.random.default_rng(seed)
    nats = (rng.exponential(size=(n, len(PARTS))) * size).astype(np.float32)
    nats[rng.random(nats.shape) < 0.2] = 0.0
    _assert_alike(nats, rng.integers(users, size=n), seed)


@pytest.mark.parametrize("value", [np.inf, 3e38, 1e-45, -0.0, 4.0, np.nextafter(np.float32(4), np.float32(5))])
def test_nats_at_the_ends_in_any_part(value: float) -> None:
    for part in range(len(PARTS)):
        nats = np.full((9, len(PARTS)), 0.5, np.float32)
        nats[4, part] = value
        _assert_alike(nats, np.arange(9) % 2, part)


def test_nats_that_are_no_numbers_make_no_number() -> None:
    for part in range(len(PARTS)):
        nats = np.full((3, len(PARTS)), 0.5, np.float32)
        nats[1, part] = np.nan
        packing = sequences.pack(np.arange(3))
        memory = np.zeros(3, MEMORY)
        expected, found = (f.strained(nats, packing, memory, NORMAL).strain for f in (anomaly, straining))
        np.testing.assert_array_equal(found, expected)
        assert np.isnan(found).tolist() == [False, True, False]


def test_a_user_of_very_many_steps() -> None:
    rng = np.random.default_rng(0)
    _assert_alike(rng.exponential(size=(5_000, len(PARTS))).astype(np.float32), np.zeros(5_000, np.int64), 0)
