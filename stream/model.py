"""The LSTM and its heads: weights and arithmetic only, no state of any user."""

from __future__ import annotations

import msgspec
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import PackedSequence

from stream.events import ACTIONS
from stream.features import CATEGORY_BUCKETS, ITEM_BUCKETS, PART_CLASSES, REAL


class Sizes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The sizes of a model, as its card holds them."""

    hidden: int
    layers: int = 1
    action_numbers: int = 8  # of each embedding
    item_numbers: int = 8
    category_numbers: int = 8
    horizons_secs: tuple[int, ...] = (1800, 86400)  # K

    def __post_init__(self) -> None:
        numbers = (self.hidden, self.layers, self.action_numbers, self.item_numbers, self.category_numbers)
        if min(*numbers, *self.horizons_secs, len(self.horizons_secs)) < 1:
            raise ValueError(f"expected sizes and horizons of 1 or more, got {self}")
        if len(set(self.horizons_secs)) < len(self.horizons_secs):
            raise ValueError(f"expected horizons that differ, got {self.horizons_secs}")


class BehaviourLSTM(nn.Module):
    """One `nn.LSTM` over embedded events; its output speaks of purchases to come and of the event to come."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.action = nn.Embedding(len(ACTIONS), sizes.action_numbers)
        self.item = nn.Embedding(ITEM_BUCKETS, sizes.item_numbers)
        self.category = nn.Embedding(CATEGORY_BUCKETS, sizes.category_numbers)
        width = sizes.action_numbers + sizes.item_numbers + sizes.category_numbers + len(REAL)
        self.lstm = nn.LSTM(width, sizes.hidden, sizes.layers)
        self.intent = nn.Linear(sizes.hidden, len(sizes.horizons_secs))
        self.next_event = nn.Linear(sizes.hidden, sum(PART_CLASSES))

    def embed(self, action: Tensor, item: Tensor, category: Tensor, real: Tensor) -> Tensor:
        """x [N, width] of N events: three columns of indices [N] and the real-valued features [N, F]."""
        return torch.cat([self.action(action), self.item(item), self.category(category), real], dim=1)

    def advance(self, x: Tensor, batch_sizes: Tensor, carry: Tensor) -> tuple[Tensor, Tensor]:
        """(x [N, width] packed, carry [U, 2, L, H]) -> (out [N, H], carry): users in packed order, busiest first."""
        h, c = (part.transpose(0, 1).contiguous() for part in carry.unbind(1))  # [L, U, H] each
        out, (h, c) = self.lstm(PackedSequence(x, batch_sizes), (h, c))
        return out.data, torch.stack([h.transpose(0, 1), c.transpose(0, 1)], dim=1)

    def intent_logits(self, out: Tensor) -> Tensor:
        """[N, K] after each event, from out [N, H]."""
        logits: Tensor = self.intent(out)
        return logits

    def surprise(self, before: Tensor, classes: Tensor, first: Tensor) -> Tensor:
        """[N, 4] nats, each at least 0: -ln p(what came), from the output before each event [N, H].

        `classes` [N, 4] is what came; where `first` [N], the part of the gap is 0.
        """
        logits = self.next_event(before)
        parts = [
            cross_entropy(part, classes[:, i], reduction="none")
            for i, part in enumerate(logits.split(PART_CLASSES, dim=1))
        ]
        nats = torch.stack(parts, dim=1).clamp_min(0.0)  # -0.0 and the like, by rounding
        nats[:, 2] = nats[:, 2].masked_fill(first, 0.0)
        return nats
