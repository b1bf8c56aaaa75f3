"""What is exported says what the model says."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from stream import model_file
from stream.events import ACTIONS
from stream.features import CONTEXT, GAP, NOTHING, PART_CLASSES, REAL, RHYTHM
from stream.model_file import LoadedModel
from tests.bench.peers import environment
from tests.bench.peers.export import export, weights_of
from tests.bench.peers.exported import Arrays, Exported, OnnxStep, Step
from tests.models import model_in

_USERS = 64


@pytest.fixture
def _onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    if environment.python() is None:
        pytest.skip("the peers' environment is not there: `python -m tests.bench` makes it")
    monkeypatch.setattr(sys, "path", [*sys.path, str(environment.site_packages())])


@pytest.mark.usefixtures("_onnx")
@pytest.mark.parametrize("name", ["shipped", "untaught"])
def test_a_step_of_the_exported_is_a_step_of_the_model(name: str, tmp_path: Path) -> None:
    loaded = model_file.load("shoppers-h64") if name == "shipped" else model_in(tmp_path, hidden=12)
    export(loaded, tmp_path / "exported")
    exported = Exported.read(tmp_path / "exported")
    arrays = _anything(exported)

    expected = _by_the_model(loaded, arrays)

    for step in _steps(tmp_path / "exported", arrays):
        for made, wanted in zip(step.many(_USERS), expected, strict=True):
            np.testing.assert_allclose(made, wanted, atol=1e-5)
        step.one()
        for made, wanted in zip((arrays.intent, arrays.nats, arrays.h_out, arrays.c_out), expected, strict=True):
            np.testing.assert_allclose(made, wanted[:1], atol=1e-5)
            made[:] = np.nan


@pytest.mark.usefixtures("_onnx")
def test_each_tensor_lies_where_the_file_of_the_model_says(tmp_path: Path) -> None:
    loaded = model_in(tmp_path, hidden=12)
    export(loaded, tmp_path)
    told = json.loads((tmp_path / "model.json").read_text())
    weights = np.fromfile(tmp_path / "weights.f32", "<f4")

    tensors = weights_of(loaded)
    assert told["tensors"].keys() == tensors.keys()
    for name, place in told["tensors"].items():
        start = place["offset"] // 4
        np.testing.assert_array_equal(
            weights[start : start + tensors[name].size].reshape(place["shape"]), tensors[name]
        )


def _steps(folder: Path, arrays: Arrays) -> Iterator[Step]:
    from tests.bench.peers.compiled import CompiledStep

    yield OnnxStep(folder, arrays)
    yield CompiledStep(folder, arrays)


def _anything(exported: Exported) -> Arrays:
    rng = np.random.default_rng(1)
    arrays = Arrays(exported, len(REAL), _USERS)
    arrays.action[:] = rng.integers(0, len(ACTIONS), _USERS)
    arrays.real[:] = rng.normal(size=arrays.real.shape)
    for part, classes in enumerate(PART_CLASSES):
        least = NOTHING if part in (GAP, RHYTHM, CONTEXT) else 0
        arrays.classes[:, part] = rng.integers(least, classes, _USERS)
    arrays.h[:], arrays.c[:] = np.tanh(rng.normal(size=arrays.h.shape)), rng.normal(size=arrays.c.shape)
    return arrays


@torch.inference_mode()
def _by_the_model(loaded: LoadedModel, arrays: Arrays) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    action, real, classes, h, c = map(torch.from_numpy, arrays.inputs(_USERS).values())
    x = loaded.model.embed(action, action, action, real)
    out, carry = loaded.model.advance(x, torch.tensor([_USERS]), torch.stack([h, c], dim=1)[:, :, None])
    intent, nats = torch.sigmoid(loaded.model.heads(out, x).intent), loaded.model.surprise(h, classes)
    return [part.numpy() for part in (intent, nats, carry[:, 0, 0], carry[:, 1, 0])]
