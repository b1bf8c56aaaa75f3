"""How long to learn: on users who are held out, the whole of the loss, until some epochs were no better."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from stream.training.candidates import PATIENCE, Epochs, parted
from stream.training.recipe import Recipe
from tests.training.shops import simulated


def epochs(*costs: float) -> Epochs:
    return Epochs([(cost, 0.5, 0.0) for cost in costs])


def test_the_best_epoch_is_the_cheapest_in_what_has_labels() -> None:
    assert Epochs([(0.3, 0.9, 0.2), (0.35, 0.5, 0.1), (0.4, 0.1, 0.1)]).best == 2


def test_where_nothing_has_labels_what_comes_next_decides() -> None:
    assert Epochs([(0.0, 0.9, 0.0), (0.0, 0.5, 0.0), (0.0, 0.6, 0.0)]).best == 2


def test_before_any_epoch_there_is_no_best_one() -> None:
    assert epochs().best == 0
    assert epochs(0.2, 0.2).best == 1  # of two that are as good, the first


def test_it_is_over_when_so_many_were_no_better() -> None:
    falling = [1 / (n + 1) for n in range(10)]
    assert not epochs(*falling).over(Recipe())
    assert not epochs(*falling, *[1.0] * (PATIENCE - 1)).over(Recipe())
    assert epochs(*falling, *[1.0] * PATIENCE).over(Recipe())


def test_it_is_over_at_the_most_there_may_be_and_at_those_that_are_set() -> None:
    falling = [1 / (n + 1) for n in range(10)]
    assert epochs(*falling).over(Recipe(max_epochs=10))
    assert epochs(*[1.0] * 3).over(Recipe(epochs=3))
    assert not epochs(0.1, *[1.0] * PATIENCE).over(Recipe(epochs=30))


@pytest.mark.parametrize("folds", [2, 4])
def test_of_few_events_each_user_is_held_out_once(folds: int) -> None:
    of = simulated()
    parts = parted(of, Recipe(folds=folds))
    assert len(parts) == folds
    assert (np.sum([held for _, held in parts], axis=0) == 1).all()
    assert all((learns ^ held).all() for learns, held in parts)


def test_of_many_events_a_share_of_the_users_is_held_out() -> None:
    of = simulated()
    ((learns, held),) = parted(of, Recipe(fold_events=100, validation_share=0.3))
    assert (learns ^ held).all()
    assert 0.1 < held.mean() < 0.5
    ((_, set_epochs),) = parted(of, Recipe(epochs=2))
    assert set_epochs.any()


def test_another_seed_holds_out_others() -> None:
    of, recipe = simulated(), Recipe(fold_events=100)
    ((_, one),), ((_, other),) = parted(of, recipe), parted(of, msgspec.structs.replace(recipe, seed=2))
    assert (one != other).any()
