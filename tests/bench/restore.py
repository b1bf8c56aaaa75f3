"""`python -m tests.bench.restore [--users 1000000] [--json]`: how long a worker takes to have its state again.

A real worker process, on a broker of its own, in three ways: on an empty disk, from the changelog; after a kill -9,
when what had not been flushed comes from the changelog's tail; and on the disk that a clean stop left. Timed from the
start of the process and from the assignment, to the scoring, and to the first score of a user whose row was restored.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import msgspec
import orjson
import psutil  # type: ignore[import-untyped]
from aiokafka import AIOKafkaProducer

from stream.core_speed import this_machine
from stream.kafka import topics
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import Settings, load
from tests.bench.filling import START_MS, fill_changelog, partition_of, user
from tests.running import Worker, running, scores

_LIMIT_SECS = 1800.0
_POLL_SECS = 0.02


class Restart(msgspec.Struct, kw_only=True):
    """One start of a worker; seconds since its process began, but where it is said."""

    seconds: float  # to "scoring partitions"
    seconds_since_assigned: float
    seconds_to_first_score: float
    rows_restored: int
    rows_per_second: float | None  # None: nothing, or too little, came from the changelog
    worker_cpu_seconds: float
    broker_cpu_seconds: float
    resident_megabytes: float


class Run(msgspec.Struct, kw_only=True):
    from_changelog: Restart
    after_kill: Restart
    from_local: Restart


@click.command()
@click.option("--users", type=click.IntRange(1), default=1_000_000, help="[1000000]")
@click.option("--partitions", type=click.IntRange(1), default=4, help="[4]")
@click.option("--runs", type=click.IntRange(1), default=1, help="The best of so many counts. [1]")
@click.option("--folder", type=click.Path(path_type=Path), help="Where it writes, 5 kB a user. [a temporary one]")
@click.option("--json", "as_json", is_flag=True)
def main(users: int, partitions: int, runs: int, folder: Path | None, as_json: bool) -> None:
    """Fill a changelog, and start workers on it."""
    with (
        tempfile.TemporaryDirectory(prefix="behaviour-stream-restore-", dir=folder) as name,
        EmbeddedBroker(Path(name) / "broker") as broker,
    ):
        flags = {
            "bootstrap_servers": broker.bootstrap_servers,
            "app_id": "restore",
            "data_dir": Path(name) / "state",
            "metrics_port": 0,
            "partitions": partitions,
            "retention_hours": -1,
        }
        settings = load(flags, environ={})
        found = asyncio.run(_measure(settings, users, runs, Path(name), broker=psutil.Process(broker.pid)))
    click.echo(json.dumps(found) if as_json else json.dumps(found, indent=1))


async def _measure(settings: Settings, users: int, runs: int, folder: Path, *, broker: Any) -> dict[str, Any]:
    await topics.ensure(settings)
    size = await fill_changelog(settings, users, _say)
    probe = _Probe(settings, users)
    done: list[Run] = []
    for n in range(runs):
        shutil.rmtree(settings.data_dir, ignore_errors=True)
        log = folder / f"worker-{n}.log"
        with running(settings, log) as worker:
            from_changelog = await _restart(worker, probe, broker)
        with running(settings, log) as worker:  # the former was killed
            after_kill = await _restart(worker, probe, broker)
            assert await worker.stop() == 0, worker.said()
        with running(settings, log) as worker:
            from_local = await _restart(worker, probe, broker)
            assert await worker.stop() == 0, worker.said()
        run = Run(from_changelog=from_changelog, after_kill=after_kill, from_local=from_local)
        done.append(run)
        _say(json.dumps(msgspec.to_builtins(run)))
    best = {way: min(getattr(run, way).seconds for run in done) for way in Run.__struct_fields__}
    return {
        "users": users,
        "bytes": size,
        "partitions": settings.partitions,
        "seconds_from_changelog": best["from_changelog"],
        "seconds_after_kill": best["after_kill"],
        "seconds_from_local": best["from_local"],
        "rows_per_second": max(run.from_changelog.rows_per_second or 0.0 for run in done),
        "machine": this_machine(),
        "runs": [msgspec.to_builtins(run) for run in done],
    }


async def _restart(worker: Worker, probe: _Probe, broker: Any) -> Restart:
    process = psutil.Process(worker.process.pid)
    began, broker_cpu = process.create_time(), _cpu_secs(broker)
    await probe.send()
    scoring = await worker.wait_for(r"(?m)^(\S+ \S+) INFO .*scoring partitions", secs=_LIMIT_SECS)
    taken = await worker.wait_for(r"(?m)^(\S+ \S+) INFO .*assigned partitions")
    cpu = _cpu_secs(process)
    restored = re.search(r"restored ([\d,]+) rows of partitions .* in [\d.]+ s, ([\d,]+) rows/s", worker.said())
    first_score = await probe.scored()
    return Restart(
        seconds=round(_at(scoring) - began, 2),
        seconds_since_assigned=round(_at(scoring) - _at(taken), 2),
        seconds_to_first_score=round(first_score - began, 2),
        rows_restored=int(restored[1].replace(",", "")) if restored else 0,
        rows_per_second=float(restored[2].replace(",", "")) if restored else None,
        worker_cpu_seconds=round(cpu, 2),
        broker_cpu_seconds=round(_cpu_secs(broker) - broker_cpu, 2),
        resident_megabytes=round(process.memory_info().rss / 1e6, 1),
    )


def _at(line: re.Match[str]) -> float:
    return datetime.strptime(line[1], "%Y-%m-%d %H:%M:%S,%f").timestamp()


def _cpu_secs(process: Any) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


class _Probe:
    """Events of one user whose row is in the changelog: the score of each says how many were seen before."""

    def __init__(self, settings: Settings, users: int) -> None:
        self._settings, self._number, self._sent = settings, users // 2, 0

    async def send(self) -> None:
        self._sent += 1
        time_ms = START_MS + 7 * 86_400_000 + self._sent
        event = {
            "event_id": f"probe-{self._sent}", "event_name": "view_item", "event_time": time_ms,
            "user_id": user(self._number).decode(), "item_id": "i", "item_category": "c", "price": 1.0,
        }  # fmt: skip
        async with AIOKafkaProducer(bootstrap_servers=self._settings.bootstrap_servers) as producer:
            await producer.send_and_wait(
                self._settings.clicks_topic, orjson.dumps(event), key=user(self._number), timestamp_ms=time_ms,
                partition=partition_of(self._number, self._settings),
            )  # fmt: skip

    async def scored(self) -> float:
        """When the score of the event that was sent last was seen."""
        deadline = time.time() + _LIMIT_SECS
        while True:
            found = {
                score["event_id"]: score for score in await scores(self._settings, self._settings.purchase_intent_topic)
            }
            if (score := found.get(f"probe-{self._sent}")) is not None:
                assert score["events_seen"] > self._sent, f"scored without the row of the user: {score}"
                return time.time()
            assert time.time() < deadline
            await asyncio.sleep(_POLL_SECS)


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    sys.exit(main())
