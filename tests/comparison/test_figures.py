"""Figures of streams whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.comparison import distributions, figures, profiles
from stream.comparison.behaviour import read
from stream.comparison.figures import ks_distance
from stream.evaluation.behaviour import Behaviour
from stream.events import ACTIONS
from tests.comparison.streams import event

VIEW, CART, PURCHASE = (ACTIONS.index(name) for name in ("view_item", "add_to_cart", "purchase"))


@pytest.fixture
def small() -> Behaviour:
    """Ann looks at x, y, x, buys x, and comes back a day later; Bob looks at one thing."""
    return read(
        [
            event("ann", 0, item="x", session_id="1"),
            event("ann", 10, item="y", session_id="1"),
            event("ann", 40, item="x", session_id="1"),
            event("ann", 100, "purchase", "x", session_id="1"),
            event("ann", 86_400, "search", session_id="2"),
            event("ann", 86_430, item="z", session_id="2"),
            event("bob", 3600, item="x", session_id="1"),
        ]
    ).behaviour


def test_counts_and_gaps(small: Behaviour) -> None:
    assert distributions.events_per_user(small).tolist() == [6, 1]
    assert distributions.gaps_secs(small).tolist() == [10, 30, 60, 86_300, 30]
    assert distributions.sessions_per_user(small).tolist() == [2, 1]
    assert distributions.events_per_session(small).tolist() == [4, 2, 1]
    assert distributions.session_gaps_secs(small).tolist() == [10, 30, 60, 30]
    assert distributions.session_secs(small).tolist() == [100, 30, 0]


def test_repeats(small: Behaviour) -> None:
    assert distributions.repeat_rates(small).tolist() == [2 / 4]  # of y, x, x, z; Bob has nothing to repeat
    assert distributions.same_item_rates(small).tolist() == [1 / 4]
    assert profiles.repeat_rate(small) == 2 / 4


def test_sessions_that_overlap_are_kept_apart() -> None:
    of = read([event("a", secs, session_id="odd" if secs % 2 else "even") for secs in range(6)]).behaviour
    assert distributions.events_per_session(of).tolist() == [3, 3]
    assert distributions.session_gaps_secs(of).tolist() == [2, 2, 2, 2]


def test_popularity_of_three_one_one() -> None:
    of = read([event("a", secs, item=item) for secs, item in enumerate("xxxyz")]).behaviour
    assert profiles.top_share(of) == 3 / 5
    assert profiles.popularity(of).tolist() == pytest.approx([0.6, 0.8, 1.0])
    # Mean difference of all pairs (0, 2, 2; 2, 0, 0; 2, 0, 0) over twice the mean
    assert profiles.gini(of) == pytest.approx((8 / 9) / (2 * 5 / 3))


def test_the_slope_of_zipfs_law_is_minus_one() -> None:
    items = [f"item-{rank}" for rank in range(1, 30) for _ in range(round(10_000 / rank))]
    of = read([event("a", secs, item=item) for secs, item in enumerate(items)]).behaviour
    assert profiles.zipf_slope(of) == pytest.approx(-1, abs=0.01)


def test_hours_and_weekdays_are_local(small: Behaviour) -> None:
    assert profiles.hour_profile(small)[[0, 1]].tolist() == pytest.approx([6 / 7, 1 / 7])
    assert profiles.weekday_profile(small)[[3, 4]].tolist() == pytest.approx([5 / 7, 2 / 7])  # Thursday, Friday
    an_hour_west = -3_600_000
    assert profiles.hour_profile(small, an_hour_west)[[23, 0]].tolist() == pytest.approx([6 / 7, 1 / 7])
    assert profiles.weekday_profile(small, an_hour_west)[[2, 3]].tolist() == pytest.approx([4 / 7, 3 / 7])


def test_how_far_sessions_and_users_get(small: Behaviour) -> None:
    assert profiles.session_reach(small)[[VIEW, PURCHASE]].tolist() == pytest.approx([1, 1 / 3])
    assert profiles.user_reach(small)[[VIEW, PURCHASE]].tolist() == [1, 1 / 2]
    assert profiles.conversion(small, "view_item", "purchase") == 1 / 2
    assert profiles.conversion(small, "purchase", "search") == 1
    assert profiles.conversion(small, "search", "purchase") == 0  # it was bought before
    assert np.isnan(profiles.conversion(small, "add_to_cart", "purchase"))


def test_transitions_are_those_of_one_user(small: Behaviour) -> None:
    counts = profiles.transition_counts(small)
    assert counts.sum() == len(small) - small.users
    assert counts[VIEW, VIEW] == 2
    assert profiles.transitions(small)[VIEW, [VIEW, PURCHASE]].tolist() == pytest.approx([2 / 3, 1 / 3])


def test_names_that_alternate_tell_each_other_all_and_constant_names_nothing() -> None:
    alternating = read([event("a", k, ("view_item", "search")[k % 2]) for k in range(201)]).behaviour
    assert profiles.name_information_nats(alternating) == pytest.approx(np.log(2))
    constant = read([event("a", k) for k in range(10)]).behaviour
    assert profiles.name_information_nats(constant) == 0


def test_gaps_that_alternate_are_anticorrelated_at_odd_lags_only() -> None:
    times = np.cumsum([1, 100] * 20)
    found = profiles.autocorrelation(read([event("a", float(at)) for at in times]).behaviour)
    assert found.tolist() == pytest.approx([-1, 1] * 5)


def test_an_autocorrelation_joins_no_two_users() -> None:
    events = [event(user, float(secs)) for user in "abcdefgh" for secs in (0, 1 + ord(user), 500)]
    found = profiles.autocorrelation(read(events).behaviour)
    assert not np.isnan(found[0])
    assert np.isnan(found[1:]).all()  # each user has two gaps


def test_a_burst_is_three_events_close_together_and_its_wait_ends_with_the_next() -> None:
    times = (0, 60, 120, 500, 1000, 1010, 1020)  # the one at 500 is no burst
    of = read([event("a", secs) for secs in times] + [event("b", secs) for secs in (1, 2, 3)]).behaviour
    assert distributions.burst_waits_secs(of).tolist() == [880]
    assert profiles.burst_share(of) == 6 / 8


def test_regular_gaps_are_the_least_bursty() -> None:
    assert profiles.burstiness(read([event("a", 10.0 * k) for k in range(9)]).behaviour) == -1


def test_a_stream_with_nothing_in_it_can_be_measured() -> None:
    found = figures.measure(read([]).behaviour)
    assert all(len(samples) == 0 for samples in found.samples.values())
    assert all(np.isnan(rate) for rate in found.rates.values())


samples = st.lists(st.integers(0, 6) | st.floats(0, 6), min_size=1, max_size=40)


@given(samples, samples)
def test_the_distance_is_scipys(a: list[float], b: list[float]) -> None:
    stats = pytest.importorskip("scipy.stats")
    ours = ks_distance(np.array(a, float), np.array(b, float))
    with np.errstate(divide="ignore"):  # in its p-value of the smallest samples
        theirs = stats.ks_2samp(a, b, method="asymp").statistic
    assert ours == pytest.approx(theirs)


def test_the_distance_of_nothing_is_unknown() -> None:
    assert np.isnan(ks_distance(np.empty(0), np.ones(3)))
