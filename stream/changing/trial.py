"""Whether a model scores on this machine, tried on one event before anything depends on it."""

from __future__ import annotations

import numpy as np
import torch

from stream import features, sequences
from stream.features import Past
from stream.model_file import LoadedModel
from stream.rows import RAW_EVENT
from stream.scorer import Scorer


def try_out(loaded: LoadedModel, device: torch.device) -> None:
    """Score an event of a user never seen. Raises what keeps the model from it, ValueError for scores that are none."""
    sizes = loaded.card.sizes
    packing = sequences.pack(np.zeros(1, np.int64))
    seen = features.build(np.zeros(1, RAW_EVENT), packing, Past.none(1), loaded.card.statistics)
    carry = torch.zeros((1, sizes.parts, sizes.layers, sizes.hidden), device=device)
    scores, moved = Scorer(loaded.model, device).score(seen, packing, carry)
    anomaly = loaded.card.normal_traffic.anomaly(scores.surprise, np.zeros(1))
    if not (np.isfinite(scores.intent).all() and np.isfinite(anomaly).all() and bool(moved.isfinite().all())):
        raise ValueError("its scores of an event are no numbers")
