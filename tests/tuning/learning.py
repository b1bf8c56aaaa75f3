"""What tests of a search learn from: some hundred events, and a recipe that is over in a moment."""

from __future__ import annotations

from functools import cache

import numpy as np

from stream.model import Sizes
from stream.training.recipe import Recipe
from stream.training.runs import Runs
from stream.training.task import Task
from tests.training.shops import HOUR_MS, MINUTE_MS, runs_of

SIZES = Sizes(hidden=4)
RECIPE = Recipe(epochs=2, lanes=8, steps=16, updates=1, folds=2)


@cache
def runs(users: int = 24) -> Runs:
    """Users of whom every second one buys soon after a cart."""
    rng = np.random.default_rng(3)
    events = []
    for n in range(users):
        at = int(rng.integers(0, 40)) * HOUR_MS
        for _ in range(int(rng.integers(2, 9))):
            at += int(rng.integers(1, 20)) * MINUTE_MS
            events.append((f"user-{n}", "view_item", at))
        if n % 2:
            events += [(f"user-{n}", "add_to_cart", at + MINUTE_MS), (f"user-{n}", "purchase", at + 2 * MINUTE_MS)]
    return runs_of(sorted(events, key=lambda event: event[2]))


def task(recipe: Recipe = RECIPE, users: int = 24) -> Task:
    return Task(runs(users), SIZES, recipe)
