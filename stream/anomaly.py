"""Nats of surprise -> anomaly in [0, 1]: how much of normal traffic is less strange. A high score is strange.

Two things are strange: one event that hardly ever comes after such a past, and many of which each is somewhat unusual.

    sharp    how rare in normal traffic the rarest part of the event itself is: what is done, at what price, from where
    strain   a running sum of nats above what is usual in normal traffic, each counting 2 % less with every event that
             follows, divided by the standard deviation that such a sum of independent terms of one size would have

Gaps, items and categories surprise so much in normal traffic that they drown the rest: all parts are published, but
these are neither sharp nor strain. A rhythm strains where it is too even, by the nats beyond EVEN.

Below the tail a distribution is what was measured on normal traffic; above it, a generalised Pareto tail (Pickands
1975; Balkema and de Haan 1974), so that strange and stranger stay apart where normal traffic has nothing to say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream import sequences
from stream.features import ACTION, CONTEXT, PARTS, PRICE, RHYTHM
from stream.rows import MEMORY
from stream.sequences import Ints, Packing

Doubles = NDArray[np.float64]
# As `np.interp`
Interp = Callable[[Doubles, Doubles, Doubles], Doubles]

# Where the tail begins: 1 % of the validation events are enough to fit two numbers to.
TAIL_FROM = 0.99
LEAST_EVENTS = 20  # of which anything can be told
SOME_EVENTS = 1_000  # from which on a share of 1 % is more than a guess
_ALIKE = 1.0  # the mean excess, in nats, where normal events are so much alike that nothing is above it
# A lower shape would reach 1 - 1e-16, the last number below 1, within the range of nats that softmax heads can give.
_SHAPE_LEAST = 0.2

SHARP = (ACTION, PRICE, CONTEXT)
STRAIN_WEIGHTS = np.zeros(len(PARTS))
STRAIN_WEIGHTS[[ACTION, PRICE, CONTEXT]] = 1.0, 0.5, 0.5
KEPT = 0.98  # of the strain, with every event
# Times the mean, above which nats strain: so that normal traffic, on the whole, relaxes. At 0.5 % false alarms a
# shopper-day 74 % of simulated fraudsters are found with it, 70 % without.
USUAL = 1.1
PRIOR = 1.0  # events' worth of nothing unusual that everybody begins with
EVEN = 4.0  # nats of a rhythm, below which it strains nothing
EVEN_WEIGHT = 0.5
# -ln of how much rarer one event must be than a strain to count as much: alone it says little of fraud. Of simulated
# fraudsters 70 % are found with 10, 67 % with 5; an impossible purchase is among the rarest 0.7 % of events, or 0.35 %.
_SINGLE_LESS = math.log(7)


class Distribution(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of a number over normal traffic, as a model's card holds it."""

    quantiles: tuple[float, ...]  # of evenly spaced probabilities from 0 to TAIL_FROM
    tail_scale: float
    tail_shape: float

    def __post_init__(self) -> None:
        if len(self.quantiles) < 2 or not all(np.diff(self.quantiles) >= 0):  # False for NaN
            raise ValueError("expected at least 2 quantiles in ascending order")
        if not (self.tail_scale > 0 and self.tail_shape > 0):
            raise ValueError(f"expected tail scale and shape above 0, got {self.tail_scale} and {self.tail_shape}")

    def below(self, number: Doubles, interp: Interp = np.interp) -> Doubles:
        """[N] the share of normal traffic that has less; strictly rising in the tail."""
        return -np.expm1(-self.rarity(number, interp))

    def rarity(self, number: Doubles, interp: Interp = np.interp) -> Doubles:
        """[N] -ln of the share that has more: it goes on rising where that share is nothing beside 1."""
        quantiles, shares = _ladder(self.quantiles)
        body = interp(number, quantiles, shares)
        excess = np.maximum(number - quantiles[-1], 0.0) / self.tail_scale
        beyond = np.log1p(self.tail_shape * excess) / self.tail_shape - math.log1p(-TAIL_FROM)
        return np.asarray(np.where(excess > 0, beyond, -np.log1p(-body)))


@lru_cache
def _ladder(quantiles: tuple[float, ...]) -> tuple[Doubles, Doubles]:
    """Kept, since a micro-batch needs those of all distributions, and to make them takes longer than to use them."""
    return np.asarray(quantiles), np.linspace(0.0, TAIL_FROM, len(quantiles))


class NormalTraffic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is usual in normal traffic, as a model's card holds it."""

    part_means: tuple[float, ...]  # nats of each of PARTS
    parts: tuple[Distribution, ...]  # of the nats of each of SHARP
    sharp: Distribution  # of the rarity of the rarest of them
    strain: Distribution
    rarity: Distribution  # of the rarer of both

    def __post_init__(self) -> None:
        if len(self.part_means) != len(PARTS) or not all(mean >= 0 for mean in self.part_means):
            raise ValueError(f"expected {len(PARTS)} means of 0 or more, got {self.part_means}")
        if len(self.parts) != len(SHARP):
            raise ValueError(f"expected {len(SHARP)} distributions of parts, got {len(self.parts)}")

    def sharpness(self, nats: NDArray[np.float32], interp: Interp = np.interp) -> Doubles:
        """[N] the rarity of the rarest part of each event, from its nats [N, len(PARTS)]."""
        return _rarest(nats, self.parts, interp)

    def anomaly(self, nats: NDArray[np.float32], strain: Doubles, interp: Interp = np.interp) -> Doubles:
        """[N] in [0, 1], from the nats [N, len(PARTS)] of each event and the strain with it."""
        sharp = self.sharp.rarity(self.sharpness(nats, interp), interp)
        return self.rarity.below(_rarer(sharp, self.strain.rarity(strain, interp)), interp)


