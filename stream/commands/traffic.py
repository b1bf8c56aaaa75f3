"""`simulate`: shop events onto the three source topics."""

from __future__ import annotations

import time
from itertools import islice
from typing import Literal

import click

from stream.commands.options import SOURCES, progress_flag, setting_flags
from stream.errors import SettingsError
from stream.settings import load

_DAY_MS = 86_400_000
_RATE_PER_SEC = 200.0  # of 10,000 shoppers, who make 2.8 events a day each: a day passes in 140 s


@click.command("simulate", short_help="events of simulated shoppers onto the source topics")
@click.option("--seed", type=int, default=1, help="The same seed gives the same shoppers. [1]")
@click.option("--users", type=click.IntRange(1), default=10_000, help="Shoppers, 2.8 events a day each. [10000]")
@click.option("--rate-per-sec", type=float, metavar="N", help="Events per second, steady. [200]")
@click.option("--speed", type=float, metavar="N", help="Instead: event time N times as fast as the clock.")
@click.option("--flat-out", is_flag=True, help="Instead: as fast as the broker takes them.")
@click.option("--days-ago", type=click.FloatRange(0), default=30.0, help="Where event time begins. [30]")
@click.option("--events", type=click.IntRange(1), help="Stop after so many.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Stop after so long.")
@click.option(
    "--record-time",
    type=click.Choice(["now", "own"]),
    default="now",
    help="Timestamps of records: when they are sent, or their events' own. [now]",
)
@click.option("--ignore-retention", is_flag=True, help="Send even records that their topic soon deletes.")
@progress_flag
@setting_flags(*SOURCES)
def simulate(
    *,
    seed: int,
    users: int,
    rate_per_sec: float | None,
    speed: float | None,
    flat_out: bool,
    days_ago: float,
    events: int | None,
    seconds: float | None,
    record_time: Literal["now", "own"],
    ignore_retention: bool,
    progress: bool | None,
    **flags: str | None,
) -> int:
    """Send the events of simulated shoppers.

    Event time begins some days ago and is compressed: at 200 events a second 10,000 shoppers live a day in 140
    seconds, so that they are seen to come back. It never runs ahead of the clock: once it has caught up, the load ends.

    \b
      behaviour-stream simulate
          200 events a second, until ctrl-C
      behaviour-stream simulate --flat-out --events 500000
          a backlog, to see how fast a worker gets through it
      behaviour-stream simulate --speed 1 --days-ago 0
          real time, as fast as so many shoppers really are
    """
    asked = load(flags)
    if (rate_per_sec is not None) + (speed is not None) + flat_out > 1:
        raise click.UsageError("--rate-per-sec, --speed and --flat-out exclude each other")
    if rate_per_sec is None and speed is None and not flat_out:
        rate_per_sec = _RATE_PER_SEC
    from stream.commands.load_run import Load, send
    from stream.simulator import shoppers

    start_ms = int(time.time() * 1000 - days_ago * _DAY_MS)
    end_ms = _caught_up_ms(start_ms, days_ago * _DAY_MS, speed)
    made = shoppers.simulate(seed=seed, users=users, start_ms=start_ms, end_ms=end_ms)
    return send(
        asked,
        Load(
            events=islice(made, events),
            limit=events,
            start_ms=start_ms,
            rate_per_sec=rate_per_sec,
            speed=speed,
            record_time=record_time,
            seconds=seconds,
        ),
        check_retention=record_time == "own" and not ignore_retention,
        progress=progress,
        at_the_end="simulated; event time has caught up with the clock",
    )


def _caught_up_ms(start_ms: int, behind_ms: float, speed: float | None) -> int | None:
    """Up to where event time may run without passing the clock; None: it never gets there."""
    if speed is None:
        ahead_ms = behind_ms  # by rate, or flat out: to the moment at which the load begins
    elif speed > 1:
        ahead_ms = behind_ms * speed / (speed - 1)
    else:
        return None
    if ahead_ms < 1:
        raise SettingsError("--days-ago=0: event time would run ahead of the clock; expected more, or --speed 1")
    return start_ms + int(ahead_ms)
