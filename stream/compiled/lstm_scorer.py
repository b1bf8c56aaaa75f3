"""An LSTM and its heads on the CPU: what `scorer.Scorer` gives, within 1e-5, and of each event the same bits whatever
others share its batch.

The whole batch goes through without the interpreter: a step of one user costs no more than its arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stream.compiled.compiling import compiled, summing
from stream.compiled.functions import exp, sigmoid, tanh
from stream.compiled.products import ROWS, add_product, pack, padded
from stream.features import NOTHING, PARTS, Features, Seen
from stream.model import GIVEN, BehaviourModel
from stream.scorer import Scorer, Scores
from stream.sequences import Packing

Floats = NDArray[np.float32]

# As long as no logit is further from 0, e to its power is a number, and their sum.
_LOGIT_MOST = np.float32(60)
_BLOCK = 8 * ROWS  # users at a time


class _Product(NamedTuple):
    """A linear layer: weights in panels, and the bias that rows begin with."""

    panels: Floats
    bias: Floats

    @classmethod
    def of(cls, weights: torch.Tensor, bias: torch.Tensor | None = None) -> _Product:
        begin = np.zeros(padded(len(weights)), np.float32)
        if bias is not None:
            begin[: len(weights)] = bias.detach().numpy()
        return cls(pack(weights.detach().numpy()), begin)


class LstmScorer:
    """A model whose cell is an LSTM. One thread at a time."""

    def __init__(self, model: BehaviourModel) -> None:
        self.device = torch.device("cpu")
        self.model = model = model.to(self.device).eval()
        sizes = model.sizes
        self._horizons, self._fraud = len(sizes.horizons), sizes.fraud
        self._layers = [_layer(model.recurrent, layer) for layer in range(sizes.layers)]
        of_out: list[torch.Tensor] = [model.intent.weight]
        of_x: list[torch.Tensor] = [model.intent_direct.weight]
        bias: list[torch.Tensor] = [model.intent.bias]
        if model.fraud is not None:
            of_out.append(model.fraud.weight[:, : sizes.hidden])
            of_x.append(model.fraud.weight[:, sizes.hidden :])
            bias.append(model.fraud.bias)
        # Weights of the state and of x, and bias: so few that panels would be filled up with nothing
        heads: list[Floats] = [torch.cat(of).detach().numpy() for of in (of_out, of_x, bias)]
        self._heads = heads[0], heads[1], heads[2]
        self._next = _Product.of(model.next_event.weight, model.next_event.bias)
        self._classes = np.cumsum([0, *sizes.part_classes])
        tables = [cast(nn.Embedding, table).weight.detach().numpy().ravel() for table in model.given]
        self._given = np.concatenate(tables)
        places = np.cumsum([0, *map(len, tables)])[:-1].tolist()
        self._given_of = np.array([(*pair, place) for pair, place in zip(GIVEN, places, strict=True)], np.int64)

    @torch.inference_mode()
    def score(self, seen: Seen, packing: Packing, carry: torch.Tensor) -> tuple[Scores, torch.Tensor]:
        """Packed events and carry [U, P, L, H] -> scores and carry."""
        x = self._embed(seen.features)
        moved = carry.numpy().copy()
        below = self._below(x, packing, moved)
        heads = np.empty((len(x), self._horizons + self._fraud), np.float32)
        nats = np.empty((len(x), len(PARTS)), np.float32)
        with _layer_of(moved, -1) as (hidden, cell):
            _score(
                below, x, packing.batch_sizes, *self._layers[-1], hidden, cell, *self._next, *self._heads,
                self._classes, seen.classes, self._given, self._given_of, nats, heads,
            )  # fmt: skip
        fraud = heads[:, self._horizons].copy() if self._fraud else None
        return Scores(np.ascontiguousarray(heads[:, : self._horizons]), nats, fraud), torch.from_numpy(moved)

    @torch.inference_mode()
    def advance(self, features: Features, packing: Packing, carry: torch.Tensor) -> torch.Tensor:
        """Only the carry, for a rolling sequence that is run again."""
        moved = carry.numpy().copy()
        below = self._below(self._embed(features), packing, moved)
        with _layer_of(moved, -1) as (hidden, cell):
            _recur(below, packing.batch_sizes, *self._layers[-1], hidden, cell)
        return torch.from_numpy(moved)

    def _embed(self, features: Features) -> Floats:
        """x [N, width]."""
        x: Floats = self.model.embed(*(torch.from_numpy(column) for column in features)).numpy()
        return x

    def _below(self, x: Floats, packing: Packing, moved: Floats) -> Floats:
        """What the last layer is given [N, ...]; the others' part of the carry [U, P, L, H] is moved on."""
        below = x
        for i, layer in enumerate(self._layers[:-1]):
            with _layer_of(moved, i) as (hidden, cell):
                below = _recur(below, packing.batch_sizes, *layer, hidden, cell)
        return below


@contextmanager
def _layer_of(carry: Floats, layer: int) -> Iterator[tuple[Floats, Floats]]:
    """(hidden, cell) [U, H] of a layer, each in one piece; what becomes of them goes back into the carry."""
    both = tuple(np.ascontiguousarray(carry[:, part, layer]) for part in (0, 1))
    yield both[0], both[1]
    carry[:, 0, layer], carry[:, 1, layer] = both


