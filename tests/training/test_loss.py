"""The loss of training is the cost that held-out users are judged by, head by head; masks and weights do what they
say.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from stream.model import BehaviourModel, Sizes
from stream.training import judging, scoring
from stream.training.lessons import Plan, lessons
from stream.training.loss import loss
from stream.training.recipe import Recipe
from stream.training.runs import Runs
from stream.training.targets import Targets, targets
from tests.shop import STATISTICS, small_model
from tests.training.shops import simulated

PLAIN = Recipe(intent_weight=1.0, next_event_weight=1.0, fraud_weight=1.0)
INTENT, NEXT_EVENT, FRAUD = range(3)
LANES, STEPS = 30, 40


def labelled() -> Runs:
    return simulated(users=100, days=4, honest=False)


def cost(model: BehaviourModel, of: Runs, told: Targets, recipe: Recipe = PLAIN) -> np.ndarray:
    """[3] over all lessons, the carry passed on."""
    sizes, total = model.sizes, np.zeros(3)
    carry = torch.zeros(LANES, sizes.parts, sizes.layers, sizes.hidden)
    for lesson in lessons(of, Plan(np.arange(len(of.counts)), LANES, STEPS), STATISTICS):
        carry[torch.from_numpy(lesson.fresh)] = 0.0
        users = torch.from_numpy(lesson.packing.users)
        with torch.no_grad():
            parts, carry[users] = loss(model, lesson, told, carry[users], recipe)
        total += parts.double().numpy()
    return total


@pytest.mark.parametrize("kind", ["cross_entropy", "squared_error"])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_what_is_learned_from_is_what_is_judged_by(kind: Any, cell: Any) -> None:
    of, model = labelled(), small_model(fraud=True, cell=cell)
    told = targets(of, model.sizes)
    recipe = Recipe(loss=kind, intent_weight=0.5, next_event_weight=0.03, fraud_weight=2.0)
    judged = judging.cost(scoring.score(model, STATISTICS, of), told, recipe)
    np.testing.assert_allclose(cost(model, of, told, recipe), judged, rtol=1e-4)
    assert (judged > 0).all()


def test_each_weight_multiplies_its_part_and_no_other() -> None:
    of, model = labelled(), small_model(fraud=True)
    told = targets(of, model.sizes)
    many = Recipe(intent_weight=2.0, next_event_weight=3.0, fraud_weight=5.0)
    np.testing.assert_allclose(cost(model, of, told, many), cost(model, of, told) * [2, 3, 5], rtol=1e-5)
    assert not cost(model, of, told, Recipe(intent_weight=0.0, next_event_weight=0.0, fraud_weight=0.0)).any()


def test_squared_error_is_that_of_probabilities() -> None:
    of, model = simulated(), small_model()
    told = targets(of, model.sizes)
    found = cost(model, of, told, Recipe(next_event_weight=1.0, loss="squared_error"))
    p = scoring.score(model, STATISTICS, of).intent
    expected = (told.weight(np.arange(len(of))) * (p - told.bought) ** 2).sum()
    assert found[INTENT] == pytest.approx(expected, rel=1e-4)


def test_a_label_that_is_not_known_costs_nothing_whatever_it_says() -> None:
    of, model = labelled(), small_model(fraud=True)
    told = targets(of, model.sizes, fraud_delay_ms=2 * 86_400_000)
    assert told.fraud is not None and told.fraud_known is not None
    assert not told.known.all() and not told.fraud_known.all()
    otherwise = dataclasses.replace(told, bought=told.bought ^ ~told.known, fraud=told.fraud ^ ~told.fraud_known)
    assert cost(model, of, otherwise).tolist() == cost(model, of, told).tolist()
    known_otherwise = dataclasses.replace(told, bought=~told.bought)
    assert cost(model, of, known_otherwise)[INTENT] != pytest.approx(cost(model, of, told)[INTENT], rel=1e-3)


def test_what_comes_next_is_learned_of_normal_events_alone() -> None:
    of, model = labelled(), small_model()
    told = targets(of, model.sizes)
    assert told.normal is not None
    nats = scoring.score(model, STATISTICS, of).surprise.sum(axis=1, dtype=np.float64)
    assert cost(model, of, told)[NEXT_EVENT] == pytest.approx(nats[told.normal].sum(), rel=1e-5)
    assert cost(model, of, dataclasses.replace(told, normal=None))[NEXT_EVENT] == pytest.approx(nats.sum(), rel=1e-5)


def test_without_a_head_for_fraud_it_costs_nothing() -> None:
    of, model = labelled(), small_model()
    assert cost(model, of, targets(of, Sizes(hidden=8, fraud=True)))[FRAUD] == 0
    assert cost(small_model(fraud=True), of, targets(of, Sizes(hidden=8)))[FRAUD] == 0


def test_a_head_that_weighs_nothing_teaches_nothing() -> None:
    of, model = labelled(), small_model(fraud=True)
    told = targets(of, model.sizes)
    lesson = next(lessons(of, Plan(np.arange(len(of.counts)), LANES, STEPS), STATISTICS))
    carry = torch.zeros(len(lesson.packing.users), 2, 1, 8)
    parts, _ = loss(model, lesson, told, carry, Recipe(intent_weight=0.0, fraud_weight=0.0))
    torch.autograd.backward(parts.sum())
    for name, weight in model.named_parameters():
        heads = name.startswith(("intent", "fraud"))
        assert (weight.grad is None or not weight.grad.any()) == heads, name
