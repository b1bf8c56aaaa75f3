"""What a simulated shopper is: tastes that last, a need that is narrowed down, words, devices, places, coupons."""

import itertools
from collections import Counter, defaultdict
from typing import Any

import orjson
import pytest

from stream.simulator import scenario, words
from stream.simulator.simulate import simulate

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z, a Thursday
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

Events = list[dict[str, Any]]


@pytest.fixture(scope="module")
def by_user() -> dict[str, Events]:
    """Three weeks of 3,000 honest shoppers."""
    shop = scenario.honest_and_orderly(scenario.load())
    found = defaultdict(list)
    for event in simulate(shop, seed=11, users=3_000, start_ms=START_MS, end_ms=START_MS + 21 * DAY_MS):
        found[event.key.decode()].append(orjson.loads(event.value) | {"time_ms": event.sent_ms})
    return found


def sessions(events: Events) -> list[Events]:
    found = defaultdict(list)
    for event in events:
        if "session_id" in event:
            found[event["session_id"]].append(event)
    return list(found.values())


def test_tastes_last(by_user: dict[str, Events]) -> None:
    """A user's first and second half share more of their categories than two users do."""
    own, others, last = [], [], None
    for events in by_user.values():
        seen = [event["item_category"] for event in events if event["event_name"] == "view_item"]
        if len(seen) >= 20:
            first, second = set(seen[: len(seen) // 2]), set(seen[len(seen) // 2 :])
            own.append(len(first & second) / len(first | second))
            if last is not None:
                others.append(len(first & last) / len(first | last))
            last = second
    assert sum(own) / len(own) > 1.5 * sum(others) / len(others)


def test_weekends_are_busier_than_the_middle_of_the_week(by_user: dict[str, Events]) -> None:
    days = Counter((event["time_ms"] + HOUR_MS) // DAY_MS % 7 for events in by_user.values() for event in events)
    thursday = (START_MS // DAY_MS) % 7
    tuesday, sunday = days[(thursday + 5) % 7], days[(thursday + 3) % 7]
    assert sunday > 1.1 * tuesday


def test_searches_are_in_german_where_german_is_spoken_and_else_in_english(by_user: dict[str, Events]) -> None:
    """By words that only one of the languages has, typos apart."""
    german = {word for category in words.CATEGORIES for word in category.german}
    english = {word for category in words.CATEGORIES for word in category.english}
    found: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for events in by_user.values():
        home = Counter(event["country"] for event in events if "country" in event).most_common(1)[0][0]
        for event in events:
            term = event.get("search_term")
            if term in german ^ english:
                found[home in ("DE", "AT")]["german" if term in german else "english"] += 1
    assert found[True]["german"] > 20 * found[True]["english"]
    assert found[False]["english"] > 20 * found[False]["german"]


def test_a_search_that_finds_nothing_for_its_typo_is_put_right_at_once(by_user: dict[str, Events]) -> None:
    searches = [
        (event, later)
        for events in by_user.values()
        for session in sessions(events)
        for event, later in itertools.pairwise(session)
        if event["event_name"] == "search" and event["results_count"] == 0
    ]
    again = [later for _, later in searches if later["event_name"] == "search"]
    assert len(searches) > 50
    assert len(again) > 0.7 * len(searches)
    assert sum(later["results_count"] > 0 for later in again) > 0.7 * len(again)


def test_searches_of_a_visit_grow_narrower(by_user: dict[str, Events]) -> None:
    first, last = [], []
    for events in by_user.values():
        for session in sessions(events):
            terms = [event["search_term"] for event in session if event["event_name"] == "search"]
            if len(terms) >= 3:
                first.append(len(terms[0].split()))
                last.append(len(terms[-1].split()))
    assert sum(last) / len(last) > 1.05 * sum(first) / len(first)


def test_some_come_from_several_devices_and_some_share_one(by_user: dict[str, Events]) -> None:
    devices = {user: {e["device_id"] for e in events if "device_id" in e} for user, events in by_user.items()}
    several = sum(len(of) > 1 for of in devices.values()) / len(devices)
    users = Counter(device for of in devices.values() for device in of)
    assert 0.1 < several < 0.6
    assert sum(count > 1 for count in users.values()) > 50
    assert max(users.values()) >= 5  # in a library


def test_places_are_near_home_and_seldom_elsewhere(by_user: dict[str, Events]) -> None:
    elsewhere = known = 0
    for events in by_user.values():
        places = Counter(session[0]["location_id"] for session in sessions(events) if "location_id" in session[0])
        if places.total() >= 4:
            known += places.total()
            elsewhere += places.total() - places.most_common(1)[0][1]
    assert known > 500
    assert 0 < elsewhere / known < 0.4


def test_orders_go_home_to_a_branch_or_to_someone_else(by_user: dict[str, Events]) -> None:
    addresses = Counter(
        e["address_hash"] for events in by_user.values() for e in events if e["event_name"] == "purchase"
    )
    branches = [count for count in addresses.values() if count > 3]
    assert branches
    assert 0.05 < sum(branches) / addresses.total() < 0.5


def test_a_refused_payment_is_tried_again_and_a_welcome_coupon_is_for_a_first_order(by_user: dict[str, Events]) -> None:
    retried = 0
    for events in by_user.values():
        orders = [event for event in events if event["event_name"] == "purchase"]
        assert all(order.get("coupon") != "WELCOME10" for order in orders[1:])
        for session in sessions(events):
            names = [event["event_name"] for event in session]
            retried += ("add_payment_info", "add_payment_info") in itertools.pairwise(names)
    assert retried > 20


def test_someone_who_looked_and_did_not_buy_comes_back_for_the_same(by_user: dict[str, Events]) -> None:
    """Within a day, more often to an item seen before than people in general return to one."""
    soon: list[float] = []
    later: list[float] = []
    for events in by_user.values():
        seen: set[str] = set()
        for session, following in itertools.pairwise(sessions(events)):
            seen |= {event["item_id"] for event in session if "item_id" in event}
            viewed = {event["item_id"] for event in following if event["event_name"] == "view_item"}
            if viewed:
                gap_ms = following[0]["time_ms"] - session[-1]["time_ms"]
                (soon if gap_ms < 12 * HOUR_MS else later).append(len(viewed & seen) / len(viewed))
    assert sum(soon) / len(soon) > 1.15 * sum(later) / len(later)


def test_an_order_has_as_many_of_an_item_as_were_put_into_the_cart(by_user: dict[str, Events]) -> None:
    """Where it was put in more than once, and not taken out: all of them together."""
    orders = 0
    for events in by_user.values():
        added: Counter[str] = Counter()
        for event in events:
            if event["event_name"] == "add_to_cart":
                added[event["item_id"]] += event["quantity"]
            elif event["event_name"] == "remove_from_cart":
                del added[event["item_id"]]
            elif event["event_name"] == "purchase":
                for line in event["items"]:
                    orders += 1
                    assert line["quantity"] <= added[line["item_id"]]
                added.clear()
    assert orders > 500
