"""Features by what they tell of: what may be dropped, and what is asked for its worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from stream.errors import SettingsError
from stream.features import REAL
from stream.model import BehaviourModel

_PREFIXES = {
    "gap": ("gap", "first"),
    "rhythm": ("rhythm",),
    "price": ("price", "no_price"),
    "clock": ("hour_",),
    "whereabouts": ("new_",),
    "same_item": ("same_item_",),
    "same_category": ("same_category_",),
    "counts": ("count_",),
}
# Group -> its places in REAL
REAL_GROUPS: Mapping[str, tuple[int, ...]] = {
    group: tuple(i for i, name in enumerate(REAL) if name.startswith(prefixes)) for group, prefixes in _PREFIXES.items()
}
EMBEDDED = ("action", "item", "category")
GROUPS = (*EMBEDDED, *REAL_GROUPS)


def expect_known(groups: Sequence[str]) -> None:
    """Raises SettingsError that names what is no group."""
    for group in groups:
        if group not in GROUPS:
            raise SettingsError(f"drop: expected any of {', '.join(GROUPS)}, got {group}")


@torch.no_grad()
def silence(model: BehaviourModel, groups: Sequence[str]) -> None:
    """Let the model hear nothing of these: their weights become 0, so that it does not matter what serving computes."""
    sizes = model.sizes
    first_real = sizes.width - len(REAL)
    for group in groups:
        if group in EMBEDDED:
            embedding = getattr(model, group)
            if embedding is not None:
                embedding.weight.zero_()
            continue
        columns = torch.tensor(REAL_GROUPS[group]) + first_real
        model.recurrent.weight_ih_l0[:, columns] = 0.0
        model.intent_direct.weight[:, columns] = 0.0
        if model.fraud is not None:
            model.fraud.weight[:, columns + sizes.hidden] = 0.0