def scorer(model: BehaviourModel, device: torch.device) -> LstmScorer | Scorer:
    """The one that is fit for a model and where it is to run."""
    return LstmScorer(model) if model.sizes.cell == "lstm" and device.type == "cpu" else Scorer(model, device)


def _layer(recurrent: nn.RNNBase, layer: int) -> tuple[Floats, Floats, Floats]:
    """Panels and bias of the product with the input, and panels of that with the state before."""
    of_input, of_state, *bias = (
        cast(torch.Tensor, getattr(recurrent, f"{name}_l{layer}"))
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    return *_Product.of(of_input, bias[0] + bias[1]), pack(of_state.detach().numpy())


@compiled
def _recur(below: Any, batch_sizes: Any, of_input: Any, bias: Any, of_state: Any, hidden: Any, cell: Any) -> Any:
    """Users' events step by step: what is given [N, ...] -> out [N, H]; hidden and cell [U, H] move on."""
    out = np.empty((len(below), hidden.shape[1]), np.float32)
    gates = np.empty((_BLOCK, len(bias)), np.float32)
    begin = 0
    for users in batch_sizes:
        for user in range(0, users, _BLOCK):
            end = min(user + _BLOCK, users)
            at = slice(begin + user, begin + end)
            _move(below[at], of_input, bias, of_state, gates, hidden[user:end], cell[user:end])
            out[at] = hidden[user:end]
        begin += users
    return out


@compiled
def _score(
    below: Any,
    x: Any,
    batch_sizes: Any,
    of_input: Any,
    bias: Any,
    of_state: Any,
    hidden: Any,
    cell: Any,
    of_next: Any,
    next_bias: Any,
    of_out: Any,
    of_x: Any,
    head_bias: Any,
    places: Any,
    classes: Any,
    given: Any,
    given_of: Any,
    nats: Any,
    heads: Any,
) -> None:
    """The same of the last layer, with what is said before each event, of which `nats` are made, and after it: `heads`.

    Block by block, so that all but the weights stays in the processor's first cache.
    """
    gates = np.empty((_BLOCK, len(bias)), np.float32)
    logits = np.empty((_BLOCK, len(next_bias)), np.float32)
    begin = 0
    for users in batch_sizes:
        for user in range(0, users, _BLOCK):
            end = min(user + _BLOCK, users)
            n, at, state = end - user, slice(begin + user, begin + end), hidden[user:end]
            logits[:n] = next_bias
            add_product(logits[:n], state, of_next)
            _surprise(logits[:n], places, classes[at], given, given_of, nats[at])
            _move(below[at], of_input, bias, of_state, gates, state, cell[user:end])
            _say(state, x[at], of_out, of_x, head_bias, heads[at])
        begin += users


@compiled
def _move(below: Any, of_input: Any, bias: Any, of_state: Any, gates: Any, hidden: Any, cell: Any) -> None:
    """An event each of some users: hidden and cell [n, H] move on."""
    n, size = hidden.shape
    gates[:n] = bias
    add_product(gates[:n], below, of_input)
    add_product(gates[:n], hidden, of_state)
    for u in range(n):
        gate = gates[u]
        for j in range(size):
            kept = sigmoid(gate[size + j]) * cell[u, j] + sigmoid(gate[j]) * tanh(gate[2 * size + j])
            cell[u, j] = kept
            hidden[u, j] = sigmoid(gate[3 * size + j]) * tanh(kept)


@summing
def _say(state: Any, x: Any, of_state: Any, of_x: Any, bias: Any, heads: Any) -> None:
    """Probabilities [n, heads] from states [n, H] and x [n, width]."""
    for i in range(len(heads)):
        for head in range(len(bias)):
            total = np.float32(0)
            for j in range(state.shape[1]):
                total += state[i, j] * of_state[head, j]
            for j in range(x.shape[1]):
                total += x[i, j] * of_x[head, j]
            heads[i, head] = sigmoid(total + bias[head])


@summing
def _surprise(logits: Any, places: Any, classes: Any, given: Any, given_of: Any, nats: Any) -> None:
    """-ln p of what came in each part [N, parts], from the logits [N, padded] of all its classes, part after part.

    `given` are the tables of what is added where another part is known, `given_of` (part, known part, place).
    """
    parts = len(places) - 1
    weights = np.empty(logits.shape[1], np.float32)
    for i in range(len(logits)):
        of_event = logits[i]
        for k in range(len(given_of)):
            part, known, place = given_of[k]
            first, size = places[part], places[part + 1] - places[part]
            row = place + (classes[i, known] - NOTHING) * size
            for j in range(size):
                of_event[first + j] += given[row + j]
        large = False
        for j in range(places[parts]):
            weights[j] = exp(of_event[j])
            large |= abs(of_event[j]) > _LOGIT_MOST
        for part in range(parts):
            first, end, came = places[part], places[part + 1], classes[i, part]
            if came == NOTHING:
                nats[i, part] = 0
                continue
            most = np.float32(0)
            if large:  # hardly ever
                most = of_event[first:end].max()
                for j in range(first, end):
                    weights[j] = exp(of_event[j] - most)
            total = np.float32(0)
            for j in range(first, end):
                total += weights[j]
            nats[i, part] = abs(np.log(total) + most - of_event[first + came])
