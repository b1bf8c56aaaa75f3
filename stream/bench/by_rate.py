"""Latency under an open-loop load, from the time at which an event was meant to be sent until its score can be read,
at several rates one after the other.

What the load's process, the producer, the broker and the worker take is in it: also the wait of an event whose turn
had come while another was in the way. Where the load itself was late that is latency too, and said beside it.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from stream.bench import distribution
from stream.bench.bed import (
    Bed,
    Plan,
    bed,
    drop_topics,
    make_topics,
    of_its_own,
    of_the_same_events,
    until_committed,
    workers_of,
)
from stream.bench.distribution import STEADY, Floats
from stream.bench.generator import Order, Placed
from stream.bench.latency import appended
from stream.bench.live_reader import LiveReader
from stream.bench.open_load import Loaded, OpenLoad, placed
from stream.bench.schedule import HALF, Rate
from stream.bench.seen import Seen
from stream.bench.throughput import events_per_second, load
from stream.commands.load_run import destination
from stream.core_speed import this_machine
from stream.processes import Placement, keep
from stream.settings import Settings, in_force
from stream.simulator.load import produce

_FIRST_EVENTS = 1_000  # once they are scored, the workers are up


class AtRate(msgspec.Struct, kw_only=True):
    """What was found at one rate."""

    rate_per_second: float
    of_peak: bool  # the rate is half of the peak
    events: int  # measured
    unscored: int  # of them: events that are sent again have no score of their own
    latency_ms: dict[str, float]
    curve: list[tuple[float, float]]  # (one in so many, ms that it exceeds)
    latency_growth: float  # seconds a second; what keeps up has none
    keeps_up: bool
    possible_per_second: float  # scored, by that growth
    load_behind_ms: dict[str, float]  # of the load's schedule; it is in the latency
    load_keeps_up: bool
    load_per_second: float  # what the load could send


class LatencyFigures(msgspec.Struct, kw_only=True):
    """What `bench --latency --json` prints."""

    rates: list[AtRate]
    peak_events_per_second: float | None  # of a backlog; None: nobody asked
    read_live: bool  # until a subscriber had read the score, not until its append
    seconds: float
    warm_up_seconds: float
    workers: int
    cpus_apart: bool  # each worker had a CPU of its own, and all else the others
    machine: str
    settings: dict[str, Any]


def run_latency(plan: Plan, rates: Sequence[Rate]) -> LatencyFigures:
    """All rates on one broker, each with topics, workers and a load of its own."""
    with bed(plan.settings) as here:
        placement = here.part(plan.latency_workers)
        peak = _peak(here, plan, placement) if HALF in rates else None
        found = []
        for number, rate in enumerate(rates):
            per_sec = rate if isinstance(rate, float) else round((peak or 0.0) / 2)
            settings = of_its_own(here.settings, f"rate-{number}", here.folder)
            events = int(per_sec * (plan.warm_up_secs + plan.seconds))
            plan.say(f"simulating {events:,} events, to be sent at {per_sec:,.0f} a second")
            records = placed(itertools.islice(here.shop, events), settings.partitions)
            steady = Steady(per_sec, plan.seconds, plan.warm_up_secs, plan.latency_workers)
            at_rate = at_a_rate(settings, here, steady, records, placement)
            at_rate.of_peak = rate == HALF
            found.append(at_rate)
            plan.say(f"{per_sec:,.0f} events/s: {at_rate.latency_ms} ms")
            asyncio.run(drop_topics(settings, sources=True))
    return LatencyFigures(
        rates=found,
        peak_events_per_second=peak,
        read_live=_read_live(plan.settings),
        seconds=plan.seconds,
        warm_up_seconds=plan.warm_up_secs,
        workers=plan.latency_workers,
        cpus_apart=bool(placement.workers),
        machine=this_machine(),
        settings=in_force(here.settings),
    )


def _peak(here: Bed, plan: Plan, placement: Placement) -> float:
    """Of as many workers as the latency is of, where they are then."""
    plan.say(f"simulating a backlog of {plan.events:,} events of up to {here.users:,} shoppers")
    backlog = of_its_own(here.settings, "backlog", here.folder)
    asyncio.run(load(backlog, here.shop, plan.events))
    settings = of_the_same_events(backlog, "peak", here.folder)
    peak = asyncio.run(events_per_second(settings, plan.latency_workers, plan.events, here.folder, placement))
    plan.say(f"{peak:,.0f} events/s at the peak")
    asyncio.run(drop_topics(settings, sources=True))
    return round(peak, 1)


class Steady(NamedTuple):
    """A load."""

    rate_per_sec: float
    seconds: float  # measured
    warm_up_secs: float  # before them
    workers: int


def at_a_rate(settings: Settings, here: Bed, steady: Steady, records: Iterable[Placed], placement: Placement) -> AtRate:
    """What these records meet, sent at a rate, by settings with topics of their own.

    The first events of the shop go before them, until the workers are up.
    """
    order = Order(
        bootstrap_servers=settings.bootstrap_servers,
        topics=settings.source_topics,
        events=int(steady.rate_per_sec * (steady.warm_up_secs + steady.seconds)),
        rate_per_sec=steady.rate_per_sec,
    )
    live = _read_live(settings)
    first = list(itertools.islice(here.shop, _FIRST_EVENTS))
    asyncio.run(make_topics(settings))
    with OpenLoad(order) as generator:
        generator.prepare(records)
        with workers_of(settings, steady.workers, here.folder, placement) as group, LiveReader(settings, live) as heard:
            for pid in (os.getpid(), generator.pid):
                keep(pid, placement.others)

            async def up() -> None:
                await produce(first, destination(settings), record_time="now")
                await until_committed(settings, group)

            asyncio.run(up())
            loaded = generator.run()
            asyncio.run(until_committed(settings, group))
    seen = heard.seen if live else asyncio.run(appended(settings))
    return _told(steady, loaded, seen)


def _read_live(settings: Settings) -> bool:
    """A score in a transaction can be had when that is committed, of which the broker's clock tells nothing."""
    return settings.guarantee == "exactly_once"


def _told(steady: Steady, loaded: Loaded, seen: Seen) -> AtRate:
    """The figures of what came after warming up."""
    due = np.concatenate([lane.due_secs for lane in loaded.lanes])
    behind = np.concatenate([lane.behind_secs for lane in loaded.lanes])
    seen_ms = np.concatenate([seen.at(lane.topic, lane.partition, lane.offsets) for lane in loaded.lanes])
    measured = due >= steady.warm_up_secs
    due, behind, seen_ms = due[measured], behind[measured], seen_ms[measured]
    scored = ~np.isnan(seen_ms)
    latency_secs: Floats = (seen_ms - loaded.start_ms)[scored] / 1000 - due[scored]
    grew, load_grew = distribution.growth(due[scored], latency_secs), distribution.growth(due, behind)
    return AtRate(
        rate_per_second=steady.rate_per_sec,
        of_peak=False,
        events=len(due),
        unscored=int(np.sum(~scored)),
        latency_ms=distribution.with_the_largest(1000 * latency_secs),
        curve=distribution.curve(1000 * latency_secs),
        latency_growth=grew,
        keeps_up=grew < STEADY,
        possible_per_second=round(distribution.possible_rate(steady.rate_per_sec, grew), 1),
        load_behind_ms=distribution.with_the_largest(1000 * behind),
        load_keeps_up=load_grew < STEADY,
        load_per_second=round(distribution.possible_rate(steady.rate_per_sec, load_grew), 1),
    )
