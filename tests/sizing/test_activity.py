"""How many act, and who is not in memory: beside users who are drawn one by one."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

from stream.model import Sizes
from stream.settings import Settings
from stream.sizing.activity import Activity, activity
from stream.sizing.demands import Demands


def of(**asked: Any) -> Activity:
    return activity(Demands(model=Sizes(hidden=8), settings=Settings(), **asked))


@pytest.mark.parametrize("users", [1, 2, 999, 1_000, 1_001, 54_321, 100_000_000])
def test_all_users_act_and_all_events_are_theirs(users: int) -> None:
    acts = of(events_per_second=users / 7, users=users)
    assert acts.users.sum() == pytest.approx(users)
    assert acts.events_per_second == pytest.approx(users / 7)
    assert acts.busiest_per_second <= 1.0 + 1e-9


def test_nobody_acts_oftener_than_a_person_can_but_where_it_is_told() -> None:
    assert of(events_per_second=1e5, users=10**6).busiest_per_second == 1.0
    assert of(events_per_second=1e5, users=10**6, user_max_events_per_second=1e5).busiest_per_second > 1_000


def test_distinct_users_are_as_many_as_are_drawn() -> None:
    rng, n = np.random.default_rng(1), 200_000
    weights = np.arange(1, 50_001) ** -1.1
    drawn = len(np.unique(rng.choice(50_000, n, p=weights / weights.sum())))
    acts = of(events_per_second=1e4, users=50_000, user_max_events_per_second=1e9)
    assert acts.distinct(20.0) == pytest.approx(drawn, rel=0.02)


@pytest.mark.parametrize("room", [500, 5_000, 20_000])
def test_misses_are_those_of_a_memory_from_which_the_least_recent_go(room: int) -> None:
    rng, n = np.random.default_rng(2), 600_000
    weights = np.arange(1, 50_001) ** -1.1
    memory: OrderedDict[int, None] = OrderedDict()
    missed = 0
    for number, user in enumerate(rng.choice(50_000, n, p=weights / weights.sum()).tolist()):
        if user in memory:
            memory.move_to_end(user)
            continue
        missed += number >= n // 2
        memory[user] = None
        if len(memory) > room:
            memory.popitem(last=False)
    acts = of(events_per_second=1e4, users=50_000, user_max_events_per_second=1e9)
    assert acts.misses_per_second(room) / 1e4 == pytest.approx(missed / (n / 2), rel=0.05)


def test_nobody_is_missed_where_all_who_act_are_in_memory() -> None:
    acts = of(events_per_second=1e4, users=50_000, active_share=0.1)
    assert acts.misses_per_second(5_000) == 0
    assert acts.misses_per_second(2_500) / 1e4 == pytest.approx(0.5)
    assert acts.misses_per_second(0) == pytest.approx(1e4)


@pytest.mark.parametrize("at_once", [1, 700, 25_000, 29_900])
def test_as_many_act_between_two_checkpoints_as_was_told(at_once: int) -> None:
    acts = of(events_per_second=1e4, users=10**8, active_users_per_checkpoint=at_once)
    assert acts.distinct(3.0) == pytest.approx(at_once, rel=1e-3)
    assert acts.events_per_second == pytest.approx(1e4)
