"""A worker that polls nothing for long is still one of the group: one to spare, or one that restores for an hour."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from stream.kafka import topics as topics_module
from stream.settings import Settings
from tests.running import running

# A worker whose consumer leaves the group after 3 s without a poll, not after Faust's 1000.
_MAX_POLL_SECS = 3
_RUN = f"""
import sys
from stream import app, settings, worker
def build_app(settings, metrics, build=app.build_app):
    built = build(settings, metrics)
    built.conf.broker_max_poll_interval = {_MAX_POLL_SECS}.0
    return built
worker.build_app = build_app
sys.exit(worker.run(settings.load()))
"""


async def test_a_worker_to_spare_takes_over_however_long_it_has_waited(settings: Settings, tmp_path: Path) -> None:
    settings = msgspec.structs.replace(settings, partitions=1)
    await topics_module.ensure(settings)
    first, spare = (msgspec.structs.replace(settings, data_dir=tmp_path / name) for name in ("first", "spare"))
    with running(first, tmp_path / "first.log", program=_RUN) as owner:
        await owner.wait_for(r"scoring partitions \[0\]")
        with running(spare, tmp_path / "spare.log", program=_RUN) as waiting:
            await waiting.wait_for(r"scoring partitions \[\]")
            await asyncio.sleep(2 * _MAX_POLL_SECS)
            assert await owner.stop() == 0, owner.said()
            await waiting.wait_for(r"scoring partitions \[0\]")
            assert await waiting.stop() == 0, waiting.said()
