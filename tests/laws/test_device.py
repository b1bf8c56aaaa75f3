"""Law: GPU and CPU agree within 1e-4."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from stream.kernels import REFERENCE
from stream.model import Cell
from tests.shop import by_offset, pipeline, random_events, score_all, small_model


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here: GPU parity was not checked")
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_gpu_and_cpu_agree(cell: Cell) -> None:
    events = random_events(0, n=400, users=20)
    found = []
    for device in ("cpu", "cuda"):
        scoring, _ = pipeline(small_model(hidden=64, cell=cell, fraud=True), device=torch.device(device))
        found.append(by_offset(score_all(scoring, events, range(50, 400, 50))))
    for name in ("intent", "surprise_parts", "anomaly", "fraud"):
        np.testing.assert_allclose(found[0][name], found[1][name], atol=1e-4, rtol=0)


def test_tf32_is_off() -> None:
    pipeline(kernels=REFERENCE)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
