"""Raw events to the model's input and to what came, in the words of its heads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.events import ACTIONS, PRICE_MAX
from stream.features import (
    CATEGORY_BUCKETS,
    GAP_EDGES_S,
    ITEM_BUCKETS,
    PART_CLASSES,
    PARTS,
    PRICE_EDGES,
    REAL,
    Features,
    Outcome,
    build,
)
from stream.rows import RAW_EVENT
from tests.shop import START_MS, STATISTICS

_TIME_MAX_MS = 253_402_300_799_999
ACTION, CATEGORY, GAP, PRICE = (PARTS.index(part) for part in ("action", "category", "gap", "price"))


def _raw(n: int = 1, **columns: Any) -> NDArray[np.void]:
    """n raw events, those of a shop with nothing to say but where told."""
    raw = np.zeros(n, RAW_EVENT)
    raw["time_ms"], raw["price"], raw["action"] = START_MS, math.nan, 1
    for name, column in columns.items():
        raw[name] = column
    return raw


def _build(
    now: NDArray[np.void], *, before: NDArray[np.void] | None = None, gap_ms: Any = 0, first: Any = False
) -> tuple[Features, Outcome]:
    n = len(now)
    return build(
        now,
        _raw(n) if before is None else before,
        np.broadcast_to(np.asarray(gap_ms, np.int64), n),
        np.broadcast_to(np.asarray(first, np.bool_), n),
        STATISTICS,
    )


def _real(features: Features, name: str) -> list[float]:
    return [float(value) for value in features.real[:, REAL.index(name)]]


def test_a_gap_at_an_edge_belongs_to_the_class_above_it() -> None:
    edges_ms = (GAP_EDGES_S * 1000).astype(np.int64)
    for shift, expected in ((-1, 1 + np.arange(len(edges_ms))), (0, 2 + np.arange(len(edges_ms)))):
        _, came = _build(_raw(len(edges_ms)), gap_ms=edges_ms + shift)
        assert came.classes[:, GAP].tolist() == expected.tolist()


def test_no_gap_is_class_1_and_the_longest_gap_the_last_class() -> None:
    _, came = _build(_raw(2), gap_ms=[0, _TIME_MAX_MS])
    assert came.classes[:, GAP].tolist() == [1, PART_CLASSES[GAP] - 1]


@pytest.mark.parametrize("gap_ms", [0, 1000, _TIME_MAX_MS])
def test_a_first_event_has_gap_class_0_and_says_so_whatever_stands_before_it(gap_ms: int) -> None:
    now = _raw(item=7, category=8)
    features, came = _build(now, before=now, gap_ms=gap_ms, first=True)
    assert came.classes[0, GAP] == 0
    assert came.first.tolist() == [True]
    assert (_real(features, "gap"), _real(features, "first")) == ([0.0], [1.0])
    assert (_real(features, "same_item"), _real(features, "same_category")) == ([0.0], [0.0])


def test_a_price_at_an_edge_belongs_to_the_class_above_it() -> None:
    at = PRICE_EDGES.astype(np.float32)
    assert at.tolist() == PRICE_EDGES.tolist()  # rows hold float32, in which every edge is exact
    for prices, expected in (
        (np.nextafter(at, np.float32(0)), 1 + np.arange(len(at))),
        (at, 2 + np.arange(len(at))),
    ):
        _, came = _build(_raw(len(at), price=prices))
        assert came.classes[:, PRICE].tolist() == expected.tolist()


def test_a_price_of_nothing_is_class_1_and_the_highest_price_the_last_class() -> None:
    _, came = _build(_raw(2, price=[0.0, PRICE_MAX]))
    assert came.classes[:, PRICE].tolist() == [1, PART_CLASSES[PRICE] - 1]


def test_a_missing_price_is_class_0_and_is_told_from_a_price_of_0() -> None:
    features, came = _build(_raw(2, price=[math.nan, 0.0]))
    assert came.classes[:, PRICE].tolist() == [0, 1]
    assert _real(features, "no_price") == [1.0, 0.0]
    mean_price, std_price = STATISTICS.price_mean, STATISTICS.price_std
    assert _real(features, "price") == pytest.approx([0.0, (0.0 - mean_price) / std_price])


def test_gaps_and_prices_are_logarithms_in_standard_deviations() -> None:
    features, _ = _build(_raw(2, price=[9.0, 99.0]), gap_ms=[500, 3_600_000])
    statistics = STATISTICS
    assert _real(features, "gap") == pytest.approx(
        [(math.log(1 + s) - statistics.gap_mean) / statistics.gap_std for s in (0.5, 3600)], rel=1e-6
    )
    assert _real(features, "price") == pytest.approx(
        [(math.log(1 + p) - statistics.price_mean) / statistics.price_std for p in (9, 99)], rel=1e-6
    )


@pytest.mark.parametrize(("name", "feature"), [("item", "same_item"), ("category", "same_category")])
def test_the_same_again_is_told_from_another_and_from_none(name: str, feature: str) -> None:
    now, before = _raw(4, **{name: [5, 5, 0, 5]}), _raw(4, **{name: [5, 6, 0, 0]})
    features, _ = _build(now, before=before)
    assert _real(features, feature) == [1.0, 0.0, 0.0, 0.0]
    other = "same_category" if feature == "same_item" else "same_item"
    assert _real(features, other) == [0.0] * 4


def test_a_category_is_never_in_the_bucket_of_none() -> None:
    hashes = np.array([0, 1, CATEGORY_BUCKETS - 1, CATEGORY_BUCKETS, 2**32 - 1], np.uint32)
    features, came = _build(_raw(len(hashes), category=hashes))
    assert features.category[0] == 0
    assert (features.category[1:] > 0).all()
    assert came.classes[:, CATEGORY].tolist() == features.category.tolist()


@pytest.mark.parametrize(("hour", "sine", "cosine"), [(0, 0, 1), (6, 1, 0), (12, 0, -1), (18, -1, 0)])
def test_the_hour_is_a_place_on_a_circle(hour: int, sine: float, cosine: float) -> None:
    features, _ = _build(_raw(time_ms=20_000 * 86_400_000 + hour * 3_600_000))
    assert _real(features, "hour_sin") == pytest.approx([sine], abs=1e-6)
    assert _real(features, "hour_cos") == pytest.approx([cosine], abs=1e-6)


def test_no_events_have_no_features() -> None:
    features, came = _build(_raw(0))
    assert features.real.shape == (0, len(REAL))
    assert came.classes.shape == (0, len(PARTS))


_RAW = st.fixed_dictionaries(
    {
        "time_ms": st.integers(0, _TIME_MAX_MS),
        "item": st.integers(0, 2**32 - 1),
        "category": st.integers(0, 2**32 - 1),
        "price": st.sampled_from([math.nan, 0.0, PRICE_MAX]) | st.floats(0, PRICE_MAX, width=32),
        "action": st.integers(0, len(ACTIONS) - 1),
    }
)


@given(st.lists(st.tuples(_RAW, _RAW, st.integers(0, _TIME_MAX_MS), st.booleans()), min_size=1, max_size=20))
def test_every_raw_event_has_finite_features_and_classes_that_exist(
    rows: list[tuple[dict[str, Any], dict[str, Any], int, bool]],
) -> None:
    nows, befores, gaps, firsts = zip(*rows, strict=True)
    now, before = (_raw(len(rows), **{k: [e[k] for e in events] for k in events[0]}) for events in (nows, befores))
    features, came = _build(now, before=before, gap_ms=gaps, first=firsts)
    assert features.real.dtype == np.float32
    assert np.isfinite(features.real).all()
    assert ((came.classes >= 0) & (came.classes < PART_CLASSES)).all()
    assert ((features.item >= 0) & (features.item < ITEM_BUCKETS)).all()
    assert ((features.category >= 0) & (features.category < CATEGORY_BUCKETS)).all()
    assert features.action.tolist() == now["action"].tolist() == came.classes[:, ACTION].tolist()
    assert {column.dtype for column in (features.action, features.item, features.category, came.classes)} == {
        np.dtype(np.int64)
    }
    assert ((came.classes[:, GAP] == 0) == came.first).all()
    assert ((came.classes[:, PRICE] == 0) == np.isnan(now["price"])).all()


@given(st.lists(st.tuples(_RAW, _RAW, st.integers(0, _TIME_MAX_MS), st.booleans()), min_size=2, max_size=20))
def test_the_features_of_an_event_do_not_depend_on_the_others_of_its_batch(
    rows: list[tuple[dict[str, Any], dict[str, Any], int, bool]],
) -> None:
    nows, befores, gaps, firsts = zip(*rows, strict=True)
    now, before = (_raw(len(rows), **{k: [e[k] for e in events] for k in events[0]}) for events in (nows, befores))
    together, came = _build(now, before=before, gap_ms=gaps, first=firsts)
    alone, came_alone = _build(now[-1:], before=before[-1:], gap_ms=gaps[-1:], first=firsts[-1:])
    assert came.classes[-1].tolist() == came_alone.classes[0].tolist()
    # numpy's vectorised log1p may round otherwise at another place of a column
    np.testing.assert_allclose(together.real[-1], alone.real[0], rtol=1e-6, atol=1e-7)
