"""A full disk: RocksDB refuses and does not hang, the worker begins anew once there is room, and nothing is lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from stream.errors import PassingError
from stream.kafka import store as store_module
from stream.kafka import topics as topics_module
from stream.kafka.store import RowStore
from stream.settings import Settings
from stream.shop_event import ShopEvent
from tests.exact import counted, scored, sent
from tests.running import fill, running, until_committed

START_MS = 1_700_000_000_000
FEW_USERS, MANY_USERS = 1_000, 20_000  # 29 MB of rows
MEMORY_BYTES = 32 << 20  # of which RocksDB writes out half at a time
SMALL, LARGE = "8m", "150m"
WAITS_SECS = 180.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of a few MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0 or _mount("-t", "tmpfs", "-o", f"size={SMALL}", "tmpfs", str(folder)):
        pytest.skip("no disk of a few MiB could be mounted (that takes root): a full one was not tried")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*arguments: str) -> int:
    return subprocess.run(["mount", *arguments], check=False, capture_output=True).returncode


def _rows(n: int) -> list[tuple[bytes, bytes | None]]:
    return [(os.urandom(8), os.urandom(1_400)) for _ in range(n)]


def test_a_copy_on_a_full_disk_refuses_and_keeps_the_process_running(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "_WRITE_BUFFER_BYTES", 256 << 10)
    store = RowStore(disk)
    store.own({0})
    ticks: list[float] = []
    done = threading.Event()

    def tick() -> None:
        while not done.wait(0.01):
            ticks.append(time.monotonic())

    ticking = threading.Thread(target=tick)
    ticking.start()
    try:
        with pytest.raises(PassingError, match=r"users-0\.rocksdb: cannot be written \(IO error: No space left on dev"):
            for offset in itertools.count():
                store.write(0, _rows(100), offset)
        reached = store.changelog_offset(0)
        assert reached is not None and 0 < reached < offset
        store.close()  # what is lost with it is behind its offset
        assert _mount("-o", f"remount,size={LARGE}", str(disk)) == 0
        store.own({0})
        kept = store.changelog_offset(0)
        assert kept is not None and kept <= reached
        store.write(0, _rows(100), offset)
        assert store.changelog_offset(0) == offset
        store.close()
    finally:
        done.set()
        ticking.join()
    assert max(later - earlier for earlier, later in itertools.pairwise(ticks)) < 2.0, "the interpreter was held"


def _one_each() -> Iterator[ShopEvent]:
    """A click of each of ever more users, so that there is a row of each."""
    for n in itertools.count():
        user, time_ms = f"user-{n}", START_MS + n
        event = {"event_id": user, "event_name": "view_item", "event_time": time_ms, "user_id": user}
        yield ShopEvent("clicks", user.encode(), json.dumps(event).encode(), time_ms)


async def test_a_worker_whose_disk_fills_waits_for_room_and_goes_on(
    settings: Settings, disk: Path, tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(
        settings,
        data_dir=disk / "state",
        partitions=1,
        checkpoint_interval_ms=100,
        store_memory_bytes=MEMORY_BYTES,
    )
    await topics_module.ensure(settings)
    events = _one_each()
    with running(settings, tmp_path / "worker.log") as worker:
        await fill(settings, itertools.islice(events, FEW_USERS))
        await until_committed(settings, worker)
        assert await asyncio.to_thread(_mount, "-o", f"remount,size={LARGE}", str(disk)) == 0
        ballast = disk / "ballast"
        with ballast.open("wb", buffering=0) as others, contextlib.suppress(OSError):
            while others.write(bytes(1 << 20)):
                pass
        await fill(settings, itertools.islice(events, MANY_USERS))
        deadline = time.monotonic() + WAITS_SECS
        while "beginning anew" not in worker.said():  # RocksDB writes out by itself, and says so at the next write
            assert time.monotonic() < deadline, worker.said()
            await fill(settings, itertools.islice(events, 10))
            await asyncio.sleep(0.2)
        await worker.wait_for(
            r"WARNING .*--data-dir=\S+: expected \d+ KiB of free disk, got \d+ KiB; waiting, 0 s so far",
            secs=WAITS_SECS,
        )
        said = worker.said()
        assert "cannot be written (IO error: No space left on device" in said
        status, health = await worker.get("/healthz")
        assert status == 503 and "KiB of free disk" in health
        ballast.unlink()
        await worker.wait_for(r"--data-dir=\S+ has room again, after \d+ s", secs=WAITS_SECS)
        await until_committed(settings, worker, secs=WAITS_SECS)
        assert await worker.stop() == 0, worker.said()
    events_sent = await sent(settings)
    assert sum(events_sent.values()) > FEW_USERS + MANY_USERS
    assert await counted(settings) == events_sent
    assert len(await scored(settings)) == sum(events_sent.values())
