"""All sets together: by how much the model is better than each set's best baseline, on average over sets."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

_WIDTH = 2 * 1.96  # standard deviations that a 95 % interval spans


class Difference(NamedTuple):
    """Of ROC-AUC, model less baseline, with 95 % over users."""

    low: float
    mid: float
    high: float


def of_seeds(found: Sequence[Difference]) -> Difference:
    """The mean over seeds. Their rows are the same, so what is drawn again moves all of them alike."""
    return Difference(*(sum(column) / len(found) for column in zip(*found, strict=True)))


def pooled(sets: Mapping[str, Difference]) -> Difference:
    """The mean over sets, whose users have nothing in common: errors add as those of independent means do."""
    mid = sum(each.mid for each in sets.values()) / len(sets)
    error = math.sqrt(sum(((each.high - each.low) / _WIDTH) ** 2 for each in sets.values())) / len(sets)
    return Difference(mid - error * _WIDTH / 2, mid, mid + error * _WIDTH / 2)
