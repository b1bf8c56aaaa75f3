"""An evaluation of plain token sequences -> what a terminal shows, and the same as an object. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from math import isnan
from textwrap import wrap
from typing import Any

from stream.evaluation.sequence_figures import CANDIDATES, Evaluation, Judged, Rows
from stream.evaluation.weighted_figures import Interval

_WIDTH = 110  # columns of the widest line
_LEGEND = (
    "In brackets: 95 % of {0:,} bootstrap draws of sequences. 'less': ROC-AUC of the first method less that of "
    "another, each by its first line, on the same draws. Precision, recall, F1 and false alarms (share of normal "
    "sequences): above the threshold that at most {1:g} % of held-out normal sequences exceed; of 'top {2}': any token "
    "not among the {2} likeliest, as DeepLog has it. 'whole': judged when a sequence has ended."
)
_FIGURES = ("precision", "recall", "f1", "false_positive_rate")


def table(of: Evaluation) -> Iterator[str]:
    """Lines of at most 110 columns, but for long words."""
    counts, how = of.counts, of.how
    yield (
        f"Trained on {counts.trained:,} normal sequences of {counts.vocabulary:,} different tokens; thresholds from "
        f"{counts.held_out:,} others."
    )
    yield (
        f"Tested on {counts.tested:,} sequences, {counts.anomalous:,} of them anomalous, {counts.distinct:,} different;"
        f" {counts.with_unknown_tokens:,} with tokens that training never had."
    )
    yield (
        f"Of the normal ones {counts.distinct_normal_in_training:,} of {counts.distinct_normal:,} different sequences "
        f"({counts.normal_in_training:,} of {counts.tested - counts.anomalous:,} rows) occur in training."
    )
    for rows in of.rows:
        yield ""
        yield from _rows(rows)
    yield ""
    yield from wrap(_LEGEND.format(how.resamples, 100 * how.false_positive_rate, how.candidates), _WIDTH)


def _rows(of: Rows) -> Iterator[str]:
    which = {
        "all": "all sequences",
        "distinct": "distinct sequences",
        "unseen": "distinct sequences that training never had",
    }[of.rows]
    yield (
        f"{'With' if of.end_event else 'Without'} an end event, {which}: {of.sequences:,}, {of.anomalous:,} anomalous"
    )
    yield f"  {'':34} {'ROC-AUC':>22} {'PR-AUC':>8} {'precision':>9} {'recall':>7} {'F1':>7} {'false alarms':>12}"
    for judged in of.judged:
        yield _line(judged)
    for difference in of.differences:
        yield f"  {f'less {difference.other}'[:34]:34} {_bracketed(difference.roc_auc, '+.4f'):>22}"


def _line(judged: Judged) -> str:
    figures = judged.figures
    statistic = f"top {judged.threshold:.0f}" if judged.statistic == CANDIDATES else judged.statistic
    auc = _bracketed(figures["roc_auc"], ".4f") if "roc_auc" in figures else ""
    pr_auc = _number(figures["pr_auc"].mid, ".4f") if "pr_auc" in figures else ""
    precision, recall, f1, false = (_number(figures[name].mid, ".4f") for name in _FIGURES)
    name = f"{judged.method}, {statistic}"
    return f"  {name[:34]:34} {auc:>22} {pr_auc:>8} {precision:>9} {recall:>7} {f1:>7} {false:>12}"


def as_object(of: Evaluation) -> dict[str, Any]:
    """For programs. Numbers that are not known are null.

    `views`: a list of {rows, end_event, sequences, anomalous, methods, difference}; `methods`: name to statistic to
    figure to {low, mid, high}, with the threshold; `difference`: name of another method to {low, mid, high}, the first
    method's ROC-AUC less its.
    """
    return {
        "rows": of.counts.tested,
        "how": of.how._asdict(),
        "counts": asdict(of.counts),
        "views": [
            {
                "rows": rows.rows,
                "end_event": rows.end_event,
                "sequences": rows.sequences,
                "anomalous": rows.anomalous,
                "methods": _methods(rows),
                "difference": {other.other: _interval(other.roc_auc) for other in rows.differences},
            }
            for rows in of.rows
        ],
    }


def _methods(rows: Rows) -> Mapping[str, Mapping[str, Any]]:
    methods: dict[str, dict[str, Any]] = {}
    for judged in rows.judged:
        figures = {name: _interval(figure) for name, figure in judged.figures.items()}
        methods.setdefault(judged.method, {})[judged.statistic] = figures | {"threshold": judged.threshold}
    return methods


def _interval(of: Interval) -> dict[str, float | None]:
    return {name: None if isnan(value) else value for name, value in of._asdict().items()}


def _bracketed(of: Interval, form: str) -> str:
    low, mid, high = (_number(value, form) for value in of)
    return f"{mid} [{low}, {high}]"


def _number(value: float, form: str) -> str:
    """Without the 0 before the point: all of them are shares."""
    return "-" if isnan(value) else format(value, form).replace("0.", ".", 1)
