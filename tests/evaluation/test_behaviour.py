"""Behaviour as columns."""

from __future__ import annotations

from stream.comparison.behaviour import read
from stream.evaluation.behaviour import by_pauses
from tests.comparison.streams import event


def test_pauses_cut_between_users_too() -> None:
    of = by_pauses(read([event("a", 0), event("a", 1800), event("a", 3601), event("b", 3602)]).behaviour)
    assert of.session.tolist() == [0, 0, 1, 2]
