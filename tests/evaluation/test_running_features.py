"""What is known of a user so far."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
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
