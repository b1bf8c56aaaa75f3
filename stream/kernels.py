"""Which functions do the work on bytes and arrays: the compiled ones where they run, else those that they stand for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch

from stream import admission, anomaly, decode, features
from stream.admission import Suspects
from stream.anomaly import Interp, StrainedBy
from stream.decode import TimeBounds
from stream.encode import Encoder, Scored
from stream.errors import SettingsError
from stream.events import EventBatch, Frame, Reject
from stream.features import Trace
from stream.model import BehaviourModel
from stream.record_batches import PartitionScores, RecordRun
from stream.scorer import AnyScorer, Scorer
from stream.slots import Index


class Kernels(NamedTuple):
    """A function of each kind."""

    name: Literal["compiled", "reference"]
    decode_all: Callable[[Sequence[Frame], TimeBounds], list[tuple[EventBatch, list[Reject]]]]
    # (encoder, scored, now_ms, max_bytes of a batch); None: record by record, by whoever sends them
    score_batches: Callable[[Encoder, Scored, int, int], Iterable[PartitionScores]] | None
    # (records, max_bytes of a batch); None: likewise
    batches: Callable[[Sequence[tuple[bytes, bytes | None]], int], Sequence[RecordRun]] | None
    user_index: Callable[[], Index] | None  # None: users are found in dictionaries
    suspects: Suspects
    trace: Trace
    strained: StrainedBy
    interp: Interp
    scorer: Callable[[BehaviourModel, torch.device], AnyScorer]


REFERENCE = Kernels(
    name="reference",
    decode_all=decode.decode_all,
    score_batches=None,
    batches=None,
    user_index=None,
    suspects=admission.suspects,
    trace=features.trace,
    strained=anomaly.strained,
    interp=np.interp,
    scorer=Scorer,
)


def pick(wanted: Literal["auto", "compiled", "reference"]) -> Kernels:
    """`auto` takes the compiled ones where Numba is there. SettingsError where they are wanted and it is not."""
    if wanted == "reference":
        return REFERENCE
    try:
        from stream.compiled import (
            event_columns,
            key_value_batches,
            ladders,
            lstm_scorer,
            repeats,
            score_batches,
            straining,
            tracing,
            user_index,
        )
    except ImportError as error:
        if wanted == "compiled":
            raise SettingsError(f"kernels: expected Numba, found none ({error}); `auto` goes on without") from None
        return REFERENCE
    return Kernels(
        name="compiled",
        decode_all=event_columns.decode_all,
        score_batches=score_batches.score_batches,
        batches=key_value_batches.batches,
        user_index=user_index.UserIndex,
        suspects=repeats.suspects,
        trace=tracing.trace,
        strained=straining.strained,
        interp=ladders.interpolated,
        scorer=lstm_scorer.scorer,
    )
