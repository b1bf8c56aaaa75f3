"""Model files for tests: small, and nothing was taught to them."""

from __future__ import annotations

from pathlib import Path

from stream import model_file
from stream.model_file import LoadedModel
from stream.settings import Settings
from tests.shop import NORMAL, STATISTICS, small_model


def model_in(folder: Path, seed: int = 0, *, hidden: int = 8) -> LoadedModel:
    """One by seed, from its file `model-SEED.safetensors` in the folder."""
    path = folder / f"model-{seed}"
    model_file.save(small_model(seed, hidden=hidden), path, statistics=STATISTICS, normal=NORMAL, made={})
    return model_file.load(f"{path}.safetensors")


def untaught_in(folder: Path, *, hidden: int, layers: int = 1) -> str:
    """A file with a model of another size than the shipped one, and that one's statistics: how a setting names it."""
    card = model_file.load(Settings().model).card
    path = folder / f"untaught-h{hidden}-l{layers}.safetensors"
    untaught = small_model(hidden=hidden, layers=layers)
    model_file.save(untaught, path, statistics=card.statistics, normal=card.normal_traffic, made={})
    return str(path)
