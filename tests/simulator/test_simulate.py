import itertools
import re
import tracemalloc
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from stream.decode import TimeBounds, decode
from stream.errors import SettingsError
from stream.events import CLICK_NAMES, PURCHASE_NAMES, SEARCH_NAMES, Frame
from stream.shop_event import ROLES, ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
SHOP = scenario.load()
HONEST = scenario.honest_and_orderly(SHOP)
NAMES = dict(zip(ROLES, (CLICK_NAMES, SEARCH_NAMES, PURCHASE_NAMES), strict=True))


@dataclass
class Record:
    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int


@pytest.fixture(scope="module")
def events() -> list[ShopEvent]:
    """Two weeks of 3,000 shoppers, about 110,000 events."""
    return list(simulate(HONEST, seed=7, users=3_000, start_ms=START_MS, end_ms=START_MS + 14 * DAY_MS))


@pytest.fixture(scope="module")
def objects(events: list[ShopEvent]) -> list[dict[str, Any]]:
    return [orjson.loads(event.value) | {"time_ms": event.sent_ms} for event in events]


@pytest.fixture(scope="module")
def by_user(objects: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    users = defaultdict(list)
    for event in objects:
        users[event["user_id"]].append(event)
    return users


@pytest.fixture(scope="module")
def sessions(objects: list[dict[str, Any]]) -> list[list[str]]:
    """The event names of each session."""
    found = defaultdict(list)
    for event in objects:
        if "session_id" in event:
            found[event["session_id"]].append(event["event_name"])
    return list(found.values())


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    one, again, other = (
        list(itertools.islice(simulate(SHOP, seed=seed, users=50, start_ms=START_MS), 2_000)) for seed in (1, 1, 2)
    )
    assert one == again
    assert not {event.value for event in one} & {event.value for event in other}


def test_a_shorter_run_is_the_beginning_of_a_longer_one() -> None:
    short = list(simulate(SHOP, seed=1, users=200, start_ms=START_MS, end_ms=START_MS + DAY_MS))
    endless = list(itertools.islice(simulate(SHOP, seed=1, users=200, start_ms=START_MS), len(short) + 1))
    assert short
    assert short == endless[:-1]
    assert short[-1].sent_ms < START_MS + DAY_MS <= endless[-1].sent_ms


def test_honest_events_come_by_event_time_and_no_user_has_two_at_once(events: list[ShopEvent]) -> None:
    last: dict[bytes, int] = {}
    latest = START_MS
    for event in events:
        assert event.sent_ms >= latest
        if b'"refund"' not in event.value:  # a refund is the shop's doing, and may fall on any moment
            assert event.sent_ms > last.get(event.key, 0)
            last[event.key] = event.sent_ms
        latest = event.sent_ms


def test_event_ids_are_unique(objects: list[dict[str, Any]]) -> None:
    assert len({event["event_id"] for event in objects}) == len(objects)


@pytest.mark.parametrize("source", range(3))
def test_the_scorer_reads_every_event_and_its_time(events: list[ShopEvent], source: int) -> None:
    mine = [event for event in events if event.topic == ROLES[source]]
    records = [Record(event.key, event.value, offset, event.sent_ms) for offset, event in enumerate(mine)]
    batch, rejects = decode(Frame(source, 0, records, len(records)), TimeBounds(0, 0))
    assert not rejects
    assert batch["time_ms"].tolist() == [event.sent_ms for event in mine]
    assert not batch["time_bounded"].any()


def test_every_word_of_every_topic_occurs_and_none_besides(events: list[ShopEvent]) -> None:
    found = defaultdict(set)
    for event in events:
        found[event.topic].add(orjson.loads(event.value)["event_name"])
    assert found == {role: set(names) for role, names in NAMES.items()}


def test_money_has_two_decimals_and_an_order_is_worth_its_items(events: list[ShopEvent]) -> None:
    orders = 0
    for event in events:
        for amount in re.findall(rb'"(?:price|value)":"?([^,"}]+)', event.value):
            assert re.fullmatch(rb"\d+\.\d\d", amount)
        if event.topic == "purchases":
            order = orjson.loads(event.value)
            cents = sum(round(100 * float(line["price"])) * line["quantity"] for line in order["items"])
            assert cents == round(100 * float(order["value"]))
            orders += 1
    assert orders > 100


def test_some_users_write_decimals_and_times_as_strings_and_always_both(
    by_user: dict[str, list[dict[str, Any]]],
) -> None:
    kinds = {
        user: {
            type(value) for event in events for name, value in event.items() if name in ("event_time", "price", "value")
        }
        for user, events in by_user.items()
    }
    texts = sum(kind == {str} for kind in kinds.values())
    assert all(kind <= {int, float} or kind == {str} for kind in kinds.values())
    assert 0.1 < texts / len(kinds) < 0.2


def test_a_few_percent_of_sessions_buy(sessions: list[list[str]]) -> None:
    buying = sum("purchase" in session for session in sessions) / len(sessions)
    assert 0.02 < buying < 0.07


def test_most_carts_are_abandoned_and_some_are_bought_in_a_later_session(
    sessions: list[list[str]],
) -> None:
    with_cart = [session for session in sessions if "add_to_cart" in session]
    assert sum("purchase" in session for session in with_cart) < len(with_cart) / 2
    assert sum("purchase" in session and "add_to_cart" not in session for session in sessions) > 10


def test_only_what_lies_in_the_cart_is_bought_and_only_once(by_user: dict[str, list[dict[str, Any]]]) -> None:
    for events in by_user.values():
        in_cart: set[str] = set()
        for event in events:
            if event["event_name"] == "add_to_cart":
                in_cart.add(event["item_id"])
            elif event["event_name"] == "remove_from_cart":
                in_cart.remove(event["item_id"])
            elif event["event_name"] == "purchase":
                assert in_cart.issuperset(line["item_id"] for line in event["items"])
                in_cart.clear()


def test_a_refund_repeats_an_order_of_days_before(by_user: dict[str, list[dict[str, Any]]]) -> None:
    refunds = 0
    for events in by_user.values():
        orders: dict[str, dict[str, Any]] = {}
        for event in events:
            if event["event_name"] == "purchase":
                orders[event["transaction_id"]] = event
            elif event["event_name"] == "refund":
                order = orders[event["transaction_id"]]
                assert (event["value"], event["payment_id"]) == (order["value"], order["payment_id"])
                assert event["time_ms"] - order["time_ms"] > 6 * HOUR_MS
                refunds += 1
    assert refunds > 10


def test_a_few_users_are_far_busier_than_most(by_user: dict[str, list[dict[str, Any]]]) -> None:
    counts = sorted(map(len, by_user.values()))
    assert counts[int(0.99 * len(counts))] > 8 * counts[len(counts) // 2]


def test_evenings_are_busier_than_nights(objects: list[dict[str, Any]]) -> None:
    hours = Counter(event["time_ms"] // HOUR_MS % 24 for event in objects)
    assert hours[19] > 5 * hours[2]


def test_gaps_within_a_session_are_a_quarter_of_a_minute(by_user: dict[str, list[dict[str, Any]]]) -> None:
    gaps = sorted(
        later["time_ms"] - event["time_ms"]
        for events in by_user.values()
        for event, later in itertools.pairwise(events)
        if event.get("session_id") == later.get("session_id")
    )
    assert 12_000 < gaps[len(gaps) // 2] < 24_000


@pytest.mark.parametrize(("within_ms", "lift"), [(HOUR_MS // 2, 1.3), (DAY_MS, 1.2)])
def test_what_was_done_before_says_something_about_buying_but_not_all(
    by_user: dict[str, list[dict[str, Any]]], within_ms: int, lift: float
) -> None:
    """Each first view of an item by someone without a cart, against each repeated one; then each checkout."""
    outcomes: dict[str, list[bool]] = defaultdict(list)
    for events in by_user.values():
        bought_ms = [event["time_ms"] for event in events if event["event_name"] == "purchase"]
        seen: set[str] = set()
        for event in events:
            buys = any(0 < time_ms - event["time_ms"] <= within_ms for time_ms in bought_ms)
            if event["event_name"] == "view_item":
                outcomes["repeated view" if event["item_id"] in seen else "first view"].append(buys)
                seen.add(event["item_id"])
            elif event["event_name"] == "begin_checkout":
                outcomes["checkout"].append(buys)
    share = {what: sum(buys) / len(buys) for what, buys in outcomes.items()}
    assert share["repeated view"] > lift * share["first view"] > 0
    assert 3 * share["first view"] < share["checkout"] < 0.9


def test_an_endless_run_keeps_no_more_than_its_users_and_its_catalogue() -> None:
    """Two stretches of some months each: prices change in both, so that all text of items is from within them."""
    events = simulate(SHOP, seed=3, users=20, start_ms=START_MS)
    kept = []
    tracemalloc.start()
    try:
        for _ in range(2):
            for _ in itertools.islice(events, 8_000):
                pass
            kept.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert kept[1] - kept[0] < 500_000  # bytes; the values alone of 8,000 events are 2.6 MB


@pytest.mark.parametrize(
    "wrong", [{"users": 0}, {"start_ms": -1}, {"end_ms": START_MS - 1}], ids=["no users", "negative", "backwards"]
)
def test_a_run_that_cannot_be_is_refused_before_its_first_event(wrong: dict[str, int]) -> None:
    with pytest.raises(SettingsError, match="simulate: expected"):
        simulate(SHOP, **({"seed": 1, "users": 1, "start_ms": START_MS} | wrong))
