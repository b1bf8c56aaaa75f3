"""A small demand, predicted and then run: one worker on a broker of its own, over a backlog of simulated shoppers.

What it has once a third of the backlog is done is left out: a start, and a broker that is still compiling.
"""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from stream import model_file
from stream.bench.bed import Plan, bed, of_its_own, workers_of
from stream.bench.throughput import load
from stream.commands.worker_process import WorkerProcess
from stream.core_speed import this_machine
from stream.errors import BehaviourStreamError
from stream.kafka.embedded import free_port
from stream.model import BehaviourModel
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.sizing import traffic
from stream.sizing.activity import activity
from stream.sizing.constants import Constants
from stream.sizing.cost import cost
from stream.sizing.demands import Demands
from stream.sizing.deployment import Deployment
from stream.sizing.memory import memory

_BEGUN, _DONE = 1 / 3, 0.98
_POLL_SECS, _STALL_SECS, _ANSWER_SECS = 0.2, 120.0, 10.0
_LIKE = "shoppers-h64"  # what a model is given that has learned nothing


@dataclasses.dataclass(frozen=True, slots=True)
class Figure:
    """Something that was predicted, and what it was."""

    name: str
    unit: str
    predicted: float
    measured: float

    @property
    def ratio(self) -> float:
        """Of what was measured to what was predicted."""
        return self.measured / self.predicted


class Trial(msgspec.Struct, kw_only=True):
    """A prediction beside a run."""

    figures: list[Figure]
    events: int
    users: int
    cores: float  # that it had, of those that it could have
    checkpoint_ms: float  # in the mean, with its rows
    machine: str


class _Sample(NamedTuple):
    """A worker at a moment."""

    at: float
    values: dict[str, float]  # of /metrics, labels summed up
    changelog_bytes: int

    @property
    def events(self) -> float:
        return self.values["behaviour_events_total"]


def try_out(demands: Demands, constants: Constants, events: int, say: Callable[[str], None]) -> Trial:
    """Run so many events through a worker with the model and the settings of the demands."""
    plan = Plan(
        settings=demands.settings, workers=1, events=events, latency_workers=1, rate_per_sec=1, seconds=1, say=say
    )
    with bed(plan.settings) as here:
        model = _model(demands, here.folder)
        settings = of_its_own(here.settings, "size", here.folder, model=model, metrics_port=free_port())
        say(f"simulating {events:,} events")
        users = set[bytes]()
        asyncio.run(load(settings, _noting(here.shop, users), events))
        say(f"they are on the topics, of {len(users):,} users; starting a worker")
        with workers_of(settings, 1, here.folder) as (worker,):
            storage = here.folder / "broker"
            begun = _when(worker, settings, storage, events * _BEGUN)
            done = _when(worker, settings, storage, events * _DONE)
    return _beside(demands, constants, (begun, done), events, len(users))


def _beside(demands: Demands, constants: Constants, between: tuple[_Sample, _Sample], events: int, users: int) -> Trial:
    begun, done = between
    of = {name: done.values[name] - begun.values[name] for name in done.values}
    scored, checkpoints = done.events - begun.events, of["behaviour_checkpoint_seconds_count"]
    if not checkpoints:
        raise BehaviourStreamError(
            f"--checkpoint-interval-ms={demands.settings.checkpoint_interval_ms}: expected one that ends within the "
            f"{done.at - begun.at:.1f} s that this took, or there is no changelog to be measured"
        )
    rate = scored / (done.at - begun.at)
    small = dataclasses.replace(
        demands, events_per_second=rate, users=users, memory_max_users=None,
        active_users_per_checkpoint=None, user_max_events_per_second=max(rate, demands.user_max_events_per_second),
    )  # fmt: skip
    spent = cost(small, constants, activity(small), 1)
    held = memory(small, constants, spent, Deployment(1, demands.settings.partitions, 1))
    put = min(held.store, done.changelog_bytes)
    resident = held.process + held.users + put + held.waiting + held.in_flight
    return Trial(
        figures=[
            Figure("processor time", "us an event", spent.worker_us, 1e6 * of["process_cpu_seconds_total"] / scored),
            Figure("one worker", "events/s", spent.events_per_second, rate),
            Figure("changelog", "rows an event", spent.rows, of["behaviour_rows_flushed_total"] / scored),
            Figure(
                "changelog", "bytes an event",
                traffic.of(small, constants, spent).changelog / rate,
                (done.changelog_bytes - begun.changelog_bytes) / scored,
            ),
            Figure("a worker's memory", "bytes resident", resident, done.values["process_resident_memory_bytes"]),
        ],
        events=events,
        users=users,
        cores=round(of["process_cpu_seconds_total"] / (done.at - begun.at), 2),
        checkpoint_ms=round(1e3 * of["behaviour_checkpoint_seconds_sum"] / checkpoints, 1),
        machine=this_machine(),
    )  # fmt: skip


def _model(demands: Demands, folder: Path) -> str:
    """The model of the settings; where only its sizes were asked for, one that has learned nothing."""
    if model_file.load(demands.settings.model).card.sizes == demands.model:
        return demands.settings.model
    like, path = model_file.load(_LIKE).card, folder / "untaught.safetensors"
    model_file.save(
        BehaviourModel(demands.model), path, statistics=like.statistics, normal=like.normal_traffic, made={}
    )
    return str(path)


def _noting(shop: Iterator[ShopEvent], users: set[bytes]) -> Iterator[ShopEvent]:
    for event in shop:
        users.add(event.key)
        yield event


def _when(worker: WorkerProcess, settings: Settings, storage: Path, events: float) -> _Sample:
    """The worker once it has scored so many."""
    had, since = -1.0, time.monotonic()
    while True:
        worker.check()
        sample = _sample(settings, storage)
        if sample is not None and sample.events >= events:
            return sample
        if sample is not None and sample.events > had:
            had, since = sample.events, time.monotonic()
        if time.monotonic() - since > _STALL_SECS:
            raise worker.failed(f"{events:,.0f} events were to be scored, and none was in {_STALL_SECS:.0f} s")
        time.sleep(_POLL_SECS)


def _sample(settings: Settings, storage: Path) -> _Sample | None:
    """None before it answers."""
    try:
        url = f"http://127.0.0.1:{settings.metrics_port}/metrics"
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=_ANSWER_SECS) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None
    values: defaultdict[str, float] = defaultdict(float)
    for line in itertools.filterfalse(lambda line: line.startswith("#"), text.splitlines()):
        name, value = line.rsplit(" ", 1)
        values[name.partition("{")[0]] += float(value)
    logs = storage.rglob(f"{settings.changelog_topic}-*/*.log")
    return _Sample(time.monotonic(), dict(values), sum(path.stat().st_size for path in logs))
