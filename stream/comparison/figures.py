"""What is measured of a stream of behaviour, and how far two streams are apart in it. Pure functions over columns.

A distribution is an array of samples, one per user, session, event or gap; a rate is one number; a profile or a curve
is an array with a meaning per place. Each says its unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.comparison.behaviour import Behaviour, Bools, Floats, Ints
from stream.events import ACTIONS

_SEC_MS, _HOUR_MS, _DAY_MS = 1000, 3_600_000, 86_400_000
_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday; Monday is 0
LAGS = 10  # of the autocorrelation
_BURST_GAP_MS = 60_000  # events of a user no further apart than this belong to one burst,
_BURST_EVENTS_MIN = 3  # which needs at least so many


# ---------------------------------------------------------------------------------------------- distributions


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
    starts = _starts(session)
    return secs[np.append(starts[1:], len(secs)) - 1] - secs[starts] if len(secs) else secs


def repeat_rates(of: Behaviour) -> Floats:
    """[V] of users with 2 or more item events: the share of them, without the first, about an item they had before."""
    user, repeats = _repeats(of)
    later = np.bincount(user)
    return (np.bincount(user, repeats) / np.maximum(later, 1))[later > 0]


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
    goes_on = (np.diff(of.user) == 0) & (np.diff(of.time_ms) <= _BURST_GAP_MS)
    starts = np.append(0, np.flatnonzero(~goes_on) + 1)
    ends = np.append(starts[1:], len(of)) - 1
    long = ends - starts + 1 >= _BURST_EVENTS_MIN
    starts, ends = starts[long], ends[long]
    same = of.user[starts[1:]] == of.user[ends[:-1]]
    waits: Floats = (of.time_ms[starts[1:]] - of.time_ms[ends[:-1]])[same] / _SEC_MS
    return waits


# ---------------------------------------------------------------------------------------------- rates


def repeat_rate(of: Behaviour) -> float:
    """Share of item events, without each user's first, that are about an item the user had before."""
    return _mean(_repeats(of)[1])


def burst_share(of: Behaviour) -> float:
    """Share of gaps of a user that are at most 60 s."""
    return _mean(gaps_secs(of) <= _BURST_GAP_MS / _SEC_MS)


def burstiness(of: Behaviour) -> float:
    """(s - m) / (s + m) of all gaps, with mean m and standard deviation s: -1 regular, 0 Poisson, towards 1 bursty.

    Goh and Barabasi, Burstiness and memory in complex systems, EPL 81, 2008.
    """
    gaps = gaps_secs(of)
    return float((gaps.std() - gaps.mean()) / (gaps.std() + gaps.mean())) if gaps.any() else float("nan")


def name_information_nats(of: Behaviour) -> float:
    """Mutual information of the names of two consecutive events of a user, in nats: 0 where the last says nothing."""
    joint = transition_counts(of)
    if not joint.sum():
        return float("nan")
    joint = joint / joint.sum()
    independent = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / independent[some])).sum())


def top_share(of: Behaviour) -> float:
    """Share of the item events that the most popular 1 % of the items have (of those that occur; at least one item)."""
    counts = _item_counts(of)
    return float(counts[: max(1, round(len(counts) / 100))].sum() / counts.sum()) if len(counts) else float("nan")


def gini(of: Behaviour) -> float:
    """Gini coefficient of the events per item that occurs: 0 all alike, towards 1 all at one."""
    counts = _item_counts(of)[::-1]
    n = len(counts)
    return float(2 * (np.arange(1, n + 1) @ counts) / (n * counts.sum()) - (n + 1) / n) if n else float("nan")


def zipf_slope(of: Behaviour) -> float:
    """Slope of log events over log rank of the items with 2 or more events, least squares; Zipf's law is -1."""
    counts = _item_counts(of)
    counts = counts[counts >= 2]  # the long tail of ones is a flat line of its own
    if len(counts) < 3 or counts[0] == counts[-1]:
        return float("nan")
    return float(np.polyfit(np.log(np.arange(1, len(counts) + 1)), np.log(counts), 1)[0])


# ---------------------------------------------------------------------------------------------- profiles and curves


