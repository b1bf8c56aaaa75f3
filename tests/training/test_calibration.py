"""Probabilities that come true: two numbers a head, found whatever the probabilities are, and put into the weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import optimize

from stream.model import Sizes
from stream.training import calibration, scoring
from stream.training.calibration import Calibration, Platt, platt, said
from tests.shop import STATISTICS, small_model
from tests.training.shops import simulated

EVERY = np.ones(4_000, np.bool_)


def drawn(slope: float, shift: float, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and what came of them: true to sigmoid(slope * logit + shift)."""
    rng = np.random.default_rng(seed)
    p = 1 / (1 + np.exp(-rng.normal(-1, 2, len(EVERY))))
    return p, rng.random(len(EVERY)) < said(p, Platt(slope, shift))


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.5, -1.0), (2.0, 0.7)])
def test_the_numbers_are_found_that_what_came_was_drawn_by(slope: float, shift: float) -> None:
    found = platt(*drawn(slope, shift), EVERY)
    assert found.slope == pytest.approx(slope, abs=0.15)
    assert found.shift == pytest.approx(shift, abs=0.2)


@pytest.mark.parametrize("seed", range(8))
def test_they_are_the_best_there_are_even_for_a_model_that_is_very_sure_and_wrong(seed: int) -> None:
    rng = np.random.default_rng(seed)
    logit = rng.normal(0, 30, len(EVERY)) * rng.choice([1, -1, 0.01], len(EVERY))
    p = 1 / (1 + np.exp(-np.clip(logit, -40, 40)))
    told = rng.random(len(EVERY)) < 0.02 + 0.2 * (logit > 10)
    found = platt(p, told, EVERY)

    def cost(numbers: np.ndarray) -> float:
        sure = np.clip(p, 1e-7, 1 - 1e-7)
        z = numbers[0] * (np.log(sure) - np.log1p(-sure)) + numbers[1]
        return float((np.logaddexp(0, z) - told * z).mean())

    best = optimize.minimize(cost, [0.1, -1.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-12})
    assert cost(np.array(found)) == pytest.approx(best.fun, abs=2e-3)  # Platt's targets are not quite 0 and 1


def test_what_can_be_told_apart_for_sure_does_not_run_away() -> None:
    p = np.array([1e-9] * 50 + [1 - 1e-9] * 50)
    found = platt(p, p > 0.5, np.ones(100, np.bool_))
    assert 0.05 <= found.slope < 10 and abs(found.shift) < 10


def test_the_order_of_scores_stays_even_where_they_say_the_contrary() -> None:
    """And how often they come true on the whole is right then too."""
    p, told = drawn(1.0, -2.0)
    found = platt(p, ~told, EVERY)
    assert found.slope > 0
    assert said(p, found).mean() == pytest.approx((~told).mean(), abs=0.01)


def test_a_model_that_says_the_same_of_all_says_how_often_it_comes_true() -> None:
    told = np.random.default_rng(1).random(len(EVERY)) < 0.03
    found = platt(np.full(len(EVERY), 0.4), told, EVERY)
    assert said(np.array([0.4]), found)[0] == pytest.approx(told.mean(), abs=2e-3)


@pytest.mark.parametrize("told", [np.zeros(4_000, np.bool_), np.ones(4_000, np.bool_)])
def test_one_class_alone_changes_nothing(told: np.ndarray) -> None:
    assert platt(drawn(1.0, 0.0)[0], told, EVERY) == Platt()


def test_what_is_not_known_does_not_count() -> None:
    p, told = drawn(0.5, -1.0)
    known = np.random.default_rng(2).random(len(EVERY)) < 0.5
    masked = np.where(known, told, ~told)
    assert platt(p, masked, known) == platt(p[known], told[known], np.ones(int(known.sum()), np.bool_))


def test_in_the_weights_they_are_what_they_are_by_themselves() -> None:
    model = small_model(fraud=True)
    runs = simulated(users=10, days=2)
    before = scoring.score(model, STATISTICS, runs)
    platts = [Platt(0.5, -1.0), Platt(2.0, 0.3), Platt(1.0, 0.0)]
    fraud = Platt(1.5, 0.25)
    calibration.calibrate(model, Calibration(tuple(platts[: len(model.sizes.horizons)]), fraud))
    after = scoring.score(model, STATISTICS, runs)
    for k, numbers in enumerate(platts[: len(model.sizes.horizons)]):
        np.testing.assert_allclose(after.intent[:, k], said(before.intent[:, k].astype(float), numbers), atol=2e-6)
    assert before.fraud is not None and after.fraud is not None
    np.testing.assert_allclose(after.fraud, said(before.fraud.astype(float), fraud), atol=2e-6)
    np.testing.assert_array_equal(before.surprise, after.surprise)


def test_without_a_fraud_head_there_is_none_to_calibrate() -> None:
    model = small_model()
    assert isinstance(model.sizes, Sizes)
    weights = {name: weight.clone() for name, weight in model.state_dict().items()}
    calibration.calibrate(model, Calibration((Platt(),) * len(model.sizes.horizons), Platt(2.0, 1.0)))
    assert all(torch.equal(weights[name], weight) for name, weight in model.state_dict().items())
