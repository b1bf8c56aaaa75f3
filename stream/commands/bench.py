"""`bench`: the two figures that matter, measured on this machine."""

from __future__ import annotations

import click

from stream.commands.options import ALL, json_flag, setting_flags
from stream.settings import load

# Set by the benchmark itself
_OWN = ("bootstrap_servers", "data_dir", "metrics_host", "metrics_port", "retention_hours")


@click.command("bench", short_help="how fast, and how soon, on this machine")
@click.option("--workers", type=click.IntRange(1), help="Workers. [one per CPU; 1 for the latency run]")
@click.option("--events", type=click.IntRange(1_000), default=1_000_000, help="Backlog to score. [1000000]")
@click.option("--rate-per-sec", type=click.FloatRange(1), default=5_000.0, help="Rate of the latency run. [5000]")
@click.option("--seconds", type=click.FloatRange(1), default=60.0, help="Length of the latency run. [60]")
@json_flag("one JSON object")
@setting_flags(*(name for name in ALL if name not in _OWN))
def bench(
    workers: int | None, events: int, rate_per_sec: float, seconds: float, as_json: bool, **flags: str | None
) -> int:
    """Measure events per second and latency with a broker, workers and simulated events on this machine.

    First a backlog that is on the topics beforehand: events per second from the first score to the last, beside what
    the core alone (decode, merge, score, encode) does on all CPUs at once, which tells how fast the machine is just
    now. Then a steady rate, on Linux with the worker kept to a CPU of its own: milliseconds from an event's record to
    its score, by percentile. The clock is the broker's.

    \b
      behaviour-stream bench
      behaviour-stream bench --events 200000 --seconds 20 --json
    """
    import os

    import msgspec

    from stream.bench import run

    figures = run(
        load(flags),
        workers=workers or os.cpu_count() or 1,
        latency_workers=workers or 1,
        events=events,
        rate_per_sec=rate_per_sec,
        seconds=seconds,
        say=lambda text: click.echo(text, err=True),
    )
    if as_json:
        click.echo(msgspec.json.encode(figures))
        return 0
    click.echo(
        f"{figures.events_per_second:,.0f} events/s, {figures.events:,} events from the first score to the last, "
        f"workers: {figures.workers}"
    )
    machine = figures.machine_events_per_second
    ratio = figures.events_per_second / machine
    click.echo(f"that is {ratio:.2f} of what the core alone does on all CPUs at once, without Kafka ({machine:,.0f})")
    percentiles = ", ".join(f"{name} {ms:g} ms" for name, ms in figures.latency_ms.items())
    click.echo(f"{percentiles} from record to score at {figures.latency_rate_per_second:,.0f} events/s")
    click.echo(figures.machine)
    return 0
