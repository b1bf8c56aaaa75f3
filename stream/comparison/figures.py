"""What is measured of a stream of behaviour, and how far two streams are apart in it. Pure functions over columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.comparison import distributions, profiles
from stream.evaluation.behaviour import Behaviour, Floats


class Distribution(NamedTuple):
    """A figure that is an array of samples."""

    title: str
    unit: str
    samples: Callable[[Behaviour], Floats]
    aim: float | None = None  # the Kolmogorov-Smirnov distance to stay under


KS_AIM = 0.15
DISTRIBUTIONS: Mapping[str, Distribution] = {
    "events_per_user": Distribution("Events per user", "events", distributions.events_per_user, KS_AIM),
    "gaps": Distribution("Gaps between events of a user", "s", distributions.gaps_secs, KS_AIM),
    "repeat_rates": Distribution("Repeat rate of a user", "share of item events", distributions.repeat_rates, KS_AIM),
    "events_per_session": Distribution("Events per session", "events", distributions.events_per_session, KS_AIM),
    "session_gaps": Distribution("Gaps within sessions", "s", distributions.session_gaps_secs, KS_AIM),
    "same_item_rates": Distribution(
        "Same item as the event before", "share of item events", distributions.same_item_rates
    ),
    "sessions_per_user": Distribution("Sessions per user", "sessions", distributions.sessions_per_user),
    "session_secs": Distribution("Length of a session", "s", distributions.session_secs),
    "burst_waits": Distribution("From a burst to the next", "s", distributions.burst_waits_secs),
}


class Rate(NamedTuple):
    """A figure that is one number."""

    title: str
    unit: str
    value: Callable[[Behaviour], float]


RATES: Mapping[str, Rate] = {
    "repeat_rate": Rate("Item events about an item had before", "share", profiles.repeat_rate),
    "burst_share": Rate("Gaps of at most 60 s", "share", profiles.burst_share),
    "burstiness": Rate("Burstiness of gaps", "-1 to 1", profiles.burstiness),
    "name_information": Rate("What a name tells of the next one", "nats", profiles.name_information_nats),
    "top_share": Rate("Item events at the top 1 % of items", "share", profiles.top_share),
    "gini": Rate("Gini coefficient of item popularity", "0 to 1", profiles.gini),
    "zipf_slope": Rate("Zipf slope of item popularity", "log per log", profiles.zipf_slope),
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
        hours=profiles.hour_profile(of, utc_offset_ms),
        weekdays=profiles.weekday_profile(of, utc_offset_ms),
        autocorrelation=profiles.autocorrelation(of),
        popularity=profiles.popularity(of),
        transitions=profiles.transitions(of),
        session_reach=profiles.session_reach(of),
        user_reach=profiles.user_reach(of),
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
