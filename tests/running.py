"""What tests on a real broker are made of: workers as processes, topics filled and read back."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from stream.settings import ENV_PREFIX, Settings, in_force
from stream.shop_event import ShopEvent
from stream.simulator.load import Destination, produce

_RUN = "import sys; from stream import settings, worker; sys.exit(worker.run(settings.load()))"
_ROLES = ("clicks", "searches", "purchases")


class Worker:
    """A worker process of these settings; its log is beside its state."""

    def __init__(self, settings: Settings, log: Path, program: str = _RUN, arguments: Sequence[str] = ()) -> None:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(ENV_PREFIX)}
        environment |= {ENV_PREFIX + name.upper(): str(value) for name, value in in_force(settings).items()}
        self.log = log
        self._out = log.open("ab")
        self._started_at = log.stat().st_size
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], env=environment, stderr=self._out, stdout=self._out
        )

    def said(self) -> str:
        """What this process has logged."""
        with self.log.open("rb") as log:
            log.seek(self._started_at)
            return log.read().decode()

    async def wait_for(self, pattern: str, *, secs: float = 60) -> re.Match[str]:
        """Wait until the log matches."""
        deadline = time.monotonic() + secs
        while (found := re.search(pattern, self.said())) is None:
            assert self.process.poll() is None, f"the worker ended with {self.process.returncode}:\n{self.said()}"
            assert time.monotonic() < deadline, f"{pattern!r} not in {secs} s:\n{self.said()}"
            await asyncio.sleep(0.05)
        return found

    async def get(self, path: str) -> tuple[int, str]:
        """Status and body of a request to its metrics server."""
        await self.wait_for(r"metrics on http://\S+?:(\d+)/")
        port = re.findall(r"metrics on http://\S+?:(\d+)/", self.said())[-1]  # since it has last begun anew

        def fetch() -> tuple[int, str]:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
                    return answer.status, answer.read().decode()
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, error.read().decode()

        return await asyncio.to_thread(fetch)

    def kill(self) -> None:
        """As a crash would: no chance to finish anything."""
        self.process.kill()
        self.process.wait(10)
        self._out.close()

    async def stop(self, *, secs: float = 60) -> int:
        """As an operator would -> the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.process.wait, secs)
        self._out.close()
        return code


@contextmanager
def running(settings: Settings, log: Path, program: str = _RUN, arguments: Sequence[str] = ()) -> Iterator[Worker]:
    """`program` stands in for the worker's own, where something is to be wrong with it."""
    worker = Worker(settings, log, program=program, arguments=arguments)
    try:
        yield worker
    finally:
        if worker.process.poll() is None:
            worker.kill()
        worker._out.close()


def restored_rows(worker: Worker) -> int:
    """How many it has read from the changelog to begin to score the last time."""
    said = worker.said()
    last = max(said.rfind("assigned partitions"), 0)
    found = re.search(r"restored ([\d,]+) rows", said[last:])
    return int(found[1].replace(",", "")) if found else 0


async def fill(settings: Settings, events: Iterable[ShopEvent]) -> int:
    """Put events on the source topics, with their own times as record times -> how many."""
    topics = dict(zip(_ROLES, settings.source_topics, strict=True))
    return (await produce(events, Destination(settings.bootstrap_servers, topics))).events


async def read(settings: Settings, topic: str, *, aborted: bool = False) -> list[Any]:
    """All committed records of a topic, and `aborted` ones where asked, from its start to its end now."""
    async with _consumer(settings, "read_uncommitted" if aborted else "read_committed") as consumer:
        partitions = [TopicPartition(topic, p) for p in range(len(await _partitions(settings, topic)))]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        records: list[Any] = []
        while not all([await consumer.position(tp) >= ends[tp] for tp in partitions]):
            for run in (await consumer.getmany(timeout_ms=500)).values():
                records += run
        return records


async def scores(settings: Settings, topic: str) -> list[dict[str, Any]]:
    """The values of a score topic, parsed."""
    return [json.loads(record.value) for record in await read(settings, topic)]


async def ends(settings: Settings, topics: Sequence[str]) -> dict[tuple[str, int], int]:
    """The end offset of every partition of these topics."""
    async with _consumer(settings) as consumer:
        found: dict[tuple[str, int], int] = {}
        for topic in topics:
            partitions = [TopicPartition(topic, p) for p in range(len(await _partitions(settings, topic)))]
            found |= {(tp.topic, tp.partition): end for tp, end in (await consumer.end_offsets(partitions)).items()}
        return found


async def committed(settings: Settings) -> dict[tuple[str, int], int]:
    """The group's committed offset of every source partition that has one."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        try:
            found: Mapping[Any, Any] = await admin.list_consumer_group_offsets(settings.app_id)
        except GroupCoordinatorNotAvailableError:  # a broker that has never had a group is still making its topic
            return {}
        return {(tp.topic, tp.partition): at.offset for tp, at in found.items() if at.offset >= 0}
    finally:
        await admin.close()


async def until_committed(settings: Settings, worker: Worker, *, secs: float = 120) -> None:
    """Wait until the worker has committed all that is on the source topics."""
    wanted = {tp: end for tp, end in (await ends(settings, settings.source_topics)).items() if end}
    deadline = time.monotonic() + secs
    while True:
        have = await committed(settings)
        if all(have.get(tp, 0) >= end for tp, end in wanted.items()):
            return
        assert worker.process.poll() is None, f"the worker ended with {worker.process.returncode}:\n{worker.said()}"
        assert time.monotonic() < deadline, f"not committed in {secs} s: {have} of {wanted}\n{worker.said()}"
        await asyncio.sleep(0.1)


async def _partitions(settings: Settings, topic: str) -> list[Any]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        (found,) = await admin.describe_topics([topic])
        return list(found["partitions"])
    finally:
        await admin.close()


class _consumer:  # noqa: N801 - used as a function
    def __init__(self, settings: Settings, isolation_level: str = "read_committed") -> None:
        self._consumer = AIOKafkaConsumer(
            bootstrap_servers=settings.bootstrap_servers,
            isolation_level=isolation_level,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )

    async def __aenter__(self) -> Any:
        await self._consumer.start()
        return self._consumer

    async def __aexit__(self, *exception: object) -> None:
        await self._consumer.stop()


def lives(process: psutil.Process) -> bool:
    """Whether it has not ended."""
    # One that has ended, and that nobody has asked for its exit code yet, still has a number.
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
