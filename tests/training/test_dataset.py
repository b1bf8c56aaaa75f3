from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import orjson
import pytest

from stream.events import ACTIONS, CLICK_NAMES, SEARCH_NAMES
from stream.features import Statistics
from stream.rows import RAW_EVENT
from stream.sequences import Ints
from stream.shop_event import Role, ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from stream.training import dataset
from stream.training.dataset import Labels, Runs

NORMAL = scenario.honest_and_orderly(scenario.load())

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
HORIZONS_SECS = (1800, 86400)
HALF_HOUR, DAY = range(len(HORIZONS_SECS))
SCALE = Statistics(gap_mean=4.0, gap_std=3.0, price_mean=3.0, price_std=1.0)


def shop_event(user: str, name: str, time_ms: int) -> ShopEvent:
    topic: Role = "clicks" if name in CLICK_NAMES else "searches" if name in SEARCH_NAMES else "purchases"
    event = {"user_id": user, "event_id": f"{user}-{name}-{time_ms}", "event_name": name, "event_time": time_ms}
    return ShopEvent(topic, user.encode(), orjson.dumps(event), time_ms)


def labels_of(events: Sequence[tuple[str, str, int]], *, end: int = 10 * DAY_MS) -> Labels:
    """Labels of (user, name, ms after the start), given by user and time."""
    runs = dataset.runs(shop_event(user, name, START_MS + after) for user, name, after in events)
    return dataset.labels(runs, HORIZONS_SECS, START_MS + end)


@pytest.fixture(scope="module")
def week() -> Runs:
    """A week of 200 shoppers, about 4,000 events."""
    return dataset.runs(simulate(NORMAL, seed=3, users=200, start_ms=START_MS, end_ms=START_MS + 7 * DAY_MS))


