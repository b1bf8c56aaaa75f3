"""Gradient boosting."""

from __future__ import annotations

import numpy as np
import pytest

from stream.evaluation import boosting, metrics
from stream.evaluation.behaviour import Bools, Floats, Ints

pytest.importorskip("lightgbm")


def rows(n: int = 3000, seed: int = 0) -> tuple[Floats, Bools, Ints]:
    """Buyers are those in a corner of two features that no straight line cuts off; the third is missing for half."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 3))
    x[rng.random(n) < 0.5, 2] = np.nan
    p = np.where((x[:, 0] > 0) != (x[:, 1] > 0), 0.7, 0.1)
    return x, rng.random(n) < p, np.arange(n) // 3


def test_what_no_line_cuts_off_is_found() -> None:
    x, y, user = rows()
    model = boosting.fit(x, y, user, shapes=boosting.SHAPES[1:3])
    fresh, came, _ = rows(seed=1)
    assert metrics.roc_auc(metrics.ladder(came, model.predict(fresh))) > 0.75


def test_where_nothing_tells_the_trees_are_few() -> None:
    _, y, user = rows()
    noise = np.random.default_rng(1).normal(size=(len(y), 5))
    model = boosting.fit(noise, y, user, shapes=boosting.SHAPES[:2])
    assert model.rounds < 30
    assert "trees of 3 leaves" in model.said


def test_a_feature_tells_by_being_missing() -> None:
    x, _, user = rows()
    y = np.isnan(x[:, 2])
    assert metrics.roc_auc(metrics.ladder(y, boosting.fit(x, y, user, shapes=boosting.SHAPES[:1]).predict(x))) == 1


def test_the_same_rows_give_the_same_trees() -> None:
    x, y, user = rows(900)
    one, other = (boosting.fit(x, y, user, shapes=boosting.SHAPES[:2]).predict(x) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_with_one_who_buys_it_is_fitted_without_a_choice() -> None:
    x, _, user = rows(900)
    assert boosting.fit(x, user == 5, user).rounds == boosting.ROUNDS
