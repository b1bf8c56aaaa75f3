from dataclasses import replace

import numpy as np
import pytest

from stream.features import Statistics
from stream.rows import RAW_EVENT
from stream.sequences import Ints
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from stream.training import dataset
from stream.training.runs import Runs
from tests.training.shops import DAY_MS, START_MS, gathered

NORMAL = scenario.honest_and_orderly(scenario.load())

HORIZONS_SECS = (1800, 86400)
SCALE = Statistics(gap_mean=4.0, gap_std=3.0, price_mean=3.0, price_std=1.0)


@pytest.fixture(scope="module")
def week() -> Runs:
    """A week of 200 shoppers, about 4,000 events."""
    end_ms = START_MS + 7 * DAY_MS
    return gathered(simulate(NORMAL, seed=3, users=200, start_ms=START_MS, end_ms=end_ms), end_ms=end_ms).runs


def test_changing_the_future_changes_no_feature_before_it(week: Runs) -> None:
    cut_ms = START_MS + 4 * DAY_MS
    future = week.raw["time_ms"] >= cut_ms
    changed = week.raw.copy()
    changed["action"][future], changed["item"][future], changed["price"][future] = 1, 7, 999.0
    changed["time_ms"][future] += DAY_MS
    one, other = (
        dataset.examples(runs, SCALE, horizons_secs=HORIZONS_SECS) for runs in (week, replace(week, raw=changed))
    )
    assert 0 < future.sum() < len(week.raw)
    for before, after in zip((*one.features, *one.outcome), (*other.features, *other.outcome), strict=True):
        np.testing.assert_array_equal(np.asarray(before)[~future], np.asarray(after)[~future])
    assert (one.features.real[future] != other.features.real[future]).any()


def test_leaving_the_future_out_changes_no_feature_before_it(week: Runs) -> None:
    cut_ms = START_MS + 4 * DAY_MS
    past = week.raw["time_ms"] < cut_ms
    whole, part = (dataset.examples(runs, SCALE, horizons_secs=HORIZONS_SECS) for runs in (week, week.before(cut_ms)))
    for before, after in zip((*whole.features, *whole.outcome), (*part.features, *part.outcome), strict=True):
        np.testing.assert_array_equal(np.asarray(before)[past], after)


def test_statistics_look_at_real_gaps_and_at_real_prices_only() -> None:
    raw = np.zeros(3, RAW_EVENT)
    raw["time_ms"] = [5_000_000, 0, 1000]
    raw["price"] = [np.nan, np.e - 1, np.nan]
    found = dataset.statistics(Runs.plain(raw, np.array([1, 2]), end_ms=0))
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
