"""What core tests are made of: records, frames, and a pipeline small enough to run thousands of times."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import numpy as np
import orjson
import torch

from stream import rows, sequences
from stream.anomaly import fit
from stream.carries import CarrySizes
from stream.decode import TimeBounds, decode
from stream.encode import Scored
from stream.events import CLICK_NAMES, EventBatch, Frame
from stream.features import PARTS, Statistics
from stream.kernels import Kernels, pick
from stream.model import BehaviourModel, Cell, Sizes
from stream.pipeline import Pipeline
from stream.scorer import AnyScorer
from stream.table import Table

START_MS = 1_790_000_000_000
BOUNDS = TimeBounds(300_000, 366 * 86_400_000)
CPU = torch.device("cpu")
STATISTICS = Statistics(3.0, 2.0, 3.0, 1.0)
_NATS = np.random.default_rng(0).exponential(0.5, (10_000, len(PARTS))).astype(np.float32)
NORMAL = fit(_NATS, sequences.pack(np.repeat(np.arange(500), 20)))
# As a worker has them here: compiled, where Numba is there
KERNELS = pick("auto")
# Any hash: the first bytes of a model's SHA-256.
MODEL = 0x1234_5678_9ABC_DEF0


@dataclasses.dataclass(slots=True)
class FakeRecord:
    """What decoding reads of a Kafka record."""

    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int


def click(user: str, time_ms: int, offset: int, *, name: str = "view_item", **fields: object) -> FakeRecord:
    """A clicks record, as a shop would send it."""
    event = {"event_id": f"{user}-{offset}", "event_name": name, "event_time": time_ms, "user_id": user, **fields}
    return FakeRecord(user.encode(), orjson.dumps(event), offset, time_ms)


def frame(records: Sequence[FakeRecord], *, source: int = 0, partition: int = 0) -> Frame:
    return Frame(source, partition, records, records[-1].offset + 1)


def random_events(seed: int, *, n: int, users: int, partition: int = 0, first_offset: int = 0) -> EventBatch:
    """n clicks of few users, with repeats, late ones and gaps of all sizes, as one batch."""
    rng = np.random.default_rng(seed)
    time_ms = START_MS + np.cumsum(rng.integers(0, 40_000, n)) - rng.integers(0, 60_000, n)
    records = [
        click(
            f"user-{rng.integers(users)}",
            int(time_ms[i]),
            first_offset + i,
            name=CLICK_NAMES[rng.integers(len(CLICK_NAMES))],
            item_id=f"sku-{rng.integers(50)}",
            item_category=f"category-{rng.integers(8)}",
            **({"price": round(float(rng.lognormal(3, 1)), 2)} if rng.random() < 0.7 else {}),
        )
        for i in range(n)
    ]
    batch, rejects = decode(frame(records, partition=partition), BOUNDS)
    assert not rejects
    return batch


def small_model(
    seed: int = 0, *, hidden: int = 8, layers: int = 1, cell: Cell = "lstm", fraud: bool = False
) -> BehaviourModel:
    """A model that nothing was taught; all of its weights speak."""
    torch.manual_seed(seed)
    model = BehaviourModel(Sizes(hidden=hidden, layers=layers, cell=cell, fraud=fraud))
    for weight in (model.intent_direct.weight, *model.given.parameters()):
        torch.nn.init.normal_(weight, std=0.1)
    return model


def no_rows(partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
    return [None] * len(keys)


def pipeline(
    model: BehaviourModel | None = None,
    *,
    model_hash: int = MODEL,
    sequence: int = 10,
    max_steps: int = 10_000,
    fetch_rows: Callable[[int, Sequence[bytes]], Sequence[bytes | None]] = no_rows,
    device: torch.device = CPU,
    expiry_ms: int | None = None,
    max_users: int | None = None,
    kernels: Kernels = KERNELS,
) -> tuple[Pipeline, Table]:
    """A pipeline and its table, with weights by seed."""
    model = model or small_model()
    sizes = model.sizes
    table = Table(
        rows.Sizes(sequence, sizes.parts, sizes.layers, sizes.hidden),
        model=model_hash,
        device=device,
        fetch_rows=fetch_rows,
        max_users=max_users,
        index=kernels.user_index and kernels.user_index(),
    )
    return _pipeline(table, kernels.scorer(model, device), kernels, max_steps=max_steps, expiry_ms=expiry_ms), table


def _pipeline(
    table: Table, scorer: AnyScorer, kernels: Kernels, *, max_steps: int, expiry_ms: int | None = None
) -> Pipeline:
    return Pipeline(
        table,
        scorer,
        STATISTICS,
        NORMAL,
        max_steps=max_steps,
        expiry_ms=expiry_ms,
        trace=kernels.trace,
        suspects=kernels.suspects,
        strained=kernels.strained,
        interp=kernels.interp,
    )


def change_model(
    table: Table,
    model: BehaviourModel,
    *,
    model_hash: int,
    max_steps: int = 10_000,
    marks: Mapping[int, int] | None = None,
) -> Pipeline:
    """From here on the table's users are scored by another model, as a worker does it."""
    sizes = model.sizes
    table.use(model_hash, CarrySizes(sizes.parts, sizes.layers, sizes.hidden), marks)
    return _pipeline(table, KERNELS.scorer(model, CPU), KERNELS, max_steps=max_steps)


