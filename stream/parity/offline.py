"""Events in the order in which the service applied them -> their scores, by what trains and evaluates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from xxhash import xxh3_64_intdigest

from stream.anomaly import strain_of_runs
from stream.events import SOURCES, EventBatch
from stream.model_file import LoadedModel
from stream.parity.published import ANOMALY, INTENT, Bools, Doubles, figure_names
from stream.sequences import Ints
from stream.table import raw_events
from stream.training import scoring
from stream.training.runs import Runs


class Order(NamedTuple):
    """M of N events, user by user, each user's in the order of application, and what is left out."""

    event: Ints  # [M] place in the batch
    counts: Ints  # [U] of each user
    begun_users: int  # whose first event that is known was not their first: their carry is not known
    begun_events: int
    cut_users: int  # of whom an event is missing, or whose carry was made anew: it is not known from there on
    cut_events: int


def applied_order(events: EventBatch, events_seen: Ints, rebuilt: Bools) -> Order:
    """By what the service said: `events_seen` [N], and `rebuilt` [N], where it made the carry of the last events.

    Of a user who was forgotten or began anew it is known up to where a number comes twice, or where a source goes back.
    """
    user = np.array(
        [xxh3_64_intdigest(key, p) for key, p in zip(events.key.tolist(), events["partition"].tolist(), strict=True)],
        np.uint64,
    )
    order = np.lexsort((events_seen, user))
    user, seen = user[order], events_seen[order]
    starts = np.flatnonzero(np.append(True, user[1:] != user[:-1])[: len(user)])
    counts = np.diff(np.append(starts, len(user)))
    owner = np.repeat(np.arange(len(counts)), counts)
    wrong = (seen != np.arange(len(user)) - starts[owner] + 1) | rebuilt[order]
    twice = np.flatnonzero((seen[1:] == seen[:-1]) & (owner[1:] == owner[:-1]))
    wrong[twice + 1] = True
    wrong[twice] |= seen[twice] > 1
    for source in SOURCES:
        at = np.flatnonzero(events["source"][order] == source)
        back = np.diff(events["offset"][order][at]) < 0
        wrong[at[1:][back & (owner[at][1:] == owner[at][:-1])]] = True
    so_far = np.cumsum(wrong)
    known = so_far == (so_far - wrong)[starts][owner]
    begun = wrong[starts]
    cut = ~known & ~begun[owner]
    return Order(
        event=order[known],
        counts=np.bincount(owner[known], minlength=len(counts))[~begun],
        begun_users=int(begun.sum()),
        begun_events=int(begun[owner].sum()),
        cut_users=len(np.unique(owner[cut])),
        cut_events=int(cut.sum()),
    )


def score(events: EventBatch, counts: Ints, model: LoadedModel, device: torch.device) -> Mapping[str, Doubles]:
    """[M] of each figure, by the names of `published`; events user by user, of each so many as `counts` [U] says."""
    raw = raw_events(events)
    runs = Runs.plain(raw, counts, end_ms=int(raw["time_ms"].max(initial=0)) + 1)
    scores = scoring.score(model.model, model.card.statistics, runs, device=device)
    nats = scores.surprise.sum(axis=1, dtype=np.float64)
    none = np.full(len(raw), np.nan)
    normal = model.card.normal_traffic
    strain = strain_of_runs(scores.surprise, counts, normal)
    columns = [
        *scores.intent.T,
        normal.anomaly(scores.surprise, strain),
        strain,
        nats,
        *scores.surprise.T,
        none if scores.fraud is None else scores.fraud,
    ]
    names = [name for which in (INTENT, ANOMALY) for name in figure_names(which, model.card.sizes.horizons)]
    return {name: np.asarray(column, np.float64) for name, column in zip(names, columns, strict=True)}
