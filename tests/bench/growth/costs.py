"""What single things cost on this machine just now, at the base case: measured apart, for the theory."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

from stream import rows
from stream.core_speed import run_core, simulated_polls
from stream.kafka.store import RowStore
from stream.model_file import LoadedModel
from stream.settings import Settings
from tests.bench.filling import plausible_rows, sizes_of, user

_CORE_EVENTS = 50_000
_STEPS, _TIMES = 512, 5
_ROWS = 20_000
_READS = 4_096
# A row that is written to the local copy is sent to the changelog too, and stored there: taken to cost as much again.
_COPIES = 2


def lstm_us(settings: Settings, loaded: LoadedModel, *, start_ms: int) -> float:
    """Of an event, in the network, in batches as a backlog has them."""
    torch.set_num_threads(settings.torch_threads)
    polls = simulated_polls(settings, seed=1, users=50_000, start_ms=start_ms, events=_CORE_EVENTS)
    run_core(settings, loaded, polls[:1])  # what is done once
    return run_core(settings, loaded, polls).lstm_us


@torch.inference_mode()
def step_us(loaded: LoadedModel) -> float:
    """Of an event of one user after the other, beyond what one of many users at once takes."""
    model, sizes = loaded.model, loaded.card.sizes
    x = torch.randn(_STEPS, sizes.width)

    def advance(batch_sizes: torch.Tensor) -> float:
        carry = torch.zeros(int(batch_sizes[0]), sizes.parts, sizes.layers, sizes.hidden)
        return _median_us(lambda: model.advance(x, batch_sizes, carry)) / _STEPS

    return advance(torch.ones(_STEPS, dtype=torch.int64)) - advance(torch.tensor([_STEPS]))


def row_us_per_kb(settings: Settings, folder: Path) -> float:
    """Of a row that is written."""
    values = rows.to_bytes(plausible_rows(np.random.default_rng(0), _ROWS, sizes_of(settings), 1))
    store = RowStore(folder)
    store.own([0])
    began = time.perf_counter()
    store.write(0, ((user(n), value) for n, value in enumerate(values)), 1)
    took = time.perf_counter() - began
    store.close()
    return _COPIES * 1e6 * took / (sum(map(len, values)) / 1000)


def read_us(settings: Settings, users: int) -> float:
    """Of a row that is not in memory, of users drawn evenly; of a local copy that no worker has open."""
    store, rng, partitions = RowStore(settings.data_dir), np.random.default_rng(0), range(settings.partitions)
    store.own(partitions)

    def fetch() -> None:
        numbers = rng.integers(0, users, _READS)
        for partition in partitions:
            store.fetch(partition, [user(n) for n in numbers[numbers % settings.partitions == partition].tolist()])

    took = _median_us(fetch) / _READS
    store.close()
    return took


def _median_us(do: Callable[[], object]) -> float:
    took = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        do()
        took.append(time.perf_counter() - began)
    return 1e6 * median(took)
