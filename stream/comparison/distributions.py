"""Distributions of behaviour: an array of samples each, one per user, session or gap. Pure."""

from __future__ import annotations

import numpy as np

from stream.comparison.grouped import starts_of
from stream.evaluation.behaviour import Behaviour, Bools, Floats, Ints

_SEC_MS = 1000
BURST_GAP_MS = 60_000  # events of a user no further apart than this belong to one burst,
_BURST_EVENTS_MIN = 3  # which needs at least so many


def events_per_user(of: Behaviour) -> Floats:
    """[U] events of each user."""
    return np.bincount(of.user).astype(float)


def gaps_secs(of: Behaviour) -> Floats:
    """Seconds between consecutive events of one user: N - U gaps."""
    return _gaps_secs(of.user, of.time_ms)


def sessions_per_user(of: Behaviour) -> Floats:
    """[U] sessions of each user; 0 for one whose events name none."""
    return np.bincount(_session_users(of), minlength=of.users).astype(float)


def events_per_session(of: Behaviour) -> Floats:
    """[S] events of each session."""
    return np.bincount(of.session[of.session >= 0]).astype(float)


def session_gaps_secs(of: Behaviour) -> Floats:
    """Seconds between consecutive events of one session."""
    by_session = _by_session(of)
    return _gaps_secs(of.session[by_session], of.time_ms[by_session])


def session_secs(of: Behaviour) -> Floats:
    """[S] seconds from a session's first event to its last."""
    by_session = _by_session(of)
    session, secs = of.session[by_session], of.time_ms[by_session] / _SEC_MS
    starts = starts_of(session)
    return secs[np.append(starts[1:], len(secs)) - 1] - secs[starts] if len(secs) else secs


def repeat_rates(of: Behaviour) -> Floats:
    """[V] of users with 2 or more item events: the share of them, without the first, about an item they had before."""
    user, repeated = repeats(of)
    later = np.bincount(user)
    return (np.bincount(user, repeated) / np.maximum(later, 1))[later > 0]


def same_item_rates(of: Behaviour) -> Floats:
    """[V] of users with 2 or more item events: the share of them, without the first, about the item of the last one."""
    with_item = of.item >= 0
    user, item = of.user[with_item], of.item[with_item]
    later = user[1:] == user[:-1]
    same = (item[1:] == item[:-1])[later]
    count = np.bincount(user[1:][later])
    return (np.bincount(user[1:][later], same) / np.maximum(count, 1))[count > 0]


def burst_waits_secs(of: Behaviour) -> Floats:
    """Seconds from the end of a burst to the start of the same user's next.

    A burst is 3 or more events of a user with at most 60 s from one to the next.
    """
    if not len(of):
        return np.empty(0)
    goes_on = (np.diff(of.user) == 0) & (np.diff(of.time_ms) <= BURST_GAP_MS)
    starts = np.append(0, np.flatnonzero(~goes_on) + 1)
    ends = np.append(starts[1:], len(of)) - 1
    long = ends - starts + 1 >= _BURST_EVENTS_MIN
    starts, ends = starts[long], ends[long]
    same = of.user[starts[1:]] == of.user[ends[:-1]]
    waits: Floats = (of.time_ms[starts[1:]] - of.time_ms[ends[:-1]])[same] / _SEC_MS
    return waits


def _gaps_secs(group: Ints, time_ms: Ints) -> Floats:
    gaps: Floats = np.diff(time_ms)[np.diff(group) == 0] / _SEC_MS
    return gaps


def _by_session(of: Behaviour) -> Ints:
    """Places of the events that name a session, one session after the other, each in the order of its user's events.

    A user's sessions may overlap, on two devices.
    """
    order = np.argsort(of.session, kind="stable")
    return order[of.session[order] >= 0]


def _session_users(of: Behaviour) -> Ints:
    """[S] the user of each session."""
    users = np.zeros(of.sessions, np.int64)
    named = of.session >= 0
    users[of.session[named]] = of.user[named]
    return users


def repeats(of: Behaviour) -> tuple[Ints, Bools]:
    """(user, item had before) of the item events that are not their user's first."""
    with_item = of.item >= 0
    user, item = of.user[with_item], of.item[with_item]
    _, first = np.unique(user * (item.max(initial=0) + 1) + item, return_index=True)
    repeated = np.ones(len(user), bool)
    repeated[first] = False
    later = np.ones(len(user), bool)
    later[starts_of(user)] = False
    return user[later], repeated[later]
