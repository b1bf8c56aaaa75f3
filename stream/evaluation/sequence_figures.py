"""How well methods tell anomalous sequences from normal ones, side by side on the same rows. Pure.

    rows       all, as they came; distinct, each different sequence once; unseen, distinct ones that training never had
    end event  with, where the end of a sequence is an event that surprises; without, as in a live stream

A threshold is set on normal sequences that were held out of training, for a stated rate of false alarms, and never on
those that are tested. A method's statistics are the largest, the mean and the sum of its surprise; and, as DeepLog has
it (Du et al., CCS 2017), an alarm where any token is not among the g likeliest.

The bootstrap draws rows again: sequences as they came, or distinct ones. It is the same draw for all methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.evaluation.sequence_scores import STATISTICS, Learn, by_sequence, largest_rank
from stream.evaluation.token_sequences import (
    UNKNOWN,
    Bools,
    Distinct,
    Floats,
    Ints,
    TokenSequences,
    distinct,
    occurs_in,
)
from stream.evaluation.weighted_figures import Alarms, Interval, Ranking, draws, interval, threshold

CANDIDATES = "candidates"  # the statistic of DeepLog's measure


class How(NamedTuple):
    """What is chosen before anything is seen."""

    false_positive_rate: float = 0.01  # of held-out normal sequences that may be above the threshold
    candidates: int = 9  # DeepLog's g, as published
    resamples: int = 500
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Judged:
    """One statistic of one method on some rows."""

    method: str
    statistic: str
    figures: Mapping[str, Interval]  # by name; a statistic that only gives alarms has no roc_auc and pr_auc
    threshold: float  # an alarm is above it; of `candidates`, the rank from which on there is one


class Difference(NamedTuple):
    """ROC-AUC of the first method less that of another, each by its first statistic; paired."""

    method: str
    other: str
    roc_auc: Interval


@dataclass(frozen=True, slots=True)
class Rows:
    """All methods on the same rows."""

    rows: str  # all, distinct or unseen
    end_event: bool
    sequences: int
    anomalous: int
    judged: Sequence[Judged]
    differences: Sequence[Difference]


@dataclass(frozen=True, slots=True)
class Counts:
    """What was trained and tested on, in sequences."""

    trained: int
    held_out: int
    vocabulary: int  # words of the training part
    tested: int
    anomalous: int
    distinct: int
    distinct_normal: int
    distinct_normal_in_training: int
    normal_in_training: int  # rows
    with_unknown_tokens: int  # rows


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All of it."""

    how: How
    counts: Counts
    rows: Sequence[Rows]


def evaluate(
    training: TokenSequences, held_out: TokenSequences, tested: TokenSequences, methods: Mapping[str, Learn], how: How
) -> Evaluation:
    """Learn on `training`, which is normal, set thresholds on `held_out`, which is too, and judge on `tested`.

    The first of the methods is set against each of the others. Raises ValueError where `tested` has no labels, or not
    both kinds.
    """
    if tested.label is None or not 0 < tested.label.sum() < len(tested):
        got = "none" if tested.label is None else f"{int(tested.label.sum()):,} of {len(tested):,} anomalous"
        raise ValueError(f"expected labels of both kinds, normal and anomalous, to test on, got {got}")
    vocabulary = training.vocabulary
    once = distinct(tested)
    once = once._replace(sequences=once.sequences.under(vocabulary))
    held_out = held_out.under(vocabulary)
    known = occurs_in(once.sequences, training)
    rows: list[Rows] = []
    for end_event in (True, False):
        parts = (training, held_out, once.sequences)
        learned_on, calm, strange = (part.with_end() for part in parts) if end_event else parts
        scored = {name: _Scored.by(learn, learned_on, calm, strange, how) for name, learn in methods.items()}
        rows += _views(once, known, scored, how, end_event=end_event)
    return Evaluation(how, _counts(training, held_out, once, known), rows)


