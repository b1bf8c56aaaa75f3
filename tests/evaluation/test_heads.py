"""Figures of a model's heads: which rows they are of, and where there are none."""

from __future__ import annotations

import numpy as np
import pytest

from stream.evaluation.heads import figures, judged, nats, of_horizons, surprise
from stream.scorer import Scores
from stream.training.targets import Targets
from tests.training.shops import HOUR_MS, runs_of


def test_log_loss_is_the_mean_of_what_each_probability_costs() -> None:
    p, told = np.array([0.9, 0.2, 0.5], np.float32), np.array([True, False, True])
    found = figures(p, told)
    assert found.log_loss == pytest.approx(-np.log([0.9, 0.8, 0.5]).mean(), rel=1e-6)
    assert found.log_loss == pytest.approx(nats(p, told).mean())
    assert (found.rows, found.auc) == (3, 1.0)


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
    scores = Scores(np.full((3, 2), 0.5, np.float32), np.ones((3, 7), np.float32), None)
    assert [found.rows for found in of_horizons(scores, runs, told)] == [2, 1]


def test_surprise_is_that_of_events_which_are_not_known_to_be_fraud() -> None:
    scores = Scores(np.zeros((3, 1), np.float32), np.arange(21, dtype=np.float32).reshape(3, 7), None)
    told = np.ones((3, 1), bool)
    assert surprise(scores, Targets(told, told, None, None, None, None)).tolist() == [21.0, 70.0, 119.0]
    normal = np.array([True, False, True])
    assert surprise(scores, Targets(told, told, None, None, None, normal)).tolist() == [21.0, 119.0]
