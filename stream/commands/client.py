"""What the commands that talk to a broker share: the first try, the end by ctrl-C, reading topics without a group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, TypeVar

import click
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

from stream.errors import BrokerError, SettingsError
from stream.kafka import topics
from stream.patience import Patience
from stream.settings import Settings

T = TypeVar("T")

# A try may take this long: a broker that is there, on a busy machine, answers in less.
_TRY_SECS = 2.0
# Partitions come with the next answer about topics, which is asked for at once.
_ASSIGNED_SECS, _ASSIGNED_POLL_SECS = 10.0, 0.02
# Above the worker's own batches (1 MiB at most), so that one fetch brings a batch of each partition.
_FETCH_BYTES = 16 << 20

END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def with_broker(settings: Settings, work: Callable[[], Coroutine[Any, Any, T]], *, wait_secs: float = 0.0) -> T:
    """Run `work` once the broker answers; BrokerError when it does not, or fails later."""
    # It would log, several times and with tracebacks, what is said here in a line.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

    async def run() -> T:
        patience = Patience(_say if wait_secs > 0 else _silent)
        timeout_secs = max(wait_secs, _TRY_SECS)
        await topics.wait_for_broker(settings.bootstrap_servers, timeout_secs=timeout_secs, patience=patience)
        try:
            return await work()
        except KafkaError as error:
            raise BrokerError(f"broker {settings.bootstrap_servers}: {error!r}") from error

    return asyncio.run(run())


def stop_event() -> asyncio.Event:
    """Set by the first ctrl-C, SIGTERM or SIGHUP; the next ctrl-C interrupts at once."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()

    def end() -> None:
        stop.set()
        loop.remove_signal_handler(signal.SIGINT)

    for number in END_SIGNALS:
        loop.add_signal_handler(number, end)
    return stop


@contextlib.asynccontextmanager
async def reading(bootstrap_servers: str, *names: str, from_start: bool) -> AsyncIterator[AIOKafkaConsumer]:
    """A consumer of all partitions of topics, placed at their start or at their end. No group: it commits nothing."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",  # a worker's transaction may be aborted, and its scores made again
        auto_offset_reset="earliest" if from_start else "latest",
        fetch_max_bytes=_FETCH_BYTES,
        fetch_max_wait_ms=20,
    )
    try:
        await consumer.start()
        await _place(consumer, bootstrap_servers, names)
        await (consumer.seek_to_beginning() if from_start else consumer.seek_to_end())
        yield consumer
    finally:
        await consumer.stop()


async def _place(consumer: AIOKafkaConsumer, bootstrap_servers: str, names: tuple[str, ...]) -> None:
    """Wait until it has the partitions of all these topics."""
    for name in sorted(set(names) - await consumer.topics()):  # asked first: subscribing could create it
        raise SettingsError(f"{bootstrap_servers}: no topic {name!r}; `behaviour-stream topics` creates it")
    consumer.subscribe(names)
    deadline = time.monotonic() + _ASSIGNED_SECS
    while {place.topic for place in consumer.assignment()} != set(names):
        if time.monotonic() > deadline:
            raise BrokerError(f"broker {bootstrap_servers}: says nothing of the partitions of {', '.join(names)}")
        await asyncio.sleep(_ASSIGNED_POLL_SECS)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _silent(_: str) -> None:
    pass
