"""Events beside their users' past, compiled: what the reference gives, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream import features, sequences
from stream.compiled import tracing
from stream.events import ACTIONS
from stream.features import RECENT, Past
from stream.rows import COUNT_BUCKETS, COUNT_SCALES, NOT_HELD_MS, RAW_EVENT
from stream.sequences import Packing
from tests.shop import START_MS, STATISTICS

_STEPS_MS = np.array([0, 0, 1, 999, 1_000, 1_000, 30_000, 3_600_000, 86_400_000, 400 * 86_400_000])
_LATE_MS = np.array([0, 0, 0, 1, 5_000, 10**7])
_PRICES = np.array([np.nan, np.nan, 0.0, -0.0, 0.01, 1.0, 1.0, 19.9, 19.99, 1e9, 1e-40], np.float32)


def _events(n: int, rng: np.random.Generator) -> NDArray[np.void]:
    """Few items, places and prices, so that they come again; of some the time is late, or was never held."""
    raw = np.zeros(n, RAW_EVENT)
    raw["time_ms"] = START_MS + np.cumsum(rng.choice(_STEPS_MS, n)) - rng.choice(_LATE_MS, n)
    raw["time_ms"][rng.random(n) < 0.02] = NOT_HELD_MS
    raw["event_hash"] = rng.integers(2**63, size=n)
    for name, most in (("item", 4), ("category", 3), ("device", 3), ("country", 7), ("place", 2)):
        raw[name] = rng.integers(most, size=n)
    raw["item"][rng.random(n) < 0.1] = 2**32 - 1
    raw["price"] = rng.choice(_PRICES, n)
    raw["action"] = rng.integers(len(ACTIONS), size=n)
    return raw


def _bits(traced: features.Traced) -> list[tuple[Any, ...]]:
    told = traced.habits
    columns: tuple[NDArray[Any], ...] = (*traced[:-1], told.memory, told.price_step, told.price_spread, told.new)
    return [(column.dtype, column.shape, column.tobytes()) for column in columns]


def _assert_alike(raw: NDArray[np.void], packing: Packing, past: Past) -> None:
    log_price, made = np.log1p(raw["price"].astype(np.float64)), []
    before = [column.tobytes() for column in (raw, past.recent, past.memory, past.events_seen, past.last_time_ms)]
    for trace in (features.trace, tracing.trace):
        # A part of a wider array, as `features.build` gives it.
        counts = np.full((len(raw), 3 + COUNT_SCALES * COUNT_BUCKETS), np.nan, np.float32)[:, 3:]
        made.append((_bits(trace(raw, packing, past, log_price, counts)), counts.tobytes()))
    assert made[0] == made[1]
    after = [column.tobytes() for column in (raw, past.recent, past.memory, past.events_seen, past.last_time_ms)]
    assert before == after


def _columns(seen: features.Seen) -> list[bytes]:
    columns: list[NDArray[Any]] = [*seen.features, seen.classes, seen.high_ms, seen.memory]
    return [column.tobytes() for column in columns]


def _followed(seed: int, users: int, sizes: list[int]) -> None:
    """Batches one after the other, each with the past that the ones before left."""
    rng = np.random.default_rng(seed)
    past = Past.none(users)
    for n in sizes:
        packing, arrived = sequences.pack(rng.integers(users, size=n)), _events(n, rng)
        raw = arrived[packing.arrival]
        of_these = past.take(packing.users)
        _assert_alike(raw, packing, of_these)
        seen = [features.build(raw, packing, of_these, STATISTICS, trace) for trace in (features.trace, tracing.trace)]
        assert _columns(seen[0]) == _columns(seen[1])
        past.put(packing.users, features.after(raw, packing, of_these, seen[0]))


@given(st.integers(0, 2**32), st.integers(1, 12), st.lists(st.integers(1, 80), min_size=1, max_size=5))
@settings(max_examples=150)
def test_any_events_of_any_users_batch_after_batch(seed: int, users: int, sizes: list[int]) -> None:
    _followed(seed, users, sizes)


def test_one_user_with_very_many_steps_and_very_many_users_with_one() -> None:
    _followed(0, 1, [1, 2, 3, 3_000, 1])
    _followed(1, 5_000, [3_000, 3_000])
    _followed(2, 300, [5_000, 5_000])


@given(st.integers(0, 2**32), st.integers(0, 60))
@settings(max_examples=150)
def test_a_past_as_no_worker_leaves_it(seed: int, n: int) -> None:
    """Rows of another length, of users that were restored, and memories of any numbers."""
    rng = np.random.default_rng(seed)
    packing = sequences.pack(rng.integers(8, size=n))
    users = len(packing.users)
    past = Past.none(users)
    past.recent[:] = _events(users * RECENT, rng).reshape(users, RECENT)
    past.recent["time_ms"][rng.random((users, RECENT)) < 0.2] = NOT_HELD_MS
    past.recent["item"][rng.random((users, RECENT)) < 0.3] = 0
    past.events_seen[:] = rng.choice([0, 1, 2, 3, 4, 8, 2**40], users)
    past.last_time_ms[:] = rng.choice([-1, 0, START_MS, START_MS + 10**9], users)
    for name in ("counts", "prices", "price_mean", "price_variance", "strain", "strain_weight"):
        column = past.memory[name]
        column[:] = rng.exponential(size=column.shape) * rng.choice([0.0, 1e-30, 1.0, 100.0], column.shape)
    past.memory["prices"] = rng.choice([0, 1, 31, 32, 33, 2**24], users)
    past.memory["known"] = rng.integers(4, size=past.memory["known"].shape)
    _assert_alike(_events(n, rng), packing, past)


@pytest.mark.parametrize("price", [np.inf, -1.0, -2.0, 3e38, 1e-45])
def test_prices_that_no_shop_has(price: float) -> None:
    rng = np.random.default_rng(0)
    raw, packing = _events(40, rng), sequences.pack(np.arange(40) % 3)
    raw["price"][rng.random(40) < 0.5] = price
    with np.errstate(all="ignore"):
        _assert_alike(raw, packing, Past.none(3))


def test_no_events_leave_a_past_as_it_is() -> None:
    for users in (0, 3):
        packing = sequences.pack(np.empty(0, np.int64))
        _assert_alike(np.empty(0, RAW_EVENT), packing, Past.none(users if users == 0 else len(packing.users)))