def score_all(pipeline: Pipeline, events: EventBatch, cuts: Sequence[int] = ()) -> list[Scored]:
    """Score in batches that end at `cuts`; what is deferred comes first in the next, as in `intake`."""
    edges = sorted({0, *cuts, len(events)})
    waiting, results = EventBatch.concat([]), []
    for start, end in pairwise(edges):
        outcome = pipeline.apply(EventBatch.concat([b for b in (waiting, events.take(slice(start, end))) if len(b)]))
        results.append(outcome.scored)
        waiting = outcome.deferred
    while len(waiting):
        outcome = pipeline.apply(waiting)
        results.append(outcome.scored)
        waiting = outcome.deferred
    return results


def by_offset(results: Sequence[Scored]) -> dict[str, np.ndarray]:
    """Scores of single-partition, single-source events, sorted by offset."""
    offset = np.concatenate([s.events["offset"] for s in results])
    order = np.argsort(offset)
    columns = {
        "offset": offset,
        **{
            name: np.concatenate([getattr(s, name) for s in results])
            for name in ("intent", "surprise_parts", "strain", "anomaly", "events_seen", "late", "carry_rebuilt")
        },
    }
    if all(s.fraud is not None for s in results if len(s)):
        columns["fraud"] = np.concatenate([s.fraud for s in results if s.fraud is not None])
    return {name: column[order] for name, column in columns.items()}


def stored_rows(table: Table) -> dict[tuple[int, bytes], bytes]:
    """Every row that changed, as it would be persisted; of the few partitions that tests have."""
    return {(p, key): row for p in range(10) for key, row in table.take_changed(p).to_bytes() if row is not None}


def forget_strain(table: Table, partition: int, keys: Sequence[bytes]) -> None:
    """What a carry that is made again does to these users: the strain was of another model's surprise."""
    slots = table.slots(np.full(len(keys), partition, np.int32), np.array(keys, object))
    memory = table.memory(slots)
    memory["strain"] = memory["strain_weight"] = 0.0
    table.remember(slots, memory)


def assert_rows_alike(found: bytes, expected: bytes, *, rtol: float = 0, atol: float = 1e-5) -> None:
    """Bit for bit, but for what is computed in batches and rounded by them: carry and strain, within `atol`."""
    size = rows.HEADER.itemsize
    assert found[:size] == expected[:size]
    header = np.frombuffer(expected, rows.HEADER, count=1)[0]
    sizes = rows.Sizes(*(int(header[name]) for name in rows.Sizes._fields))
    here, there = (rows.unpack([row], sizes) for row in (found, expected))
    np.testing.assert_allclose(here["carry"], there["carry"], atol=atol, rtol=rtol)
    here["carry"] = there["carry"] = 0.0
    assert_memories_alike(here["memory"], there["memory"], atol=atol)
    here["memory"]["strain"] = there["memory"]["strain"] = 0.0
    assert here.tobytes() == there.tobytes()


def assert_memories_alike(found: np.ndarray, expected: np.ndarray, *, atol: float = 1e-5) -> None:
    """[U] of MEMORY, bit for bit but for the strain, within `atol`, and within what a float32 of its size can tell."""
    np.testing.assert_allclose(found["strain"], expected["strain"], atol=atol, rtol=1e-6)
    here, there = found.copy(), expected.copy()
    here["strain"] = there["strain"] = 0.0
    assert here.tobytes() == there.tobytes()
