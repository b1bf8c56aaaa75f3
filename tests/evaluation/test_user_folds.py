"""Who learns from whom, and what is chosen by it."""

from __future__ import annotations

import numpy as np

from stream.evaluation.user_folds import simplest, some_users, user_folds


def test_no_user_is_on_both_sides_and_everyone_is_judged_once() -> None:
    rng = np.random.default_rng(0)
    user, y = rng.integers(30, size=400), rng.random(400) < 0.2
    folds = user_folds(y, user)
    assert len(folds) == 5
    for learn, judge in folds:
        assert not set(user[learn]) & set(user[judge])
    assert sorted(np.concatenate([judge for _, judge in folds])) == list(range(400))


def test_the_few_who_buy_are_spread_over_the_folds() -> None:
    user = np.repeat(np.arange(100), 3)
    y = user % 20 == 0  # five users
    assert [len(set(user[judge][y[judge]])) for _, judge in user_folds(y, user)] == [1] * 5


def test_with_two_who_buy_there_are_two_folds_and_with_one_there_are_none() -> None:
    user = np.repeat(np.arange(50), 2)
    assert len(user_folds(user < 2, user)) == 2
    assert user_folds(user < 1, user) == []
    assert user_folds(np.zeros(100, bool), user) == []


def test_some_users_come_whole_and_fit() -> None:
    user = np.repeat(np.arange(200), 10)
    some = some_users(user, 555)
    assert some.sum() == 550
    assert set(np.bincount(user[some], minlength=200)) == {0, 10}
    assert some_users(user, 5_000).all()
    assert some_users(user, 3).sum() == 10  # a whole user all the same


def test_of_choices_that_are_as_good_within_their_error_the_simplest_is_taken() -> None:
    hard = np.array([0.9, 0.1, 0.5, 0.3])  # folds differ more than choices do
    noise = np.array([0.02, -0.01, 0.01, -0.015])
    assert simplest(np.array([hard + 0.1, hard + noise, hard])) == 1
    assert simplest(np.array([hard, hard + 0.1, hard + 0.2])) == 0
