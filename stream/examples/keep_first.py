"""A subscriber that keeps the first score of each id, and goes on where it stopped. Copy it: it needs only aiokafka.

    python -m stream.examples.keep_first --db scores.sqlite

Scores come at least once: after a crash of a worker, or of this subscriber, some come again, with the same id and
perhaps another value. So the table's primary key is the id, and a record whose id is there already is passed over. Rows
are committed before Kafka is told that their records are done with: killed in between, they come again and are passed
over; nothing is lost. Workers that run with `--guarantee exactly_once` repeat nothing that is committed, and nothing
else is read; this subscriber may still be killed.

The bound: an id is remembered for as long as its row is kept, for ever or `--keep-days`; a record that comes again
after that is taken for new. Subscribers that share a group must share one database: partitions move between them.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncGenerator
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import CommitFailedError

_TABLE = """CREATE TABLE IF NOT EXISTS scores (
    id TEXT PRIMARY KEY, user_id TEXT NOT NULL, events_seen INTEGER NOT NULL, score TEXT NOT NULL, kept_at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS scores_by_age ON scores (kept_at);
"""
_DAY_SECS = 86_400


async def batches(bootstrap_servers: str, topic: str, group: str) -> AsyncGenerator[list[Any], None]:
    """Records of a topic, in the order of each partition. To ask for the next batch is to be done with the last one."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        isolation_level="read_committed",  # what a worker's crash has left uncommitted is scored again
        enable_auto_commit=False,  # it would commit what was fetched, whether it is done with or not
        auto_offset_reset="earliest",  # a new group begins with the oldest record
    )
    await consumer.start()
    try:
        while True:
            polled = await consumer.getmany(timeout_ms=1_000)
            if polled:
                yield [record for records in polled.values() for record in records]
                with contextlib.suppress(CommitFailedError):  # the group has moved on: they come again, to whoever
                    await consumer.commit()
    finally:
        await consumer.stop()


def keep(db: sqlite3.Connection, records: list[Any], keep_days: float | None = None) -> int:
    """Insert the scores whose ids are new, in one transaction -> how many they were."""
    now = time.time()
    scores = [(json.loads(record.value), record.value.decode()) for record in records]
    rows = [(score["id"], score["user_id"], score["events_seen"], text, now) for score, text in scores]
    with db:
        new = db.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?, ?, ?, ?)", rows).rowcount
        if keep_days is not None:
            db.execute("DELETE FROM scores WHERE kept_at < ?", (now - keep_days * _DAY_SECS,))
    return new


def connect(path: str) -> sqlite3.Connection:
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode=WAL")  # others may read while it writes
    db.executescript(_TABLE)
    return db


async def run(db: sqlite3.Connection, bootstrap_servers: str, topic: str, group: str, keep_days: float | None) -> None:
    """Keep scores until cancelled."""
    async with contextlib.aclosing(batches(bootstrap_servers, topic, group)) as source:
        async for records in source:
            new = keep(db, records, keep_days)
            print(f"{new} new of {len(records)} scores", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Keeps the first score of each id in SQLite, until ctrl-C.")
    parser.add_argument("--db", required=True, help="SQLite file, made if it is not there")
    parser.add_argument("--bootstrap-servers", default="127.0.0.1:9092")
    parser.add_argument("--topic", default="purchase-intent")
    parser.add_argument("--group", default="keep-first", help="where it stopped is remembered under this name")
    parser.add_argument("--keep-days", type=float, help="delete older rows [keep all]")
    args = parser.parse_args()
    with contextlib.closing(connect(args.db)) as db, contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(db, args.bootstrap_servers, args.topic, args.group, args.keep_days))


if __name__ == "__main__":
    main()
