"""What is compared on labelled shop events: this project's anomaly score, and what needs no network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream import anomaly
from stream.evaluation import isolation, markov
from stream.evaluation.behaviour import Floats
from stream.evaluation.feature_table import feature_table
from stream.evaluation.fraud_figures import ShopRows, actions
from stream.evaluation.scored import behaviour_of
from stream.evaluation.sequence_scores import TokenScores
from stream.model_file import LoadedModel
from stream.training import scoring
from stream.training.runs import Runs


class Scored(NamedTuple):
    """One method's scores; a high one is strange."""

    calm: Floats  # [M] of normal events, by which thresholds are set
    tested: Floats  # [N]


def rows(of: Runs) -> ShopRows:
    """Whose events they are, when, and what they are labelled as."""
    fraud = np.asarray(of.fraud) == 1
    kinds = of.kinds[1:] or ("fraud",)
    kind = np.where(fraud, np.maximum(np.asarray(of.kind).astype(np.int64) - 1, 0), -1)
    return ShopRows(of.owner, of.raw["time_ms"].astype(np.int64), kind, tuple(kinds))


def methods(calm: Runs, tested: Runs, loaded: LoadedModel, *, seed: int) -> dict[str, Scored]:
    """By name. Markov chain and isolation forest learn from the calm events; the model has learned before."""
    ours_calm, ours = _ours(calm, loaded), _ours(tested, loaded)
    return {
        **{name: Scored(ours_calm[name], ours[name]) for name in ours},
        "Markov chain of order 2": _chain(calm, tested),
        "isolation forest": _forest(calm, tested, seed),
    }


def _ours(of: Runs, loaded: LoadedModel) -> dict[str, Floats]:
    """[N] each, as the service has them; the fraud head's too, of a model that has one: that alone has seen labels."""
    normal = loaded.card.normal_traffic
    scores = scoring.score(loaded.model, loaded.card.statistics, of)
    strain = anomaly.strain_of_runs(scores.surprise, of.counts, normal)
    found = {
        "anomaly": normal.anomaly(scores.surprise, strain),
        "strain alone": strain,
        "one event alone": normal.sharpness(scores.surprise),
    }
    if scores.fraud is not None:
        found["fraud head (has learned from labels)"] = scores.fraud.astype(np.float64)
    return found


def _chain(calm: Runs, tested: Runs) -> Scored:
    learned, other = (actions(of.raw["action"].astype(np.int64), of.owner) for of in (calm, tested))
    score = markov.method(order=2)(learned)

    def nats(of: object) -> Floats:
        scores = score(of)  # type: ignore[arg-type]
        assert isinstance(scores, TokenScores)
        return scores.nats

    return Scored(nats(learned), nats(other))


def _forest(calm: Runs, tested: Runs, seed: int) -> Scored:
    both = Runs.concat([calm, tested])
    behaviour = behaviour_of(both.raw, both.owner, np.asarray(both.session))
    x = feature_table(behaviour, np.ones(len(both), np.bool_)).x.astype(np.float64)
    quiet, other = x[: len(calm)], x[len(calm) :]
    return Scored(isolation.forest(quiet, quiet, seed=seed), isolation.forest(quiet, other, seed=seed))
