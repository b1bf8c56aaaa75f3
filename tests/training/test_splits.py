import numpy as np
import pytest

from stream.training import splits
from tests.training.shops import DAY_MS, START_MS, runs_of

USERS = np.random.default_rng(0).integers(0, 2**64, 20_000, dtype=np.uint64)


def test_a_users_fold_depends_on_the_user_alone() -> None:
    found = splits.folds(USERS, 5)
    assert splits.folds(USERS[::-1], 5).tolist() == found[::-1].tolist()
    assert splits.folds(USERS[:7], 5).tolist() == found[:7].tolist()
    assert splits.folds(USERS, 5, seed=1).tolist() != found.tolist()


def test_folds_are_of_about_one_size_even_where_hashes_are_small_numbers() -> None:
    for users in (USERS, np.arange(20_000, dtype=np.uint64)):
        assert np.bincount(splits.folds(users, 4)) == pytest.approx([5_000] * 4, rel=0.06)


def test_the_share_of_those_held_out_is_that_asked_for_in_every_fold() -> None:
    held, fold = splits.held_out(USERS, 0.2), splits.folds(USERS, 4)
    for number in range(4):
        assert held[fold == number].mean() == pytest.approx(0.2, abs=0.03)


def test_a_larger_share_holds_out_whom_a_smaller_one_does() -> None:
    assert (splits.held_out(USERS, 0.3) >= splits.held_out(USERS, 0.1)).all()


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, float("nan")])
def test_a_share_that_holds_out_nobody_or_everybody_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="expected a share between 0 and 1"):
        splits.held_out(USERS, share)


def test_one_fold_is_none() -> None:
    with pytest.raises(ValueError, match="expected 2 folds or more, got 1"):
        splits.folds(USERS, 1)


def test_before_and_since_part_all_events() -> None:
    runs = runs_of([("ann", "view_item", 0), ("bob", "view_item", DAY_MS), ("ann", "view_cart", DAY_MS - 1)])
    chosen = splits.since(runs, START_MS + DAY_MS)
    assert chosen.sum() == 1
    assert len(runs.before(START_MS + DAY_MS)) == 2
    assert runs.before(START_MS + DAY_MS).end_ms.tolist() == [START_MS + DAY_MS]


def test_folds_that_are_held_out_by_name_are_no_folds_of_any_seed() -> None:
    user = np.random.default_rng(1).integers(0, 1 << 63, 4_000).astype(np.uint64)
    left = splits.folds(user, 4) != 0
    for seed in range(5):
        within = np.bincount(splits.folds(user[left], 4, seed=seed), minlength=4)
        assert within.min() > 600, seed
