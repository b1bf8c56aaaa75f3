"""How many events were scored when, and the rate of it: the same rule for all.

A run is warm once it has scored for WARM_SECS, or WARM_SHARE of all events, whichever is sooner. From then on it is
measured for so many seconds, or until END_SHARE of all events are scored: what is last is of few topic partitions. An
event is scored when both its records are on the score topics, by the broker's end offsets; a transaction's marker is
one too, of which there are a few in a hundred thousand.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

from stream.bench.bed import partitions_of
from stream.errors import BehaviourStreamError
from stream.settings import Settings
from tests.bench.peers.children import Child

WARM_SECS, WARM_SHARE, END_SHARE = 12.0, 0.4, 0.95
_POLL_SECS = 0.1
# Nothing is scored for so long: it has failed. A JVM begins within 20 s on two busy cores.
_STALL_SECS = 90.0


class Sample(NamedTuple):
    """What was scored by then."""

    secs: float
    scored: int


class Rate(NamedTuple):
    """Of the measured part of a run."""

    events_per_second: float
    events: int
    secs: float


def measured(samples: Sequence[Sample], events: int, seconds: float) -> tuple[Rate | None, bool]:
    """(the rate so far, None before it is warm; whether that is final) of a run, of so many events."""
    begun = next((sample.secs for sample in samples if sample.scored), None)
    if begun is None:
        return None, False
    is_warm = (sample for sample in samples if sample.secs - begun >= WARM_SECS or sample.scored >= WARM_SHARE * events)
    warm = next(is_warm, None)
    if warm is None:
        return None, False
    last = warm
    for sample in is_warm:
        if sample.scored > last.scored:  # a run that stands still at its end is not slow
            last = sample
        if sample.scored >= END_SHARE * events or sample.secs - warm.secs >= seconds:
            break
    final = last.scored >= END_SHARE * events or samples[-1].secs - warm.secs >= seconds
    scored, secs = last.scored - warm.scored, last.secs - warm.secs
    return (Rate(scored / secs, scored, secs) if secs else None), final


async def watch(settings: Settings, processes: Sequence[Child], events: int, seconds: float) -> Rate:
    """The rate of these processes, once it is known. Raises BehaviourStreamError where one ends, or nothing comes."""
    from aiokafka import AIOKafkaConsumer

    topics = (settings.purchase_intent_topic, settings.anomaly_scores_topic)
    partitions = [partitions_of(settings, topic) for topic in topics]
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers, enable_auto_commit=False)
    await consumer.start()
    try:
        samples, advanced = [Sample(time.monotonic(), 0)], time.monotonic()
        while True:
            await asyncio.sleep(_POLL_SECS)
            for process in processes:
                process.check()
            ends = [sum((await consumer.end_offsets(of_topic)).values()) for of_topic in partitions]
            now, scored = time.monotonic(), min(ends)
            if scored > samples[-1].scored:
                advanced = now
            samples.append(Sample(now, scored))
            rate, final = measured(samples, events, seconds)
            if rate is not None and final:
                return rate
            if now - advanced > _STALL_SECS:
                raise BehaviourStreamError(
                    f"{scored:,} events scored, none for {_STALL_SECS:.0f} s: {processes[0].tail()}"
                )
    finally:
        await consumer.stop()
