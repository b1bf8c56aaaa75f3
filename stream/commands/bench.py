"""`bench`: how fast and how soon, measured on this machine."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream.commands.options import ALL, json_flag, setting_flags
from stream.errors import SettingsError
from stream.settings import load

if TYPE_CHECKING:
    from stream.bench.by_rate import AtRate, LatencyFigures
    from stream.bench.guarantees import BothFigures
    from stream.bench.profiling import Profile
    from stream.bench.run import Figures
    from stream.bench.schedule import Rate

# Set by the benchmark itself
_OWN = ("bootstrap_servers", "data_dir", "metrics_host", "metrics_port", "retention_hours")


def _rates(context: click.Context, parameter: click.Parameter, value: str) -> tuple[Rate, ...]:
    from stream.bench.schedule import parsed_rates

    try:
        return parsed_rates(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command("bench", short_help="how fast, and how soon, on this machine")
@click.option("--workers", type=click.IntRange(1), help="Workers. [one per CPU; 1 for the latency run]")
@click.option("--events", type=click.IntRange(1_000), default=1_000_000, help="Backlog to score. [1000000]")
@click.option("--rate-per-sec", type=click.FloatRange(1), default=5_000.0, help="Rate of the latency run. [5000]")
@click.option("--seconds", type=click.FloatRange(1), default=60.0, help="Length of the latency run. [60]")
@click.option("--warm-up-secs", type=click.FloatRange(0), default=20.0, help="Before it, at the same rate. [20]")
@click.option("--latency", "by_rate", is_flag=True, help="Latency at several rates, by an open-loop load.")
@click.option(
    "--rates",
    default="1000,10000,50000,half",
    callback=_rates,
    metavar="RATE,...",
    help="Of --latency; half: of the peak. [1000,10000,50000,half]",
)
@click.option("--picture", type=click.Path(dir_okay=False, path_type=Path), help="Of --latency: .png, .svg or .pdf.")
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
    warm_up_secs: float,
    by_rate: bool,
    rates: tuple[Rate, ...],
    picture: Path | None,
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

    --latency measures one rate after the other with a load that is open-loop: every event has its time on a schedule
    that is made beforehand, and its latency counts from there, whenever it could be sent. half is half of what the
    same workers make of a backlog just before. Where the load was late, or the workers cannot do what comes, that is
    said beside the figures. The load takes 0.5 kB of memory an event.

    \b
      behaviour-stream bench
      behaviour-stream bench --events 200000 --seconds 20 --json
      behaviour-stream bench --latency --picture latency.png
      behaviour-stream bench --latency --rates 500,half --workers 2
      behaviour-stream bench --both-guarantees --checkpoint-interval-ms 1000
      behaviour-stream bench --profile
    """
    import os

    import msgspec

    if picture is not None and not by_rate:
        raise click.UsageError("--picture is of --latency")
    if picture is not None and importlib.util.find_spec("matplotlib") is None:  # before minutes of work
        raise SettingsError(f"{picture}: pictures need matplotlib: pip install 'behaviour-stream[report]'")

    from stream.bench.bed import Plan

    plan = Plan(
        settings=load(flags),
        workers=workers or os.cpu_count() or 1,
        latency_workers=workers or 1,
        events=events,
        rate_per_sec=rate_per_sec,
        seconds=seconds,
        say=lambda text: click.echo(text, err=True),
        warm_up_secs=warm_up_secs,
    )
    if by_rate:
        from stream.bench.by_rate import run_latency

        latency = run_latency(plan, rates)
        if picture is not None:
            from stream.bench import pictures

            pictures.draw(latency, picture)
        click.echo(msgspec.json.encode(latency) if as_json else _by_rate_in_words(latency))
    elif as_profile:
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


def _by_rate_in_words(found: LatencyFigures) -> str:
    until = "reading its score" if found.read_live else "the append of its score"
    peak = "" if found.peak_events_per_second is None else f"; {found.peak_events_per_second:,.0f} events/s at the peak"
    return "\n".join(
        (
            f"ms from the time at which an event was meant to be sent to {until}, {found.seconds:g} s each, workers: "
            f"{found.workers}{peak}",
            "  events/s       p50       p99     p99.9       max   load behind, p99 and max",
            *(_row(at_rate) for at_rate in found.rates),
            *(line for at_rate in found.rates for line in _doubts(at_rate)),
            found.machine,
        )
    )


def _row(at_rate: AtRate) -> str:
    columns = "".join(f"{ms:10,.1f}" for ms in at_rate.latency_ms.values())
    behind = at_rate.load_behind_ms
    return f"{at_rate.rate_per_second:10,.0f}{columns}   {behind['p99']:,.1f} and {behind['max']:,.1f}"


def _doubts(at_rate: AtRate) -> Iterator[str]:
    rate = f"{at_rate.rate_per_second:,.0f} events/s"
    if not at_rate.load_keeps_up:
        yield f"{rate}: the load could send about {at_rate.load_per_second:,.0f}; these are not figures of that rate"
    if not at_rate.keeps_up:
        yield (
            f"{rate}: more than can be done, about {at_rate.possible_per_second:,.0f}; latency grew by "
            f"{at_rate.latency_growth:.2f} s a second, and is larger the longer the run"
        )


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
