"""Which model scores a partition, from where on: the cuts in its log. What comes before one is the former model's for
ever, so that a replay across it gives the same scores and ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import msgspec

CUTS_KEPT = 16  # in the row of a partition: enough to score again offline what its source topics still hold
_ODD = 0x9E37_79B9_7F4A_7C15  # 2^64 / golden ratio


class ModelId(NamedTuple):
    """A model as it was announced."""

    version: int  # the higher, the later; 0: the one that workers are started with
    sha256: str  # of its weights


class Cut(msgspec.Struct, frozen=True, kw_only=True):
    """From where on a partition is scored by which model."""

    version: int
    sha256: str
    name: str
    changes: int  # of the partition's model, with this one
    offsets: Mapping[int, int]  # of each source that was read, the first that this model scores

    @property
    def model(self) -> ModelId:
        return ModelId(self.version, self.sha256)

    @property
    def mark(self) -> int:
        """What rows say of a carry that was made since this cut."""
        return carry_mark(self.sha256, self.changes)


def carry_mark(sha256: str, changes: int = 0) -> int:
    """What a row says of its carry: by which model it was made, and since which change of the partition's model.

    A carry by the same model from before another one had its turn is not used again. Whether it is still there depends
    on who was in memory meanwhile, and no score may. The mark of a first model is the first 8 bytes of its hash; none
    is 0.
    """
    return (int(sha256[:16], 16) + changes * _ODD) % 2**64 or 1


def with_cut(cuts: tuple[Cut, ...], model: ModelId, name: str, offsets: Mapping[int, int]) -> tuple[Cut, ...]:
    """A partition's cuts and one more. The same model under another version is no change: its carries stay."""
    last = cuts[-1] if cuts else None
    changes = 0 if last is None else last.changes + (last.sha256 != model.sha256)
    cut = Cut(version=model.version, sha256=model.sha256, name=name, changes=changes, offsets=offsets)
    return (*cuts, cut)[-CUTS_KEPT:]
