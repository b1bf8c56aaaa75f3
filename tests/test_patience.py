from __future__ import annotations

from stream.patience import Patience


class _Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def test_a_wait_is_said_at_once_every_10_s_and_when_it_is_over() -> None:
    said: list[str] = []
    clock = _Clock()
    patience = Patience(said.append, clock)
    for _ in range(101):
        patience.waits("no broker")
        clock.now += 0.25
    patience.over("the broker answers")
    assert said == [
        "no broker; waiting, 0 s so far",
        "no broker; waiting, 10 s so far",
        "no broker; waiting, 20 s so far",
        "the broker answers, after 25 s",
    ]


def test_what_was_not_waited_for_is_not_said_to_be_over() -> None:
    said: list[str] = []
    patience = Patience(said.append)
    patience.over("the broker answers")
    assert not said and patience.waiting_for is None and patience.secs == 0.0


def test_it_tells_what_is_waited_for_and_a_new_reason_does_not_begin_the_wait_anew() -> None:
    said: list[str] = []
    clock = _Clock()
    patience = Patience(said.append, clock)
    patience.waits("refused")
    clock.now += 7
    patience.waits("silent")
    assert patience.waiting_for == "silent, 7 s so far"
    assert said == ["refused; waiting, 0 s so far"]
    clock.now += 3
    patience.waits("silent")
    assert said[1:] == ["silent; waiting, 10 s so far"]
    patience.over("there")
    assert not patience.waiting_for
    patience.waits("refused")
    assert said[-1] == "refused; waiting, 0 s so far"
