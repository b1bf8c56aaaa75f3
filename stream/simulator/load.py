"""Shop events onto Kafka: flat out, at a steady rate, or by their own clock. Order per key is kept.

Records are put into prebuilt batches, one in build and one in flight per topic partition. `produce` returns when the
broker has acknowledged all of them. The producer is idempotent: no event is lost or stored twice, by a broker killed
and back within 30 s either, unless its records bear times of over a day ago (by those the broker, restarted, takes the
producer for expired and forgets what it had stored). After an error, what was acknowledged before it stays.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Literal

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2

from stream.errors import BrokerError, SettingsError
from stream.shop_event import ShopEvent

LABELS = "labels"  # the role of the topic that `ShopEvent.label` goes to
RATE_MAX = 10_000_000  # events/s; more than any machine does, so a typo
_TICK_SECS = 0.005  # between looks at the clock: the evenness of a paced load, and what batching may add to latency
_SLICE_EVENTS = 512  # appended between two turns of the event loop, some ms, so that sending goes on meanwhile
_PROGRESS_SECS = 0.1
_BATCH_BYTES = (
    256 * 1024
)  # under the broker's message.max.bytes (1 MiB), and large enough that a batch's own cost is lost
_METADATA_SECS = 10.0  # a topic that is not there by then is taken to be absent; aiokafka itself waits 40 s
_ACK_SECS = 30.0  # a broker's restart takes less; until then its batches are tried again
_KEYS_CACHED = 1 << 18  # about 40 MB; murmur2 in Python costs 2 us a key


@dataclasses.dataclass(frozen=True, slots=True)
class Destination:
    """Where events go."""

    bootstrap_servers: str
    topics: Mapping[str, str]  # role -> topic name; LABELS may be one of them, else labels are not sent


@dataclasses.dataclass(frozen=True, slots=True)
class LoadReport:
    """What was acknowledged, and how long it took from the first event on."""

    events: int
    seconds: float


async def produce(
    events: Iterable[ShopEvent],
    destination: Destination,
    *,
    rate_per_sec: float | None = None,
    speed: float | None = None,
    record_time: Literal["own", "now"] = "own",
    progress: Callable[[int], None] | None = None,
    stop: asyncio.Event | None = None,
) -> LoadReport:
    """Send events until they or `stop` end it.

    `rate_per_sec` is steady and catches up; `speed` lets event time pass that many times as fast as the wall clock;
    neither: flat out. Record timestamps are the events' own times or those of sending. `progress` gets the number of
    events appended so far, about ten times a second and at the end.

    Raises SettingsError for a rate or speed out of range, and for topics that are absent or differ in their partition
    counts; BrokerError when the broker is absent or does not take a batch.
    """
    due = _schedule(rate_per_sec, speed)
    async with _connected(destination.bootstrap_servers) as producer:
        partitions = await _partitions(producer, destination)
        lanes = _Lanes(producer, destination.topics, partitions, record_time)
        return await _run(
            events,
            lanes,
            due,
            paced=rate_per_sec is not None or speed is not None,
            progress=progress or _silent,
            stop=stop or asyncio.Event(),
        )


@contextlib.asynccontextmanager
async def _connected(bootstrap_servers: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, acks="all", enable_idempotence=True, max_batch_size=_BATCH_BYTES
    )
    try:
        await producer.start()
    except (KafkaError, OSError) as error:
        await producer.stop()
        raise BrokerError(f"{bootstrap_servers}: expected a Kafka broker, got {error!r}; nothing was sent") from error
    try:
        yield producer
    except BaseException as error:
        # An idempotent producer retries for ever, and its `stop` waits for that: end the retries first.
        producer._sender.sender_task.cancel()
        if isinstance(error, KafkaError | OSError):
            raise BrokerError(f"{bootstrap_servers}: expected to go on, got {error!r}; the load ends here") from error
        raise
    finally:
        await producer.stop()


def _silent(_: int) -> None:
    pass


Due = Callable[[int, ShopEvent], float]


def _schedule(rate_per_sec: float | None, speed: float | None) -> Due:
    """(place in the load, event) -> seconds after its start at which the event is due."""
    if rate_per_sec is not None and speed is not None:
        raise SettingsError(f"load: expected a rate or a speed, got both ({rate_per_sec:g}/s and {speed:g} times)")
    for name, value in (("events per second", rate_per_sec), ("times the recorded speed", speed)):
        if value is not None and not 0 < value <= RATE_MAX:  # also refuses NaN
            raise SettingsError(f"load: expected more than 0 and at most {RATE_MAX} {name}, got {value:g}")
    if rate_per_sec is not None:
        gap = 1 / rate_per_sec
        return lambda place, event: place * gap
    if speed is not None:
        return _Recorded(speed)
    return lambda place, event: 0.0


class _Recorded:
    """Due by event time, counted from the first event."""

    def __init__(self, speed: float) -> None:
        self._per_ms = 1 / (1000 * speed)
        self._first_ms: int | None = None

    def __call__(self, place: int, event: ShopEvent) -> float:
        if self._first_ms is None:
            self._first_ms = event.sent_ms
        return (event.sent_ms - self._first_ms) * self._per_ms


async def _partitions(producer: AIOKafkaProducer, destination: Destination) -> int:
    """The partition count that the topics share; also makes the producer know their leaders."""
    counts: dict[str, int] = {}
    for role, topic in destination.topics.items():
        try:
            async with asyncio.timeout(_METADATA_SECS):
                counts[topic] = len(await producer.partitions_for(topic))
        except TimeoutError:
            raise SettingsError(
                f"{destination.bootstrap_servers}: expected a topic {topic!r} for {role}, got none; nothing was sent"
            ) from None
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{topic}: {n}" for topic, n in counts.items())
        raise SettingsError(f"topics: expected equal partition counts, got {found}; nothing was sent")
    return next(iter(counts.values()))


class _Lane:
    """A topic partition: the batch in build, and the delivery of the one in flight."""

    __slots__ = ("batch", "deadline", "delivery", "partition", "topic")

    def __init__(self, topic: str, partition: int) -> None:
        self.topic, self.partition = topic, partition
        self.batch: Any = None  # aiokafka's BatchBuilder
        self.delivery: asyncio.Future[Any] | None = None
        self.deadline = 0.0  # of the delivery, by the event loop's clock


class _Lanes:
    """All topic partitions of a load."""

    def __init__(
        self, producer: AIOKafkaProducer, topics: Mapping[str, str], partitions: int, record_time: Literal["own", "now"]
    ) -> None:
        self._producer = producer
        self._own_time = record_time == "own"
        self._lanes = {role: [_Lane(topic, p) for p in range(partitions)] for role, topic in topics.items()}
        self._all = [lane for lanes in self._lanes.values() for lane in lanes]
        # As every Kafka client places a key, so that one user's events meet in one partition number of all topics
        self._place = lru_cache(_KEYS_CACHED)(lambda key: (murmur2(key) & 0x7FFF_FFFF) % partitions)

    async def append(self, event: ShopEvent, now_ms: int) -> None:
        """Waits only when a lane's batch is full and the one before it is not acknowledged yet."""
        timestamp = event.sent_ms if self._own_time else now_ms
        await self._append(event.topic, event.key, event.value, timestamp)
        if event.label is not None and LABELS in self._lanes:
            await self._append(LABELS, event.key, event.label, timestamp)

    async def _append(self, role: str, key: bytes, value: bytes, timestamp: int) -> None:
        lane = self._lanes[role][self._place(key)]
        if lane.batch is None:
            lane.batch = self._producer.create_batch()
        if lane.batch.append(timestamp=timestamp, key=key, value=value) is None:
            await self._send(lane)
            lane.batch = self._producer.create_batch()
            lane.batch.append(timestamp=timestamp, key=key, value=value)  # the first of a batch may be of any size

    async def send_idle(self) -> bool:
        """Send what is in build wherever nothing is in flight, and say whether nothing is left in build."""
        now = asyncio.get_running_loop().time()
        for lane in self._all:
            if lane.batch is not None and (lane.delivery is None or lane.delivery.done() or now > lane.deadline):
                await self._send(lane)
        return all(lane.batch is None for lane in self._all)

    async def finish(self) -> None:
        """Send the rest and wait until all is acknowledged."""
        for lane in self._all:
            if lane.batch is not None:
                await self._send(lane)
        for lane in self._all:
            await self._acknowledged(lane)

    async def _send(self, lane: _Lane) -> None:
        await self._acknowledged(lane)
        lane.batch.close()
        lane.delivery = await self._producer.send_batch(lane.batch, lane.topic, partition=lane.partition)
        lane.delivery.add_done_callback(_look)
        lane.deadline = asyncio.get_running_loop().time() + _ACK_SECS
        lane.batch = None

    async def _acknowledged(self, lane: _Lane) -> None:
        try:
            if lane.delivery is not None:
                async with asyncio.timeout_at(lane.deadline):
                    await lane.delivery
        except (KafkaError, TimeoutError) as error:
            got = f"none in {_ACK_SECS:g} s" if isinstance(error, TimeoutError) else repr(error)
            raise BrokerError(
                f"{lane.topic}[{lane.partition}]: expected an acknowledgement, got {got}; the load ends here"
            ) from error


