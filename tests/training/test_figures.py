"""Figures of probabilities, beside slow and obvious ones."""

from __future__ import annotations

import numpy as np
import pytest

from stream.scorer import Scores
from stream.training.figures import figures, judged, of_horizons
from stream.training.targets import Targets
from tests.training.shops import HOUR_MS, runs_of


def drawn(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p = rng.beta(1, 3, n).round(1).astype(np.float32)  # many ties
    return p, rng.random(n) < 0.2 + 0.5 * p


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_how_often_a_yes_has_the_higher_probability(seed: int) -> None:
    p, told = drawn(120, seed)
    pairs = [(a > b) + 0.5 * (a == b) for a in p[told] for b in p[~told]]
    assert figures(p, told).auc == pytest.approx(np.mean(pairs))


def test_log_loss_is_the_mean_of_what_each_probability_costs() -> None:
    p, told = np.array([0.9, 0.2, 0.5], np.float32), np.array([True, False, True])
    assert figures(p, told).log_loss == pytest.approx(-np.log([0.9, 0.8, 0.5]).mean(), rel=1e-6)


def test_what_comes_true_as_often_as_it_says_has_no_calibration_error() -> None:
    told = np.tile([True, False, False, False], 300)
    assert figures(np.full(1200, 0.25, np.float32), told).ece == pytest.approx(0.0)
    assert figures(np.full(1200, 0.45, np.float32), told).ece == pytest.approx(0.2)


def test_overconfidence_on_both_sides_does_not_cancel_out() -> None:
    p = np.repeat(np.array([0.9, 0.1], np.float32), 300)
    told = np.concatenate([np.arange(300) < 210, np.arange(300) < 90])  # 0.7 and 0.3 come true
    assert figures(p, told).ece == pytest.approx(0.2)


@pytest.mark.parametrize("told", [[], [True, True], [False]])
def test_of_one_class_or_none_there_is_no_figure(told: list[bool]) -> None:
    found = figures(np.full(len(told), 0.5, np.float32), np.array(told, bool))
    assert found.rows == len(told)
    assert np.isnan([found.auc, found.log_loss, found.ece]).all()


def test_purchases_and_what_is_not_known_are_not_judged() -> None:
    runs = runs_of([("ann", name, n * HOUR_MS) for n, name in enumerate(("view_item", "purchase", "view_item"))])
    known = np.array([[True, True], [True, True], [True, False]])
    told = Targets(np.zeros((3, 2), bool), known, None, None, None, None)
    assert judged(runs, told).tolist() == [[True, True], [False, False], [True, False]]
    scores = Scores(np.full((3, 2), 0.5, np.float32), np.zeros((3, 7), np.float32), None)
    assert [found.rows for found in of_horizons(scores, runs, told)] == [2, 1]
