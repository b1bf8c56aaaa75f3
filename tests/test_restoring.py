"""What is said of a restore: what is left, at which pace, and for how long."""

from __future__ import annotations

import pytest

from stream.restoring import Restoring


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def restoring(clock: Clock) -> Restoring:
    return Restoring(clock)


def test_where_nothing_is_restored_nothing_is_left(restoring: Restoring) -> None:
    assert restoring.facts() == {"restoring": False, "restore_records_left": 0, "restore_secs_left": 0.0}


def test_the_time_left_is_not_known_before_anything_has_come(restoring: Restoring, clock: Clock) -> None:
    restoring.begin({0: 600, 3: 400})
    assert restoring.facts() == {"restoring": True, "restore_records_left": 1000, "restore_secs_left": None}
    clock.now += 20
    assert restoring.secs_left is None


def test_the_time_left_is_that_at_the_pace_so_far(restoring: Restoring, clock: Clock) -> None:
    restoring.begin({0: 600, 3: 400})
    clock.now += 2
    restoring.advance(0, 400, 200)
    assert (restoring.records_left, restoring.rows, restoring.secs_left) == (800, 200, 8.0)
    clock.now += 2
    restoring.advance(3, 0, 90)  # offsets have gaps: fewer rows than records
    assert (restoring.left, restoring.rows) == ({0: 400, 3: 0}, 290)
    assert restoring.secs_left == pytest.approx(8 / 3)
    assert restoring.rows_per_sec == 290 / 4


def test_what_comes_at_once_is_one_step_of_the_pace(restoring: Restoring, clock: Clock) -> None:
    restoring.begin({0: 1000})
    for left in range(990, 490, -10):
        restoring.advance(0, left, 10)
    assert restoring.secs_left is None  # no time has gone by
    clock.now += 1
    restoring.advance(0, 490, 10)
    assert restoring.secs_left == pytest.approx(490 / 510)


def test_the_pace_is_that_of_the_last_ten_seconds(restoring: Restoring, clock: Clock) -> None:
    restoring.begin({0: 10_000})
    for _ in range(10):
        clock.now += 1
        restoring.advance(0, restoring.left[0] - 900, 900)
    for _ in range(20):
        clock.now += 1
        restoring.advance(0, restoring.left[0] - 10, 10)
    assert restoring.secs_left == pytest.approx(restoring.records_left / 10)


def test_a_restore_that_is_given_up_leaves_nothing_and_the_next_begins_anew(restoring: Restoring, clock: Clock) -> None:
    restoring.begin({0: 1000})
    clock.now += 1
    restoring.advance(0, 500, 500)
    restoring.end()
    assert restoring.facts() == {"restoring": False, "restore_records_left": 0, "restore_secs_left": 0.0}
    restoring.begin({1: 100})
    assert (restoring.rows, restoring.secs_left, restoring.left) == (0, None, {1: 100})
