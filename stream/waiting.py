"""What a worker waits for before it begins: room on its disk, a broker that answers, its topics."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

from stream.errors import BrokerError
from stream.health import Health
from stream.kafka import faults, topics
from stream.kafka.topics import TopicReport, TopicsError
from stream.patience import Patience
from stream.settings import Settings

# RocksDB's write buffers of four partitions; of a smaller disk, a tenth.
_ROOM_BYTES = 64 << 20
_SMALL_DISK_PARTS = 10
_ASK_SECS = 1.0


async def until_ready(settings: Settings, health: Health, *, again: bool) -> Sequence[TopicReport]:
    """Return what the topics are, once all is there that a worker needs; what it waits for is logged and told.

    Raises SettingsError for topics with which it would not be right to start. Missing ones are among these, unless this
    worker had them before (`again`): then somebody is making them anew.
    """
    await _until_room(settings.data_dir, health.patience())
    for_broker, for_topics = health.patience(), health.patience()
    while True:
        await topics.wait_for_broker(settings.bootstrap_servers, timeout_secs=None, patience=for_broker)
        try:
            reports = await topics.check(settings)
        except TopicsError as error:
            if not again or not all(problem.absent for problem in error.problems):
                raise
            for_topics.waits("; ".join(problem.found for problem in error.problems))
        except BrokerError as error:  # it answered a moment ago
            if faults.is_refusal(error.__cause__):
                raise
            for_topics.waits(str(error))
        else:
            for_topics.over("the topics are there")
            return reports
        await asyncio.sleep(_ASK_SECS)


async def _until_room(folder: Path, patience: Patience) -> None:
    while True:
        disk = shutil.disk_usage(_existing(folder))
        needed = min(_ROOM_BYTES, disk.total // _SMALL_DISK_PARTS)
        if disk.free >= needed:
            break
        patience.waits(f"--data-dir={folder}: expected {needed >> 10} KiB of free disk, got {disk.free >> 10} KiB")
        await asyncio.sleep(_ASK_SECS)
    patience.over(f"--data-dir={folder} has room again")


def _existing(folder: Path) -> Path:
    """It, or the nearest above it that is there."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())