class _Scored(NamedTuple):
    """D distinct sequences by one method."""

    scores: Mapping[str, Floats]  # [D] by statistic
    alarms: Mapping[str, Bools]  # [D] by statistic
    thresholds: Mapping[str, float]

    @classmethod
    def by(cls, learn: Learn, training: TokenSequences, calm: TokenSequences, of: TokenSequences, how: How) -> _Scored:
        score = learn(training)
        on_calm, on_tested = score(calm), score(of)
        found = by_sequence(on_tested, of)
        normal = by_sequence(on_calm, calm)
        thresholds = {name: threshold(normal[name], how.false_positive_rate) for name in found}
        alarms = {name: values > thresholds[name] for name, values in found.items()}
        ranks = largest_rank(on_tested, of)
        if ranks is not None:
            thresholds[CANDIDATES], alarms[CANDIDATES] = float(how.candidates), ranks >= how.candidates
        return cls(found, alarms, thresholds)

    @property
    def headline(self) -> str:
        return next(name for name in STATISTICS if name in self.scores)


def _views(once: Distinct, known: Bools, scored: Mapping[str, _Scored], how: How, *, end_event: bool) -> list[Rows]:
    """On all rows, on distinct ones, on unseen ones; a view without rows of both kinds is left out."""
    label, one = _label(once), np.ones(len(once.weight), np.int64)
    views = {"all": once.weight, "distinct": one, "unseen": np.where(known, 0, one)}
    return [
        _rows(name, scored, how, label=label, weight=weight, end_event=end_event)
        for name, weight in views.items()
        if weight[label].any() and weight[~label].any()
    ]


def _rows(name: str, scored: Mapping[str, _Scored], how: How, *, label: Bools, weight: Ints, end_event: bool) -> Rows:
    used = weight > 0
    label, weight = label[used], weight[used]
    judges: dict[tuple[str, str], list[Ranking | Alarms]] = {}
    for method, of in scored.items():
        for statistic, alarm in of.alarms.items():
            ranking = [Ranking(label, of.scores[statistic][used])] if statistic in of.scores else []
            judges[method, statistic] = [*ranking, Alarms(label, alarm[used])]

    def figures(weights: Floats) -> dict[tuple[str, str, str], Floats]:
        """[B] of each, by method, statistic and name of the figure."""
        return {
            (*key, name): values
            for key, several in judges.items()
            for judge in several
            for name, values in judge.figures(weights).items()
        }

    mid = {key: float(value[0]) for key, value in figures(weight[None].astype(np.float64)).items()}
    blocks = [figures(weights) for weights in draws(weight, how.resamples, how.seed)]
    drawn = {key: np.concatenate([block[key] for block in blocks]) for key in mid}
    judged = [
        Judged(
            method,
            statistic,
            {key[2]: interval(mid[key], drawn[key]) for key in mid if key[:2] == (method, statistic)},
            of.thresholds[statistic],
        )
        for method, of in scored.items()
        for statistic in of.alarms
    ]
    first, *others = [(method, of.headline, "roc_auc") for method, of in scored.items()]
    differences = [
        Difference(first[0], other[0], interval(mid[first] - mid[other], drawn[first] - drawn[other]))
        for other in others
    ]
    return Rows(name, end_event, int(weight.sum()), int(weight[label].sum()), judged, differences)


def _counts(training: TokenSequences, held_out: TokenSequences, once: Distinct, known: Bools) -> Counts:
    label, weight, sequences = _label(once), once.weight, once.sequences
    unknown = np.add.reduceat(sequences.tokens == UNKNOWN, sequences.starts) > 0
    return Counts(
        trained=len(training),
        held_out=len(held_out),
        vocabulary=len(training.vocabulary.words),
        tested=int(weight.sum()),
        anomalous=int(weight[label].sum()),
        distinct=len(weight),
        distinct_normal=int((~label).sum()),
        distinct_normal_in_training=int((~label & known).sum()),
        normal_in_training=int(weight[~label & known].sum()),
        with_unknown_tokens=int(weight[unknown].sum()),
    )


def _label(once: Distinct) -> Bools:
    label = once.sequences.label
    assert label is not None  # `evaluate` has seen to it
    return label
