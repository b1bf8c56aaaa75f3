"""Who and what is held out: users by their hash, so that it depends neither on their order nor on who else is there.

In time, `Runs.before` is what may be trained on; what is scored is `since` in the whole runs, with its past.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.sequences import Ints
from stream.training.runs import Bools, Hashes, Runs

_SHARES = 1 << 32


_BY_NAME = -1  # no recipe has this seed: folds within what is left of others would be lopsided, or empty


def folds(user: Hashes, k: int, *, seed: int = _BY_NAME) -> Ints:
    """[U] the fold of each user, 0 to k - 1; without a seed, those that `--hold-out` names."""
    if k < 2:
        raise ValueError(f"expected 2 folds or more, got {k}")
    return (_drawn(user, seed) % np.uint64(k)).astype(np.int64)


def held_out(user: Hashes, share: float, *, seed: int = 0) -> Bools:
    """[U] whether the user is one of about that share who are held out, in every fold alike."""
    if not 0 < share < 1:
        raise ValueError(f"expected a share between 0 and 1, got {share}")
    return _drawn(user, seed) < np.uint64(share * _SHARES)


def since(of: Runs, time_ms: int) -> Bools:
    """[N] the events from that time on."""
    chosen = np.empty(len(of), np.bool_)
    for where, block in of.blocks():
        chosen[where] = block.raw["time_ms"] >= time_ms
    return chosen


def _drawn(user: Hashes, seed: int) -> NDArray[np.uint64]:
    """[U] 32 bits drawn for each, by splitmix64's finaliser (https://prng.di.unimi.it/splitmix64.c)."""
    x = user + np.uint64((seed + 1) * 0x9E37_79B9_7F4A_7C15 % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58_476D_1CE4_E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D0_49BB_1331_11EB)
    return (x ^ (x >> np.uint64(31))) >> np.uint64(32)
