"""What single things cost on this machine just now, at the base case: measured apart, for the theory."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np
import torch

from stream import rows
from stream.core_speed import polls_of, run_core
from stream.kafka.store import RowStore
from stream.model_file import LoadedModel
from stream.settings import Settings
from stream.shop_event import ShopEvent
from tests.bench.bot import BOT, beside_a_bot
from tests.bench.filling import plausible_rows, sizes_of, user
from tests.bench.growth.theory import FAIR_SHARE

_CORE_EVENTS = 40_000
_TURNS, _TIMES = 3, 5
_ROWS = 20_000
_READS = 4_096
# A row that is written to the local copy is sent to the changelog too, and stored there: taken to cost as much again.
_COPIES = 2


class CoreCosts(NamedTuple):
    """Of an event, in microseconds."""

    lstm_us: float  # in the network
    quarter_us: float  # more than usual, where a quarter of all events is one user's
    alone_us: float  # the same, where all are


def of_the_core(settings: Settings, loaded: LoadedModel, shop: Iterator[ShopEvent]) -> CoreCosts:
    """In batches as a backlog has them, of ever more events of one user."""
    torch.set_num_threads(settings.torch_threads)
    usual = list(itertools.islice(shop, _CORE_EVENTS))
    quarter = list(itertools.islice(beside_a_bot(iter(usual), FAIR_SHARE), _CORE_EVENTS))
    alone = [event for event in beside_a_bot(iter(usual), 0.5) if event.key == BOT]
    run_core(settings, loaded, polls_of(usual[: settings.batch_max_events], settings))  # what is done once
    polls = [polls_of(events, settings) for events in (usual, quarter, alone)]
    turns = [[run_core(settings, loaded, of_it) for of_it in polls] for _ in range(_TURNS)]
    event_us, quarter_us, alone_us = (
        median(1e6 / speed.events_per_second for speed in speeds) for speeds in zip(*turns, strict=True)
    )
    return CoreCosts(median(speeds[0].lstm_us for speeds in turns), quarter_us - event_us, alone_us - event_us)


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
