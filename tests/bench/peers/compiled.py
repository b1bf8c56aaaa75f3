"""The step for one user, compiled by Numba: ONNX Runtime calls 33 kernels of a microsecond or less each, this is one.

Sums run over columns, so that the compiler makes vectors of them; what is 0 in the input, as a quarter of it is, is
passed over.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

from stream.features import NOTHING
from stream.model import GIVEN
from tests.bench.peers.exported import Arrays, Exported, Floats, OnnxStep

Ints = NDArray[np.int64]
_Function = TypeVar("_Function", bound=Callable[..., Any])


class _Weights(NamedTuple):
    """Of the network and its heads, each as it is run through."""

    action: Floats  # [actions, numbers]
    gates: Floats  # [numbers + F + H, 4 H]
    gates_bias: Floats
    intent: Floats  # [K, H + numbers + F]
    intent_bias: Floats
    next_event: Floats  # [H, all classes]
    next_bias: Floats
    given: Floats  # all tables, one after the other
    rules: Ints  # [tables, 3] part, what it is given, where its table begins
    starts: Ints  # [parts + 1] of each part's classes


class _User(NamedTuple):
    """What goes in and comes out, [1, ...] or [n, ...] of which the first counts."""

    action: Ints
    real: Floats
    classes: Ints
    h: Floats
    c: Floats
    intent: Floats
    nats: Floats
    h_out: Floats
    c_out: Floats


class CompiledStep:
    """One user by the compiled step, many by ONNX Runtime."""

    def __init__(self, folder: Path, arrays: Arrays) -> None:
        self._many = OnnxStep(folder, arrays)
        self._weights = _read(folder)
        self._user = _User(*(getattr(arrays, name) for name in _User._fields))
        self.one()  # compiled here, or read from its cache

    def one(self) -> None:
        _step(self._user, self._weights)

    def many(self, n: int) -> tuple[Floats, Floats, Floats, Floats]:
        return self._many.many(n)


def _read(folder: Path) -> _Weights:
    flat = np.fromfile(folder / "weights.f32", np.float32)
    tensors = {
        name: flat[place["offset"] // 4 :][: int(np.prod(place["shape"]))].reshape(place["shape"])
        for name, place in json.loads((folder / "model.json").read_text())["tensors"].items()
    }
    tables = [tensors[f"given.{i}.weight"] for i in range(len(GIVEN))]
    begins = np.cumsum([0, *(table.size for table in tables)])[:-1]
    return _Weights(
        action=tensors["action.weight"],
        gates=_columns(tensors["recurrent.weight_ih_l0"], tensors["recurrent.weight_hh_l0"]),
        gates_bias=tensors["recurrent.bias_ih_l0"] + tensors["recurrent.bias_hh_l0"],
        intent=np.concatenate([tensors["intent.weight"], tensors["intent_direct.weight"]], axis=1),
        intent_bias=tensors["intent.bias"],
        next_event=_columns(tensors["next_event.weight"]),
        next_bias=tensors["next_event.bias"],
        given=np.concatenate([table.ravel() for table in tables]),
        rules=np.array([(*rule, begin) for rule, begin in zip(GIVEN, begins, strict=True)], np.int64),
        starts=np.cumsum([0, *Exported.read(folder).part_classes]),
    )


def _columns(*weights: Floats) -> Floats:
    return np.ascontiguousarray(np.concatenate(weights, axis=1).T)


def _compiled(function: _Function) -> _Function:
    """Sums in any order, as BLAS takes them; compiled once, and read from its cache by later processes."""
    return cast(_Function, njit(cache=True, fastmath={"contract", "reassoc", "nsz"})(function))


@_compiled
def _step(user: _User, weights: _Weights) -> None:
    numbers, features, hidden = weights.action.shape[1], user.real.shape[1], user.h.shape[1]
    x = np.empty(numbers + features + hidden, np.float32)
    x[:numbers] = weights.action[user.action[0]]
    x[numbers : numbers + features] = user.real[0]
    x[numbers + features :] = user.h[0]
    _advance(_sum(x, weights.gates, weights.gates_bias), user.c[0], user.h_out[0], user.c_out[0])
    for k in range(user.intent.shape[1]):
        row, logit = weights.intent[k], weights.intent_bias[k]
        for j in range(hidden):
            logit += row[j] * user.h_out[0, j]
        for i in range(numbers + features):
            logit += row[hidden + i] * x[i]
        user.intent[0, k] = _sigmoid(logit)
    _surprise(_sum(user.h[0], weights.next_event, weights.next_bias), user.classes[0], weights, user.nats[0])


@_compiled
def _sum(x: Floats, weights: Floats, bias: Floats) -> Floats:
    total = bias.copy()
    for i in range(len(x)):
        value = x[i]
        if value != 0:
            row = weights[i]
            for j in range(len(total)):
                total[j] += value * row[j]
    return total


@_compiled
def _sigmoid(number: np.float32) -> np.float32:
    share: np.float32 = np.float32(1.0) / (np.float32(1.0) + np.exp(-number))
    return share


@_compiled
def _advance(gates: Floats, c: Floats, h_out: Floats, c_out: Floats) -> None:
    hidden = len(c)
    for j in range(hidden):
        into, forget = _sigmoid(gates[j]), _sigmoid(gates[hidden + j])
        cell = forget * c[j] + into * np.tanh(gates[2 * hidden + j])
        c_out[j] = cell
        h_out[j] = _sigmoid(gates[3 * hidden + j]) * np.tanh(cell)


@_compiled
def _surprise(logits: Floats, classes: Ints, weights: _Weights, nats: Floats) -> None:
    starts = weights.starts
    for part, known, begin in weights.rules:
        n = starts[part + 1] - starts[part]
        table = weights.given[begin + (classes[known] - NOTHING) * n :]
        for j in range(n):
            logits[starts[part] + j] += table[j]
    for part in range(len(nats)):
        nats[part] = 0
        if classes[part] != NOTHING:
            of_part = logits[starts[part] : starts[part + 1]]
            most = of_part.max()
            nats[part] = abs(np.log(np.exp(of_part - most).sum()) + most - of_part[classes[part]])
