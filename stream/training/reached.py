"""What a model reached on those who were held out, for its card.

A little more than it will reach elsewhere: the number of epochs and the calibration were chosen by the same events.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stream.evaluation import metrics
from stream.training.calibration import Platt, said

Bools = NDArray[np.bool_]


def reached(intent: NDArray[np.float64], bought: Bools, known: Bools, platts: list[Platt]) -> list[dict[str, float]]:
    """[K] figures of probabilities [N, K] before they were calibrated; empty where there is nothing to tell apart."""
    found: list[dict[str, float]] = []
    for k, numbers in enumerate(platts):
        y, p = bought[known[:, k], k], said(intent[known[:, k], k], numbers)
        if not len(y) or y.all() or not y.any():
            found.append({})
            continue
        ladder = metrics.ladder(y, p)
        rate = float(y.mean())
        figures = {
            "roc_auc": metrics.roc_auc(ladder),
            "pr_auc": metrics.pr_auc(ladder),
            "log_loss": metrics.log_loss(ladder),
            "base_rate": rate,
            "base_rate_log_loss": -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)),
            "calibration_error": metrics.ece(ladder),
        }
        found.append({name: round(float(figure), 5) for name, figure in figures.items()})
    return found
