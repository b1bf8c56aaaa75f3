"""The events of a data set with what a model said of each and what came of it: all that an evaluation needs."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from stream.evaluation.behaviour import NONE, Behaviour, Bools, Floats, Ints, by_pauses, renumber
from stream.events import ACTIONS, PURCHASE_NAMES

NOT_SCORED = tuple(ACTIONS.index(name) for name in PURCHASE_NAMES)  # events of the past only


@dataclasses.dataclass(frozen=True, slots=True)
class ScoredEvents:
    """N events, user by user, each user's in the order in which serving applies them.

    Raises ValueError where the columns do not fit together.
    """

    raw: NDArray[np.void]  # [N] of rows.RAW_EVENT (time_ms, event_hash, item, category, price, action are read)
    user: Ints  # [N] ascending numbers, one per user
    session: NDArray[np.uint64]  # [N] hash of the session id; 0: none
    horizons: tuple[str, ...]  # K names, such as 30m, 24h, session
    bought: Bools  # [N, K] the user purchased strictly later, and within the horizon
    known: Bools  # [N, K] the horizon was watched to its end; elsewhere `bought` says nothing
    intent: Floats  # [N, K] the model's probabilities
    training: Bools  # [N] baselines may learn from these
    training_known: Bools  # [N, K] of these, the horizon ends before the evaluated part begins
    evaluated: Bools  # [N] figures are over these; purchases and refunds are none of them

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if field.name == "horizons":
                continue
            shape = getattr(self, field.name).shape
            wide = field.name in ("bought", "known", "intent", "training_known")
            expected = (len(self.raw), len(self.horizons)) if wide else (len(self.raw),)
            if shape != expected:
                raise ValueError(f"scored events: expected {field.name} of shape {expected}, got {shape}")
        if (np.diff(self.user) < 0).any():
            raise ValueError("scored events: expected the events user by user, got ones of a user that came before")
        scored = self.intent[self.evaluated]
        if not ((scored >= 0) & (scored <= 1)).all():  # NaN is neither
            raise ValueError("scored events: expected intent from 0 to 1, got NaN or another number")

    def __len__(self) -> int:
        return len(self.raw)

    @property
    def learnable(self) -> Bools:
        """[N] of the training events those that are scored elsewhere: a purchase is an event of the past only."""
        return self.training & ~np.isin(self.raw["action"], NOT_SCORED)


def behaviour(of: ScoredEvents) -> Behaviour:
    """The events as the running features read them."""
    return behaviour_of(of.raw, of.user, of.session)


def behaviour_of(raw: NDArray[np.void], user: Ints, session: NDArray[np.uint64]) -> Behaviour:
    """N raw events as the running features read them; where none names a session, with sessions by pauses."""
    user = renumber(user)
    hashed = renumber(session, none=0)
    named = hashed != NONE
    # A session is one user's, whatever its hash
    number = renumber(np.where(named, user * (hashed.max(initial=0) + 1) + hashed, NONE))
    found = Behaviour(
        user=user,
        time_ms=raw["time_ms"].astype(np.int64),
        session=number,
        name=raw["action"].astype(np.int64),
        item=renumber(raw["item"], none=0),
        category=renumber(raw["category"], none=0),
        price=raw["price"].astype(np.float64),
        labelled=np.zeros(len(raw), bool),
    )
    return found if named.any() else by_pauses(found)
