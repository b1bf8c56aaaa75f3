"""Figures of weighted rows: the same as of rows that are repeated, and as scikit-learn has them."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.evaluation.weighted_figures import Alarms, Ranking, draws, interval, threshold
from tests.evaluation.reference import roc_auc

# (anomalous, score, how often)
ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=30)


def columns(rows: list[tuple[bool, int, int]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    label, score, weight = zip(*rows, strict=True)
    return np.array(label, bool), np.array(score, float), np.array(weight, float)


@given(ROWS)
def test_a_weight_is_how_often_a_row_came(rows: list[tuple[bool, int, int]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    label, score, weight = columns(rows)
    repeated = np.repeat(np.arange(len(rows)), weight.astype(int))
    yes, values = label[repeated], score[repeated]
    found = Ranking(label, score).figures(weight[None])
    if not 0 < yes.sum() < len(yes):
        assert all(isnan(float(figure[0])) for figure in found.values())
        return
    assert found["roc_auc"][0] == pytest.approx(roc_auc(yes, values))
    assert found["pr_auc"][0] == pytest.approx(metrics.average_precision_score(yes, values))
    alarms = {name: float(value[0]) for name, value in Alarms(label, score > 2).figures(weight[None]).items()}
    alarm = values > 2
    assert alarms["recall"] == pytest.approx(alarm[yes].mean())
    assert alarms["false_positive_rate"] == pytest.approx(alarm[~yes].mean())
    assert alarms["f1"] == pytest.approx(metrics.f1_score(yes, alarm, zero_division=0))
    if alarm.any():
        assert alarms["precision"] == pytest.approx(yes[alarm].mean())
    else:
        assert isnan(alarms["precision"])


def test_a_draw_has_as_many_rows_as_there_are_and_each_row_as_often_as_it_came() -> None:
    weight = np.array([1000, 10, 0, 90])
    drawn = np.concatenate(list(draws(weight, 400, seed=1)))
    assert drawn.shape == (400, 4)
    assert (drawn.sum(axis=1) == 1100).all()
    np.testing.assert_allclose(drawn.mean(axis=0), weight, rtol=0.1)
    assert drawn[:, 1].std() == pytest.approx(np.sqrt(10), rel=0.15)
    np.testing.assert_array_equal(drawn[:50], np.concatenate(list(draws(weight, 400, seed=1)))[:50])


def test_an_interval_holds_the_middle_95_percent_and_passes_over_draws_without_a_value() -> None:
    low, mid, high = interval(0.4, np.append(np.linspace(0, 1, 1001), [np.nan] * 50))
    assert (low, mid, high) == pytest.approx((0.025, 0.4, 0.975))
    assert isnan(interval(0.4, np.array([np.nan])).low)


def test_a_threshold_is_the_least_that_so_many_held_out_normal_sequences_are_above() -> None:
    scores = np.random.default_rng(0).permutation(np.arange(100.0))
    assert threshold(scores, 0.01) == 98
    assert (scores > threshold(scores, 0.29)).sum() == 29
    assert threshold(scores, 0) == 99
    assert threshold(np.array([1.0, 5.0, 5.0, 5.0]), 0.5) == 5  # with ties, fewer
    assert threshold(scores, 1) == 0
