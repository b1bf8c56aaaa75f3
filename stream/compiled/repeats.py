"""Events that may have come before: by the hashes of their ids, beside those of their user's last ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.compiled.compiling import compiled
from stream.sequences import Packing


def suspects(held: NDArray[np.uint64], hashes: NDArray[np.uint64], packing: Packing) -> NDArray[np.bool_]:
    """[N] arrival order, whether one of the user's last R events, here or in the rows [S, R], has the same hash."""
    found = np.zeros(len(hashes), np.bool_)
    starts = np.cumsum(packing.batch_sizes) - packing.batch_sizes
    _suspects(held, hashes, packing.users, starts, packing.arrival, packing.user, packing.rank, found)
    return found


@compiled
def _suspects(held: Any, hashes: Any, users: Any, starts: Any, arrival: Any, user: Any, rank: Any, found: Any) -> None:
    last = held.shape[1]
    for i in range(len(arrival)):
        u, r = user[i], rank[i]
        mine = hashes[arrival[i]]
        of_user = held[users[u]]
        seen = False
        for k in range(last):
            seen = seen or of_user[k] == mine
        for k in range(1, min(r, last) + 1):
            seen = seen or hashes[arrival[starts[r - k] + u]] == mine
        found[arrival[i]] = seen
