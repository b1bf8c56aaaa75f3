"""What a model reached on those who were held out, for its card.

A little more than it will reach elsewhere: the number of epochs and the calibration were chosen by the same events.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.evaluation import metrics
from stream.scorer import Scores
from stream.training.targets import Targets


def reached(scores: Sequence[Scores], told: Sequence[Targets]) -> list[dict[str, float]]:
    """[K] figures of several parts together, by horizon; empty where there is nothing to tell apart."""
    intent = np.concatenate([s.intent for s in scores]).astype(np.float64)
    bought, known = np.concatenate([t.bought for t in told]), np.concatenate([t.known for t in told])
    found: list[dict[str, float]] = []
    for k in range(intent.shape[1]):
        y, p = bought[known[:, k], k], intent[known[:, k], k]
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
