"""Two figures: how fast a backlog is scored, and how soon a score follows its event.

The first stands beside what the core alone does on this machine, before and after: their ratio is the worker's,
whatever else the machine is busy with.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from stream.bench.bed import Plan, bed, of_its_own
from stream.bench.distribution import percentiles
from stream.bench.latency import latencies_ms
from stream.bench.throughput import events_per_second, load
from stream.core_speed import machine_events_per_second, this_machine
from stream.settings import in_force


class Figures(msgspec.Struct, kw_only=True):
    """What `bench --json` prints."""

    events_per_second: float
    machine_events_per_second: float  # of the core alone on all CPUs; mean of before and after
    latency_ms: dict[str, float]
    latency_read_live: bool  # until a subscriber had read the score, not until its append
    workers: int
    events: int
    latency_workers: int
    latency_events: int
    latency_rate_per_second: float
    latency_cpus_apart: bool  # each worker had a CPU of its own, and all else the others
    machine: str
    settings: dict[str, Any]


def run(plan: Plan) -> Figures:
    """Both figures, on a broker and with workers of their own."""
    with bed(plan.settings) as here:
        settings, say = here.settings, plan.say

        def core_alone() -> float:
            return machine_events_per_second(settings, seed=here.seed, users=here.users, start_ms=here.start_ms)

        backlog = of_its_own(settings, "backlog", here.folder)
        say(f"simulating {plan.events:,} events of up to {here.users:,} shoppers")
        machine = [core_alone()]
        asyncio.run(load(backlog, here.shop, plan.events))
        say(f"{plan.events:,} events are on the topics; starting {plan.workers} worker{'s' * (plan.workers > 1)}")
        per_second = asyncio.run(events_per_second(backlog, plan.workers, plan.events, here.folder))
        machine += [core_alone()]
        say(f"{per_second:,.0f} events/s; now {plan.rate_per_sec:,.0f} events/s for {plan.seconds:.0f} s")
        # One that is in a transaction can be had when that is committed, of which the broker's clock tells nothing.
        live = settings.guarantee == "exactly_once"
        placement = here.part(plan.latency_workers)
        latency_ms = asyncio.run(
            latencies_ms(of_its_own(settings, "steady", here.folder), plan, placement, here, read_live=live)
        )
    return Figures(
        events_per_second=round(per_second, 1),
        machine_events_per_second=round(sum(machine) / 2, 1),
        latency_ms=percentiles(latency_ms),
        latency_read_live=live,
        workers=plan.workers,
        events=plan.events,
        latency_workers=plan.latency_workers,
        latency_events=len(latency_ms),
        latency_rate_per_second=plan.rate_per_sec,
        latency_cpus_apart=bool(placement.workers),
        machine=this_machine(),
        settings=in_force(settings),
    )
