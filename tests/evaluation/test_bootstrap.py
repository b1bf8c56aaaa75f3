"""Intervals over users."""

from __future__ import annotations

import time

import numpy as np
import pytest

from stream.evaluation import bootstrap, metrics
from stream.evaluation.behaviour import Bools, Floats, Ints
from stream.evaluation.bootstrap import Ranking, over_users

USERS = 80


def some_rows(rows: int = 2_000, users: int = USERS, seed: int = 0) -> tuple[Bools, Floats, Ints]:
    rng = np.random.default_rng(seed)
    user = rng.integers(users, size=rows)
    score = rng.normal(size=users)[user] + rng.normal(size=rows)
    p = 1 / (1 + np.exp(-score))
    return rng.random(rows) < p, np.round(p, 2), user  # rounded: many are equal


def interval(y: Bools, p: Floats, user: Ints, users: int = USERS, figure: str = "auc") -> tuple[float, float]:
    samples = over_users([[Ranking.of(y, p, user, 0.5)]], users, resamples=400)
    assert samples is not None
    found = samples[0].interval(0, figure)
    assert found is not None
    return found


def test_a_resample_is_what_the_slow_way_makes_of_the_same_users() -> None:
    y, p, user = some_rows()
    ranking = Ranking.of(y, p, user, 0.5)
    drawn = np.random.default_rng(5).integers(0, 4, (3, USERS)).astype(float)
    fast = ranking.figures(drawn)
    for at in range(3):
        weights = drawn[at][user]
        slow = metrics.figures(metrics.ladder(y, p, weights), 0.5)
        for name in slow.keys() - {"ece"}:  # whose bins are those of the rows as they are, drawn or not
            np.testing.assert_allclose(fast[name][at], slow[name], err_msg=name)


def test_joining_rows_into_fewer_rungs_moves_figures_far_less_than_their_intervals_are_wide() -> None:
    rng = np.random.default_rng(0)
    p = rng.random(30_000)
    y, user = rng.random(30_000) < p, rng.integers(3_000, size=30_000)
    ranking = Ranking.of(y, p, user, 0.37)
    assert len(ranking.p) < 2_100
    joined, exact = ranking.figures(np.ones((1, 3_000))), metrics.figures(metrics.ladder(y, p), 0.37)
    for name, value in exact.items():
        np.testing.assert_allclose(joined[name][0], value, err_msg=name, atol=1e-3)
    np.testing.assert_allclose(joined["precision"][0], exact["precision"])  # the threshold parts no rung


def test_many_rows_of_one_score_have_that_score_so_that_it_reaches_a_threshold_of_the_same() -> None:
    for rows in range(2, 200):
        score = 1 / rows
        y = np.arange(rows) == 0
        ranking = Ranking.of(y, np.full(rows, score), np.arange(rows), score)
        assert ranking.p.tolist() == [score]
        assert ranking.figures(np.ones((1, rows)))["recall"].tolist() == [1.0]


def test_the_interval_holds_the_figure_and_narrows_with_more_users() -> None:
    y, p, user = some_rows()
    auc = float(metrics.roc_auc(metrics.ladder(y, p)))
    low, high = interval(y, p, user)
    assert low < auc < high
    more = some_rows(rows=32_000, users=16 * USERS)
    narrow_low, narrow_high = interval(*more, users=16 * USERS)
    assert narrow_high - narrow_low == pytest.approx((high - low) / 4, rel=0.35)


def test_users_are_drawn_not_rows() -> None:
    """The same rows ten times over are no more knowledge where they are the same users'."""
    y, p, user = some_rows(rows=300)
    once = interval(y, p, user)
    assert interval(np.tile(y, 10), np.tile(p, 10), np.tile(user, 10)) == pytest.approx(once)


def test_a_difference_is_taken_resample_by_resample() -> None:
    y, p, user = some_rows()
    a_little_more = np.clip(p + 0.001 * y, 0, 1)
    rankings = [Ranking.of(y, score, user, 0.5) for score in (a_little_more, p, p)]
    samples = over_users([rankings], USERS, resamples=300)
    assert samples is not None
    low, high = samples[0].interval_of_difference(0, 1, "auc") or (0, 0)
    assert 0 < low < high < 0.01  # while either AUC is known to within .05
    assert samples[0].interval_of_difference(1, 2, "log_loss") == (0, 0)


def test_several_parts_are_drawn_together_and_the_same_seed_draws_the_same() -> None:
    y, p, user = some_rows()
    half = user < USERS / 2
    parts = [[Ranking.of(y, p, user, 0.5)], [Ranking.of(y[half], p[half], user[half], 0.5)]]
    both = over_users(parts, USERS, resamples=50)
    again = over_users(parts[1:], USERS, resamples=50)
    assert both is not None
    assert again is not None
    np.testing.assert_array_equal(both[1].of[0]["auc"], again[0].of[0]["auc"])


def test_of_one_user_there_is_no_interval() -> None:
    y, p, _ = some_rows()
    assert over_users([[Ranking.of(y, p, np.zeros(len(y), np.int64), 0.5)]], 1) is None


def test_a_figure_that_most_resamples_do_not_have_has_no_interval() -> None:
    y, p, user = np.zeros(50, bool), np.full(50, 0.2), np.arange(50)
    samples = over_users([[Ranking.of(y, p, user, 0.5)]], 50, resamples=20)
    assert samples is not None
    assert samples[0].interval(0, "auc") is None
    assert samples[0].interval(0, "brier") is not None


def test_a_hundred_resamples_of_300_000_rows_take_a_second_or_so() -> None:
    y, p, user = some_rows(rows=300_000, users=20_000)
    ranking = Ranking.of(y, p + np.linspace(0, 1e-3, len(p)), user, 0.5)
    began = time.monotonic()
    over_users([[ranking]], 20_000, resamples=100)
    assert time.monotonic() - began < 10  # a tenth of which it takes where nothing else runs
    assert bootstrap.RESAMPLES == 1_000
