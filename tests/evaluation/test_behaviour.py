"""Behaviour as columns."""

from __future__ import annotations

import dataclasses

import numpy as np

from stream.comparison.behaviour import read
from stream.evaluation.behaviour import by_pauses
from tests.comparison.streams import event


def test_pauses_cut_between_users_too() -> None:
    of = by_pauses(read([event("a", 0), event("a", 1800), event("a", 3601), event("b", 3602)]).behaviour)
    assert of.session.tolist() == [0, 0, 1, 2]


def test_a_late_event_ends_no_session_and_the_latest_so_far_is_the_users_own() -> None:
    of = read([event("a", 0), event("a", 1), event("a", 2), event("a", 3), event("b", 4), event("b", 5)]).behaviour
    minutes = np.array([0, 40, 1, 41, 5, 34])  # as serving applied them
    assert by_pauses(dataclasses.replace(of, time_ms=60_000 * minutes)).session.tolist() == [0, 1, 1, 1, 2, 2]
