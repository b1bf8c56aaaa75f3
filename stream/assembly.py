"""The core as one is to have it who has settings and a model: worker, benchmark and laws share this."""

from __future__ import annotations

from typing import NamedTuple

import torch

from stream.decode import TimeBounds
from stream.encode import Encoder
from stream.model_file import LoadedModel
from stream.pipeline import Pipeline
from stream.rows import Sizes
from stream.scorer import Scorer
from stream.settings import Settings
from stream.table import FetchRows, Table


class Core(NamedTuple):
    """What takes events and gives score records; the intake in between is its user's."""

    bounds: TimeBounds
    table: Table
    pipeline: Pipeline
    encoder: Encoder


def assemble(settings: Settings, loaded: LoadedModel, device: torch.device, fetch_rows: FetchRows) -> Core:
    """A core with an empty table, whose rows come from `fetch_rows`."""
    sizes, card = loaded.card.sizes, loaded.card
    table = Table(
        Sizes(settings.sequence_events, sizes.parts, sizes.layers, sizes.hidden),
        model=loaded.hash64,
        device=device,
        fetch_rows=fetch_rows,
        max_users=settings.memory_max_users,
    )
    scorer = Scorer(loaded.model, device)
    return Core(
        bounds=TimeBounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms),
        table=table,
        pipeline=Pipeline(
            table,
            scorer,
            card.statistics,
            card.normal_traffic,
            max_steps=settings.batch_max_steps,
            expiry_ms=settings.user_expiry_ms,
        ),
        encoder=Encoder(
            topics=settings.read_topics, model=loaded.name, model_hash=loaded.hash, horizons=sizes.horizons
        ),
    )
