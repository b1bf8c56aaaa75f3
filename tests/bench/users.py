"""`python -m tests.bench.users [--users 10000000] [--json]`: what it costs that most users are on disk.

A real worker on a broker of its own, whose local copy holds a row of every user beforehand, scores events whose users
are drawn by Zipf's law: with room for a few users in memory, and with room for all, in turns. The rate is that of the
later part of each run, when memory holds whom it has room for.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import numpy as np
import orjson
from aiokafka import AIOKafkaProducer
from numpy.typing import NDArray

from stream import model_file, rows
from stream.core_speed import this_machine
from stream.kafka import topics
from stream.kafka.batches import BATCH_BYTES, Batches
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.store import ROWS_AT_ONCE, RowStore
from stream.settings import Settings, load
from tests.bench.filling import START_MS, fill_changelog, partition_of, plausible_rows, sizes_of, user
from tests.running import Worker, ends, running

_WARM_SHARE = 0.4
_POLL_SECS = 0.2
_STALL_SECS = 300.0
_NAMES = ("view_item", "view_item_list", "add_to_cart", "select_item")


class Run(msgspec.Struct, kw_only=True):
    """One worker, from its start to the last score."""

    memory_max_users: int
    events_per_second: float
    resident_megabytes: float  # at most
    checkpoints: float
    rows_flushed: float


@click.command()
@click.option("--users", type=click.IntRange(1), default=10_000_000, help="[10000000]")
@click.option("--in-memory", type=click.IntRange(8_192), default=200_000, help="Users. [200000]")
@click.option("--events", type=click.IntRange(1), default=1_000_000, help="Of each run. [1000000]")
@click.option("--exponent", type=click.FloatRange(1.01), default=1.1, help="Of Zipf's law. [1.1]")
@click.option("--rounds", type=click.IntRange(1), default=2, help="Of one run each way. [2]")
@click.option("--folder", type=click.Path(path_type=Path), help="Where it writes, 2 kB a user. [a temporary one]")
@click.option("--json", "as_json", is_flag=True)
def main(
    *, users: int, in_memory: int, events: int, exponent: float, rounds: int, folder: Path | None, as_json: bool
) -> None:
    """Fill a local copy, and score on it."""
    with (
        tempfile.TemporaryDirectory(prefix="behaviour-stream-users-", dir=folder) as name,
        EmbeddedBroker(Path(name) / "broker") as broker,
    ):
        settings = load(
            {
                "bootstrap_servers": broker.bootstrap_servers,
                "app_id": "users",
                "data_dir": Path(name) / "state",
                "metrics_port": 0,
                "retention_hours": -1,
            },
            environ={},
        )
        asyncio.run(prepare(settings, users))
        runs = []
        for number in range(2 * rounds):
            bound = users if number % 2 else in_memory
            bounded = msgspec.structs.replace(settings, memory_max_users=bound)
            runs.append(asyncio.run(run(bounded, Draw(users, exponent, number), events, Path(name))))
            _say(json.dumps(msgspec.to_builtins(runs[-1])))
        shutil.rmtree(settings.data_dir)
    tight, roomy = ([run.events_per_second for run in runs[which::2]] for which in (0, 1))
    found = {
        "users": users,
        "in_memory": in_memory,
        "exponent": exponent,
        "events_of_a_run": events,
        "share_of_all_in_memory": round(sum(tight) / sum(roomy), 3),
        "resident_megabytes": max(run.resident_megabytes for run in runs[::2]),
        "machine": this_machine(),
        "runs": [msgspec.to_builtins(run) for run in runs],
    }
    click.echo(json.dumps(found) if as_json else json.dumps(found, indent=1))


class Draw:
    """Events of users by Zipf's law: the k-th is drawn k ** -exponent times as often as the first."""

    def __init__(self, users: int, exponent: float, seed: int) -> None:
        weights = np.arange(1, users + 1, dtype=np.float64) ** -exponent
        self._cumulative = np.cumsum(weights) / weights.sum()
        self._rng = np.random.default_rng(seed)
        self._ranked = np.random.default_rng(0).permutation(users)  # who is how busy is the same in all runs
        self._seed = seed

    def users(self, n: int) -> NDArray[np.int64]:
        return np.asarray(self._ranked[np.searchsorted(self._cumulative, self._rng.random(n))])

    def events(self, n: int) -> Iterator[tuple[int, bytes]]:
        """(user, value) of each."""
        began_ms = START_MS + (8 + self._seed) * 86_400_000  # after all that the rows hold
        items, prices = self._rng.integers(0, 20_000, n).tolist(), self._rng.lognormal(3, 1, n).round(2).tolist()
        for i, number in enumerate(self.users(n).tolist()):
            event = {
                "event_id": f"{self._seed}-{i}", "event_name": _NAMES[i % len(_NAMES)], "event_time": began_ms + 20 * i,
                "user_id": user(number).decode(), "item_id": f"sku-{items[i]}",
                "item_category": f"category-{items[i] % 128}", "price": prices[i],
            }  # fmt: skip
            yield number, orjson.dumps(event)


