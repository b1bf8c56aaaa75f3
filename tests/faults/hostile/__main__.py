"""`python -m tests.faults.hostile --records 1000000 --json`: every good record scored, every bad one a dead letter."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click

from stream import settings as settings_module
from stream.kafka import topics
from stream.kafka.embedded import EmbeddedBroker
from stream.replay import open_recording
from stream.settings import Settings
from stream.shop_event import ShopEvent
from tests.accuracy.sets import FOLDER
from tests.faults.campaign import guarantees, machine
from tests.faults.hostile import run

_RECORDED = FOLDER / "jdata_2018_03.parquet"
_START_MS = 1_767_225_600_000
_USERS = 5_000
# What must be nothing.
DEFECTS = (
    "events_without_both_scores",
    "scores_of_no_event",
    "bad_without_their_dead_letter",
    "dead_letters_of_events",
    "decoded_otherwise_than_known",
    "worker_exit_code",
)
FLAT = 1.1  # times the memory of the second quarter


@click.command()
@click.option("--records", type=click.IntRange(1), default=1_000_000, help="Hostile ones.  [1000000]")
@click.option("--good", type=click.IntRange(1), default=200_000, help="Good ones among them.  [200000]")
@click.option("--seed", type=click.IntRange(0), default=1, help="[1]")
@click.option("--guarantee", type=click.Choice(guarantees()), default="at_least_once", help="[at_least_once]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(*, records: int, good: int, seed: int, guarantee: str, as_json: bool) -> None:
    """Send hostile records among good ones to a worker. Exit code 1: there was a defect, or memory has grown."""
    with tempfile.TemporaryDirectory(prefix="behaviour-stream-hostile-") as folder:
        report = _report(Path(folder), records=records, good=good, seed=seed, guarantee=guarantee)
    click.echo(json.dumps(report, indent=None if as_json else 1))
    sys.exit(1 if any(report[name] for name in DEFECTS) or report["rss_growth"] > FLAT else 0)


def _report(folder: Path, *, records: int, good: int, seed: int, guarantee: str) -> dict[str, Any]:
    with EmbeddedBroker(folder / "broker") as broker:
        flags = {
            "bootstrap_servers": broker.bootstrap_servers,
            "data_dir": folder / "state",
            "metrics_port": 0,
            "retention_hours": -1,
            "guarantee": guarantee,
        }
        settings = settings_module.load(flags, environ={})
        events, recorded = _events(seed)
        made = run.records(events, hostile=records, good=good, seed=seed)
        found = asyncio.run(_played(settings, made, folder))
    return {"seed": seed, "guarantee": guarantee, "recorded_events": recorded, **found, "machine": machine()}


async def _played(settings: Settings, made: Iterator[run.Made], folder: Path) -> dict[str, Any]:
    await topics.ensure(settings)
    return await run.play(settings, made, folder / "worker.log")


def _events(seed: int) -> tuple[Iterator[ShopEvent], int]:
    """(recorded ones first, where there is a recording beside the project, then simulated ones; how many recorded)."""
    simulated = run.shop(seed=seed, users=_USERS, start_ms=_START_MS)
    if not _RECORDED.exists():
        return simulated, 0
    recording = open_recording(_RECORDED)
    return chain(recording, simulated), recording.events


if __name__ == "__main__":
    main()
