"""What is usual in the training part, and what it says nothing of, learned block by block."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from stream import sequences
from stream.features import Statistics
from stream.training.runs import Runs


class _Moments:
    """Mean and standard deviation of what is added, by Chan, Golub and LeVeque (1983)."""

    def __init__(self) -> None:
        self.n, self.mean, self.squares = 0, 0.0, 0.0

    def add(self, values: NDArray[np.float64]) -> None:
        if not len(values):
            return
        mean, n = float(values.mean()), len(values)
        away = mean - self.mean
        self.squares += float(((values - mean) ** 2).sum()) + away * away * self.n * n / (self.n + n)
        self.n += n
        self.mean += away * n / self.n

    def told(self) -> tuple[float, float]:
        """(mean, standard deviation), (0, 1) where nothing differs: a feature that never changes is left as it is."""
        spread = math.sqrt(self.squares / self.n) if self.n else 0.0
        return (round(self.mean, 6), round(spread, 6)) if spread > 1e-6 else (round(self.mean, 6), 1.0)


def learn(of: Runs) -> Statistics:
    """Of the log gap over events that have a predecessor, of the log price over priced ones."""
    gap, price = _Moments(), _Moments()
    for _, block in of.blocks():
        packing = sequences.pack(block.owner)
        time_ms = block.raw["time_ms"][packing.arrival]
        high_ms = sequences.running_max(time_ms, packing, np.full(len(packing.users), -1, np.int64))
        gap.add(np.log1p(np.maximum(time_ms - high_ms, 0)[packing.rank > 0] / 1000.0))
        prices = block.raw["price"].astype(np.float64)
        price.add(np.log1p(prices[~np.isnan(prices)]))
    return Statistics(*gap.told(), *price.told())


# What an event may leave out. A price that is not there is 0 standard deviations from the mean, beside a bit that says
# so; of the others 0 stands for none, which is never the same as another none, and never new to a user.
MAY_BE_MISSING = ("item", "category", "price", "device", "country", "place")


def missing(of: Runs) -> dict[str, float]:
    """The share of the events without each, for the model's card."""
    counts = dict.fromkeys(MAY_BE_MISSING, 0)
    for _, block in of.blocks():
        for name in MAY_BE_MISSING:
            column = block.raw[name]
            counts[name] += int(np.count_nonzero(np.isnan(column) if name == "price" else column == 0))
    return {name: round(count / max(1, len(of)), 4) for name, count in counts.items()}