async def prepare(settings: Settings, users: int) -> None:
    """A row of every user in the local copies, as if the changelog had given them; it holds none of them."""
    await topics.ensure(settings)
    await fill_changelog(settings, settings.partitions, _say)
    last = {p: end - 1 for (_, p), end in (await ends(settings, [settings.changelog_topic])).items()}
    store, began = RowStore(settings.data_dir), time.monotonic()
    sizes, model = sizes_of(settings), model_file.load(settings.model).hash64
    store.own(range(settings.partitions))
    for partition in range(settings.partitions):
        rng = np.random.default_rng(partition)
        here = np.arange(partition, users, settings.partitions)
        for first in range(0, len(here), 10 * ROWS_AT_ONCE):
            numbers = here[first : first + 10 * ROWS_AT_ONCE].tolist()
            made = plausible_rows(rng, len(numbers), sizes, model)
            made["offsets"] = rows.NO_OFFSET
            store.write(partition, zip(map(user, numbers), rows.to_bytes(made), strict=True), last[partition])
    store.close()
    _say(f"{users:,} rows in the local copies after {time.monotonic() - began:.0f} s")


async def run(settings: Settings, draw: Draw, events: int, folder: Path) -> Run:
    await _produce(settings, draw.events(events))
    before = await _scored(settings)
    with running(settings, folder / "worker.log") as worker:
        started = await _until(settings, worker, before + int(_WARM_SHARE * events))
        ended = await _until(settings, worker, before + events)
        _, metrics = await worker.get("/metrics")
        resident = _peak_megabytes(worker.process.pid)
        assert await worker.stop(secs=300) == 0, worker.said()
    (at, had), (end, has) = started, ended
    lines = (line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
    values = {name: float(value) for name, value in lines}
    return Run(
        memory_max_users=settings.memory_max_users,
        events_per_second=round((has - had) / (end - at), 1),
        resident_megabytes=round(resident, 1),
        checkpoints=values["behaviour_checkpoints_total"],
        rows_flushed=values["behaviour_rows_flushed_total"],
    )


async def _produce(settings: Settings, events: Iterator[tuple[int, bytes]]) -> None:
    topic = settings.clicks_topic
    producer = AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers, acks="all", max_batch_size=BATCH_BYTES)
    async with producer:
        await producer.partitions_for(topic)
        of_partition = {p: Batches(producer, START_MS + 9 * 86_400_000) for p in range(settings.partitions)}
        for number, value in events:
            of_partition[partition_of(number, settings)].append(user(number), value)
        for partition, batches in of_partition.items():
            for batch in batches.close():
                await (await producer.send_batch(batch, topic, partition=partition))


async def _scored(settings: Settings) -> int:
    return sum((await ends(settings, [settings.anomaly_scores_topic])).values())


async def _until(settings: Settings, worker: Worker, scores: int) -> tuple[float, int]:
    """(time, scores) once there are so many."""
    had, since = 0, time.monotonic()
    while (has := await _scored(settings)) < scores:
        assert worker.process.poll() is None, worker.said()
        if has > had:
            had, since = has, time.monotonic()
        assert time.monotonic() - since < _STALL_SECS, f"{has:,} of {scores:,} scored\n{worker.said()}"
        await asyncio.sleep(_POLL_SECS)
    return time.monotonic(), has


def _peak_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(float(line.split()[1]) / 1e3 for line in status.splitlines() if line.startswith("VmHWM"))


def _say(line: str) -> None:
    click.echo(line, err=True)


if __name__ == "__main__":
    sys.exit(main())
