"""An LSTM and its heads on the CPU: what `scorer.Scorer` gives, within 1e-6, and of each event the same bits whatever
others share its batch.

The whole batch goes through without the interpreter: a step of one user costs no more than its arithmetic.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from stream.compiled.compiling import compiled, summing
from stream.compiled.functions import exp, sigmoid, tanh
from stream.compiled.products import add_product, pack, padded
from stream.features import NOTHING, PARTS, Features, Seen
from stream.model import GIVEN, BehaviourModel
from stream.scorer import Scorer, Scores
from stream.sequences import Packing

Floats = NDArray[np.float32]

# As long as no logit is further from 0, e to its power is a number, and their sum.
_LOGIT_MOST = np.float32(60)


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

    def rows(self, a: Floats, room: Floats) -> Floats:
        """[M, N padded] of a [M, K], in `room`: fresh memory takes as long to come by as a tenth of the product."""
        out = room[: len(a) * len(self.bias)].reshape(len(a), len(self.bias))
        out[:] = self.bias
        add_product(out, a, self.panels)
        return out


class LstmScorer:
    """A model whose cell is an LSTM. One thread at a time."""

    def __init__(self, model: BehaviourModel) -> None:
        self.device = torch.device("cpu")
        self.model = model = model.to(self.device).eval()
        sizes = model.sizes
        self._horizons, self._fraud = len(sizes.horizons), sizes.fraud
        self._memory = np.empty(0, np.float32)
        self._layers = [_layer(model.recurrent, layer) for layer in range(sizes.layers)]
        of_out: list[torch.Tensor] = [model.intent.weight]
        of_x: list[torch.Tensor] = [model.intent_direct.weight]
        bias: list[torch.Tensor] = [model.intent.bias]
        if model.fraud is not None:
            of_out.append(model.fraud.weight[:, : sizes.hidden])
            of_x.append(model.fraud.weight[:, sizes.hidden :])
            bias.append(model.fraud.bias)
        self._heads = _Product.of(torch.cat(of_out), torch.cat(bias)), pack(torch.cat(of_x).detach().numpy())
        self._next = _Product.of(model.next_event.weight, model.next_event.bias)
        self._classes = np.cumsum([0, *sizes.part_classes])
        tables = [cast(nn.Embedding, table).weight.detach().numpy().ravel() for table in model.given]
        self._given = np.concatenate(tables)
        places = np.cumsum([0, *map(len, tables)])[:-1].tolist()
        self._given_of = np.array([(*pair, place) for pair, place in zip(GIVEN, places, strict=True)], np.int64)

    @torch.inference_mode()
    def score(self, seen: Seen, packing: Packing, carry: torch.Tensor) -> tuple[Scores, torch.Tensor]:
        """Packed events and carry [U, P, L, H] -> scores and carry."""
        x, out, moved = self._advance(seen.features, packing, carry)
        before = np.concatenate([carry[:, 0, -1].numpy(), out])[packing.before]
        nats = np.empty((len(x), len(PARTS)), np.float32)
        room = self._room(len(x))
        _surprise(self._next.rows(before, room), self._classes, seen.classes, self._given, self._given_of, nats)
        of_out, of_x = self._heads
        heads = of_out.rows(out, room)
        add_product(heads, x, of_x)
        _sigmoids(heads, self._horizons + self._fraud)
        fraud = heads[:, self._horizons].copy() if self._fraud else None
        return Scores(heads[:, : self._horizons].copy(), nats, fraud), moved

    @torch.inference_mode()
    def advance(self, features: Features, packing: Packing, carry: torch.Tensor) -> torch.Tensor:
        """Only the carry, for a rolling sequence that is run again."""
        return self._advance(features, packing, carry)[2]

    def _room(self, events: int) -> Floats:
        """For the rows of any of its products."""
        widest = max(len(product.bias) for product in (self._next, self._heads[0], *(p for p, _ in self._layers)))
        if len(self._memory) < events * widest:
            self._memory = np.empty(events * widest, np.float32)
        return self._memory

    def _advance(
        self, features: Features, packing: Packing, carry: torch.Tensor
    ) -> tuple[Floats, Floats, torch.Tensor]:
        x: Floats = self.model.embed(*(torch.from_numpy(column) for column in features)).numpy()
        moved, below = carry.numpy().copy(), x
        for layer, (product, recurrent) in enumerate(self._layers):
            hidden, cell = (np.ascontiguousarray(moved[:, part, layer]) for part in (0, 1))
            out = np.empty((len(x), hidden.shape[1]), np.float32)
            _recur(product.rows(below, self._room(len(x))), recurrent, packing.batch_sizes, hidden, cell, out)
            moved[:, 0, layer], moved[:, 1, layer] = hidden, cell
            below = out
        return x, below, torch.from_numpy(moved)


def scorer(model: BehaviourModel, device: torch.device) -> LstmScorer | Scorer:
    """The one that is fit for a model and where it is to run."""
    return LstmScorer(model) if model.sizes.cell == "lstm" and device.type == "cpu" else Scorer(model, device)


def _layer(recurrent: nn.RNNBase, layer: int) -> tuple[_Product, Floats]:
    """The product with the input, and the panels of that with the state before."""
    of_input, of_state, *bias = (
        cast(torch.Tensor, getattr(recurrent, f"{name}_l{layer}"))
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    return _Product.of(of_input, bias[0] + bias[1]), pack(of_state.detach().numpy())


@compiled
def _recur(gates: Any, panels: Any, batch_sizes: Any, hidden: Any, cell: Any, out: Any) -> None:
    """Users' events step by step: gates [N, 4H padded] from the input, hidden and cell [U, H] moved on, out [N, H]."""
    size = hidden.shape[1]
    begin = 0
    for step in range(len(batch_sizes)):
        users = batch_sizes[step]
        add_product(gates[begin : begin + users], hidden[:users], panels)
        for u in range(users):
            gate = gates[begin + u]
            for j in range(size):
                kept = sigmoid(gate[size + j]) * cell[u, j] + sigmoid(gate[j]) * tanh(gate[2 * size + j])
                shown = sigmoid(gate[3 * size + j]) * tanh(kept)
                cell[u, j], hidden[u, j], out[begin + u, j] = kept, shown, shown
        begin += users


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


@compiled
def _sigmoids(logits: Any, heads: int) -> None:
    """Of the first columns, in place."""
    for i in range(len(logits)):
        for j in range(heads):
            logits[i, j] = sigmoid(logits[i, j])
