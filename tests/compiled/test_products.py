"""Products and functions of the compiled network: near the exact ones, and a row the same whatever is beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stream.compiled import functions
from stream.compiled.products import COLUMNS, ROWS, add_product, pack, padded

Floats = NDArray[np.float32]
_EPSILON = float(np.finfo(np.float32).eps)
_SHAPES = [(1, 1), (1, 32), (2, 33), (3, 5), (7, 31), (8, 64), (13, 97), (31, 100), (33, 32), (64, 256), (105, 12)]
_MOST_ROWS = 40
_FILL = np.float32(123.25)


def _drawn(k: int, n: int) -> tuple[Floats, Floats, Floats]:
    """Rows [M, K], weights [N, K] and what the rows are added to [M, N padded]."""
    rng = np.random.default_rng(k * 1000 + n)
    sizes = (_MOST_ROWS, k), (n, k), (_MOST_ROWS, padded(n))
    rows, weights, begin = (rng.normal(size=size).astype(np.float32) for size in sizes)
    return rows, weights, begin


def _added(begin: Floats, rows: Floats, panels: Floats) -> Floats:
    """Nothing around the sums is written."""
    around = np.full((len(rows) + 2, begin.shape[1]), _FILL, np.float32)
    around[1:-1] = begin
    add_product(around[1:-1], np.ascontiguousarray(rows), panels)
    assert (around[0] == _FILL).all() and (around[-1] == _FILL).all()
    return around[1:-1].copy()


@pytest.mark.parametrize(("k", "n"), _SHAPES)
def test_a_product_of_any_shape_is_within_its_bound_of_the_exact_one(k: int, n: int) -> None:
    rows, weights, begin = _drawn(k, n)
    panels = pack(weights)
    assert panels.shape == (padded(n) // COLUMNS, k, COLUMNS)
    exact = begin[:, :n] + rows.astype(np.float64) @ weights.astype(np.float64).T
    sizes = np.abs(begin[:, :n]) + np.abs(rows).astype(np.float64) @ np.abs(weights).astype(np.float64).T
    for m in range(_MOST_ROWS + 1):
        found = _added(begin[:m], rows[:m], panels)
        assert (np.abs(found[:, :n] - exact[:m]) <= (k + 1) * _EPSILON * sizes[:m]).all()
        assert (found[:, n:] == begin[:m, n:]).all()  # weights of 0 fill up the last panel


@pytest.mark.parametrize(("k", "n"), _SHAPES)
def test_a_row_is_the_same_bit_for_bit_whatever_rows_are_beside_it(k: int, n: int) -> None:
    rows, weights, begin = _drawn(k, n)
    panels, rng = pack(weights), np.random.default_rng(0)
    whole = _added(begin, rows, panels)
    for m in range(1, _MOST_ROWS + 1):
        some = rng.choice(_MOST_ROWS, m, replace=False)
        assert _added(begin[some], rows[some], panels).tobytes() == whole[some].tobytes()
    for other in (np.nan, np.inf, 0.0):
        beside = np.full_like(rows, other)
        beside[ROWS] = rows[ROWS]
        assert _added(begin, beside, panels)[ROWS].tobytes() == whole[ROWS].tobytes()


def _values(function: Any, x: Floats) -> Floats:
    return np.array([function(value) for value in x], np.float32)


_X = np.concatenate(
    [
        np.linspace(-87, 87, 5_001),
        np.random.default_rng(0).normal(size=5_000),
        np.random.default_rng(1).normal(size=2_000) * 1e-4,
        [0.0, -0.0, 1e-30, -1e-30, 5e-324],
    ]
).astype(np.float32)
_X = _X[_X >= -87]


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1 / (1 + np.exp(-x)))


@pytest.mark.parametrize(
    ("found", "exact"), [(functions.exp, np.exp), (functions.sigmoid, _sigmoid)], ids=["exp", "sigmoid"]
)
def test_exponential_and_sigmoid_are_exact_to_two_units_of_the_last_place(
    found: Callable[[Any], Any], exact: Callable[[Any], Any]
) -> None:
    expected = exact(_X.astype(np.float64))
    assert (np.abs(_values(found, _X) - expected) <= 2 * np.spacing(expected.astype(np.float32))).all()


def test_the_hyperbolic_tangent_is_exact_to_two_tenths_of_a_millionth() -> None:
    assert np.abs(_values(functions.tanh, _X) - np.tanh(_X.astype(np.float64))).max() < 2e-7


def test_far_from_0_the_functions_stay_at_their_ends_and_of_no_number_they_are_none() -> None:
    far = np.array([-np.inf, -3e38, -1e4, -88, 88, 1e4, 3e38, np.inf], np.float32)
    assert np.isfinite(_values(functions.exp, far)).all()
    np.testing.assert_allclose(_values(functions.sigmoid, far), [0] * 4 + [1] * 4, atol=1e-37)
    np.testing.assert_array_equal(_values(functions.tanh, far), [-1] * 4 + [1] * 4)
    for function in (functions.exp, functions.sigmoid, functions.tanh):
        assert np.isnan(function(np.float32(np.nan)))