def _look(delivery: asyncio.Future[Any]) -> None:
    """Of several failed deliveries one is raised; asyncio would log the others as never looked at."""
    if not delivery.cancelled():
        delivery.exception()


async def _run(
    events: Iterable[ShopEvent],
    lanes: _Lanes,
    due: Due,
    *,
    paced: bool,
    progress: Callable[[int], None],
    stop: asyncio.Event,
) -> LoadReport:
    start, shown = time.perf_counter(), 0.0
    elapsed, now_ms, sent = 0.0, _now_ms(), 0
    for event in events:
        due_secs = due(sent, event)
        if due_secs > elapsed or sent % _SLICE_EVENTS == 0:
            await asyncio.sleep(0)
            elapsed, now_ms = time.perf_counter() - start, _now_ms()
            while due_secs > elapsed and not stop.is_set():
                nothing_left = await lanes.send_idle()
                await _pause(stop, max(_TICK_SECS, due_secs - elapsed) if nothing_left else _TICK_SECS)
                elapsed, now_ms = time.perf_counter() - start, _now_ms()
            if paced and due_secs <= elapsed:  # behind: without this, what is rare would wait until its batch is full
                await lanes.send_idle()
            if elapsed - shown >= _PROGRESS_SECS:
                shown = elapsed
                progress(sent)
        if stop.is_set():
            break
        await lanes.append(event, now_ms)
        sent += 1
    await lanes.finish()
    progress(sent)
    return LoadReport(sent, time.perf_counter() - start)


async def _pause(stop: asyncio.Event, secs: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), secs)


def _now_ms() -> int:
    return int(time.time() * 1000)
