"""What `export` wrote, as the Python peers use it: sizes and figures, and the step on ONNX Runtime.

Of the ways to take one step for one user, measured within the whole job on one busy core: compiled by Numba
(`compiled`) 13 us, ONNX Runtime with its arrays bound once 30 us, with arrays handed over anew 40 us, PyTorch 340 us;
and beside ONNX Runtime all else took half as long again, out of colder caches. For a thousand users at once ONNX
Runtime takes 2.2 us each.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Distribution(msgspec.Struct, frozen=True):
    """Of a number over normal traffic, as in a model's card."""

    quantiles: tuple[float, ...]
    tail_scale: float
    tail_shape: float


class NormalTraffic(msgspec.Struct, frozen=True):
    """What is usual in normal traffic, as in a model's card."""

    part_means: tuple[float, ...]
    parts: tuple[Distribution, ...]
    sharp: Distribution
    strain: Distribution
    rarity: Distribution


class Bounds(msgspec.Struct, frozen=True):
    """How far event time may lie from its record's."""

    max_ahead_ms: int
    max_behind_ms: int


class Exported(msgspec.Struct, frozen=True):
    """`model.json`, as far as it is needed here."""

    hidden: int
    horizons: tuple[str, ...]
    part_classes: tuple[int, ...]
    statistics: Mapping[str, float]
    normal_traffic: NormalTraffic
    model: str
    model_hash: str
    bounds: Bounds
    sequence: int

    @classmethod
    def read(cls, folder: Path) -> Exported:
        """Of a folder that `export` wrote."""
        return msgspec.json.decode((folder / "model.json").read_bytes(), type=cls)


class Arrays:
    """The step's arrays for up to n users, which are written to in place."""

    def __init__(self, exported: Exported, real: int, n: int) -> None:
        parts, hidden = len(exported.part_classes), exported.hidden
        self.action = np.zeros(n, np.int64)
        self.real = np.zeros((n, real), np.float32)
        self.classes = np.zeros((n, parts), np.int64)
        self.h, self.c = np.zeros((n, hidden), np.float32), np.zeros((n, hidden), np.float32)
        # What comes of the first place's
        self.intent = np.zeros((1, len(exported.horizons)), np.float32)
        self.nats = np.zeros((1, parts), np.float32)
        self.h_out, self.c_out = np.zeros((1, hidden), np.float32), np.zeros((1, hidden), np.float32)

    def inputs(self, n: int) -> dict[str, NDArray[Any]]:
        """The first n of each input."""
        return {name: getattr(self, name)[:n] for name in ("action", "real", "classes", "h", "c")}


class Step(Protocol):
    """The network and its heads, on arrays that are given to it once."""

    def one(self) -> None:
        """For the user at the first place; what comes of it is in the arrays."""

    def many(self, n: int) -> tuple[Floats, Floats, Floats, Floats]:
        """For those at the first n places -> intent, nats, h, c of each."""


class OnnxStep:
    """On ONNX Runtime, on one thread: the processes of a peer are what is scaled."""

    def __init__(self, folder: Path, arrays: Arrays) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors: its words about the machine are of no use here
        self._arrays = arrays
        self._session = onnxruntime.InferenceSession(
            str(folder / "step.onnx"), options, providers=["CPUExecutionProvider"]
        )
        self._first = self._session.io_binding()
        for name, array in arrays.inputs(1).items():
            self._first.bind_input(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)
        for name in ("intent", "nats", "h_out", "c_out"):
            array = getattr(arrays, name)[:1]
            self._first.bind_output(name, "cpu", 0, array.dtype, array.shape, array.ctypes.data)

    def one(self) -> None:
        self._session.run_with_iobinding(self._first)

    def many(self, n: int) -> tuple[Floats, Floats, Floats, Floats]:
        intent, nats, h, c = self._session.run(None, self._arrays.inputs(n))
        return intent, nats, h, c
