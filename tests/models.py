"""Model files for tests: small, and nothing was taught to them."""

from __future__ import annotations

from pathlib import Path

from stream import model_file
from stream.model_file import LoadedModel
from tests.shop import NORMAL, STATISTICS, small_model


def model_in(folder: Path, seed: int = 0, *, hidden: int = 8) -> LoadedModel:
    """One by seed, from its file `model-SEED.safetensors` in the folder."""
    path = folder / f"model-{seed}"
    model_file.save(small_model(seed, hidden=hidden), path, statistics=STATISTICS, normal=NORMAL, made={})
    return model_file.load(f"{path}.safetensors")
