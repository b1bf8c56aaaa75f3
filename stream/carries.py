"""What the network carries of each user, on its device, and which carry is whose work: one that another model made is
never used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from stream.sequences import Ints

Marks = NDArray[np.uint64]


class CarrySizes(NamedTuple):
    """What a model says of its carry."""

    parts: int  # P
    layers: int  # L
    hidden: int  # H


class Carries:
    """[S, P, L, H] float32 of all slots, and the marks that they must have to be used."""

    def __init__(self, sizes: CarrySizes, mark: int, device: torch.device) -> None:
        self._carry = torch.zeros((0, *sizes), dtype=torch.float32, device=device)
        self._mark, self._marks = mark, np.empty(0, np.uint64)

    @property
    def sizes(self) -> CarrySizes:
        return CarrySizes(*self._carry.shape[1:])

    def use(self, sizes: CarrySizes, mark: int, marks: Mapping[int, int]) -> bool:
        """Be another model's, whose carries have the mark of their partition, or `mark` where it has none -> whether
        they are of other sizes, so that all are gone."""
        self._mark = mark
        self._marks = np.full(1 + max(marks, default=-1), mark, np.uint64)
        for partition, of_it in marks.items():
            self._marks[partition] = of_it
        if sizes == self.sizes:
            return False
        self._carry = self._carry.new_zeros((len(self._carry), *sizes))
        return True

    def marks(self, partition: NDArray[np.int32]) -> Marks:
        """[U] of a user's partition each."""
        known = (partition >= 0) & (partition < len(self._marks))
        return np.asarray(np.append(self._marks, np.uint64(self._mark))[np.where(known, partition, -1)])

    def gather(self, slots: Ints) -> torch.Tensor:
        """[U, P, L, H] of these slots."""
        return self._carry[self._on_device(slots)]

    def scatter(self, slots: Ints, carry: torch.Tensor) -> None:
        """Put [U, P, L, H] into these slots."""
        self._carry[self._on_device(slots)] = carry.to(self._carry.device)

    def fit(self, capacity: int) -> None:
        """Have room for so many slots, no fewer than before."""
        more = capacity - len(self._carry)
        if more:
            self._carry = torch.cat([self._carry, self._carry.new_zeros((more, *self.sizes))])

    def _on_device(self, slots: Ints) -> torch.Tensor:
        return torch.from_numpy(slots).to(self._carry.device)
