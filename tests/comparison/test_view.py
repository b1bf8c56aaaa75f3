"""The two sides of a comparison are selected alike."""

from __future__ import annotations

import numpy as np
import pytest

from stream.comparison.behaviour import read
from stream.comparison.view import comparable
from stream.evaluation.behaviour import Behaviour
from stream.events import ACTIONS
from tests.comparison.streams import START_MS, event

DAY_SECS, HOUR_SECS, DAY_MS = 86_400, 3600, 86_400_000


def recording() -> Behaviour:
    """Two hours of views and wishes, from Thursday 10:00 on; everyone has two events or more."""
    events = []
    for user in range(20):
        at = 10 * HOUR_SECS + user
        events += [
            event(f"real-{user}", at, session_id="s"),
            event(f"real-{user}", at + 7000, ("view_item", "add_to_wishlist")[user % 2], session_id="s"),
        ]
    return read(events).behaviour


def simulation(days: int = 12) -> Behaviour:
    """Someone every hour, who looks, searches and comes back within the second hour; and someone who only looks."""
    events = []
    for hour in range(-20 * 24, (days - 20) * 24):
        at = hour * HOUR_SECS + 0.75
        events += [
            event(f"made-{hour}", at, session_id="s"),
            event(f"made-{hour}", at + 1, "search", session_id="s"),
            event(f"made-{hour}", at + 60, "add_to_wishlist", session_id="s"),
            event(f"once-{hour}", at, session_id="s"),
        ]
    return read(events).behaviour


def test_the_simulation_is_cut_to_the_recordings_names_time_and_least_events() -> None:
    view = comparable(recording(), simulation(), warm_up_ms=2 * DAY_MS)
    assert set(view.simulated.name.tolist()) == {ACTIONS.index("view_item"), ACTIONS.index("add_to_wishlist")}
    # A Thursday from 10:00 on, the first after two days of warm-up; those who only looked are gone
    assert view.simulated.users == 2
    local = (view.simulated.time_ms - START_MS) % (7 * DAY_MS) / 3.6e6
    assert 10 <= local.min() <= local.max() < 12
    assert view.simulated.time_ms.min() - START_MS >= -18 * DAY_MS
    assert not (view.simulated.time_ms % 1000).any()  # the recording has whole seconds
    assert len(view.real) == 40


def test_a_shift_of_local_time_moves_the_stretch() -> None:
    view = comparable(recording(), simulation(), warm_up_ms=2 * DAY_MS, shift_ms=-3_600_000)
    assert (view.simulated.time_ms.min() - START_MS) % DAY_MS // 3_600_000 == 9


def test_a_simulation_that_ends_too_early_is_refused_with_what_is_missing() -> None:
    with pytest.raises(ValueError, match=r"expected 1\.9 h .* after 11 days of warm-up, got [0-9.]+ h too few"):
        comparable(recording(), simulation(days=12), warm_up_ms=11 * DAY_MS)


def test_streams_that_share_no_name_are_refused() -> None:
    carts = read([event("a", hour * HOUR_SECS, "add_to_cart") for hour in range(24)]).behaviour
    with pytest.raises(
        ValueError, match="got view_item, add_to_wishlist in the recording and add_to_cart in the simul"
    ):
        comparable(recording(), carts, warm_up_ms=0)


def test_an_empty_side_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match="simulation: expected events"):
        comparable(recording(), read([]).behaviour, warm_up_ms=0)


def test_a_side_without_sessions_has_both_cut_by_pauses() -> None:
    real = read([event("a", secs) for secs in (0, 10, 5000, 5010)]).behaviour
    view = comparable(real, read([event("b", s, session_id="s") for s in (0, 10, 5000, 5010)]).behaviour, warm_up_ms=0)
    assert view.real.session.tolist() == view.simulated.session.tolist() == [0, 0, 1, 1]
    assert any("pause of 30 minutes" in step for step in view.steps)


def test_without_a_clock_sessions_stand_for_themselves() -> None:
    real = read([event(f"s{s}", secs, session_id=f"s{s}") for s in range(3) for secs in range(5)]).behaviour
    made = read(
        [event("a", 100.0 * s + secs, session_id=str(s)) for s in range(4) for secs in range(5)]
        + [event("a", 1000, session_id="short"), event("a", 2000)]
    ).behaviour
    view = comparable(real, made, warm_up_ms=0, clock=False)
    assert np.bincount(view.simulated.user).tolist() == [5, 5, 5, 5]  # none under the recording's five