class Strained(NamedTuple):
    """The strain of N packed events, and what U users' memory holds after them."""

    strain: Doubles  # [N]
    memory: NDArray[np.void]  # [U] of MEMORY


# As `strained`
StrainedBy = Callable[[NDArray[np.float32], Packing, NDArray[np.void], NormalTraffic], Strained]


def strained(nats: NDArray[np.float32], packing: Packing, memory: NDArray[np.void], normal: NormalTraffic) -> Strained:
    """N events' nats [N, len(PARTS)] in packed order, after what the memory of U users [U] holds."""
    return _strained(nats, packing, memory, np.asarray(normal.part_means))


def strain_of_runs(nats: NDArray[np.float32], counts: Ints, normal: NormalTraffic) -> Doubles:
    """[N] the strain of whole runs: nats [N, len(PARTS)] of one user after the other, `counts` [U] events of each."""
    packing = sequences.pack(np.repeat(np.arange(len(counts)), counts))
    strain = strained(nats[packing.arrival], packing, np.zeros(len(counts), MEMORY), normal).strain
    return packing.to_arrival(strain)


def fit(nats: NDArray[np.float32], packing: Packing, *, kept: NDArray[np.bool_] | None = None) -> NormalTraffic:
    """What is usual in the nats [N, len(PARTS)] of users' whole runs, packed; `kept` [N]: in these events alone.

    Raises ValueError where these are fewer than LEAST_EVENTS.
    """
    chosen = np.ones(len(nats), np.bool_) if kept is None else kept
    if (n := np.count_nonzero(chosen)) < LEAST_EVENTS:
        raise ValueError(f"expected {LEAST_EVENTS} normal events or more, to tell what is not, got {n}")
    means = np.round(nats[chosen].mean(axis=0, dtype=np.float64), 6)
    strain = _strained(nats, packing, np.zeros(len(packing.users), MEMORY), means).strain[chosen]
    parts = tuple(distribution(nats[chosen, part].astype(np.float64)) for part in SHARP)
    sharpness = _rarest(nats[chosen], parts)
    of_sharp, of_strain = distribution(sharpness), distribution(strain)
    rarity = distribution(_rarer(of_sharp.rarity(sharpness), of_strain.rarity(strain)))
    return NormalTraffic(part_means=tuple(means.tolist()), parts=parts, sharp=of_sharp, strain=of_strain, rarity=rarity)


def distribution(of: Doubles, *, points: int = 200) -> Distribution:
    """Of the numbers [N] of normal events, LEAST_EVENTS or more; the tail by the method of moments."""
    quantiles = np.quantile(of, np.linspace(0.0, TAIL_FROM, points))
    excess = of[of > quantiles[-1]] - quantiles[-1]
    mean, shape = (float(excess.mean()) if len(excess) else _ALIKE), _SHAPE_LEAST
    if len(excess) and excess.var():
        shape = max(shape, 0.5 * (1.0 - mean * mean / float(excess.var())))
    return Distribution(
        quantiles=tuple(round(float(q), 6) for q in quantiles),
        tail_scale=max(round(mean * (1.0 - shape), 6), 1e-6),  # the mean excess of a GPD is scale / (1 - shape)
        tail_shape=round(shape, 6),
    )


def _rarest(nats: NDArray[np.float32], parts: Sequence[Distribution], interp: Interp = np.interp) -> Doubles:
    each = [of.rarity(nats[:, part].astype(np.float64), interp) for part, of in zip(SHARP, parts, strict=True)]
    return np.asarray(np.max(each, axis=0))


def _rarer(sharp: Doubles, strain: Doubles) -> Doubles:
    return np.maximum(sharp - _SINGLE_LESS, strain)


def _strained(nats: NDArray[np.float32], packing: Packing, memory: NDArray[np.void], means: Doubles) -> Strained:
    beyond = (STRAIN_WEIGHTS * (nats - USUAL * means)).sum(axis=1)
    beyond = (beyond + EVEN_WEIGHT * np.maximum(nats[:, RHYTHM] - EVEN, 0.0)).astype(np.float32)
    after, strain = memory.copy(), np.empty(len(nats))
    for step in packing.steps():
        moved = after[: step.stop - step.start]
        total, weight = moved["strain"], moved["strain_weight"]
        total[:] = np.float32(KEPT) * total + beyond[step]
        weight[:] = np.float32(KEPT**2) * weight + np.float32(1.0)
        strain[step] = total / np.sqrt(weight + PRIOR)
    return Strained(strain, after)
