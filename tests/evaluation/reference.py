"""Figures of others, to hold ours against."""

from __future__ import annotations

from typing import Any

from sklearn.metrics import roc_auc_score


def roc_auc(labels: Any, scores: Any) -> float:
    """scikit-learn's."""
    return float(roc_auc_score(labels, scores))
