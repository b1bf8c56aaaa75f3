"""Nats and strain of one event -> anomaly, with floats: `stream.anomaly` for one event at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from math import expm1, log, log1p

from stream.anomaly import SHARP, TAIL_FROM
from tests.bench.peers.exported import Distribution, NormalTraffic

_SINGLE_LESS = log(7)
_TAIL_RARITY = -log1p(-TAIL_FROM)


def rarity_of(distribution: Distribution) -> Callable[[float], float]:
    """-ln of the share of normal traffic that has more than a number."""
    quantiles = distribution.quantiles
    last, scale, shape = quantiles[-1], distribution.tail_scale, distribution.tail_shape
    share = TAIL_FROM / (len(quantiles) - 1)
    # From each quantile to the next the share rises in a straight line
    slopes = [share / (b - a) if b > a else 0.0 for a, b in pairwise(quantiles)]

    def rarity(number: float) -> float:
        if number > last:
            return log1p(shape * (number - last) / scale) / shape + _TAIL_RARITY
        at = bisect_right(quantiles, number) - 1
        if at < 0:
            return 0.0
        if at == len(slopes):
            return _TAIL_RARITY
        return -log1p(-(at * share + slopes[at] * (number - quantiles[at])))

    return rarity


def anomaly_of(normal: NormalTraffic) -> Callable[[Sequence[float], float], float]:
    """The share of normal traffic that is less strange, from an event's nats and the strain with it."""
    (first, of_first), (second, of_second), (third, of_third) = zip(SHARP, map(rarity_of, normal.parts), strict=True)
    of_sharp, of_strain, of_both = map(rarity_of, (normal.sharp, normal.strain, normal.rarity))

    def anomaly(nats: Sequence[float], strain: float) -> float:
        sharpness = max(of_first(nats[first]), of_second(nats[second]), of_third(nats[third]))
        return -expm1(-of_both(max(of_sharp(sharpness) - _SINGLE_LESS, of_strain(strain))))

    return anomaly
