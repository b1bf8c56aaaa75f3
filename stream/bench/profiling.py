"""Where the time goes: microseconds of an event by stage of the core, and what worker and broker take in all.

The core is measured in one thread, compiled and as it is written, in turns. What Kafka adds is told by the processor
time of worker and broker over a backlog.
"""

from __future__ import annotations

import asyncio
import time
from statistics import median

import msgspec
import psutil  # type: ignore[import-untyped]
import torch

from stream import model_file
from stream.bench.bed import Bed, Plan, bed, of_its_own, until_committed, workers_of
from stream.bench.throughput import load
from stream.core_speed import run_core, simulated_polls, this_machine
from stream.settings import Settings

_TURNS = 3
_EVENTS = 100_000
_KERNELS = ("compiled", "reference")


class Profile(msgspec.Struct, kw_only=True):
    """What `bench --profile --json` prints; all in microseconds of an event."""

    core: dict[str, dict[str, float]]  # by kernels, by stage
    core_events_per_second: dict[str, float]  # by kernels
    worker_cpu: float  # processor time of one worker over a backlog, user and system
    broker_cpu: float
    worker_events_per_second: float
    events: int
    machine: str


def profile(plan: Plan) -> Profile:
    """Of the core, and of one worker with a broker of its own."""
    with bed(plan.settings) as here:
        plan.say(f"the core, {_TURNS} times {_EVENTS:,} events with each kind of kernels")
        speeds, stages = _core(here)
        backlog = of_its_own(here.settings, "backlog", here.folder)
        plan.say(f"simulating {plan.events:,} events")
        asyncio.run(load(backlog, here.shop, plan.events))
        worker_cpu, broker_cpu, per_second = asyncio.run(_worker(backlog, here, plan.events))
    return Profile(
        core=stages,
        core_events_per_second=speeds,
        worker_cpu=round(worker_cpu, 2),
        broker_cpu=round(broker_cpu, 2),
        worker_events_per_second=round(per_second, 1),
        events=plan.events,
        machine=this_machine(),
    )


def _core(here: Bed) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    polls = simulated_polls(here.settings, seed=here.seed, users=here.users, start_ms=here.start_ms, events=_EVENTS)
    torch.set_num_threads(here.settings.torch_threads)
    loaded = model_file.load(here.settings.model)
    settings = {kind: msgspec.structs.replace(here.settings, kernels=kind) for kind in _KERNELS}
    for of in settings.values():  # what is done once is not measured
        run_core(of, loaded, polls[:1])
    turns = [{kind: run_core(of, loaded, polls) for kind, of in settings.items()} for _ in range(_TURNS)]
    speeds = {kind: round(median(turn[kind].events_per_second for turn in turns), 1) for kind in _KERNELS}
    stages = {
        kind: {
            stage: round(median(turn[kind].stage_us[stage] for turn in turns), 2) for stage in turns[0][kind].stage_us
        }
        for kind in _KERNELS
    }
    return speeds, stages


async def _worker(settings: Settings, here: Bed, events: int) -> tuple[float, float, float]:
    """(worker, broker) microseconds of an event, and events per second, from the worker's start on."""
    with workers_of(settings, 1, here.folder) as (worker,):
        processes = psutil.Process(worker.pid), psutil.Process(here.broker.pid)
        began, before = time.monotonic(), [_cpu_secs(process) for process in processes]
        await until_committed(settings, [worker])
        secs = time.monotonic() - began
        took = [_cpu_secs(process) - at for process, at in zip(processes, before, strict=True)]
    return 1e6 * took[0] / events, 1e6 * took[1] / events, events / secs


def _cpu_secs(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
