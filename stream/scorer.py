"""x and carry -> scores and carry, on one device, in float32.

GPU and CPU agree within 1e-4 because TF32, which keeps 10 bits of each factor, is turned off.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from stream.features import Features, Outcome
from stream.model import BehaviourLSTM
from stream.sequences import Packing

Floats = NDArray[np.float32]


def pick_device(wanted: str) -> torch.device:
    """`auto` is the GPU where there is one."""
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted)


class Scorer:
    """A model on its device."""

    def __init__(self, model: BehaviourLSTM, device: torch.device) -> None:
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        self.model = model.to(device).eval()
        self.device = device

    @torch.inference_mode()
    def score(
        self, features: Features, outcome: Outcome, packing: Packing, carry: torch.Tensor
    ) -> tuple[Floats, Floats, torch.Tensor]:
        """Packed features and outcome, carry [U, 2, L, H] -> intent [N, K] in [0, 1], surprise [N, 4] nats, carry."""
        out, moved = self._advance(features, packing, carry)
        # The output before a user's first event here is the last layer's h of the carry.
        states = torch.cat([carry[:, 0, -1], out])
        nats = self.model.surprise(
            states[self._on_device(packing.before)], self._on_device(outcome.classes), self._on_device(outcome.first)
        )
        intent = torch.sigmoid(self.model.intent_logits(out))
        return intent.cpu().numpy(), nats.cpu().numpy(), moved

    @torch.inference_mode()
    def advance(self, features: Features, packing: Packing, carry: torch.Tensor) -> torch.Tensor:
        """Only the carry, for a rolling sequence that is run again."""
        return self._advance(features, packing, carry)[1]

    def _advance(self, features: Features, packing: Packing, carry: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.model.embed(*(self._on_device(column) for column in features))
        return self.model.advance(x, torch.from_numpy(packing.batch_sizes), carry)

    def _on_device(self, column: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(column).to(self.device)
