"""Lessons of which augmentation leaves nothing."""

from __future__ import annotations

import numpy as np
import pytest

from stream.training import normalisation
from stream.training.lessons import Draw, Lesson, Plan, lessons
from stream.training.recipe import Augmentation
from tests.training.shops import MINUTE_MS, runs_of

EVENTS = [(f"user-{n}", "view_item", n * MINUTE_MS + k) for n in range(30) for k in range(3)]


def drawn(share: float, seed: int) -> list[Lesson]:
    runs = runs_of(EVENTS)
    plan = Plan(np.arange(30), lanes=2, steps=2)
    draw = Draw(Augmentation(event_dropout=share), (seed,))
    return list(lessons(runs, plan, normalisation.learn(runs), draw))


@pytest.mark.parametrize("seed", range(3))
def test_a_chunk_of_which_nothing_is_left_is_no_lesson_and_its_users_begin_anew_all_the_same(seed: int) -> None:
    whole, some = drawn(0.0, seed), drawn(0.9, seed)
    assert len(some) < len(whole)
    assert all(len(lesson.events) for lesson in some)
    owner = runs_of(EVENTS).owner
    carried: dict[int, int] = {}  # lane -> whose carry it is
    for lesson in some:
        for lane in lesson.fresh.tolist():
            carried.pop(lane, None)
        lanes = lesson.packing.users[lesson.packing.user]
        for lane, event in zip(lanes.tolist(), lesson.events.tolist(), strict=True):
            assert carried.setdefault(lane, int(owner[event])) == owner[event], "somebody else's carry"
