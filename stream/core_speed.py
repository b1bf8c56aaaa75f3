"""What this machine could do, were there nothing but the core: no Kafka, a process per CPU, all at once.

The figures of a worker are read beside it. Shared CPUs are half as fast again from one minute to the next, and two of
them may be one that is shared by two.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

import torch
from xxhash import xxh3_64_intdigest

from stream import model_file
from stream.encode import Encoder
from stream.events import SOURCES, Frame, Record, TimeBounds, decode
from stream.intake import DecodedFrame, Intake
from stream.pipeline import Pipeline
from stream.scorer import Scorer, pick_device
from stream.settings import Settings
from stream.shop_event import ROLES, ShopEvent
from stream.simulator.shoppers import simulate
from stream.table import Table


@dataclass(slots=True)
class _Record:
    key: bytes | None
    value: bytes | None
    offset: int
    timestamp: int


# Two or three seconds of work.
_EVENTS = 200_000


def machine_events_per_second(settings: Settings, *, seed: int, users: int, start_ms: int) -> float:
    """Events per second of one process per CPU, all at once, each with events and users of its own: their sum."""
    cpus = os.cpu_count() or 1
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(cpus, initializer=_all_at_once, initargs=(spawn.Barrier(cpus),)) as processes:
        return sum(
            processes.starmap(_core_events_per_second, [(settings, seed + n, users, start_ms) for n in range(cpus)], 1)
        )


_barrier: Barrier


def _all_at_once(barrier: Barrier) -> None:
    global _barrier  # noqa: PLW0603 - the pool's way to give a process something that cannot be pickled
    _barrier = barrier


def _core_events_per_second(settings: Settings, seed: int, users: int, start_ms: int) -> float:
    """From records to score records, in one thread, in batches of the settings' size."""
    events = list(itertools.islice(simulate(seed=seed, users=users, start_ms=start_ms), _EVENTS))
    torch.set_num_threads(settings.torch_threads)
    loaded, device = model_file.load(settings.model), pick_device(settings.device)
    sizes = loaded.card.sizes
    table = Table(
        sequence=settings.sequence_events,
        layers=sizes.layers,
        hidden=sizes.hidden,
        model=loaded.hash64,
        device=device,
        fetch_rows=lambda partition, keys: [None] * len(keys),
    )
    pipeline = Pipeline(
        table,
        Scorer(loaded.model, device),
        loaded.card.statistics,
        loaded.card.normal_traffic,
        max_steps=settings.batch_max_steps,
    )
    encoder = Encoder(
        topics=settings.source_topics, model=loaded.name, model_hash=loaded.hash, horizons_secs=sizes.horizons_secs
    )
    intake = Intake(hold_max_ms=settings.merge_hold_max_ms)
    for partition in range(settings.partitions):
        intake.start(partition, {})
    at_end = {(source, partition) for source in SOURCES for partition in range(settings.partitions)}
    bounds = TimeBounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms)
    polls = _polls(events, settings)

    _barrier.wait()
    started = time.perf_counter()
    for poll in polls:
        for frame in poll:
            intake.put(DecodedFrame(frame.source, frame.partition, frame.next_offset, *decode(frame, bounds)))
        intake.absorb()
        while len(taken := intake.take(settings.batch_max_events, at_end, 0)):
            scored, deferred = pipeline.apply(taken)
            intake.defer(deferred)
            for _ in encoder.scores(scored, 0):
                pass
    return len(events) / (time.perf_counter() - started)


def _polls(events: Sequence[ShopEvent], settings: Settings) -> list[list[Frame]]:
    """What polls of a batch's size would bring."""
    offsets: defaultdict[tuple[int, int], int] = defaultdict(int)
    polls = []
    for start in range(0, len(events), settings.batch_max_events):
        runs: defaultdict[tuple[int, int], list[Record]] = defaultdict(list)
        for event in events[start : start + settings.batch_max_events]:
            place = ROLES.index(event.topic), xxh3_64_intdigest(event.key) % settings.partitions
            runs[place].append(_Record(event.key, event.value, offsets[place], event.time_ms))
            offsets[place] += 1
        polls.append([Frame(*place, run, offsets[place]) for place, run in runs.items()])
    return polls
