"""The recurrent network and its heads: weights and arithmetic only, no state of any user.

Purchase intent is read from what the network carries and from the features of the event itself. The second, a plain
logistic regression inside the model, keeps it from being worse than one where there is little to learn from.

What came next is a product of conditional probabilities, so that a part is surprising only beyond what the others have
said: p(gap) p(rhythm | gap) p(action | gap) p(item | action) p(category | action, item) p(price | action, item)
p(context).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence

from stream.events import ACTIONS
from stream.features import (
    ACTION,
    CATEGORY,
    CATEGORY_BUCKETS,
    GAP,
    ITEM,
    ITEM_BUCKETS,
    NOTHING,
    PART_CLASSES,
    PRICE,
    REAL,
    RHYTHM,
)

Cell = Literal["lstm", "gru", "rnn"]
_CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
# (part, part that it is conditioned on beside the carry)
GIVEN = (
    (ACTION, GAP), (ITEM, ACTION), (CATEGORY, ACTION), (CATEGORY, ITEM), (RHYTHM, GAP), (PRICE, ACTION), (PRICE, ITEM),
)  # fmt: skip


class Sizes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model is made of, as its card holds it."""

    hidden: int
    layers: int = 1
    cell: Cell = "lstm"
    actions: int = len(ACTIONS)  # words: of a shop's events, or of another vocabulary
    action_numbers: int = 8  # of the embedding
    # Of hashed items and categories. None by default: they speak of one shop only, and learned from little they do
    # harm (JData: ROC-AUC .691 -> .642).
    item_numbers: int = 0
    category_numbers: int = 0
    horizons_secs: tuple[int, ...] = (1800, 86400)
    session: bool = True  # a purchase within the session is a horizon too, the last
    fraud: bool = False  # a head of its own

    def __post_init__(self) -> None:
        at_least_1 = (self.hidden, self.layers, self.actions, self.action_numbers, *self.horizons_secs)
        if min(at_least_1) < 1 or min(self.item_numbers, self.category_numbers) < 0 or not self.horizons:
            raise ValueError(f"expected sizes and horizons of 1 or more, and one horizon at least, got {self}")
        if len(set(self.horizons_secs)) < len(self.horizons_secs):
            raise ValueError(f"expected horizons that differ, got {self.horizons_secs}")

    @property
    def horizons(self) -> tuple[str, ...]:
        """[K] names: `30m`, `24h`, `session`."""
        return (*map(horizon_name, self.horizons_secs), *(("session",) if self.session else ()))

    @property
    def parts(self) -> int:
        """P of the carry: an LSTM's is (h, c), any other's (h,)."""
        return 2 if self.cell == "lstm" else 1

    @property
    def part_classes(self) -> tuple[int, ...]:
        """Of each part of the surprise."""
        return (self.actions, *PART_CLASSES[1:])

    @property
    def width(self) -> int:
        """Of x."""
        return self.action_numbers + self.item_numbers + self.category_numbers + len(REAL)


def horizon_name(secs: int) -> str:
    """`30m`, `24h`: how a horizon is called in records."""
    for unit, size in (("h", 3600), ("m", 60)):
        if secs % size == 0:
            return f"{secs // size}{unit}"
    return f"{secs}s"


class Heads(NamedTuple):
    """What is said after each of N events, as logits."""

    intent: Tensor  # [N, K]
    fraud: Tensor | None  # [N]


class BehaviourModel(nn.Module):
    """One recurrent network over embedded events; its output speaks of purchases to come and of the event to come."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.action = nn.Embedding(sizes.actions, sizes.action_numbers)
        self.item = nn.Embedding(ITEM_BUCKETS, sizes.item_numbers) if sizes.item_numbers else None
        self.category = nn.Embedding(CATEGORY_BUCKETS, sizes.category_numbers) if sizes.category_numbers else None
        self.recurrent = _CELLS[sizes.cell](sizes.width, sizes.hidden, sizes.layers)
        self.intent = nn.Linear(sizes.hidden, len(sizes.horizons))
        self.intent_direct = nn.Linear(sizes.width, len(sizes.horizons), bias=False)
        self.next_event = nn.Linear(sizes.hidden, sum(sizes.part_classes))
        self.given = nn.ModuleList(
            nn.Embedding(1 + sizes.part_classes[known], sizes.part_classes[part]) for part, known in GIVEN
        )
        self.fraud = nn.Linear(sizes.hidden + sizes.width, 1) if sizes.fraud else None
        for module in (self.intent_direct, *self.given):  # before anything is learned they say nothing
            nn.init.zeros_(module.weight)

    def embed(self, action: Tensor, item: Tensor, category: Tensor, real: Tensor) -> Tensor:
        """x [N, width] of N events: three columns of indices [N] and the real-valued features [N, F]."""
        columns = [self.action(action)]
        if self.item is not None:
            columns.append(self.item(item))
        if self.category is not None:
            columns.append(self.category(category))
        return torch.cat([*columns, real], dim=1)

    def advance(self, x: Tensor, batch_sizes: Tensor, carry: Tensor) -> tuple[Tensor, Tensor]:
        """(x [N, width] packed, carry [U, P, L, H]) -> (out [N, H], carry): users in packed order, busiest first."""
        before = tuple(part.transpose(0, 1).contiguous() for part in carry.unbind(1))  # [L, U, H] each
        out, after = self.recurrent(PackedSequence(x, batch_sizes), before if len(before) > 1 else before[0])
        parts = after if isinstance(after, tuple) else (after,)
        return out.data, torch.stack([part.transpose(0, 1) for part in parts], dim=1)

    def heads(self, out: Tensor, x: Tensor) -> Heads:
        """Logits after each event, from out [N, H] and x [N, width]."""
        fraud = None if self.fraud is None else self.fraud(torch.cat([out, x], dim=1))[:, 0]
        return Heads(self.intent(out) + self.intent_direct(x), fraud)

    def next_logits(self, before: Tensor, classes: Tensor) -> list[Tensor]:
        """[N, classes] of each part of the event to come, given what came in the parts that it depends on."""
        logits = list(self.next_event(before).split(self.sizes.part_classes, dim=1))
        for (part, known), given in zip(GIVEN, self.given, strict=True):
            logits[part] = logits[part] + given(classes[:, known] - NOTHING)
        return logits

    def surprise(self, before: Tensor, classes: Tensor) -> Tensor:
        """[N, len(PARTS)] nats, each at least 0: -ln p(what came), from the output before each event [N, H].

        `classes` [N, len(PARTS)] is what came; a part of NOTHING is 0.
        """
        parts = [
            cross_entropy(logits, classes[:, part], reduction="none", ignore_index=NOTHING)
            for part, logits in enumerate(self.next_logits(before, classes))
        ]
        return torch.stack(parts, dim=1).abs()  # of -0.0 and the like, by rounding; clamped it would stay -0.0
