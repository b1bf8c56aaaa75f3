"""What `exactly_once` costs beside `at_least_once`: the two in turns, so that a busy machine is unfair to neither."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import msgspec

from stream.bench.bed import Plan, bed, of_its_own, of_the_same_events
from stream.bench.distribution import percentiles
from stream.bench.latency import latencies_ms
from stream.bench.throughput import events_per_second, load
from stream.core_speed import this_machine
from stream.settings import in_force

_TURNS = 2
_GUARANTEES = ("at_least_once", "exactly_once")


class Guarantee(msgspec.Struct, kw_only=True):
    """What one of them does."""

    events_per_second: list[float]  # by turn
    latency_ms: dict[str, float]  # from a record's timestamp until a subscriber had read its score


class BothFigures(msgspec.Struct, kw_only=True):
    """What `bench --both-guarantees --json` prints."""

    at_least_once: Guarantee
    exactly_once: Guarantee
    throughput_ratio: float  # exactly once to at least once, by their means
    workers: int
    events: int
    latency_workers: int
    latency_rate_per_second: float
    machine: str
    settings: dict[str, Any]


def run_both(plan: Plan) -> BothFigures:
    """Both figures of both, on one broker; a backlog that all turns share."""
    found = {name: Guarantee(events_per_second=[], latency_ms={}) for name in _GUARANTEES}
    with bed(plan.settings) as here:
        plan.say(f"simulating {plan.events:,} events of up to {here.users:,} shoppers")
        backlog = of_its_own(here.settings, "backlog", here.folder)
        asyncio.run(load(backlog, here.shop, plan.events))
        for turn, name in itertools.product(range(_TURNS), _GUARANTEES):
            settings = of_the_same_events(backlog, f"{name}-{turn}", here.folder, guarantee=name)
            per_second = asyncio.run(events_per_second(settings, plan.workers, plan.events, here.folder))
            plan.say(f"{name}: {per_second:,.0f} events/s")
            found[name].events_per_second.append(round(per_second, 1))
        placement = here.part(plan.latency_workers)
        for name in _GUARANTEES:
            settings = of_its_own(here.settings, f"steady-{name}", here.folder, guarantee=name)
            latency_ms = asyncio.run(latencies_ms(settings, plan, placement, here, read_live=True))
            found[name].latency_ms = percentiles(latency_ms)
            plan.say(f"{name}: {found[name].latency_ms} ms at {plan.rate_per_sec:,.0f} events/s")
    at_least_once, exactly_once = found.values()
    return BothFigures(
        at_least_once=at_least_once,
        exactly_once=exactly_once,
        throughput_ratio=round(sum(exactly_once.events_per_second) / sum(at_least_once.events_per_second), 3),
        workers=plan.workers,
        events=plan.events,
        latency_workers=plan.latency_workers,
        latency_rate_per_second=plan.rate_per_sec,
        machine=this_machine(),
        settings=in_force(here.settings),
    )
