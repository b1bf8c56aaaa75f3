"""All that the weights of a model depend on beside the events: what a card keeps, and a run repeats."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Share = Annotated[float, Meta(ge=0, lt=1)]
Positive = Annotated[float, Meta(gt=0)]
Weight = Annotated[float, Meta(ge=0)]
Count = Annotated[int, Meta(ge=1)]


class Augmentation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How events differ from epoch to epoch. Nothing by default: no more than chance came of it (CHANGELOG)."""

    event_dropout: Share = 0.0  # of the events, as if they had never come
    time_stretch: Weight = 0.0  # standard deviation of the ln of what a user's gaps are multiplied by
    crop: Share = 0.0  # of the users, who begin somewhere in the middle


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to learn. One configuration for all data sets."""

    seed: int = 1
    epochs: Annotated[int, Meta(ge=0)] = 0  # 0: as many as are best by cross-validation, or on the validation part
    max_epochs: Count = 30  # where they are not set
    lanes: Count = 64  # users side by side at most
    updates: Count = 40  # of the weights per epoch at least: fewer lanes where there is little to learn from
    steps: Count = 32  # through which a gradient goes back; the carry goes on beyond
    learning_rate: Positive = 1e-3
    weight_decay: Weight = 0.01
    average: Share = 0.99  # of the weights' exponential moving average, which is what is kept
    loss: Literal["cross_entropy", "squared_error"] = "cross_entropy"  # of purchases and fraud
    intent_weight: Weight = 1.0  # of each horizon; 0: next-event heads alone, to go on from
    fraud_weight: Weight = 1.0
    # Of the nats of what came next beside the others, which they would drown
    next_event_weight: Weight = 0.1
    folds: Annotated[int, Meta(ge=2)] = 4  # of cross-validation over users, where there are few events
    fold_events: int = 50_000  # few are fewer than these; with more, one validation part is enough
    validation_share: Annotated[float, Meta(gt=0, lt=1)] = 0.2  # of the users
    augmentation: Augmentation = Augmentation()
    drop: tuple[str, ...] = ()  # groups of features that the model is not to see
