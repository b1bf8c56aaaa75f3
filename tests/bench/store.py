"""`python -m tests.bench.store [--users 10000000] [--json]`: the local copy of more users than memory holds.

Fills the partitions as checkpoints do, then fetches users drawn at random as the table does for a micro-batch, and
users never seen. No broker, no worker: what is measured is the store alone.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import psutil  # type: ignore[import-untyped]
from numpy.typing import NDArray

from stream import rows
from stream.core_speed import this_machine
from stream.kafka.store import RowStore
from stream.settings import load
from tests.bench.filling import plausible_rows, sizes_of, user

_CHECKPOINT_ROWS = 10_000
# Rows that are made; users share their bytes, as no store looks for.
_MADE = 50_000
_FETCH_KEYS = 4_096
_FETCHES = 50
_BUSY = ("num-running-compactions", "compaction-pending", "num-running-flushes")


@click.command()
@click.option("--users", type=click.IntRange(100_000), default=10_000_000, help="[10000000]")
@click.option("--partitions", type=click.IntRange(1), default=4, help="[4]")
@click.option("--folder", type=click.Path(path_type=Path), help="Where it writes, 2 kB a user. [a temporary one]")
@click.option("--json", "as_json", is_flag=True)
def main(users: int, partitions: int, folder: Path | None, as_json: bool) -> None:
    """Fill the store and fetch from it."""
    with tempfile.TemporaryDirectory(prefix="behaviour-stream-store-", dir=folder) as name:
        found = _measure(Path(name), users, partitions)
    click.echo(json.dumps(found) if as_json else json.dumps(found, indent=1))


def _measure(folder: Path, users: int, partitions: int) -> dict[str, Any]:
    settings, rng = load({}, environ={}), np.random.default_rng(1)
    values = rows.to_bytes(plausible_rows(rng, _MADE, sizes_of(settings), 1))
    before = _resident()
    store = RowStore(folder)
    store.own(range(partitions))
    began, cpu = time.monotonic(), time.process_time()
    for first in range(0, users, _CHECKPOINT_ROWS * partitions):
        # An order that is not that of keys: a step that shares no factor with the number of users.
        numbers = (np.arange(first, min(users, first + _CHECKPOINT_ROWS * partitions)) * _step(users)) % users
        for partition in range(partitions):
            here = numbers[numbers % partitions == partition].tolist()
            store.write(partition, ((user(n), values[n % _MADE]) for n in here), first)
    filled, filled_cpu = time.monotonic() - began, time.process_time() - cpu
    store.close()
    store.own(range(partitions))
    for partition in range(partitions):
        db = store._open[partition]
        while any(int(db.property_value(f"rocksdb.{name}") or 0) for name in _BUSY):
            time.sleep(0.5)

    def draw() -> NDArray[np.int64]:
        return rng.integers(0, users, _FETCH_KEYS)

    known = _fetches(store, partitions, draw, user)
    unknown = _fetches(store, partitions, draw, lambda n: user(n) + b"-never")
    found = {
        "users": users,
        "disk_bytes_per_user": round(sum(path.stat().st_size for path in folder.rglob("*.sst")) / users),
        "write_microseconds": round(filled / users * 1e6, 2),
        "write_cpu_microseconds": round(filled_cpu / users * 1e6, 2),
        "fetch_microseconds": known,
        "fetch_unknown_microseconds": unknown,
        "resident_megabytes_of_the_store": round((_resident() - before) / 1e6),
        "machine": this_machine(),
    }
    store.close()
    return found


def _step(users: int) -> int:
    step = int(users * 0.618) | 1
    while np.gcd(step, users) != 1:
        step += 2
    return step


def _fetches(
    store: RowStore, partitions: int, draw: Callable[[], NDArray[np.int64]], key: Callable[[int], bytes]
) -> dict[str, float]:
    """Microseconds a key, over fetches of thousands: of the first, which finds nothing in memory, and of the others.

    `cpu`: of the thread that asks, on a machine that others use too.
    """
    took = []
    cpu = time.thread_time()
    for _ in range(_FETCHES):
        numbers = draw()
        keys = [[key(n) for n in numbers[numbers % partitions == p].tolist()] for p in range(partitions)]
        began = time.perf_counter()
        for partition, of_partition in enumerate(keys):
            store.fetch(partition, of_partition)
        took.append((time.perf_counter() - began) / len(numbers) * 1e6)
    cpu = (time.thread_time() - cpu) / (_FETCHES * _FETCH_KEYS) * 1e6
    later = took[1:]
    found = {"first": took[0], "median": float(np.median(later)), "best": min(later), "cpu": cpu}
    return {name: round(microseconds, 1) for name, microseconds in found.items()}


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    sys.exit(main())
