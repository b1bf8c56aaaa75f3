"""`bench`: the two figures that matter, measured on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from stream.commands.options import ALL, json_flag, setting_flags
from stream.settings import load

if TYPE_CHECKING:
    from stream.bench.guarantees import BothFigures
    from stream.bench.profiling import Profile
    from stream.bench.run import Figures

# Set by the benchmark itself
_OWN = ("bootstrap_servers", "data_dir", "metrics_host", "metrics_port", "retention_hours")


@click.command("bench", short_help="how fast, and how soon, on this machine")
@click.option("--workers", type=click.IntRange(1), help="Workers. [one per CPU; 1 for the latency run]")
@click.option("--events", type=click.IntRange(1_000), default=1_000_000, help="Backlog to score. [1000000]")
@click.option("--rate-per-sec", type=click.FloatRange(1), default=5_000.0, help="Rate of the latency run. [5000]")
@click.option("--seconds", type=click.FloatRange(1), default=60.0, help="Length of the latency run. [60]")
@click.option("--profile", "as_profile", is_flag=True, help="Where the time goes, by stage, with one worker.")
@click.option("--both-guarantees", is_flag=True, help="Set exactly_once beside at_least_once, in turns.")
@json_flag("one JSON object")
@setting_flags(*(name for name in ALL if name not in _OWN))
def bench(
    *,
    workers: int | None,
    events: int,
    rate_per_sec: float,
    seconds: float,
    as_profile: bool,
    both_guarantees: bool,
    as_json: bool,
    **flags: str | None,
) -> int:
    """Measure events per second and latency with a broker, workers and simulated events on this machine.

    First a backlog that is on the topics beforehand: events per second from the first score to the last, beside what
    the core alone (decode, merge, score, encode) does on all CPUs at once, which tells how fast the machine is just
    now. Then a steady rate, on Linux with the worker kept to a CPU of its own: milliseconds from an event's record to
    its score, by percentile. The clock is the broker's; with --guarantee exactly_once a score counts from when a
    subscriber has read it, which is after its transaction.

    \b
      behaviour-stream bench
      behaviour-stream bench --events 200000 --seconds 20 --json
      behaviour-stream bench --both-guarantees --checkpoint-interval-ms 1000
      behaviour-stream bench --profile
    """
    import os

    import msgspec

    from stream.bench.bed import Plan

    plan = Plan(
        settings=load(flags),
        workers=workers or os.cpu_count() or 1,
        latency_workers=workers or 1,
        events=events,
        rate_per_sec=rate_per_sec,
        seconds=seconds,
        say=lambda text: click.echo(text, err=True),
    )
    if as_profile:
        from stream.bench.profiling import profile

        found = profile(plan)
        click.echo(msgspec.json.encode(found) if as_json else _profile_in_words(found))
    elif both_guarantees:
        from stream.bench.guarantees import run_both

        both = run_both(plan)
        click.echo(msgspec.json.encode(both) if as_json else _both_in_words(both))
    else:
        from stream.bench.run import run

        figures = run(plan)
        click.echo(msgspec.json.encode(figures) if as_json else _in_words(figures))
    return 0


def _in_words(figures: Figures) -> str:
    machine = figures.machine_events_per_second
    until = "reading its score" if figures.latency_read_live else "score"
    return (
        f"{figures.events_per_second:,.0f} events/s, {figures.events:,} events from the first score to the last, "
        f"workers: {figures.workers}\n"
        f"that is {figures.events_per_second / machine:.2f} of what the core alone does on all CPUs at once, without "
        f"Kafka ({machine:,.0f})\n"
        f"{_percentiles(figures.latency_ms)} from record to {until} at {figures.latency_rate_per_second:,.0f} "
        f"events/s\n"
        f"{figures.machine}"
    )


def _both_in_words(both: BothFigures) -> str:
    lines = [
        f"{name}: {' and '.join(f'{n:,.0f}' for n in found.events_per_second)} events/s, workers: {both.workers}; "
        f"{_percentiles(found.latency_ms)} from record to reading its score at "
        f"{both.latency_rate_per_second:,.0f} events/s"
        for name, found in (("at_least_once", both.at_least_once), ("exactly_once", both.exactly_once))
    ]
    interval_ms = both.settings["checkpoint_interval_ms"]
    ratio = f"exactly once is {both.throughput_ratio:.2f} of at least once, at a checkpoint each {interval_ms} ms"
    return "\n".join((*lines, ratio, both.machine))


def _profile_in_words(found: Profile) -> str:
    kinds = list(found.core)
    stages = [(stage, [found.core[kind].get(stage, 0.0) for kind in kinds]) for stage in found.core[kinds[0]]]
    stages.append(("core", [sum(found.core[kind].values()) for kind in kinds]))
    lines = (
        f"{'us of an event':16}" + "".join(f"{kind:>12}" for kind in kinds),
        *(f"{stage:16}" + "".join(f"{us:12.2f}" for us in of_kinds) for stage, of_kinds in stages),
        f"one worker over a backlog, start and all: {found.worker_cpu:.2f} us of processor time, its broker "
        f"{found.broker_cpu:.2f}, {found.worker_events_per_second:,.0f} events/s",
    )
    return "\n".join((*lines, found.machine))


def _percentiles(latency_ms: dict[str, float]) -> str:
    return ", ".join(f"{name} {ms:g} ms" for name, ms in latency_ms.items())
