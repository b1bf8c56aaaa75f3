"""What a run depends on, in words: an interrupted one goes on only with the same."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from torch import Tensor

from stream.features import FEATURES_FORMAT
from stream.training.runs import COLUMNS, Runs
from stream.training.task import Task

_HEX = 16


def fingerprint(task: Task) -> dict[str, Any]:
    """As it is after a round of JSON: no tuples."""
    said = {
        **msgspec.to_builtins(task.recipe),
        **msgspec.to_builtins(task.sizes),
        "features": FEATURES_FORMAT,
        "device": task.device.type,
        "label delay (ms)": task.fraud_delay_ms,
        "events": len(task.runs),
        "users": len(task.runs.counts),
        "digest of the events": _of_runs(task.runs),
        "model to go on from": _of_weights(task.start.model.state_dict()) if task.start else None,
        "teacher": task.teacher.told if task.teacher else None,
    }
    words: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(said))
    return words


def _of_runs(runs: Runs) -> str:
    digest = hashlib.blake2b()
    for _, block in runs.blocks():
        for column in (*(getattr(block, name) for name in COLUMNS), block.counts, block.user, block.end_ms):
            digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:_HEX]


def _of_weights(weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.blake2b()
    for name in sorted(weights):
        digest.update(weights[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:_HEX]
