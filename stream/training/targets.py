"""What each head is to say of each event, in the order of a model's heads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream.model import Sizes
from stream.sequences import Ints
from stream.training import labels
from stream.training.runs import Bools, Runs

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Targets:
    """Labels of N events; those that are not known weigh nothing."""

    bought: Bools  # [N, K]
    known: Bools  # [N, K]
    session_weight: Floats | None  # [N] of the last horizon, where that is the session: it repeats itself; 1 on average
    fraud: Bools | None  # [N]
    fraud_known: Bools | None  # [N]
    normal: Bools | None  # [N] not known to be fraud: what came next is learned of these alone; None: all are

    def weight(self, events: Ints) -> Floats:
        """[n, K] of the labels of these events."""
        weight = self.known[events].astype(np.float32)
        if self.session_weight is not None:
            weight[:, -1] *= self.session_weight[events]
        return weight

    @property
    def counts(self) -> tuple[labels.Counts, ...]:
        """[K] how often each horizon says what."""
        return tuple(labels.counts(self.bought[:, k], self.known[:, k]) for k in range(self.bought.shape[1]))


def targets(of: Runs, sizes: Sizes, *, fraud_delay_ms: int = 0) -> Targets:
    """Labels of every event of the runs."""
    within = labels.within(of, sizes.horizons_secs)
    bought, known, weight = within.bought, within.known, None
    if sizes.session:
        session = labels.in_session(of)
        bought = np.column_stack([bought, session.bought])
        known = np.column_stack([known, session.known])
        weight = session.weight / session.weight.mean() if len(of) else session.weight
    verdicts = labels.fraud(of, delay_ms=fraud_delay_ms)
    strange = verdicts.fraud & verdicts.known
    return Targets(
        bought=bought,
        known=known,
        session_weight=weight,
        fraud=verdicts.fraud if sizes.fraud else None,
        fraud_known=verdicts.known if sizes.fraud else None,
        normal=~strange if strange.any() else None,
    )
