"""What this machine could do, were there nothing but the core: no Kafka, a process per CPU, all at once.

The figures of a worker are read beside it. Shared CPUs are half as fast again from one minute to the next, and two of
them may be one that is shared by two.
"""

from __future__ import annotations

import dataclasses
import itertools
import multiprocessing
import os
import platform
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, NamedTuple

import torch

from stream import model_file
from stream.assembly import assemble
from stream.encode import Encoder, Scored
from stream.events import SOURCES, Frame
from stream.intake import DecodedFrame, Intake
from stream.kafka.batches import BATCH_BYTES
from stream.kafka.raw_batches import to_batches
from stream.model_file import LoadedModel
from stream.scorer import pick_device
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.shop_frames import ShopFrames
from stream.simulator import scenario
from stream.simulator.simulate import simulate

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
    polls = simulated_polls(settings, seed=seed, users=users, start_ms=start_ms, events=_EVENTS)
    torch.set_num_threads(settings.torch_threads)
    loaded = model_file.load(settings.model)
    _barrier.wait()
    return run_core(settings, loaded, polls).events_per_second


Polls = Sequence[Sequence[Frame]]


class Speed(NamedTuple):
    """How fast a core was."""

    events_per_second: float
    stage_us: Mapping[str, float]  # of an event

    @property
    def lstm_us(self) -> float:
        """Of an event, in the network alone."""
        return self.stage_us["lstm"]


def simulated_polls(settings: Settings, *, seed: int, users: int, start_ms: int, events: int) -> Polls:
    """What fetching simulated events would bring, in batches of the settings' size."""
    return polls_of(
        list(itertools.islice(simulate(scenario.load(), seed=seed, users=users, start_ms=start_ms), events)), settings
    )


def polls_of(made: Sequence[ShopEvent], settings: Settings) -> Polls:
    """The same of these events."""
    topics, size = ShopFrames(settings.partitions), settings.batch_max_events
    polls = [topics.append(made[start : start + size]) for start in range(0, len(made), size)]
    return [[dataclasses.replace(frame, records=to_batches(frame.records)) for frame in poll] for poll in polls]


def run_core(settings: Settings, loaded: LoadedModel, polls: Polls) -> Speed:
    """From records to score records, in one thread, on an empty table."""
    core = assemble(settings, loaded, pick_device(settings.device), _no_rows)
    intake = Intake(hold_max_ms=settings.merge_hold_max_ms, steps=settings.batch_max_steps)
    for partition in range(settings.partitions):
        intake.start(partition, {})
    at_end = {(source, partition) for source in SOURCES for partition in range(settings.partitions)}
    written: Callable[..., Iterable[Any]] = core.kernels.score_batches or _one_by_one
    events = 0
    stage_secs: defaultdict[str, float] = defaultdict(float)
    started = lapped = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal lapped
        now = time.perf_counter()
        stage_secs[stage] += now - lapped
        lapped = now

    for poll in polls:
        for frame in poll:
            (decoded,) = core.kernels.decode_all([frame], core.bounds)
            intake.put(DecodedFrame(frame.source, frame.partition, frame.next_offset, *decoded))
        lap("decode")
        intake.absorb()
        while len(taken := intake.take(settings.batch_max_events, at_end, 0)):
            lap("merge")
            outcome = core.pipeline.apply(taken, lap)
            intake.defer(outcome.deferred)
            lap("apply")
            events += len(outcome.scored)
            deque(written(core.encoder, outcome.scored, 0, BATCH_BYTES), maxlen=0)
            lap("encode")
    secs = time.perf_counter() - started
    return Speed(events / secs, {stage: 1e6 * took / max(1, events) for stage, took in stage_secs.items()})


def _one_by_one(encoder: Encoder, scored: Scored, now_ms: int, max_bytes: int) -> Iterable[Any]:
    return encoder.scores(scored, now_ms)


def this_machine() -> str:
    """What it was measured on, in words."""
    return f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _no_rows(partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
    return [None] * len(keys)
