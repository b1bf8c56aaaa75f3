"""The sharp anomalies do what they say, to one thing, and leave all else as it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from statistics import median
from typing import Any

import numpy as np
import orjson
import pytest

from stream.decode import TimeBounds, decode, event_time_ms
from stream.shop_event import ShopEvent
from stream.shop_frames import ShopFrames
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.anomaly import sharp
from tests.anomaly.sharp import Sharp

START_MS = 1_790_000_000_000
DAYS = 30

KINDS: dict[str, Callable[[list[ShopEvent], int], Sharp]] = {
    "payment first": sharp.payment_first,
    "purchase without checkout": sharp.purchase_without_checkout,
    "machine rhythm": sharp.machine_rhythm,
    "machine rhythm with jitter": partial(sharp.machine_rhythm, jitter=0.01),
    "dear order": sharp.dear_order,
    "dear item": sharp.dear_item,
    "new whereabouts": sharp.new_whereabouts,
}


@cache
def shoppers() -> list[list[ShopEvent]]:
    """Honest shoppers who came often and bought more than once; some of them with decimals and times as text."""
    by_user: dict[bytes, list[ShopEvent]] = {}
    end_ms = START_MS + DAYS * 86_400_000
    for event in simulate(scenario.load("default"), seed=7, users=150, start_ms=START_MS, end_ms=end_ms):
        by_user.setdefault(event.key, []).append(event)
    chosen = [
        events
        for events in by_user.values()
        if len(events) > 60
        and sum(event.topic == "purchases" for event in events) > 2
        and not any(event.label for event in events)
    ]
    written = {isinstance(facts(events[0])["event_time"], str) for events in chosen}
    assert len(chosen) > 10
    assert written == {True, False}
    return chosen


def facts(event: ShopEvent) -> dict[str, Any]:
    value: dict[str, Any] = orjson.loads(event.value)
    return value


def times_ms(of: list[ShopEvent]) -> list[int]:
    times = [facts(event)["event_time"] for event in of]
    return [time if isinstance(time, int) else event_time_ms(time) for time in times]


def before(made: Sharp) -> list[dict[str, Any]]:
    return [facts(event) for event in made.events[: made.strange]]


@pytest.mark.parametrize("kind", KINDS)
def test_before_the_strange_event_all_is_as_it_was_and_all_is_in_order(kind: str) -> None:
    for seed, events in enumerate(shoppers()):
        made = KINDS[kind](events, seed)
        assert 0 <= made.strange < len(made.events)
        original = sorted({event.value for event in events}, key=lambda value: times_ms([_with(events[0], value)])[0])
        values = [event.value for event in made.events]
        assert values[: made.strange] == original[: made.strange]
        assert values[made.strange] not in original
        assert all(earlier <= later for earlier, later in pairwise(times_ms(made.events)))
        assert [event.sent_ms for event in made.events] == times_ms(made.events)
        assert {event.key for event in made.events} == {events[0].key}
        ids = [facts(event)["event_id"] for event in made.events]
        assert len(set(ids)) == len(ids)


def _with(event: ShopEvent, value: bytes) -> ShopEvent:
    return event._replace(value=value)


@pytest.mark.parametrize("kind", KINDS)
def test_serving_accepts_every_event_and_the_same_seed_makes_the_same(kind: str) -> None:
    made = [KINDS[kind](events, seed) for seed, events in enumerate(shoppers())]
    assert made == [KINDS[kind](events, seed) for seed, events in enumerate(shoppers())]
    assert made != [KINDS[kind](events, seed + 100) for seed, events in enumerate(shoppers())]
    for each in made:
        for frame in ShopFrames().append(each.events):
            batch, rejects = decode(frame, TimeBounds(0, 0))
            assert not rejects
            assert not batch["time_bounded"].any()


def test_a_payment_comes_before_anything_else() -> None:
    for seed, events in enumerate(shoppers()):
        made = sharp.payment_first(events, seed)
        assert made.strange == 0
        assert facts(made.events[0])["event_name"] == "add_payment_info"
        assert len(made.events) == len({event.value for event in events}) + 1


def test_a_purchase_follows_a_view_in_a_visit_without_cart_or_checkout() -> None:
    for seed, events in enumerate(shoppers()):
        made = sharp.purchase_without_checkout(events, seed)
        bought = facts(made.events[made.strange])
        assert (bought["event_name"], made.events[made.strange].topic) == ("purchase", "purchases")
        visit = [value for value in before(made) if value.get("session_id") == bought["session_id"]]
        assert not {"add_to_cart", "view_cart", "begin_checkout", "add_payment_info"} & {
            value["event_name"] for value in visit
        }
        assert before(made)[-1]["event_name"] == "view_item"
        assert bought["items"][0]["item_id"] == before(made)[-1]["item_id"]
        assert bought["value"] == before(made)[-1]["price"]


@pytest.mark.parametrize("jitter", [0.0, 0.01])
def test_a_machine_acts_every_two_seconds_and_does_what_the_user_did(jitter: float) -> None:
    for seed, events in enumerate(shoppers()):
        made = sharp.machine_rhythm(events, seed, jitter=jitter, count=30)
        stretch = made.events[made.strange - 1 : made.strange + 29]
        gaps = np.diff(times_ms(stretch))
        if jitter:
            assert ((gaps >= 1980) & (gaps <= 2020)).all()
            assert gaps.std() > 5
        else:
            assert (gaps == 2000).all()
        by_id = {facts(event)["event_id"]: facts(event) for event in events}
        for value in map(facts, stretch):
            original = by_id[value["event_id"]]
            for name in ("event_name", "item_id", "item_category", "price", "value"):
                assert value.get(name) == original.get(name)
        assert len({facts(event).get("session_id") for event in stretch}) == 1
        assert len(made.events) == len(by_id)


def test_an_order_is_worth_30_times_the_users_usual() -> None:
    for seed, events in enumerate(shoppers()):
        made = sharp.dear_order(events, seed)
        order = facts(made.events[made.strange])
        usual = median(float(value["value"]) for value in before(made) if value["event_name"] == "purchase")
        assert order["event_name"] == "purchase"
        assert float(order["value"]) == pytest.approx(30 * usual, abs=0.01)
        lines = sum(float(line["price"]) * line["quantity"] for line in order["items"])
        assert lines == pytest.approx(float(order["value"]), rel=1e-3, abs=0.5)
        assert type(order["value"]) is type(next(v["value"] for v in before(made) if v["event_name"] == "purchase"))


def test_an_item_costs_30_times_what_the_user_usually_looks_at() -> None:
    for seed, events in enumerate(shoppers()):
        made = sharp.dear_item(events, seed)
        usual = median(float(value["price"]) for value in before(made) if "price" in value)
        assert float(facts(made.events[made.strange])["price"]) == pytest.approx(30 * usual, abs=0.01)
        changed = {event.value for event in made.events} - {event.value for event in events}
        assert changed == {made.events[made.strange].value}


def test_a_visit_comes_from_where_the_user_never_was() -> None:
    for seed, events in enumerate(shoppers()):
        made = sharp.new_whereabouts(events, seed)
        strange = facts(made.events[made.strange])
        for name in ("device_id", "ip_hash", "country", "location_id"):
            assert strange[name] not in {value.get(name) for value in before(made)}
        assert len({value.get("session_id") for value in before(made)}) >= 3
        visit = [value for value in map(facts, made.events) if value.get("session_id") == strange["session_id"]]
        assert len({tuple(value[name] for name in ("device_id", "country", "location_id")) for value in visit}) == 1
        names = [facts(event)["event_name"] for event in made.events]
        assert sorted(names) == sorted(value["event_name"] for value in map(facts, _once(events)))


def _once(events: list[ShopEvent]) -> list[ShopEvent]:
    return list({event.value: event for event in events}.values())


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("purchase without checkout", "expected a view of an item in a visit without a cart"),
        ("machine rhythm", "expected more than 30 events"),
        ("dear order", "expected two orders or more"),
        ("dear item", "expected a click on an item after 10 events"),
        ("new whereabouts", "expected a fourth visit or later, after 10 events"),
    ],
)
def test_a_user_whose_events_leave_no_room_for_it_is_refused(kind: str, words: str) -> None:
    few = [event for event in shoppers()[0] if facts(event)["event_name"] in ("search", "view_item_list")][:2]
    with pytest.raises(ValueError, match=words):
        KINDS[kind](few, 1)
    with pytest.raises(ValueError, match="expected the events of one user, got those of 2"):
        KINDS[kind](shoppers()[0] + shoppers()[1], 1)