def hour_profile(of: Behaviour, utc_offset_ms: int = 0) -> Floats:
    """[24] share of the events in each hour of the local day."""
    return _shares((of.time_ms + utc_offset_ms) % _DAY_MS // _HOUR_MS, 24)


def weekday_profile(of: Behaviour, utc_offset_ms: int = 0) -> Floats:
    """[7] share of the events on each weekday, Monday first."""
    return _shares(((of.time_ms + utc_offset_ms) // _DAY_MS + _EPOCH_WEEKDAY) % 7, 7)


def popularity(of: Behaviour) -> Floats:
    """[items that occur] share of the item events that the most popular items have together, 1, 2, 3, ... of them."""
    counts = _item_counts(of)
    shares: Floats = np.cumsum(counts) / max(counts.sum(), 1)
    return shares


def autocorrelation(of: Behaviour) -> Floats:
    """[10] correlation of the log gap with that 1 to 10 gaps later of the same user; NaN where there are no pairs.

    Pearson's over all pairs of all users, of log(1 + gap / 1 s); so it holds what differs between users too.
    """
    gap = np.log1p(gaps_secs(of))
    user = of.user[1:][np.diff(of.user) == 0]
    found = np.full(LAGS, np.nan)
    for lag in range(1, LAGS + 1):
        same = user[lag:] == user[:-lag]
        x, y = gap[:-lag][same], gap[lag:][same]
        if len(x) > 2 and x.std() and y.std():
            found[lag - 1] = np.corrcoef(x, y)[0, 1]
    return found


def transition_counts(of: Behaviour) -> Ints:
    """[A, A] how often an event of the second name follows one of the first, of the same user; A is `ACTIONS`."""
    same = np.diff(of.user) == 0
    pair = of.name[:-1][same] * len(ACTIONS) + of.name[1:][same]
    return np.bincount(pair, minlength=len(ACTIONS) ** 2).reshape(len(ACTIONS), len(ACTIONS))


def transitions(of: Behaviour) -> Floats:
    """[A, A] how likely the second name is after the first, of the same user; 0 in the row of a name without any."""
    counts = transition_counts(of)
    likely: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return likely


def session_reach(of: Behaviour) -> Floats:
    """[A] share of the sessions with an event of each name."""
    return _reach(of.session, of.name, of.sessions)


def user_reach(of: Behaviour) -> Floats:
    """[A] share of the users with an event of each name."""
    return _reach(of.user, of.name, of.users)


def conversion(of: Behaviour, first: str, then: str) -> float:
    """Share of the users with an event of the first name who have one of the second later, or at the same time."""
    one, other = of.name == ACTIONS.index(first), of.name == ACTIONS.index(then)
    earliest = np.full(of.users, np.iinfo(np.int64).max)
    np.minimum.at(earliest, of.user[one], of.time_ms[one])
    latest = np.full(of.users, np.iinfo(np.int64).min)
    np.maximum.at(latest, of.user[other], of.time_ms[other])
    began = np.unique(of.user[one])
    return _mean(latest[began] >= earliest[began])


# ---------------------------------------------------------------------------------------------- all of them


class Distribution(NamedTuple):
    """A figure that is an array of samples."""

    title: str
    unit: str
    samples: Callable[[Behaviour], Floats]
    aim: float | None = None  # the Kolmogorov-Smirnov distance to stay under


KS_AIM = 0.15
DISTRIBUTIONS: Mapping[str, Distribution] = {
    "events_per_user": Distribution("Events per user", "events", events_per_user, KS_AIM),
    "gaps": Distribution("Gaps between events of a user", "s", gaps_secs, KS_AIM),
    "repeat_rates": Distribution("Repeat rate of a user", "share of item events", repeat_rates, KS_AIM),
    "events_per_session": Distribution("Events per session", "events", events_per_session, KS_AIM),
    "session_gaps": Distribution("Gaps within sessions", "s", session_gaps_secs, KS_AIM),
    "same_item_rates": Distribution("Same item as the event before", "share of item events", same_item_rates),
    "sessions_per_user": Distribution("Sessions per user", "sessions", sessions_per_user),
    "session_secs": Distribution("Length of a session", "s", session_secs),
    "burst_waits": Distribution("From a burst to the next", "s", burst_waits_secs),
}


class Rate(NamedTuple):
    """A figure that is one number."""

    title: str
    unit: str
    value: Callable[[Behaviour], float]


RATES: Mapping[str, Rate] = {
    "repeat_rate": Rate("Item events about an item had before", "share", repeat_rate),
    "burst_share": Rate("Gaps of at most 60 s", "share", burst_share),
    "burstiness": Rate("Burstiness of gaps", "-1 to 1", burstiness),
    "name_information": Rate("What a name tells of the next one", "nats", name_information_nats),
    "top_share": Rate("Item events at the top 1 % of items", "share", top_share),
    "gini": Rate("Gini coefficient of item popularity", "0 to 1", gini),
    "zipf_slope": Rate("Zipf slope of item popularity", "log per log", zipf_slope),
}


@dataclass(frozen=True, slots=True)
class Figures:
    """All figures of one stream."""

    samples: Mapping[str, Floats]  # by key of DISTRIBUTIONS
    rates: Mapping[str, float]  # by key of RATES
    hours: Floats  # [24]
    weekdays: Floats  # [7]
    autocorrelation: Floats  # [10]
    popularity: Floats  # [items]
    transitions: Floats  # [A, A]
    session_reach: Floats  # [A]
    user_reach: Floats  # [A]


def measure(of: Behaviour, utc_offset_ms: int = 0) -> Figures:
    """Measure everything. About 1 s for a million events."""
    return Figures(
        samples={key: figure.samples(of) for key, figure in DISTRIBUTIONS.items()},
        rates={key: rate.value(of) for key, rate in RATES.items()},
        hours=hour_profile(of, utc_offset_ms),
        weekdays=weekday_profile(of, utc_offset_ms),
        autocorrelation=autocorrelation(of),
        popularity=popularity(of),
        transitions=transitions(of),
        session_reach=session_reach(of),
        user_reach=user_reach(of),
    )


def ks_distance(a: Floats, b: Floats) -> float:
    """Kolmogorov-Smirnov: the largest difference between two distributions' shares of samples up to any value.

    Ties, as in whole seconds and counts, are taken together. NaN without samples on either side.
    """
    if not len(a) or not len(b):
        return float("nan")
    a, b = np.sort(a), np.sort(b)
    at = np.concatenate([a, b])
    return float(np.abs(np.searchsorted(a, at, "right") / len(a) - np.searchsorted(b, at, "right") / len(b)).max())


# ---------------------------------------------------------------------------------------------- parts


def _starts(group: Ints) -> Ints:
    """Where a new group begins, in groups one after the other."""
    return np.flatnonzero(np.append(True, np.diff(group) != 0)) if len(group) else np.empty(0, np.int64)


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


def _repeats(of: Behaviour) -> tuple[Ints, Bools]:
    """(user, item had before) of the item events that are not their user's first."""
    with_item = of.item >= 0
    user, item = of.user[with_item], of.item[with_item]
    _, first = np.unique(user * (item.max(initial=0) + 1) + item, return_index=True)
    repeated = np.ones(len(user), bool)
    repeated[first] = False
    later = np.ones(len(user), bool)
    later[_starts(user)] = False
    return user[later], repeated[later]


def _item_counts(of: Behaviour) -> Ints:
    """[items that occur] events about each, most popular first."""
    counts = np.bincount(of.item[of.item >= 0])
    return np.sort(counts[counts > 0])[::-1]


def _reach(group: Ints, name: Ints, groups: int) -> Floats:
    named = group >= 0
    reached = np.zeros((groups, len(ACTIONS)), bool)
    reached[group[named], name[named]] = True
    return reached.mean(axis=0) if groups else np.zeros(len(ACTIONS))


def _shares(codes: Ints, places: int) -> Floats:
    return np.bincount(codes, minlength=places) / max(len(codes), 1)


def _mean(of: Bools) -> float:
    return float(of.mean()) if len(of) else float("nan")
