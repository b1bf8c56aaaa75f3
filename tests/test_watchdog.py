"""When a worker is ended that gets nowhere, and when it is not."""

from __future__ import annotations

from stream.watchdog import Waiting, Watchdog

LIMIT_SECS = 300.0
WAITS: Waiting = {("clicks", 2): 7}
TICK_SECS = 2.0


def _still(dog: Watchdog, secs: float) -> bool:
    """Whether it is to look, at the end of some time in which nothing moved and the broker answered."""
    looks = [dog.passes(TICK_SECS, moved=False, answers=True) for _ in range(int(secs / TICK_SECS))]
    return looks[-1]


def test_what_waits_at_two_looks_ends_a_worker_that_does_not_move() -> None:
    dog = Watchdog(LIMIT_SECS)
    assert not _still(dog, LIMIT_SECS - TICK_SECS)
    assert _still(dog, TICK_SECS)
    assert dog.hangs(WAITS) is None
    assert not _still(dog, 4.0) and _still(dog, TICK_SECS)  # a second look, 5 s later
    assert dog.hangs(WAITS) == (
        "the broker answers, and nothing was committed for 306 s, though the record at offset 7 of clicks[2] waits"
    )


def test_several_that_wait_are_told_by_the_first_and_their_number() -> None:
    dog = Watchdog(LIMIT_SECS)
    _still(dog, LIMIT_SECS)
    waits = {("searches", 0): 3, ("clicks", 2): 7, ("clicks", 10): 1}
    dog.hangs(waits)
    _still(dog, 6.0)
    assert "offset 7 of clicks[2] and of 2 other topic partitions waits" in str(dog.hangs(waits))


def test_an_idle_worker_is_left_alone_for_ever() -> None:
    dog = Watchdog(LIMIT_SECS)
    for _ in range(100):
        _still(dog, LIMIT_SECS)
        assert dog.hangs({}) is None


def test_while_nothing_waits_it_looks_a_tenth_as_often_as_it_might() -> None:
    dog = Watchdog(LIMIT_SECS)
    assert _still(dog, LIMIT_SECS)
    dog.hangs({})
    assert not _still(dog, LIMIT_SECS / 10 - TICK_SECS) and _still(dog, TICK_SECS)


def test_what_has_just_come_or_moved_on_is_no_hang() -> None:
    dog = Watchdog(LIMIT_SECS)
    _still(dog, LIMIT_SECS)
    assert dog.hangs(WAITS) is None
    _still(dog, 6.0)
    assert dog.hangs({("clicks", 2): 8, ("clicks", 3): 7}) is None


def test_whatever_moves_begins_the_time_anew() -> None:
    dog = Watchdog(LIMIT_SECS)
    _still(dog, LIMIT_SECS)
    dog.hangs(WAITS)
    assert not dog.passes(TICK_SECS, moved=True, answers=True)
    assert not _still(dog, LIMIT_SECS - TICK_SECS) and _still(dog, TICK_SECS)
    assert dog.hangs(WAITS) is None  # what was seen before the move tells nothing


def test_a_worker_whose_broker_is_away_is_left_alone() -> None:
    dog = Watchdog(LIMIT_SECS)
    assert not any(dog.passes(TICK_SECS, moved=False, answers=False) for _ in range(1_000))
    assert not _still(dog, LIMIT_SECS - TICK_SECS)


def test_a_limit_of_0_never_looks() -> None:
    assert not _still(Watchdog(0), 1e5)
