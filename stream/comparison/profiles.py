"""Profiles and curves of behaviour, an array with a meaning per place each, and rates, a number each. Pure."""

from __future__ import annotations

import numpy as np

from stream.comparison.distributions import BURST_GAP_MS, gaps_secs, repeats
from stream.evaluation.behaviour import Behaviour, Bools, Floats, Ints
from stream.events import ACTIONS

_SEC_MS, _HOUR_MS, _DAY_MS = 1000, 3_600_000, 86_400_000
_EPOCH_WEEKDAY = 3  # 1 January 1970 was a Thursday; Monday is 0
LAGS = 10  # of the autocorrelation


def repeat_rate(of: Behaviour) -> float:
    """Share of item events, without each user's first, that are about an item the user had before."""
    return _mean(repeats(of)[1])


def burst_share(of: Behaviour) -> float:
    """Share of gaps of a user that are at most 60 s."""
    return _mean(gaps_secs(of) <= BURST_GAP_MS / _SEC_MS)


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
