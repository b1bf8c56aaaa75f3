"""Hostile records among good ones through a real worker: what became of each, and what memory it took.

What must become of a record is what `decode` says of it. For some that is known beforehand: good events as they are
sent, and those of `known`, by hand. A record's header says how it was made; the worker reads none.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec
import psutil  # type: ignore[import-untyped]
from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from stream.decode import TimeBounds, decode
from stream.events import Frame
from stream.parity.reading import frames, stretch
from stream.settings import Settings
from stream.shop_event import ROLES, ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.faults.hostile.known import GOOD, KNOWN
from tests.faults.hostile.mutations import Raw, mutated
from tests.running import Worker, running, until_committed

_KNOWN_SHARE = 0.02  # of the hostile ones, sent besides
_SAMPLE_SECS = 0.25
_BATCH_BYTES = 256 << 10
_COMMITTED_SECS = 3_600.0

Where = tuple[int, int, int]  # source, partition, offset


class Made(NamedTuple):
    """A record on its way."""

    source: int
    raw: Raw
    time_ms: int
    how: str  # "" for a good event as it is


def shop(*, seed: int, users: int, start_ms: int) -> Iterator[ShopEvent]:
    """Simulated shoppers, fraud and late events among them, but nothing that is sent twice: that is scored once."""
    usual = scenario.load()
    once = msgspec.structs.replace(usual.disorder, repeated_share=0.0)
    return iter(simulate(msgspec.structs.replace(usual, disorder=once), seed=seed, users=users, start_ms=start_ms))


def records(events: Iterator[ShopEvent], *, hostile: int, good: int, seed: int) -> Iterator[Made]:
    """So many of both, mixed evenly; each hostile one is made of an event that is not sent itself."""
    rng = Random(seed)
    for at in range(hostile + good):
        event = next(events)
        source, raw = ROLES.index(event.topic), Raw(event.key, event.value)
        if (at + 1) * good // (hostile + good) > at * good // (hostile + good):
            yield Made(source, raw, event.sent_ms, "")
            continue
        how, raw = mutated(rng, raw)
        yield Made(source, raw, event.sent_ms, how)
        if rng.random() < _KNOWN_SHARE:
            name = rng.choice(tuple(KNOWN))
            of, _, make = KNOWN[name]
            yield Made(of, make(rng, event.sent_ms), event.sent_ms, f"known: {name}")


async def play(settings: Settings, made: Iterator[Made], log: Path) -> dict[str, Any]:
    """Send them to a worker at work -> what became of them."""
    started = time.monotonic()
    with running(settings, log) as worker:
        await worker.wait_for("scoring partitions")
        memory = asyncio.create_task(_sampled(worker))
        sent = await _send(settings, made)
        await until_committed(settings, worker, secs=_COMMITTED_SECS)
        scored_secs = time.monotonic() - started
        memory.cancel()
        code = await worker.stop()
    samples = await asyncio.gather(memory)
    return {
        **await _judged(settings),
        "sent": sent,
        "worker_exit_code": code,
        **_memory(samples[0]),
        "records_per_second": round(sent / scored_secs),
        "seconds": round(time.monotonic() - started, 1),
    }


async def _send(settings: Settings, made: Iterator[Made]) -> int:
    """Prebuilt batches: aiokafka's own `send` refuses a record without key and value, which Kafka does not."""
    total, batches = 0, dict[tuple[int, int], Any]()
    async with AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers,
        enable_idempotence=True,
        max_batch_size=4 * _BATCH_BYTES,  # a single record may be nearly that large
        max_request_size=8 * _BATCH_BYTES,
    ) as producer:
        for topic in settings.source_topics:
            await producer.partitions_for(topic)  # else `send_batch` never learns of it

        async def send(source: int, partition: int) -> None:
            batch = batches.pop((source, partition))
            await producer.send_batch(batch, settings.source_topics[source], partition=partition)

        for record in made:
            place = record.source, (murmur2(record.raw.key or b"") & 0x7FFF_FFFF) % settings.partitions
            headers = [("made", record.how.encode())] if record.how else []
            key, value = record.raw
            while True:
                if place not in batches:
                    batches[place] = producer.create_batch()
                if batches[place].append(timestamp=record.time_ms, key=key, value=value, headers=headers) is not None:
                    break
                await send(*place)
            total += 1
            if batches[place].size() > _BATCH_BYTES:
                await send(*place)
        for place in list(batches):
            await send(*place)
        await producer.flush()
    return total


async def _sampled(worker: Worker) -> list[int]:
    """Bytes of resident memory, until cancelled."""
    process, samples = psutil.Process(worker.process.pid), list[int]()
    try:
        while True:
            samples.append(process.memory_info().rss)
            await asyncio.sleep(_SAMPLE_SECS)
    except asyncio.CancelledError:
        return samples


