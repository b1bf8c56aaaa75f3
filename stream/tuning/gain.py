"""What the search has gained: the best trial less the default, by a paired bootstrap over the users held out."""

from __future__ import annotations

import msgspec
import numpy as np

from stream.tuning.judging import Doubles

_DRAWS, _SEED = 1000, 1
_CELLS = 1 << 21  # weights that are held at once: 16 MB


class Gain(msgspec.Struct, frozen=True):
    """Difference of the objective, in nats; below 0 the best is better. 95 % interval over users."""

    low: float
    mid: float
    high: float


def gain(default: Doubles, best: Doubles, rows: Doubles) -> Gain | None:
    """Of two trials' losses [U, C] on the same rows [U, C], by `judging.user_losses`; None where there is no row.

    The best was chosen as such on these very users: on others it will gain less.
    """
    users = len(rows)
    less = best - default
    if not rows.sum():
        return None
    rng = np.random.default_rng(_SEED)
    step = max(1, _CELLS // users)
    drawn = [
        _mean(weights @ less, weights @ rows)
        for weights in (
            rng.multinomial(users, np.full(users, 1 / users), size=min(step, _DRAWS - start)).astype(np.float64)
            for start in range(0, _DRAWS, step)
        )
    ]
    low, high = np.percentile(np.concatenate(drawn), [2.5, 97.5])
    (mid,) = _mean(less.sum(axis=0)[None], rows.sum(axis=0)[None])
    return Gain(float(low), float(mid), float(high))


def _mean(nats: Doubles, rows: Doubles) -> Doubles:
    """[B] the mean over columns of the mean over rows, of sums [B, C]."""
    some = rows > 0
    each = np.where(some, nats / np.maximum(rows, 1), 0.0)
    return np.asarray(each.sum(axis=1) / np.maximum(some.sum(axis=1), 1))
