"""All kinds, one after the other, on one broker."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from stream import model_file
from stream.bench.bed import Bed, bed
from stream.bench.by_rate import Steady
from stream.core_speed import this_machine
from stream.settings import Settings, load
from tests.bench.filling import sizes_of
from tests.bench.growth import costs, theory
from tests.bench.growth.crowds import EXPONENT, Crowds
from tests.bench.growth.kinds import KINDS, USERS, USERS_BASE, USERS_VALUES
from tests.bench.growth.result import Found, Growth, Point, in_turns
from tests.bench.growth.running import Runs
from tests.bench.growth.theory import Costs, Crowd, Shape


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    what: Sequence[str]
    values: Mapping[str, Sequence[float]]  # of kinds whose usual ones are not wanted
    events: int  # of a backlog
    rounds: int
    in_memory: int  # users that have room
    steady: Steady | None  # None: no latency
    say: Callable[[str], None]


def measure(plan: Plan) -> Found:
    """All of it."""
    with bed(load({"device": "cpu"}, environ={})) as here:
        runs = Runs(here, plan.events, plan.say)
        base = _costs(here, runs)
        plan.say(f"at the base: {base}")
        growths, read_us = [], None
        for what in plan.what:
            if what == USERS:
                growth, read_us = _users(plan, here, base)
                growths.append(growth)
            else:
                growths.append(_kind(plan, what, here, runs, base))
    return Found(
        growths=growths,
        costs=base,
        store_read_us=read_us,
        events=plan.events,
        latency_rate_per_second=plan.steady and plan.steady.rate_per_sec,
        machine=this_machine(),
    )


def _costs(here: Bed, runs: Runs) -> Costs:
    settings = here.settings
    burden = runs.burden()
    core = costs.of_the_core(settings, model_file.load(settings.model), here.shop)
    return Costs(
        event_us=round(burden.event_us, 2),
        lstm_us=round(core.lstm_us, 2),
        quarter_us=round(core.quarter_us, 2),
        alone_us=round(core.alone_us, 2),
        row_us_per_kb=round(costs.row_us_per_kb(settings, here.folder / "rows"), 2),
        rows_per_event=round(burden.rows, 4),
        worker_cpu_us=round(burden.worker_cpu_us, 2),
        broker_cpu_us=round(burden.broker_cpu_us, 2),
    )


def _kind(plan: Plan, what: str, here: Bed, runs: Runs, base: Costs) -> Growth:
    kind = KINDS[what]
    values = plan.values.get(what, kind.values)

    def per_second(value: float) -> float:
        return runs.per_second(kind.variant(value, here.folder))

    def latency_ms(value: float, steady: Steady) -> dict[str, float]:
        variant = kind.variant(value, here.folder)
        return runs.latency_ms(variant, steady._replace(workers=variant.workers))

    def share(value: float, event_us: float) -> float:
        # What workers may take of the processors is a ratio of figures of one moment
        costs_now = base if what == "workers" else msgspec.structs.replace(base, event_us=event_us)
        return _theory(what, value, costs_now, here.settings)

    return _growth(plan, _Line(what, kind.base, values, per_second, latency_ms, share))


def _theory(what: str, value: float, base: Costs, settings: Settings) -> float:
    sizes = model_file.load(settings.model).card.sizes
    at = Shape(hidden=sizes.hidden, layers=sizes.layers, sequence=settings.sequence_events, width=sizes.width,
               parts=sizes.parts)  # fmt: skip
    if what in ("hidden", "layers", "sequence"):
        return theory.of_shape(base, at, msgspec.structs.replace(at, **{what: int(value)}))
    if what == "workers":
        return theory.of_workers(base, int(value), os.cpu_count() or 1)
    return theory.of_a_hot_user(base, value) if what == "hot" else 1.0


def _users(plan: Plan, here: Bed, base: Costs) -> tuple[Growth, float]:
    """(the line, us of a read)."""
    crowds = Crowds(here, plan.events, plan.in_memory)
    values = plan.values.get(USERS, USERS_VALUES)
    read_us = crowds.read_us(int(max(values)))

    def share(value: float, event_us: float) -> float:
        return theory.of_users(
            msgspec.structs.replace(base, event_us=event_us),
            Crowd(users=USERS_BASE, exponent=EXPONENT),
            Crowd(users=int(value), exponent=EXPONENT),
            in_memory=plan.in_memory,
            read_us=read_us,
            row_kb=theory.row_kb(sizes_of(here.settings)),
            interval_secs=here.settings.checkpoint_interval_ms / 1000,
        )

    line = _Line(
        USERS,
        USERS_BASE,
        values,
        lambda value: crowds.per_second(int(value)),
        lambda value, steady: crowds.latency_ms(int(value), steady),
        share,
    )
    return _growth(plan, line), round(read_us, 2)


class _Line(NamedTuple):
    """How a kind is measured at a value."""

    what: str
    base: float
    values: Sequence[float]
    per_second: Callable[[float], float]
    latency_ms: Callable[[float, Steady], dict[str, float]]
    theory: Callable[[float, float], float]  # (value, us of an event at the base) -> share of the base's throughput


def _growth(plan: Plan, line: _Line) -> Growth:
    """The base case before and after each value, and each of them at a steady rate then."""
    rounds = []
    for _ in range(plan.rounds):
        measured = []
        for value in (*(v for pair in ((line.base, value) for value in line.values) for v in pair), line.base):
            measured.append(line.per_second(value))
            plan.say(f"{line.what} {value:g}: {measured[-1]:,.0f} events/s")
        rounds.append(in_turns(measured))
    base_rates = [rate for _, rates, _ in rounds for rate in rates]
    event_us = 1e6 / median(base_rates)
    points = [
        Point(
            value=value,
            events_per_second=[rates[i] for rates, _, _ in rounds],
            shares=[shares[i] for _, _, shares in rounds],
            theory=round(line.theory(value, event_us), 3),
        )
        for i, value in enumerate(line.values)
    ]
    base_ms = None
    if plan.steady is not None:
        base_ms = line.latency_ms(line.base, plan.steady)
        for point in points:
            point.latency_ms = line.latency_ms(point.value, plan.steady)
            plan.say(f"{line.what} {point.value:g}: {point.latency_ms} ms, at the base {base_ms}")
    return Growth(
        what=line.what,
        base=line.base,
        base_events_per_second=base_rates,
        base_latency_ms=base_ms,
        points=points,
    )