def test_a_purchase_within_the_horizon_is_a_yes_and_a_millisecond_beyond_it_is_none() -> None:
    at = 1_000
    exactly = labels_of([("ann", "view_item", at), ("ann", "purchase", at + HOUR_MS // 2)])
    beyond = labels_of([("ann", "view_item", at), ("ann", "purchase", at + HOUR_MS // 2 + 1)])
    assert exactly.bought[0].tolist() == [True, True]
    assert beyond.bought[0].tolist() == [False, True]


def test_a_purchase_at_the_very_time_of_an_event_is_not_to_come_for_it() -> None:
    found = labels_of([("ann", "view_item", 5), ("ann", "purchase", 5)])
    assert not found.bought.any()
    assert found.known.all()


def test_a_purchase_says_nothing_of_itself_but_of_those_before_it() -> None:
    found = labels_of([("ann", "purchase", 0), ("ann", "purchase", HOUR_MS), ("ann", "view_cart", 2 * HOUR_MS)])
    assert found.bought[:, DAY].tolist() == [True, False, False]


def test_neither_another_users_purchase_nor_a_refund_is_a_yes() -> None:
    found = labels_of(
        [
            ("ann", "view_item", 0),
            ("ann", "refund", 2),
            ("bob", "purchase", 1),
            ("cid", "view_item", 0),
            ("cid", "purchase", 9 * DAY_MS),
        ]
    )
    assert not found.bought.any()


def test_labels_are_those_of_a_plain_loop_over_each_users_future(week: Runs) -> None:
    found = dataset.labels(week, HORIZONS_SECS, START_MS + 7 * DAY_MS)
    expected: list[list[bool]] = []
    for start, count in zip(np.cumsum(week.counts) - week.counts, week.counts, strict=True):
        times = week.raw["time_ms"][start : start + count].tolist()
        actions = week.raw["action"][start : start + count].tolist()
        bought_ms = [time for time, action in zip(times, actions, strict=True) if ACTIONS[action] == "purchase"]
        expected += [[any(t < b <= t + 1000 * h for b in bought_ms) for h in HORIZONS_SECS] for t in times]
    assert found.bought.any(axis=0).all()
    assert found.bought.tolist() == expected


def test_an_event_whose_horizon_runs_past_the_end_is_masked_and_not_counted_as_no() -> None:
    found = labels_of([("ann", "view_item", 0), ("ann", "view_cart", HOUR_MS)], end=HOUR_MS // 2 + 1)
    assert found.known[0].tolist() == [True, False]
    assert found.known[1].tolist() == [False, False]


def test_a_horizon_that_is_cut_off_stays_masked_where_a_purchase_was_seen_early() -> None:
    found = labels_of([("ann", "view_item", 0), ("ann", "purchase", 1)], end=DAY_MS)
    assert found.bought[0, DAY]
    assert not found.known[0, DAY]


def test_changing_the_future_changes_no_feature_before_it(week: Runs) -> None:
    cut_ms = START_MS + 4 * DAY_MS
    future = week.raw["time_ms"] >= cut_ms
    changed = week.raw.copy()
    changed["action"][future], changed["item"][future], changed["price"][future] = 1, 7, 999.0
    changed["time_ms"][future] += DAY_MS
    one, other = (
        dataset.examples(runs, SCALE, horizons_secs=HORIZONS_SECS, end_ms=START_MS + 9 * DAY_MS)
        for runs in (week, replace(week, raw=changed))
    )
    assert 0 < future.sum() < len(week.raw)
    for before, after in zip((*one.features, *one.outcome), (*other.features, *other.outcome), strict=True):
        np.testing.assert_array_equal(np.asarray(before)[~future], np.asarray(after)[~future])
    assert (one.features.real[future] != other.features.real[future]).any()


def test_leaving_the_future_out_changes_no_feature_before_it(week: Runs) -> None:
    past = week.raw["time_ms"] < START_MS + 4 * DAY_MS
    counts = np.bincount(week.user[past], minlength=len(week.counts))
    short = Runs(week.raw[past], counts[counts > 0])
    whole, part = (
        dataset.examples(runs, SCALE, horizons_secs=HORIZONS_SECS, end_ms=START_MS + 7 * DAY_MS)
        for runs in (week, short)
    )
    for before, after in zip((*whole.features, *whole.outcome), (*part.features, *part.outcome), strict=True):
        np.testing.assert_array_equal(np.asarray(before)[past], after)


def test_a_users_events_of_three_topics_come_in_one_order_of_time(week: Runs) -> None:
    assert set(np.unique(week.raw["action"])) >= {ACTIONS.index(n) for n in ("view_item", "search", "purchase")}
    for times in np.split(week.raw["time_ms"], np.cumsum(week.counts)[:-1]):
        assert all(one <= later for one, later in pairwise(times.tolist()))


def test_an_event_that_serving_would_refuse_is_not_learned_from() -> None:
    with pytest.raises(ValueError, match="clicks@0: expected one of view_item_list"):
        dataset.runs([ShopEvent("clicks", b"ann", shop_event("ann", "tap", 0).value, 0)])


def test_statistics_look_at_real_gaps_and_at_real_prices_only() -> None:
    raw = np.zeros(3, RAW_EVENT)
    raw["time_ms"] = [5_000_000, 0, 1000]
    raw["price"] = [np.nan, np.e - 1, np.nan]
    found = dataset.statistics(Runs(raw, np.array([1, 2])))
    assert found == pytest.approx((np.log(2), 0.0, 1.0, 0.0), abs=1e-6)


def test_chunks_hold_every_event_once_and_each_users_in_order_in_one_lane() -> None:
    counts = np.array([5, 1, 17, 3, 2, 40, 1])
    user = np.repeat(np.arange(len(counts)), counts)
    order = np.random.default_rng(0).permutation(len(counts))
    place: dict[int, int] = {}  # user -> place in the examples of the event that comes next
    owner: dict[int, int] = {}  # lane -> user
    start = np.cumsum(counts) - counts
    for packing, events, fresh in dataset.chunks(counts, order, lanes=3, steps=4):
        for lane in fresh.tolist():
            owner.pop(lane, None)
        lanes: Ints = packing.users[packing.user]
        assert packing.batch_sizes.size <= 4
        for lane, event in zip(lanes.tolist(), events.tolist(), strict=True):
            who = int(user[event])
            assert owner.setdefault(lane, who) == who
            assert event == place.get(who, start[who])
            place[who] = event + 1
    assert place == dict(enumerate((start + counts).tolist()))
