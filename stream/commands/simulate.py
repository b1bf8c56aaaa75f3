"""`simulate`: the events of simulated shoppers, onto the three source topics or into a file."""

from __future__ import annotations

import math
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Literal

import click

from stream.commands.options import SOURCES, json_flag, progress_flag, scenario_flag, setting_flags
from stream.errors import SettingsError
from stream.settings import load

_DAY_MS, _MINUTE_MS = 86_400_000, 60_000
_DAYS_AGO = 30.0
_RATE_PER_SEC = 200.0


@click.command("simulate", short_help="events of simulated shoppers, to the source topics or a file")
@scenario_flag
@click.option("--seed", type=int, default=1, help="The same seed, users and --start give the same bytes. [1]")
@click.option(
    "--users",
    type=click.IntRange(1, 5_000_000),
    default=10_000,
    help="Shoppers, some 3.3 events a day each by default. [10000]",
)
@click.option("--rate-per-sec", type=float, metavar="N", help="Events per second, steady. [200]")
@click.option("--speed", type=float, metavar="N", help="Instead: event time N times as fast as the clock.")
@click.option("--flat-out", is_flag=True, help="Instead: as fast as the broker takes them.")
@click.option(
    "--days-ago", type=click.FloatRange(0, 20_000), help="Where event time begins. [30, or as many as --days]"
)
@click.option("--start", type=click.DateTime(), metavar="TIME", help="Instead: event time begins here, UTC.")
@click.option("--days", type=click.FloatRange(0, min_open=True), help="Stop after so many days of event time.")
@click.option("--events", type=click.IntRange(1), help="Stop after so many.")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="Stop after so long.")
@click.option(
    "--record-time",
    type=click.Choice(["now", "own"]),
    default="now",
    help="Timestamps of records: when they are sent, or by the events' own clock. [now]",
)
@click.option("--ignore-retention", is_flag=True, help="Send even records that their topic soon deletes.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Instead of Kafka: JSON lines into a file (.gz: compressed), at once; `replay --format ga4` sends it.",
)
@click.option("--labels-out", type=click.Path(dir_okay=False, path_type=Path), help="Labels of fraud into a file.")
@click.option("--labels-topic", metavar="TEXT", help="Labels of fraud onto a topic, which is created if it is missing.")
@json_flag("one JSON object at the end, events and seconds")
@progress_flag
@setting_flags(*SOURCES)
def simulate(
    *,
    name_or_path: str,
    seed: int,
    users: int,
    rate_per_sec: float | None,
    speed: float | None,
    flat_out: bool,
    days_ago: float | None,
    start: datetime | None,
    days: float | None,
    events: int | None,
    seconds: float | None,
    record_time: Literal["now", "own"],
    ignore_retention: bool,
    out: Path | None,
    labels_out: Path | None,
    labels_topic: str | None,
    as_json: bool,
    progress: bool | None,
    **flags: str | None,
) -> int:
    """Simulate shoppers, and a few who defraud the shop.

    Event time begins some days ago and is compressed: at 200 events a second 10,000 shoppers live a day in three
    minutes, so that they are seen to come back. It never runs ahead of the clock: once it has caught up, the load ends.

    Nothing in an event says whether it is fraud: that is in its label, which goes to --labels-topic or --labels-out.

    \b
      behaviour-stream simulate
          200 events a second, until ctrl-C
      behaviour-stream simulate --flat-out --events 500000
          a backlog, to see how fast a worker gets through it
      behaviour-stream simulate --speed 1 --days-ago 0
          real time, as fast as so many shoppers really are
      behaviour-stream simulate --out week.jsonl --labels-out fraud.jsonl --days 7
          a week in a file
    """
    asked = load(flags)
    for flag, value in (("--days", days), ("--days-ago", days_ago), ("--speed", speed), ("--seconds", seconds)):
        if value is not None and not math.isfinite(value):
            raise click.UsageError(f"{flag}: expected a number, got {value}")
    if start is not None and days_ago is not None:
        raise click.UsageError("--start and --days-ago exclude each other")
    pace = (rate_per_sec is not None) + (speed is not None) + flat_out
    if pace > 1:
        raise click.UsageError("--rate-per-sec, --speed and --flat-out exclude each other")
    if out is not None and (pace or labels_topic):
        raise click.UsageError("--out writes a file at once: a pace or a topic has no meaning with it")
    if out is None and labels_out is not None:
        raise click.UsageError("--labels-out goes with --out; onto Kafka, labels go to --labels-topic")
    if not pace:
        rate_per_sec = _RATE_PER_SEC
    from stream.simulator import scenario
    from stream.simulator.simulate import simulate as simulated

    shop = scenario.load(name_or_path)
    start_ms, end_ms = _event_time(start, days_ago, days, speed)
    made = islice(simulated(shop, seed=seed, users=users, start_ms=start_ms, end_ms=end_ms), events)
    if out is not None:
        from stream.commands.file_run import run

        return run(made, out, labels_out, limit=events, seconds=seconds, progress=progress, as_json=as_json)
    from stream.commands.load_run import Load, send

    return send(
        asked,
        Load(
            events=made,
            limit=events,
            start_ms=start_ms,
            rate_per_sec=rate_per_sec,
            speed=speed,
            record_time=record_time,
            seconds=seconds,
            check_retention=record_time == "own" and not ignore_retention,
            labels_topic=labels_topic,
            at_the_end="event time has caught up with the clock" if days is None else f"{days:g} days are simulated",
        ),
        progress=progress,
        as_json=as_json,
    )


def _event_time(
    start: datetime | None, days_ago: float | None, days: float | None, speed: float | None
) -> tuple[int, int | None]:
    """(where event time begins, where it ends or None), epoch ms. Where it would run ahead of the clock is refused."""
    now_ms = time.time() * 1000
    if start is not None:
        behind_ms = now_ms - start.replace(tzinfo=UTC).timestamp() * 1000
    else:
        behind_ms = _DAY_MS * (days_ago if days_ago is not None else max(_DAYS_AGO, days or 0))
    start_ms = round(now_ms - behind_ms)
    caught_up_ms = _caught_up_ms(behind_ms, speed)
    if days is None:
        return start_ms, None if caught_up_ms is None else start_ms + caught_up_ms
    length_ms = round(days * _DAY_MS)
    if caught_up_ms is not None and length_ms > caught_up_ms + _MINUTE_MS:
        raise click.UsageError(f"--days={days:g}: event time would run ahead of the clock; let it begin earlier")
    return start_ms, start_ms + length_ms


def _caught_up_ms(behind_ms: float, speed: float | None) -> int | None:
    """How long event time may run without passing the clock; None: it never gets there."""
    if speed is None:
        ahead_ms = behind_ms  # by rate, at once: to the moment at which the load begins
    elif speed > 1:
        ahead_ms = behind_ms * speed / (speed - 1)
    else:
        return None
    if ahead_ms < 1:
        raise SettingsError("event time would run ahead of the clock: let it begin earlier, or take --speed 1")
    return int(ahead_ms)
