"""Two streams of shop events -> their comparison. Pure: composes the steps, and is where to start reading.

events -> behaviour -> view: both sides selected alike -> figures -> distances
                                                       -> running features -> buyers
simulated events -> shop table -> features of users and sessions -> rules against each kind of fraud
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from stream.comparison import behaviour, buyers, figures, fraud_features, fraud_rules, shop_table, view
from stream.comparison.behaviour import Reading
from stream.comparison.result import BuyersCase, Comparison, Fraud
from stream.comparison.view import View
from stream.evaluation.behaviour import NONE, Behaviour
from stream.shop_event import ShopEvent

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True, slots=True)
class How:
    """What a comparison is asked for."""

    clock: bool  # the recording has users and a clock; else it is taken as sessions
    warm_up_ms: int  # simulated time that is not compared
    real_utc_offset_ms: int = 0  # local time less UTC
    simulated_utc_offset_ms: int = 0
    with_fraud: bool = False  # users with a fraud label are compared too
    buyers: bool = True
    fraud: bool = True

    @property
    def shift_ms(self) -> int:
        """Simulated UTC less the recording's, at the same local time."""
        return self.real_utc_offset_ms - self.simulated_utc_offset_ms


def compare(recorded: Reading, simulated: Sequence[ShopEvent], how: How, say: Say) -> Comparison:
    """Compare; `say` is told what is done next. Raises ValueError, in words, where the streams share nothing."""
    made = behaviour.read(simulated)
    normal = made.behaviour if how.with_fraud else without_fraud(made.behaviour)
    common = view.comparable(
        recorded.behaviour, normal, warm_up_ms=how.warm_up_ms, shift_ms=how.shift_ms, clock=how.clock
    )
    say(f"Measuring {len(common.real):,} recorded and {len(common.simulated):,} simulated events.")
    compared = Comparison(
        common,
        figures.measure(common.real, how.real_utc_offset_ms),
        figures.measure(common.simulated, how.simulated_utc_offset_ms),
        how.clock,
        notes=tuple(_notes(recorded, made, normal)),
    )
    if how.buyers and how.clock:
        say("Looking for buyers.")
        compared = dataclasses.replace(compared, buyers=tuple(_buyers(common, normal, how)))
    if how.fraud:
        if made.behaviour.labelled.any():
            say("Looking for fraud.")
            compared = dataclasses.replace(compared, fraud=_fraud(simulated, how.simulated_utc_offset_ms))
        else:
            note = "No simulated event has a fraud label: nothing is said of fraud."
            compared = dataclasses.replace(compared, notes=(*compared.notes, note))
    return compared


def without_fraud(of: Behaviour) -> Behaviour:
    """The users of whom no event is labelled."""
    labelled = np.zeros(of.users, bool)
    labelled[of.user[of.labelled]] = True
    return of.take(~labelled[of.user])


def _notes(recorded: Reading, made: Reading, normal: Behaviour) -> Iterator[str]:
    if fraudulent := made.behaviour.users - normal.users:
        yield f"{fraudulent:,} simulated users with a fraud label are left out of behaviour and buyers."
    for name, reading in (("recorded", recorded), ("simulated", made)):
        if reading.unreadable:
            yield f"{reading.unreadable:,} {name} records are no shop events: left out."
        if reading.repeated:
            yield f"{reading.repeated:,} {name} events came again under the same id: counted once."


def _buyers(common: View, simulated: Behaviour, how: How) -> Iterator[BuyersCase]:
    start_ms, end_ms = common.stretch_ms
    whole = simulated.take((simulated.time_ms >= start_ms) & (simulated.time_ms < end_ms))
    real_ms, simulated_ms = how.real_utc_offset_ms, how.simulated_utc_offset_ms
    for title, is_simulated, of, seen, offset_ms in (
        ("recorded", False, common.real, False, real_ms),
        ("simulated", True, common.simulated, False, simulated_ms),
        ("recorded, past purchases seen", False, common.real, True, real_ms),
        ("simulated, past purchases seen", True, common.simulated, True, simulated_ms),
        ("simulated, all events of all users", True, whole, True, simulated_ms),
    ):
        try:
            yield BuyersCase(title, is_simulated, buyers.find(of, purchases_seen=seen, utc_offset_ms=offset_ms))
        except ValueError as error:
            yield BuyersCase(title, is_simulated, None, str(error))


def _fraud(events: Sequence[ShopEvent], utc_offset_ms: int) -> Fraud:
    table = shop_table.read(events)
    users, sessions = fraud_features.units(table, utc_offset_ms)
    return Fraud(
        users=fraud_rules.examine(users, table.kinds),
        sessions=fraud_rules.examine(sessions, table.kinds),
        unlabelled_users=int((users.fraud == NONE).sum()),
        unlabelled_sessions=int((sessions.fraud == NONE).sum()),
        features=len(users.features),
    )
