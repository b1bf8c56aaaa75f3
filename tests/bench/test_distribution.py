"""What is told of latencies."""

from __future__ import annotations

import numpy as np
import pytest

from stream.bench.distribution import STEADY, curve, growth, possible_rate, with_the_largest
from stream.bench.seen import Seen, place


def test_percentiles_and_the_largest() -> None:
    assert with_the_largest(np.arange(1.0, 1002.0)) == {"p50": 501.0, "p99": 991.0, "p999": 1000.0, "max": 1001.0}


def test_the_curve_goes_from_the_least_to_the_largest_by_one_in_so_many() -> None:
    latency_ms = np.random.default_rng(0).permutation(np.arange(1.0, 10_001.0))

    points = curve(latency_ms)

    assert points[0] == (1.0, 1.0)
    assert points[-1] == (10_000.0, 10_000.0)
    assert points == sorted(points)
    assert len(points) == 41
    at = dict(points)
    assert at[100.0] == pytest.approx(9_900, abs=1)
    assert at[1_000.0] == pytest.approx(9_990, abs=1)


def test_a_single_latency_has_a_curve() -> None:
    assert curve(np.array([5.0])) == [(1.0, 5.0), (1.0, 5.0)]


@pytest.mark.parametrize(("came", "done"), [(1_000.0, 500.0), (1_000.0, 900.0), (50_000.0, 40_000.0)])
def test_a_queue_that_only_grows_tells_how_much_could_be_done(came: float, done: float) -> None:
    due = np.arange(0, 10, 1 / came)
    latency = 0.02 + np.arange(len(due)) / done - due

    grew = growth(due, latency)

    assert grew > STEADY
    assert possible_rate(came, grew) == pytest.approx(done, rel=0.01)


def test_latency_that_only_varies_is_no_queue() -> None:
    due = np.arange(0, 10, 0.001)
    latency = np.random.default_rng(0).exponential(0.05, len(due))

    assert abs(growth(due, latency)) < STEADY / 5
    assert possible_rate(1_000.0, -0.01) == 1_000.0
    assert growth(np.zeros(3), np.ones(3)) == 0.0


def test_the_first_score_of_an_event_counts_and_one_without_is_told_from_it() -> None:
    score = b'{"id":"clicks-of-a-run-3-2-bc8e3bed6865","anomaly":0.5}'
    seen = Seen()
    seen.note(score, 700)
    seen.note(score, 900)

    assert place(score) == ("clicks-of-a-run", 3, 2)
    times = seen.at("clicks-of-a-run", 3, np.array([0, 2, 5]))
    assert np.isnan(times).tolist() == [True, False, True]
    assert times[1] == 700
    assert np.isnan(seen.at("searches", 0, np.array([0]))).all()
