"""Shop events as columns."""

from __future__ import annotations

import numpy as np

from stream.comparison.behaviour import read
from stream.evaluation.behaviour import NONE
from stream.events import ACTIONS
from stream.shop_event import ShopEvent
from tests.comparison.streams import START_MS, event


def test_events_come_out_user_by_user_in_event_time_order_whatever_order_they_came_in() -> None:
    of = read([event("b", 5), event("a", 9), event("b", 1, "search"), event("a", 2)]).behaviour
    assert of.user.tolist() == [0, 0, 1, 1]
    assert (of.time_ms - START_MS).tolist() == [1000, 5000, 2000, 9000]
    assert [ACTIONS[code] for code in of.name] == ["search", "view_item", "view_item", "view_item"]
    assert (of.users, len(of)) == (2, 4)


def test_sessions_of_two_users_with_the_same_id_are_two() -> None:
    of = read([event("a", 1, session_id="s"), event("b", 2, session_id="s"), event("b", 3)]).behaviour
    assert of.session.tolist() == [0, 1, NONE]


def test_an_order_of_two_lines_is_two_events_about_their_items() -> None:
    lines = [{"item_id": "x", "price": "3.50"}, {"item_id": "y"}]
    of = read([event("a", 1, item="y"), event("a", 2, "purchase", items=lines, value=9)]).behaviour
    assert of.item.tolist() == [0, 1, 0]
    np.testing.assert_array_equal(of.price, [np.nan, 3.5, 9.0])


def test_an_event_that_comes_twice_is_counted_once_and_said() -> None:
    reading = read([event("a", 1), event("a", 1), event("a", 2)])
    assert (len(reading.behaviour), reading.repeated) == (2, 1)


def test_what_is_no_shop_event_is_counted_and_passed_over() -> None:
    bad = [b"{", b'{"event_name":"view_item"}', event("a", 1, "tap").value, event("a", 1, event_time="noon").value]
    reading = read([ShopEvent("clicks", b"a", value, START_MS) for value in bad] + [event("a", 1)])
    assert (len(reading.behaviour), reading.unreadable) == (1, len(bad))


def test_a_time_in_words_is_the_same_moment() -> None:
    of = read([event("a", 0, event_time="2018-03-01T01:00:00.250+01:00")]).behaviour
    assert of.time_ms.tolist() == [START_MS + 250]
    assert read([event("a", 0, event_time=str(START_MS))]).behaviour.time_ms.tolist() == [START_MS]


def test_a_label_marks_its_event() -> None:
    of = read([event("a", 1), event("a", 2, fraud="scraper")]).behaviour
    assert of.labelled.tolist() == [False, True]


def test_users_and_sessions_without_events_left_are_renumbered_away() -> None:
    of = read([event("a", 1, session_id="s"), event("b", 2, session_id="t"), event("c", 3, session_id="u")]).behaviour
    left = of.take(of.user != 1)
    assert (left.user.tolist(), left.session.tolist()) == ([0, 1], [0, 1])


def test_an_empty_stream_is_no_error() -> None:
    of = read([]).behaviour
    assert (len(of), of.users, of.sessions) == (0, 0, 0)
