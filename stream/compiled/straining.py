"""A user's strain, event by event: what `anomaly.strained` gives, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.anomaly import (
    EVEN,
    EVEN_WEIGHT,
    KEPT,
    PRIOR,
    STRAIN_WEIGHTS,
    USUAL,
    NormalTraffic,
    Strained,
)
from stream.compiled.compiling import compiled
from stream.features import RHYTHM
from stream.sequences import Packing

_KEPT, _KEPT_SQUARED, _PRIOR = np.float32(KEPT), np.float32(KEPT**2), np.float32(PRIOR)
_ONE = np.float32(1)


def strained(nats: NDArray[np.float32], packing: Packing, memory: NDArray[np.void], normal: NormalTraffic) -> Strained:
    """As `anomaly.strained`."""
    after, strain = memory.copy(), np.empty(len(nats))
    _strained(nats, packing.user, USUAL * np.asarray(normal.part_means), after, strain)
    return Strained(strain, after)


@compiled
def _strained(nats: Any, user: Any, usual: Any, after: Any, strain: Any) -> None:
    for i in range(len(nats)):
        beyond = 0.0
        for part in range(nats.shape[1]):
            beyond += STRAIN_WEIGHTS[part] * (np.float64(nats[i, part]) - usual[part])
        even = np.float32(max(nats[i, RHYTHM] - np.float32(EVEN), np.float32(0)))
        more = np.float32(beyond + np.float64(np.float32(EVEN_WEIGHT) * even))
        moved = after[user[i]]
        total = _KEPT * moved.strain + more
        weight = _KEPT_SQUARED * moved.strain_weight + _ONE
        moved.strain, moved.strain_weight = total, weight
        strain[i] = np.float64(total / np.sqrt(weight + _PRIOR))
