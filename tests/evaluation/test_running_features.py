"""What is known of a user so far."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.comparison.behaviour import read
from stream.evaluation.behaviour import Behaviour, Floats
from stream.evaluation.running_features import running_features
from stream.shop_event import ShopEvent
from tests.comparison.streams import event

NAMES = ("view_item", "add_to_cart", "search", "purchase")


def features(events: list[ShopEvent]) -> tuple[Behaviour, dict[str, Floats]]:
    of = read(events).behaviour
    return of, running_features(of)


def test_each_event_knows_its_users_past_and_itself() -> None:
    _, found = features(
        [
            event("ann", 0, item="x", session_id="1", price=10),
            event("bob", 1, item="x", session_id="1"),
            event("ann", 30, "add_to_cart", "x", session_id="1", price=10),
            event("ann", 90_000, item="y", session_id="2", price=30),
        ]
    )
    expected: dict[str, list[float]] = {
        "events": [1, 2, 3, 1],
        "session_events": [1, 2, 1, 1],
        "view_item_so_far": [1, 1, 2, 1],
        "view_item_in_session": [1, 1, 1, 1],
        "view_item_last_secs": [0, 30, 0, 0],
        "add_to_cart_last_secs": [np.nan, 0, 89_970, np.nan],
        "gap_secs": [np.nan, 30, 89_970, np.nan],
        "gap_before_secs": [np.nan, np.nan, 30, np.nan],
        "session_secs": [0, 30, 0, 0],
        "sessions": [1, 1, 2, 1],
        "days_seen": [1, 1, 2, 1],
        "events_10min": [1, 2, 1, 1],
        "item_repeated": [0, 1, 0, 0],
        "item_last_secs": [np.nan, 30, np.nan, np.nan],
        "item_repeat_share": [0, 1 / 2, 1 / 3, 0],
        "distinct_item": [1, 1, 2, 1],
        "log_price_to_mean": [0, 0, (np.log(31) - np.log(11)) * 2 / 3, np.nan],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, err_msg=name, atol=1e-12)


def test_what_was_bought_what_came_again_and_how_lately_is_known() -> None:
    _, found = features(
        [
            event("ann", 0, item="x", session_id="1"),
            event("ann", 60, item="y", session_id="1"),
            event("ann", 120, "add_to_cart", "x", session_id="1"),
            event("ann", 180, "purchase", "x", session_id="1", value=20),
            event("ann", 4000, item="x", session_id="2"),
        ]
    )
    expected: dict[str, list[float]] = {
        "view_item_1_ago": [0, 1, 1, 0, 0],
        "add_to_cart_2_ago": [0, 0, 0, 0, 1],
        "same_item_1_ago": [0, 0, 0, 1, 1],
        "same_item_2_ago": [0, 0, 1, 0, 1],
        "same_item_lately": [0, 0, 1, 1, 1],
        "item_bought_before": [0, 0, 0, 0, 1],
        "view_item_10min": [1, 2, 2, 2, 1],
        "view_item_decayed_1min": [1, 1.5, 0.75, 0.375, 1],
        "left_in_cart_in_session": [0, 0, 1, 1, 0],
        "events_since_purchase": [np.nan, np.nan, np.nan, 0, 1],
        "views_since_purchase": [1, 2, 2, 0, 1],
        "log_spent": [0, 0, 0, np.log(21), np.log(21)],
        "pause_before_session_secs": [np.nan, np.nan, np.nan, np.nan, 3820],
        "events_before_session": [0, 0, 0, 0, 4],
        "item_most_times": [1, 1, 2, 3, 4],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, err_msg=name, atol=1e-6)


def test_a_late_event_does_not_turn_the_clock_back() -> None:
    of = read([event("ann", secs) for secs in (0, 100, 200)]).behaviour
    late = dataclasses.replace(of, time_ms=of.time_ms[[0, 2, 1]])
    found = running_features(late)
    np.testing.assert_array_equal(found["gap_secs"], [np.nan, 200, 0])
    np.testing.assert_array_equal(found["first_event_secs"], [0, 200, 200])
    assert all((column[~np.isnan(column)] >= 0).all() for name, column in found.items() if name.endswith("_secs"))


def test_a_day_of_the_week_is_a_feature_once_there_are_weeks() -> None:
    few, many = (features([event("ann", 86_400.0 * day) for day in range(days)])[1] for days in (10, 20))
    assert "weekend" not in few
    assert many["weekend"].tolist() == [float(day % 7 in (2, 3)) for day in range(20)]  # the first is a Thursday


def random_events(draw: list[tuple[int, int, int, int]], prefix: str = "") -> list[ShopEvent]:
    return [
        event(
            f"user-{user}",
            float(secs),
            NAMES[name],
            f"item-{item}",
            event_id=f"{prefix}{place}",
            session_id=str(secs // 400),
            price=float(item + 1),
            item_category=str(item % 2),
        )
        for place, (user, secs, name, item) in enumerate(draw)
    ]


places = st.tuples(st.integers(0, 2), st.integers(0, 999), st.integers(0, 3), st.integers(0, 4))
futures = st.tuples(st.integers(0, 3), st.integers(1001, 200_000), st.integers(0, 3), st.integers(0, 6))


@settings(max_examples=50, deadline=None)
@given(st.lists(places, min_size=1, max_size=30), st.lists(futures, max_size=20), st.lists(futures, max_size=20))
def test_another_future_changes_no_feature_before_it(
    past: list[tuple[int, int, int, int]],
    future: list[tuple[int, int, int, int]],
    other: list[tuple[int, int, int, int]],
) -> None:
    begun = random_events(past)
    one, other_one = (features(begun + random_events(then, "later-")) for then in (future, other))
    early = [np.isin(of.time_ms, [e.sent_ms for e in begun]) for of, _ in (one, other_one)]
    for name in one[1].keys() & other_one[1].keys():
        np.testing.assert_allclose(
            one[1][name][early[0]], other_one[1][name][early[1]], err_msg=name, atol=1e-9, equal_nan=True
        )


@pytest.mark.parametrize("session", ["1", None])
def test_another_user_changes_no_feature(session: str | None) -> None:
    mine = [event("bob", 10.0 * k, NAMES[k % 4], f"item-{k % 3}", session_id=session) for k in range(12)]
    theirs = [event("ann", 7.0 * k, NAMES[k % 4], f"item-{k % 5}", session_id=session) for k in range(20)]
    alone, together = features(mine)[1], features(theirs + mine)[1]  # theirs come first in the columns
    for name, column in alone.items():
        np.testing.assert_allclose(column, together[name][20:], err_msg=name, atol=1e-9)