def _memory(samples: list[int]) -> dict[str, Any]:
    """The median of each quarter of the time; growth is from the second to the last: the first one warms up."""
    edges = [len(samples) * quarter // 4 for quarter in range(5)]
    quarters = [statistics.median(samples[start : max(end, start + 1)]) for start, end in pairwise(edges)]
    return {
        "rss_mb_by_quarter": [round(rss / 2**20) for rss in quarters],
        "rss_mb_most": round(max(samples) / 2**20),
        "rss_growth": round(quarters[-1] / quarters[1], 3),
    }


async def _judged(settings: Settings) -> dict[str, Any]:
    bounds = TimeBounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms)
    good: dict[Where, tuple[bytes | None, int]] = {}  # user and hash of the id
    bad: dict[Where, str] = {}
    made: Counter[str] = Counter()
    still_events, otherwise = Counter[str](), Counter[str]()
    async for frame in _frames(settings, settings.source_topics):
        events, rejects = decode(frame, bounds)
        hash_of = dict(zip(events["offset"].tolist(), events["event_hash"].tolist(), strict=True))
        reasons = {reject.offset: reject.reason for reject in rejects}
        for record in frame.records:
            where = (frame.source, frame.partition, record.offset)
            reason = reasons.get(record.offset)
            if reason is None:
                good[where] = record.key, hash_of[record.offset]
            else:
                bad[where] = reason
            how = _how(record)
            made[how] += 1
            if how and reason is None:
                still_events[how] += 1
            if (reason or GOOD) != _wanted(how, reason or GOOD):
                otherwise[f"{how or 'a good event'}: {reason or GOOD}"] += 1
    scored = [await _scored(settings, topic) for topic in settings.output_topics[:2]]
    unscored = {where for where in good if not all(where in topic for topic in scored)}
    names = {name for where, name in good.items() if where not in unscored}
    twice = {where for where in unscored if good[where] in names}  # two mutations may give a user's events one id
    letters = await _dead_letters(settings)
    told = {where for where, reason in letters if bad.get(where) == reason}
    return {
        "records": sum(made.values()),
        "good_as_sent": made[""],
        "hostile": sum(n for how, n in made.items() if how and not how.startswith("known: ")),
        "known": sum(n for how, n in made.items() if how.startswith("known: ")),
        "hostile_that_are_events": sum(n for how, n in still_events.items() if not how.startswith("known: ")),
        "events_without_both_scores": len(unscored - twice),
        "events_of_an_id_that_is_scored": len(twice),
        "scores_of_no_event": sum(where not in good for topic in scored for where in topic),
        "scores_repeated": sum(n - 1 for topic in scored for n in topic.values()),
        "bad_without_their_dead_letter": len(bad.keys() - told),
        "dead_letters_of_events": sum(where not in bad for where, _ in letters),
        "dead_letters_repeated": letters.total() - len(letters),
        "decoded_otherwise_than_known": dict(otherwise),
        "by_reason": dict(Counter(bad.values()).most_common()),
        "by_mutation": {how: n for how, n in made.most_common() if how and not how.startswith("known: ")},
    }


def _how(record: Any) -> str:
    return "".join(value.decode() for name, value in record.headers if name == "made")


def _wanted(how: str, decoded: str) -> str:
    """What must become of it, where that is known without decoding."""
    if not how:
        return GOOD
    return KNOWN[how.removeprefix("known: ")][1] if how.startswith("known: ") else decoded


async def _frames(settings: Settings, topics: tuple[str, ...]) -> AsyncIterator[Frame]:
    async with stretch(settings.bootstrap_servers, topics, None, None) as found:
        async for frame in frames(found, "records", lambda *_: None):
            yield frame


async def _scored(settings: Settings, topic: str) -> Counter[Where]:
    """The places of the events that have a score here, and how many."""
    found: Counter[Where] = Counter()
    async for frame in _frames(settings, (topic,)):
        found.update(_place(settings, _ID(record.value or b"").id.rsplit("-", 1)[0]) for record in frame.records)
    return found


async def _dead_letters(settings: Settings) -> Counter[tuple[Where, str]]:
    found: Counter[tuple[Where, str]] = Counter()
    async for frame in _frames(settings, (settings.dead_letters_topic,)):
        letters = [_LETTER(record.value or b"") for record in frame.records]
        found.update((_place(settings, letter.id), letter.reason) for letter in letters)
    return found


def _place(settings: Settings, score_id: str) -> Where:
    topic, partition, offset = score_id.rsplit("-", 2)
    return settings.source_topics.index(topic), int(partition), int(offset)


class _Score(msgspec.Struct):
    id: str


class _Letter(msgspec.Struct):
    id: str
    reason: str


_ID, _LETTER = msgspec.json.Decoder(_Score).decode, msgspec.json.Decoder(_Letter).decode
