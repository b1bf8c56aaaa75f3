"""The core as one is to have it who has settings and a model: worker, benchmark and laws share this."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from stream import kernels
from stream.carries import CarrySizes
from stream.decode import TimeBounds
from stream.encode import Encoder
from stream.kernels import Kernels
from stream.model_file import LoadedModel
from stream.pipeline import Pipeline
from stream.rows import Sizes
from stream.settings import Settings
from stream.table import FetchRows, Table


@dataclass(slots=True)
class Core:
    """What takes events and gives score records, by one model at a time; the intake in between is its user's."""

    settings: Settings
    kernels: Kernels
    device: torch.device
    bounds: TimeBounds
    table: Table
    encoder: Encoder
    model: LoadedModel
    pipeline: Pipeline

    def use(self, model: LoadedModel, marks: Mapping[int, int] | None = None) -> None:
        """Score by this model from here on. What users carry is made anew; all else that rows hold stays.

        Between two batches, and on their thread.
        """
        self.model = model
        self.mark_carries(marks)
        self.encoder.use(model.name, model.hash, model.card.sizes.horizons)
        self.pipeline = _pipeline(self.settings, self.kernels, self.table, model, self.device)

    def mark_carries(self, marks: Mapping[int, int] | None = None) -> None:
        """What the model's carries must be marked with, by partition; None: all with the model's hash.

        Between two batches.
        """
        self.table.use(self.model.hash64, _carry_sizes(self.model), marks)


def assemble(settings: Settings, loaded: LoadedModel, device: torch.device, fetch_rows: FetchRows) -> Core:
    """A core with an empty table, whose rows come from `fetch_rows`."""
    picked = kernels.pick(settings.kernels)
    table = Table(
        Sizes(settings.sequence_events, *_carry_sizes(loaded)),
        model=loaded.hash64,
        device=device,
        fetch_rows=fetch_rows,
        max_users=settings.memory_max_users,
        index=picked.user_index and picked.user_index(),
    )
    return Core(
        settings=settings,
        kernels=picked,
        device=device,
        bounds=TimeBounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms),
        table=table,
        encoder=Encoder(
            topics=settings.read_topics,
            model=loaded.name,
            model_hash=loaded.hash,
            horizons=loaded.card.sizes.horizons,
        ),
        model=loaded,
        pipeline=_pipeline(settings, picked, table, loaded, device),
    )


def _pipeline(settings: Settings, picked: Kernels, table: Table, model: LoadedModel, device: torch.device) -> Pipeline:
    return Pipeline(
        table,
        picked.scorer(model.model, device),
        model.card.statistics,
        model.card.normal_traffic,
        max_steps=settings.batch_max_steps,
        expiry_ms=settings.user_expiry_ms,
        trace=picked.trace,
        suspects=picked.suspects,
        strained=picked.strained,
        interp=picked.interp,
    )


def _carry_sizes(model: LoadedModel) -> CarrySizes:
    sizes = model.card.sizes
    return CarrySizes(sizes.parts, sizes.layers, sizes.hidden)
