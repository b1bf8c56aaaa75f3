"""What this machine could do, were there nothing but the core: no Kafka, a process per CPU, all at once.

The figures of a worker are read beside it. Shared CPUs are half as fast again from one minute to the next, and two of
them may be one that is shared by two.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier

import torch

from stream import model_file
from stream.assembly import assemble
from stream.decode import decode
from stream.events import SOURCES
from stream.intake import DecodedFrame, Intake
from stream.scorer import pick_device
from stream.settings import Settings
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
    """From records to score records, in one thread, in batches of the settings' size."""
    events = list(itertools.islice(simulate(scenario.load(), seed=seed, users=users, start_ms=start_ms), _EVENTS))
    torch.set_num_threads(settings.torch_threads)
    core = assemble(settings, model_file.load(settings.model), pick_device(settings.device), _no_rows)
    intake = Intake(hold_max_ms=settings.merge_hold_max_ms)
    for partition in range(settings.partitions):
        intake.start(partition, {})
    at_end = {(source, partition) for source in SOURCES for partition in range(settings.partitions)}
    topics, size = ShopFrames(settings.partitions), settings.batch_max_events
    polls = [topics.append(events[start : start + size]) for start in range(0, len(events), size)]

    _barrier.wait()
    started = time.perf_counter()
    for poll in polls:
        for frame in poll:
            intake.put(DecodedFrame(frame.source, frame.partition, frame.next_offset, *decode(frame, core.bounds)))
        intake.absorb()
        while len(taken := intake.take(size, at_end, 0)):
            scored, deferred = core.pipeline.apply(taken)
            intake.defer(deferred)
            for _ in core.encoder.scores(scored, 0):
                pass
    return len(events) / (time.perf_counter() - started)


def _no_rows(partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
    return [None] * len(keys)
