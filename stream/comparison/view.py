"""What two streams have in common, so that a difference between them is one of behaviour. Pure.

A recording is a selection: of event names, of some days, of users and sessions with enough events. The simulated
side is selected in the same way, and every step of it is told in words.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from stream.evaluation.behaviour import NONE, Behaviour, by_pauses
from stream.events import ACTIONS

_SEC_MS, _HOUR_MS, _DAY_MS = 1000, 3_600_000, 86_400_000
_WEEK_MS = 7 * _DAY_MS
_LEEWAY_MS = _HOUR_MS  # by which the first and the last event of a simulation may miss its start and end
# The least count that counts as the recording's own limit: a few users fall below it once comments are left out.
_LEAST_PERCENTILE = 5


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """Two streams, selected alike."""

    real: Behaviour
    simulated: Behaviour
    stretch_ms: tuple[int, int]  # of simulated time: from, and to (epoch ms, not included)
    steps: Sequence[str]  # what was done, a sentence each


def comparable(
    real: Behaviour,
    simulated: Behaviour,
    *,
    warm_up_ms: int,
    shift_ms: int = 0,
    clock: bool = True,
) -> View:
    """Restrict both to what the recording has.

    `shift_ms` is the recording's offset from UTC less the simulation's. Without a `clock`, and so without users, a
    recording is its sessions: each is taken for a user of its own, on both sides.

    Raises ValueError, in words, where nothing is left of a side.
    """
    steps = []
    _refuse_empty(real, simulated)
    if not clock:
        real, simulated = by_sessions(real), by_sessions(simulated)
        steps.append("The recording has neither users nor a clock: on both sides each session stands for itself.")
    stretch_ms = _stretch(real, simulated, warm_up_ms=warm_up_ms, shift_ms=shift_ms, clock=clock)
    simulated = simulated.take((simulated.time_ms >= stretch_ms[0]) & (simulated.time_ms < stretch_ms[1]))
    _refuse_empty(real, simulated)
    hours, warm_up = np.diff(stretch_ms)[0] / _HOUR_MS, f"{warm_up_ms / _DAY_MS:g} days"
    steps.append(
        f"{hours:.1f} h of simulated time, as long as the recording, from its weekday and hour on, after {warm_up} or "
        "more of warm-up."
        if clock
        else f"{hours:.1f} h of simulated time, after {warm_up} of warm-up."
    )
    in_real = np.unique(real.name)
    names = np.intersect1d(in_real, simulated.name)
    if not len(names):
        raise ValueError(
            f"expected event names of both sides, got {', '.join(ACTIONS[code] for code in in_real)} in the recording "
            f"and {', '.join(ACTIONS[code] for code in np.unique(simulated.name))} in the simulation"
        )
    real, simulated = real.take(np.isin(real.name, names)), simulated.take(np.isin(simulated.name, names))
    steps.append(f"Event names of both sides only: {', '.join(ACTIONS[code] for code in names)}.")
    if only_real := [ACTIONS[code] for code in np.setdiff1d(in_real, names)]:
        steps.append(f"The simulation has none of {', '.join(only_real)}: left out.")
    if not (real.time_ms % _SEC_MS).any():
        simulated = dataclasses.replace(simulated, time_ms=simulated.time_ms // _SEC_MS * _SEC_MS)
        steps.append("Simulated times are cut to whole seconds, as the recording's are.")

    if (real.session == NONE).all() or (simulated.session == NONE).all():
        real, simulated = by_pauses(real), by_pauses(simulated)
        steps.append("A side names no sessions: on both, a session ends with a pause of 30 minutes.")
    least_session = _least(np.bincount(real.session[real.session >= 0]))
    least_user = _least(np.bincount(real.user))
    real = _at_least(real, least_session, least_user)
    simulated = _at_least(simulated, least_session, least_user)
    steps.append(
        f"Sessions of {least_session} or more events, then users of {least_user} or more: the least that the recording "
        f"has, but for {_LEAST_PERCENTILE} % of it at most."
    )
    _refuse_empty(real, simulated)
    return View(real, simulated, stretch_ms, steps)


def _stretch(real: Behaviour, simulated: Behaviour, *, warm_up_ms: int, shift_ms: int, clock: bool) -> tuple[int, int]:
    """As long as the recording, and at the same place of the local week; without a clock, all that is warmed up.

    Raises ValueError where the simulation ends before.
    """
    if not clock:
        return int(simulated.time_ms.min()) + warm_up_ms, int(simulated.time_ms.max()) + 1
    real_start_ms, earliest_ms = int(real.time_ms.min()) + shift_ms, int(simulated.time_ms.min()) + warm_up_ms
    length_ms = int(np.ptp(real.time_ms)) + 1
    # The first simulated event comes a little after the simulation's start: a start just missed is no week's wait
    into_week_ms = (real_start_ms - earliest_ms) % _WEEK_MS
    start_ms = earliest_ms + into_week_ms - (_WEEK_MS if into_week_ms > _WEEK_MS - _LEEWAY_MS else 0)
    missing_ms = start_ms + length_ms - int(simulated.time_ms.max())
    if missing_ms > _LEEWAY_MS:
        raise ValueError(
            f"simulation: expected {length_ms / _HOUR_MS:.1f} h from the recording's weekday and hour on, after "
            f"{warm_up_ms / _DAY_MS:g} days of warm-up, got {missing_ms / _HOUR_MS:.1f} h too few"
        )
    return start_ms, start_ms + length_ms


def by_sessions(of: Behaviour) -> Behaviour:
    """The events that name a session, with each session as a user of its own."""
    named = of.take(of.session != NONE)
    order = np.argsort(named.session, kind="stable")
    columns = {field.name: getattr(named, field.name)[order] for field in dataclasses.fields(named)}
    return Behaviour(**columns | {"user": columns["session"]})


def _least(counts: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> int:
    return int(np.percentile(counts, _LEAST_PERCENTILE, method="lower"))


def _at_least(of: Behaviour, session_events: int, user_events: int) -> Behaviour:
    """Users with so many events in sessions of so many; events that name no session count for their user only."""
    lengths = np.bincount(of.session[of.session >= 0], minlength=1)
    of = of.take((of.session == NONE) | (lengths[of.session] >= session_events))
    return of.take(np.bincount(of.user, minlength=1)[of.user] >= user_events)


def _refuse_empty(real: Behaviour, simulated: Behaviour) -> None:
    for side, of in (("recording", real), ("simulation", simulated)):
        if not len(of):
            raise ValueError(f"{side}: expected events that are comparable with the other side's, got none")
