"""`python -m tests.bench.peers.floor_aiokafka`: the three topics read by aiokafka, each value parsed; nothing else.

Prints the events per second from when it is warm, over so many seconds or up to the end of the topics.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.settings import Settings
from tests.bench.peers.exported import Bounds
from tests.bench.peers.measuring import Sample, measured
from tests.bench.peers.reading import Record, facts


def main() -> None:
    """One process on uvloop, which is the quicker loop for it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--bootstrap-servers", required=True)
    parser.add_argument("--topics", nargs=3, required=True)
    parser.add_argument("--partitions", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    given = parser.parse_args()
    uvloop.install()
    rate = asyncio.run(_read(given.bootstrap_servers, given.topics, given.partitions, given.seconds))
    print(json.dumps({"events_per_second": rate}))


async def _read(servers: str, topics: list[str], partitions: int, seconds: float) -> float:
    consumer = AIOKafkaConsumer(
        bootstrap_servers=servers,
        enable_auto_commit=False,
        check_crcs=False,
        max_partition_fetch_bytes=4 << 20,
        fetch_max_bytes=64 << 20,
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, p) for topic in topics for p in range(partitions)])
        await consumer.seek_to_beginning()
        events = sum((await consumer.end_offsets(list(consumer.assignment()))).values())
        settings = Settings()
        bounds = Bounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms)
        samples, parsed = [Sample(time.monotonic(), 0)], 0
        while True:
            for tp, records in (await consumer.getmany(timeout_ms=1_000, max_records=4_000)).items():
                source = topics.index(tp.topic)
                for r in records:
                    event = facts(Record(source, tp.partition, r.offset, r.timestamp, r.key, r.value), bounds)
                    parsed += event is not None
            samples.append(Sample(time.monotonic(), parsed))
            rate, final = measured(samples, events, seconds)
            if rate is not None and final:
                return rate.events_per_second
    finally:
        await consumer.stop()


if __name__ == "__main__":
    main()
