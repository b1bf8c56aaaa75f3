"""The figures are those of scikit-learn, where it has them, and weights are repetitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.evaluation import metrics
from stream.evaluation.behaviour import Bools, Floats, Ints
from stream.evaluation.metrics import Ladder, figures, ladder

known = pytest.importorskip("sklearn.metrics")

Rows = tuple[Bools, Floats, Ints]
scores = st.integers(1, 19).map(lambda twentieth: twentieth / 20)  # few, so that many are equal
rows_of_both = (
    st.lists(st.tuples(st.booleans(), scores, st.integers(0, 3)), min_size=2, max_size=60)
    .map(lambda rows: (np.array([y for y, _, _ in rows]), np.array([p for _, p, _ in rows]),
                       np.array([w for _, _, w in rows])))
    .filter(lambda rows: 0 < (rows[0] * rows[2]).sum() < rows[2].sum())
)  # fmt: skip
THRESHOLD = 0.45


@settings(max_examples=40, deadline=None)
@given(rows_of_both)
def test_every_figure_is_that_of_scikit_learn_with_its_weights(rows: Rows) -> None:
    y, p, weight = rows
    found = figures(ladder(y, p, weight), THRESHOLD)
    said = p >= THRESHOLD
    expected = {
        "auc": known.roc_auc_score(y, p, sample_weight=weight),
        "pr_auc": known.average_precision_score(y, p, sample_weight=weight),
        "log_loss": known.log_loss(y, p, sample_weight=weight, labels=[False, True]),
        "brier": known.brier_score_loss(y, p, sample_weight=weight),
        "accuracy": known.accuracy_score(y, said, sample_weight=weight),
        "precision": known.precision_score(y, said, sample_weight=weight, zero_division=np.nan),
        "recall": known.recall_score(y, said, sample_weight=weight),
        "f1": known.f1_score(y, said, sample_weight=weight),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, err_msg=name, atol=1e-12)


@settings(deadline=None)
@given(rows_of_both)
def test_a_row_of_weight_three_is_three_rows(rows: Rows) -> None:
    y, p, weight = rows
    weighted = figures(ladder(y, p, weight), THRESHOLD)
    repeated = figures(ladder(np.repeat(y, weight), np.repeat(p, weight)), THRESHOLD)
    for name, value in repeated.items():
        np.testing.assert_allclose(weighted[name], value, err_msg=name, atol=1e-12)


def test_ladders_of_several_weights_at_once_are_those_of_each() -> None:
    rng = np.random.default_rng(0)
    y, p = rng.random(200) < 0.3, rng.integers(1, 30, 200) / 30
    whole = ladder(y, p)
    yes, no = rng.integers(0, 4, (2, 5, len(whole.p))).astype(float)
    together = figures(Ladder(whole.p, yes, no, whole.bins), THRESHOLD)
    for at in range(5):
        for name, value in figures(Ladder(whole.p, yes[at], no[at], whole.bins), THRESHOLD).items():
            np.testing.assert_allclose(together[name][at], value, err_msg=name, atol=1e-12)


def test_the_calibration_error_is_the_mean_gap_of_bins_of_as_many_rows() -> None:
    rng = np.random.default_rng(0)
    p = np.sort(rng.random(15 * 20))[::-1]
    y = rng.random(len(p)) < p**2
    gaps = [abs(p[at : at + 20].mean() - y[at : at + 20].mean()) for at in range(0, len(p), 20)]
    np.testing.assert_allclose(metrics.ece(ladder(y, p)), np.mean(gaps))


def test_rows_of_one_score_are_one_calibration_bin() -> None:
    y = np.arange(1000) < 300
    np.testing.assert_allclose(metrics.ece(ladder(y, np.full(1000, 0.4))), 0.1)


def test_lift_is_the_base_rate_of_the_top_over_that_of_all() -> None:
    p = np.linspace(0.99, 0.01, 200)
    y = np.zeros(200, bool)
    y[[0, 1, 50, 120]] = True  # base rate .02; both of the top 1 % buy
    np.testing.assert_allclose(metrics.lift(ladder(y, p), 0.01), 50)
    np.testing.assert_allclose(metrics.lift(ladder(y, p), 0.10), 5)
    np.testing.assert_allclose(metrics.lift(ladder(y, p), 1.0), 1)


def test_where_the_top_ends_among_equal_scores_they_count_as_drawn_by_chance() -> None:
    y = np.arange(100) % 4 == 0
    np.testing.assert_allclose(metrics.lift(ladder(y, np.full(100, 0.2)), 0.05), 1)


def test_a_sure_mistake_has_a_finite_loss() -> None:
    found = figures(ladder(np.array([True, False]), np.array([0.0, 1.0])), 0.5)
    np.testing.assert_allclose(found["log_loss"], -np.log(1e-7), rtol=1e-6)


def test_what_is_not_defined_is_nan_and_warns_of_nothing() -> None:
    found = figures(ladder(np.zeros(9, bool), np.full(9, 0.2)), 0.5)
    assert {name for name, value in found.items() if np.isnan(value)} == {
        "auc", "pr_auc", "precision", "recall", "f1", "lift_1", "lift_5", "lift_10"
    }  # fmt: skip
