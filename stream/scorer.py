"""x and carry -> scores and carry, on one device, in float32.

GPU and CPU agree within 1e-4 because TF32, which keeps 10 bits of each factor, is turned off.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from stream.errors import SettingsError
from stream.features import Features, Seen
from stream.model import BehaviourModel
from stream.sequences import Packing

Floats = NDArray[np.float32]


def pick_device(wanted: str) -> torch.device:
    """`auto` is the GPU where there is one. Raises SettingsError where one is wanted and there is none."""
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise SettingsError("device: expected a GPU that PyTorch can use, found none; `auto` takes the CPU then")
    return torch.device(("cuda" if there else "cpu") if wanted == "auto" else wanted)


class Scores(NamedTuple):
    """What a model says of N events, in packed order."""

    intent: Floats  # [N, K] in [0, 1]
    surprise: Floats  # [N, len(PARTS)] nats
    fraud: Floats | None  # [N] in [0, 1]; None: the model has no such head


class AnyScorer(Protocol):
    """What scores: a `Scorer`, or a compiled one."""

    def score(self, seen: Seen, packing: Packing, carry: torch.Tensor) -> tuple[Scores, torch.Tensor]:
        """Packed events and carry [U, P, L, H] -> scores and carry."""

    def advance(self, features: Features, packing: Packing, carry: torch.Tensor) -> torch.Tensor:
        """Only the carry, for a rolling sequence that is run again."""


class Scorer:
    """A model on its device."""

    def __init__(self, model: BehaviourModel, device: torch.device) -> None:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        self.model = model.to(device).eval()
        self.device = device

    @torch.inference_mode()
    def score(self, seen: Seen, packing: Packing, carry: torch.Tensor) -> tuple[Scores, torch.Tensor]:
        """Packed events and carry [U, P, L, H] -> scores and carry."""
        x, out, moved = self._advance(seen.features, packing, carry)
        # The output before a user's first event here is the last layer's h of the carry.
        states = torch.cat([carry[:, 0, -1], out])
        nats = self.model.surprise(states[self._on_device(packing.before)], self._on_device(seen.classes))
        intent, fraud = self.model.heads(out, x)
        said = [torch.sigmoid(intent), nats, *([] if fraud is None else [torch.sigmoid(fraud)[:, None]])]
        # One copy to wait for, of some 40 bytes an event.
        columns = torch.cat(said, dim=1).cpu().numpy()
        horizons, parts = intent.shape[1], intent.shape[1] + nats.shape[1]
        return Scores(
            np.ascontiguousarray(columns[:, :horizons]),
            np.ascontiguousarray(columns[:, horizons:parts]),
            None if fraud is None else np.ascontiguousarray(columns[:, parts]),
        ), moved

    @torch.inference_mode()
    def advance(self, features: Features, packing: Packing, carry: torch.Tensor) -> torch.Tensor:
        """Only the carry, for a rolling sequence that is run again."""
        return self._advance(features, packing, carry)[2]

    def _advance(
        self, features: Features, packing: Packing, carry: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        x = self.model.embed(*(self._on_device(column) for column in features))
        return x, *self.model.advance(x, torch.from_numpy(packing.batch_sizes), carry)

    def _on_device(self, column: NDArray[np.generic]) -> torch.Tensor:
        tensor = torch.from_numpy(column)
        if self.device.type == "cpu":
            return tensor
        # From memory that does not move, the copy goes on while the next one is prepared.
        return tensor.pin_memory().to(self.device, non_blocking=True)
