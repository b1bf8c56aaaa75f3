"""Logistic regression."""

from __future__ import annotations

import numpy as np
import pytest

from stream.evaluation import regression
from stream.evaluation.behaviour import Bools, Floats, Ints
from stream.evaluation.regression import STRENGTH, STRENGTHS, Scale

linear_model = pytest.importorskip("sklearn.linear_model")


def rows(n: int = 600, seed: int = 0) -> tuple[Floats, Bools, Ints]:
    """A count that tells, a time with gaps, a constant, a column that is never known, and noise; three rows a user."""
    rng = np.random.default_rng(seed)
    count = rng.poisson(3, n).astype(float)
    y = rng.random(n) < 1 / (1 + np.exp(2 - 0.8 * count))
    time = np.where(rng.random(n) < 0.3, np.nan, rng.exponential(1e4, n))
    x = np.column_stack([count, time, np.full(n, 7.0), np.full(n, np.nan), rng.normal(size=n)])
    return x, y, np.arange(n) // 3


def test_columns_have_mean_0_and_spread_1_where_they_are_known_and_0_where_they_are_not() -> None:
    x, _, _ = rows()
    columns = Scale.of(x).columns(x)
    assert columns.shape == (600, 4)  # count, time and noise; whether there is a time. The others say nothing
    np.testing.assert_allclose(columns[:, [0, 2]].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(columns[:, [0, 2]].std(axis=0), 1, rtol=1e-5)
    missing = np.isnan(x[:, 1])
    assert (columns[missing, 1] == 0).all()
    np.testing.assert_array_equal(columns[:, 3], missing)


def test_features_that_are_missing_together_get_one_column() -> None:
    x, _, _ = rows()
    twice = np.column_stack([x, 2 * x[:, 1]])
    assert len(Scale.of(twice).gaps) == 1


def test_nothing_is_learned_from_the_rows_that_are_predicted() -> None:
    x, y, user = rows()
    model = regression.fit(x, y, user)
    alone = model.predict(x[:1])
    wild = np.vstack([x[:1], 1e6 * np.ones((5, x.shape[1]))])
    np.testing.assert_array_equal(model.predict(wild)[:1], alone)


def test_predictions_are_scikit_learns() -> None:
    x, y, _ = rows()
    columns = Scale.of(x).columns(x)
    theirs = linear_model.LogisticRegression(C=STRENGTH, tol=1e-8, max_iter=1000).fit(columns, y)
    np.testing.assert_allclose(regression.fit(x, y).predict(x), theirs.predict_proba(columns)[:, 1], atol=1e-5)


def test_what_tells_is_found_and_where_nothing_tells_the_ridge_is_strong() -> None:
    x, y, user = rows(3000)
    assert regression.fit(x, y, user).strength > STRENGTHS[0]
    noise = np.random.default_rng(1).normal(size=(3000, 40))
    told = regression.fit(noise, y, user)
    assert told.strength == STRENGTHS[0]
    assert told.predict(noise).std() < 0.02


def test_with_one_who_buys_it_is_fitted_without_a_choice() -> None:
    x, _, user = rows()
    assert regression.fit(x, user == 5, user).strength == STRENGTH


def test_no_rows_have_no_predictions() -> None:
    x, y, _ = rows()
    assert regression.fit(x, y).predict(x[:0]).shape == (0,)
