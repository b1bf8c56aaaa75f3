"""One load of `simulate` or `replay`: paced, shown, ended by its limits or by ctrl-C, and summed up in a line."""

from __future__ import annotations

import asyncio
import dataclasses
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Literal

import click

from stream.commands import INTERRUPTED
from stream.commands.client import stop_event, with_broker
from stream.commands.retention import refuse_what_would_be_deleted
from stream.settings import Settings
from stream.shop_event import ROLES, ShopEvent
from stream.simulator.load import Destination, produce

_LINE_SECS = 5.0  # between lines of progress where they cannot overwrite each other


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


def send(settings: Settings, load: Load, *, check_retention: bool, progress: bool | None, at_the_end: str) -> int:
    """`run`, once the broker answers. -> exit code."""
    return with_broker(settings, lambda: run(settings, load, check_retention, progress, at_the_end))


async def run(settings: Settings, load: Load, check_retention: bool, progress: bool | None, at_the_end: str) -> int:
    """Send it and say so; `at_the_end` is added when the events ended by themselves. -> exit code."""
    if check_retention:
        await refuse_what_would_be_deleted(settings, load.start_ms)
    click.echo(
        f"sending to {', '.join(settings.source_topics)} at {settings.bootstrap_servers}; ctrl-C ends it", err=True
    )
    interrupted = stop_event()
    stop = asyncio.Event()
    ending = asyncio.create_task(_end(stop, interrupted, load.seconds))
    try:
        report = await produce(
            await _first_is_due(load, stop),
            destination(settings),
            rate_per_sec=load.rate_per_sec,
            speed=load.speed,
            record_time=load.record_time,
            progress=_Progress(load.limit) if (sys.stderr.isatty() if progress is None else progress) else None,
            stop=stop,
        )
    finally:
        ending.cancel()
    ended_by_itself = not stop.is_set() and report.events != load.limit
    click.echo(
        f"sent {report.events:,} events in {report.seconds:.1f} s, {report.events / max(report.seconds, 1e-3):,.0f} "
        f"a second{'; ' + at_the_end if ended_by_itself else ''}"
    )
    return INTERRUPTED if interrupted.is_set() else 0


def destination(settings: Settings) -> Destination:
    """The source topics by role, as settings name them."""
    return Destination(settings.bootstrap_servers, dict(zip(ROLES, settings.source_topics, strict=True)))


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
    wait_secs = 0.0 if load.speed is None else (first.sent_ms - load.start_ms) / 1000 / load.speed
    if wait_secs > 0:
        due = datetime.fromtimestamp(first.sent_ms / 1000, UTC)
        click.echo(f"the first event, of {due:%Y-%m-%d %H:%M:%S} UTC, is due in {wait_secs:.0f} s", err=True)
        try:
            async with asyncio.timeout(wait_secs):
                await stop.wait()
        except TimeoutError:
            pass
    return chain([first], load.events)


class _Progress:
    """How many events so far, on standard error: over itself at a terminal, a line now and then elsewhere."""

    def __init__(self, limit: int | None) -> None:
        self._of = f" of {limit:,}" if limit else ""
        self._at_terminal = sys.stderr.isatty()
        self._begun = time.monotonic()
        self._said = 0.0

    def __call__(self, events: int) -> None:
        elapsed = time.monotonic() - self._begun
        if self._at_terminal:
            click.echo(f"\r{events:,}{self._of} events, {elapsed:.0f} s\x1b[K", err=True, nl=False)
        elif elapsed - self._said >= _LINE_SECS:
            click.echo(f"{events:,}{self._of} events, {elapsed:.0f} s", err=True)
            self._said = elapsed
