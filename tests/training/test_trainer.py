"""The loop: it learns, a seed repeats it, and interrupted anywhere it goes on bit for bit."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Any

import msgspec
import numpy as np
import pytest
import safetensors.torch
import torch

from stream.errors import SettingsError
from stream.features import REAL
from stream.model import BehaviourModel, Cell, Sizes
from stream.training import groups, judging, normalisation, scoring
from stream.training.groups import GROUPS
from stream.training.recipe import Augmentation, Recipe
from stream.training.targets import targets
from stream.training.trainer import Material, Moved, State, Trainer, lanes_for, new_model, reproducible
from stream.training.worth import worth
from tests.shop import CPU, STATISTICS, small_model
from tests.training.shops import simulated

SIZES = Sizes(hidden=8)
RECIPE = Recipe(seed=5, lanes=16, steps=8, updates=8)
VARIED = Augmentation(event_dropout=0.2, time_stretch=0.1, crop=0.3)


def material(sizes: Sizes = SIZES) -> Material:
    of = simulated(users=30, days=5)
    return Material(of, targets(of, sizes), normalisation.learn(of))


@cache
def trained(recipe: Recipe = RECIPE, sizes: Sizes = SIZES, *, epochs: int = 2) -> Trainer:
    of = material(sizes)
    with reproducible():
        trainer = Trainer(new_model(sizes, of.targets, seed=recipe.seed), recipe, CPU)
        for _ in range(epochs):
            trainer.run_epoch(of)
    return trainer


def as_bytes(state: State) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in state.items()}


def weights(model: BehaviourModel) -> dict[str, bytes]:
    return as_bytes(dict(model.state_dict()))


def test_the_cost_falls_from_epoch_to_epoch() -> None:
    of, recipe = material(), msgspec.structs.replace(RECIPE, updates=16, learning_rate=1e-2)
    with reproducible():
        trainer = Trainer(new_model(SIZES, of.targets, seed=1), recipe, CPU)
        costs = [trainer.run_epoch(of).cost for _ in range(3)]
    for part in (0, 1):
        assert costs[0][part] > costs[1][part] > costs[2][part]
    assert costs[2].sum() < 0.9 * costs[0].sum()


def test_a_seed_repeats_it_bit_for_bit_and_another_does_not() -> None:
    one, again, other = (
        weights(trained.__wrapped__(msgspec.structs.replace(RECIPE, seed=seed), epochs=1).averaged())
        for seed in (5, 5, 6)
    )
    assert one == again
    assert one.keys() == other.keys()
    assert one != other


def test_training_leaves_the_random_numbers_and_threads_of_its_caller_alone() -> None:
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    trained.__wrapped__(epochs=1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_what_an_epoch_costs_is_what_serving_would_say_of_it_were_nothing_learned() -> None:
    """So the carry goes on from lesson to lesson, and from nobody to somebody else."""
    of, recipe = material(), msgspec.structs.replace(RECIPE, learning_rate=1e-12)
    trainer = Trainer(small_model(), recipe, CPU)
    moved = trainer.run_epoch(of)
    scores = scoring.score(small_model(), of.statistics, of.runs)
    assert moved.events == len(of.runs)
    np.testing.assert_allclose(moved.cost, judging.cost(scores, of.targets, recipe) / len(of.runs), rtol=1e-4)


class StoppedError(Exception):
    """What interrupts a run here."""


@pytest.mark.parametrize(
    ("cell", "augmentation"), [("lstm", Augmentation()), ("gru", VARIED)], ids=["plain lstm", "varied gru"]
)
@pytest.mark.parametrize("stop", [0, 1, 9, 20])
def test_interrupted_anywhere_and_restored_it_ends_with_the_same_weights_bit_for_bit(
    cell: Cell, augmentation: Augmentation, stop: int
) -> None:
    sizes = Sizes(hidden=8, cell=cell)
    recipe = msgspec.structs.replace(RECIPE, augmentation=augmentation)
    of, left = material(sizes), [stop]
    expected = trained(recipe, sizes).state()
    updates = int(expected["loop/counters"][1])
    assert updates > 21

    kept: State = {}
    with reproducible():
        first = Trainer(new_model(sizes, of.targets, seed=recipe.seed), recipe, CPU)

        def told(moved: Moved) -> None:
            left[0] -= 1
            if left[0] == 0:
                kept.update(first.state())
                raise StoppedError

        if stop == 0:
            kept = first.state()
        else:
            with pytest.raises(StoppedError):
                for _ in range(2):
                    first.run_epoch(of, told)
    on_disk = safetensors.torch.load(safetensors.torch.save(kept))
    again = Trainer(small_model(9, cell=cell), recipe, CPU)  # of other weights: nothing of it stays
    again.restore(on_disk)
    with reproducible():
        while again.epoch < 2:
            again.run_epoch(of)
    assert as_bytes(again.state()) == as_bytes(expected)
    assert weights(again.averaged()) == weights(trained(recipe, sizes).averaged())


def test_what_is_told_after_an_interruption_goes_on_from_before_it() -> None:
    of = material()
    costs: list[Moved] = []
    trainer = Trainer(small_model(), RECIPE, CPU)
    states: list[State] = []

    def keep(moved: Moved) -> None:
        costs.append(moved)
        states.append(trainer.state())

    trainer.run_epoch(of, keep)
    again = Trainer(small_model(1), RECIPE, CPU)
    again.restore(states[4])
    told: list[Moved] = []
    again.run_epoch(of, told.append)
    assert [moved.events for moved in told] == [moved.events for moved in costs[5:]]
    assert [moved.cost.tolist() for moved in told] == [moved.cost.tolist() for moved in costs[5:]]


def test_a_state_is_a_copy_that_training_on_does_not_change() -> None:
    of = material()
    trainer = Trainer(small_model(), RECIPE, CPU)
    trainer.run_epoch(of)
    state = trainer.state()
    before, averaged = as_bytes(state), trainer.averaged()
    averaged_before = weights(averaged)
    trainer.run_epoch(of)
    assert as_bytes(state) == before
    assert weights(averaged) == averaged_before
    assert weights(trainer.averaged()) != averaged_before


def test_what_is_kept_is_an_average_of_the_weights_and_without_one_the_last_of_them() -> None:
    trainer = trained(epochs=1)
    assert weights(trainer.averaged()) != weights(trainer.model)
    last = trained(msgspec.structs.replace(RECIPE, average=0.0), epochs=1)
    assert weights(last.averaged()) == weights(last.model) == weights(trainer.model)


def test_a_new_model_says_of_everybody_how_often_each_horizon_comes_true() -> None:
    of = material()
    with reproducible():
        model = new_model(SIZES, of.targets, seed=1)
    rates = [counts.yes / (counts.yes + counts.no) for counts in of.targets.counts]
    assert torch.sigmoid(model.intent.bias).tolist() == pytest.approx(rates, abs=0.005)
    assert not model.intent_direct.weight.any()


def test_of_labels_that_nobody_knows_a_new_model_says_nothing() -> None:
    sizes = Sizes(hidden=8, horizons_secs=(10**8,), session=False)
    with reproducible():
        model = new_model(sizes, targets(simulated(), sizes), seed=1)
    assert model.intent.bias.tolist() == [0.0]


@pytest.mark.parametrize("drop", [("action", "gap", "counts"), ("item", "category", "price", "same_item")])
def test_groups_that_are_dropped_are_silent_in_every_score(drop: tuple[str, ...]) -> None:
    sizes = Sizes(hidden=8, item_numbers=2, category_numbers=2, fraud=True)
    of = simulated(users=100, days=4, honest=False)
    told = Material(of, targets(of, sizes), STATISTICS)
    recipe = msgspec.structs.replace(RECIPE, drop=drop, learning_rate=1e-2)
    with reproducible():
        trainer = Trainer(new_model(sizes, told.targets, seed=1), recipe, CPU)
        trainer.run_epoch(told)
    found = worth(trainer.averaged(), told, recipe, CPU)
    assert found.keys() == set(GROUPS)
    for group, parts in found.items():
        silent = parts == {"intent": 0.0, "next_event": 0.0}
        assert silent == (group in drop), (group, parts)
    plain, other = (
        scoring.score(trainer.averaged(), STATISTICS, of, look=look)
        for look in (lambda seen: seen, lambda seen: _without(seen, drop))
    )
    for here, there in zip(plain, other, strict=True):
        assert here is not None and there is not None
        assert here.tobytes() == there.tobytes()


def _without(seen: Any, drop: tuple[str, ...]) -> Any:
    """As if serving could not compute these."""
    features = seen.features
    for group in drop:
        if group in groups.EMBEDDED:
            features = features._replace(**{group: np.zeros_like(getattr(features, group))})
        else:
            real = features.real.copy()
            real[:, list(groups.REAL_GROUPS[group])] = 7.0
            features = features._replace(real=real)
    return dataclasses.replace(seen, features=features)


def test_every_real_feature_is_of_one_group() -> None:
    places = [place for group in groups.REAL_GROUPS.values() for place in group]
    assert sorted(places) == list(range(len(REAL)))


def test_a_group_that_is_none_is_named_beside_those_that_are() -> None:
    groups.expect_known(GROUPS)
    with pytest.raises(SettingsError, match=r"drop: expected any of action, item, .*, counts, got gaps"):
        groups.expect_known(["gap", "gaps"])


@pytest.mark.parametrize(("events", "lanes"), [(0, 1), (10, 1), (1_000, 1), (12_800, 10), (81_920, 64), (10**9, 64)])
def test_there_are_fewer_lanes_where_there_is_little_to_learn_from(events: int, lanes: int) -> None:
    assert lanes_for(events, Recipe()) == lanes
