"""What others see of a worker: kcat reads its scores, a real Prometheus scrapes it; each skips where it is absent."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from stream.kafka.topics import TopicReport
from stream.settings import Settings
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.running import fill, running, until_committed

EVENTS = 300


def _needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not installed: not seen from outside"
    )


def _shop() -> Any:
    # None twice: it would be scored once.
    shop = scenario.honest_and_orderly(scenario.load())
    return itertools.islice(simulate(shop, seed=3, users=40, start_ms=1_767_225_600_000), EVENTS)


@_needs("kcat")
async def test_kcat_reads_a_score_of_every_event(settings: Settings, topics: list[TopicReport], tmp_path: Path) -> None:
    await fill(settings, _shop())
    with running(settings, tmp_path / "worker.log") as worker:
        await until_committed(settings, worker)
        assert await worker.stop() == 0
    for topic, name in (
        (settings.purchase_intent_topic, "purchase_intent"),
        (settings.anomaly_scores_topic, "anomaly"),
    ):
        command = ["kcat", "-b", settings.bootstrap_servers, "-t", topic, "-C", "-e", "-q", "-f", "%k\t%s\n"]
        read = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=60, check=True)
        lines = [line.split("\t", 1) for line in read.stdout.splitlines()]
        assert len(lines) == EVENTS
        for key, value in lines:
            score = json.loads(value)
            assert score["user_id"] == key
            assert name in score


@_needs("prometheus")
async def test_a_real_prometheus_scrapes_a_worker(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    await fill(settings, _shop())
    with running(settings, tmp_path / "worker.log") as worker:
        await until_committed(settings, worker)
        port = (await worker.wait_for(r"metrics on http://\S+?:(\d+)/")).group(1)
        config = tmp_path / "prometheus.yml"
        config.write_text(
            json.dumps(  # JSON is YAML
                {
                    "global": {"scrape_interval": "1s"},
                    "scrape_configs": [{"job_name": "worker", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}],
                }
            )
        )
        listens = _free_port()
        prometheus = _prometheus(config, listens, tmp_path)
        try:
            scored = await _ask(listens, 'sum(behaviour_events_total{outcome="scored"})')
        finally:
            prometheus.terminate()
            await asyncio.to_thread(prometheus.wait, 20)
        assert scored == EVENTS


def _prometheus(config: Path, port: int, folder: Path) -> subprocess.Popen[bytes]:
    command = ["prometheus", f"--config.file={config}", f"--web.listen-address=127.0.0.1:{port}"]
    with (folder / "prometheus.log").open("wb") as log:
        return subprocess.Popen([*command, f"--storage.tsdb.path={folder / 'tsdb'}"], stdout=log, stderr=log)


async def _ask(port: int, query: str) -> float:
    """The value of a query, once there is one."""
    url = f"http://127.0.0.1:{port}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    for _ in range(100):
        try:
            answer = json.loads(await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=5).read()))
        except OSError:
            answer = {"data": {"result": []}}  # not up yet
        if answer["data"]["result"]:
            return float(answer["data"]["result"][0]["value"][1])
        await asyncio.sleep(0.3)
    raise AssertionError(f"no answer to {query}")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
