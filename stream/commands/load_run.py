"""One load of `simulate` or `replay`: paced, shown, ended by its limits or by ctrl-C, and summed up in a line."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Literal

import click

from stream.commands import INTERRUPTED
from stream.commands.client import stop_event, with_broker
from stream.commands.progress import progress_shown, say_done
from stream.commands.retention import refuse_what_would_be_deleted
from stream.commands.source_topics import by_role
from stream.kafka import topics
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator.load import LABELS, Destination, produce


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is sent, and how: by `rate_per_sec`, or by event time at `speed`; neither: flat out."""

    events: Iterator[ShopEvent]
    limit: int | None  # events at most, as far as is known
    start_ms: int  # event time at which the load begins: its first event may come later
    rate_per_sec: float | None = None
    speed: float | None = None
    record_time: Literal["own", "now"]
    seconds: float | None = None  # None: until the events end
    check_retention: bool = True  # refuse records that their topic would soon delete
    labels_topic: str | None = None  # created if it is missing
    at_the_end: str = ""  # said when the events ended by themselves


def send(settings: Settings, load: Load, *, progress: bool | None, as_json: bool = False) -> int:
    """Send it once the broker answers, and say so. -> exit code."""
    return with_broker(settings, lambda: _send(settings, load, progress, as_json))


async def _send(settings: Settings, load: Load, progress: bool | None, as_json: bool) -> int:
    if load.check_retention:
        await refuse_what_would_be_deleted(settings, load.start_ms)
    if load.labels_topic is not None:
        await topics.ensure_beside(settings, load.labels_topic)
    click.echo(
        f"sending to {', '.join(settings.source_topics)} at {settings.bootstrap_servers}; ctrl-C ends it", err=True
    )
    interrupted = stop_event()
    stop = asyncio.Event()
    ending = asyncio.create_task(_end(stop, interrupted, load.seconds))
    try:
        report = await produce(
            await _first_is_due(load, stop),
            destination(settings, load.labels_topic),
            rate_per_sec=load.rate_per_sec,
            speed=load.speed,
            record_time=load.record_time,
            progress=progress_shown(load.limit, progress),
            stop=stop,
        )
    finally:
        ending.cancel()
    ended_by_itself = not stop.is_set() and report.events != load.limit
    say_done("sent", report.events, report.seconds, why=load.at_the_end if ended_by_itself else "", as_json=as_json)
    return INTERRUPTED if interrupted.is_set() else 0


def destination(settings: Settings, labels_topic: str | None = None) -> Destination:
    """The source topics by role, as settings name them, and one for labels."""
    topic_of = by_role(settings)
    if labels_topic is not None:
        topic_of[LABELS] = labels_topic
    return Destination(settings.bootstrap_servers, topic_of)


async def _end(stop: asyncio.Event, interrupted: asyncio.Event, seconds: float | None) -> None:
    try:
        async with asyncio.timeout(seconds):
            await interrupted.wait()
    except TimeoutError:
        pass
    stop.set()


async def _first_is_due(load: Load, stop: asyncio.Event) -> Iterator[ShopEvent]:
    """The events, once the first is due: `produce` counts event time from there."""
    first = next(load.events, None)
    if first is None:
        return iter(())
    # A speed that is none is refused by `produce`.
    wait_secs = (first.sent_ms - load.start_ms) / 1000 / load.speed if load.speed else 0.0
    if wait_secs > 0:
        due = datetime.fromtimestamp(first.sent_ms / 1000, UTC)
        click.echo(f"the first event, of {due:%Y-%m-%d %H:%M:%S} UTC, is due in {wait_secs:.0f} s", err=True)
        try:
            async with asyncio.timeout(wait_secs):
                await stop.wait()
        except TimeoutError:
            pass
    return chain([first], load.events)
