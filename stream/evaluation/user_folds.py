"""Cross-validation whose folds part users, never the rows of one: a user who is judged is new to the model. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.evaluation.behaviour import Bools, Floats, Ints

FOLDS = 5
# Of whole users: hyper-parameters are chosen on as many. More take minutes, and choose the same.
ROWS_TO_CHOOSE = 40_000
Fold = tuple[Ints, Ints]  # rows to learn from, rows to judge by


def user_folds(y: Bools, user: Ints, folds: int = FOLDS, seed: int = 1) -> Sequence[Fold]:
    """Folds of N rows by user, users with a purchase to come spread evenly; fewer where there are few such users.

    None at all where no fold could have both outcomes on both sides.
    """
    users, place = np.unique(user, return_inverse=True)
    buyer = np.zeros(len(users), bool)
    buyer[place[y]] = True
    other = np.zeros(len(users), bool)
    other[place[~y]] = True
    folds = min(folds, int(buyer.sum()), int(other.sum()))
    if folds < 2:
        return []
    order = np.random.default_rng(seed).permutation(len(users))
    order = order[np.argsort(~buyer[order], kind="stable")]  # those who buy first, then dealt out like cards
    fold = np.empty(len(users), np.int64)
    fold[order] = np.arange(len(users)) % folds
    parted = [(np.flatnonzero(fold[place] != k), np.flatnonzero(fold[place] == k)) for k in range(folds)]
    return [(learn, judge) for learn, judge in parted if 0 < y[learn].sum() < len(learn)]


def some_users(user: Ints, rows: int, seed: int = 1) -> Bools:
    """[N] the rows of users drawn by chance, as many as fit into `rows`, and always one."""
    users, place = np.unique(user, return_inverse=True)
    if len(user) <= rows:
        return np.ones(len(user), bool)
    count = np.bincount(place)
    order = np.random.default_rng(seed).permutation(len(users))
    drawn = np.zeros(len(users), bool)
    drawn[order[: max(1, int(np.searchsorted(np.cumsum(count[order]), rows, "right")))]] = True
    return drawn[place]


def simplest(losses: Floats) -> int:
    """Of C choices, simplest first, with losses [C, folds]: the first that is as good as the best within its error.

    The one-standard-error rule of Breiman et al. (1984): what chance chose among equals is mostly too rich.
    """
    best = int(losses.mean(axis=1).argmin())
    excess = losses - losses[best]  # fold by fold, so that what makes a fold hard drops out
    error = excess.std(axis=1, ddof=1) / np.sqrt(losses.shape[1])
    return int(np.flatnonzero(excess.mean(axis=1) <= error)[0])
