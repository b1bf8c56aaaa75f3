"""What compose starts, as processes: broker, topics, worker, simulator and Prometheus, on one address of this machine.

Then every query of the dashboard is asked and every alert's metrics are looked for. Addresses are other than in
docker-compose.yml; commands, settings and Prometheus' files are the same.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from stream.kafka.embedded import EmbeddedBroker
from stream.settings import ENV_PREFIX
from tests.deploy.deployment import (
    ALERTS,
    PROMETHEUS,
    alerts,
    dashboard,
    image_environment,
    ours,
    queries,
    read_yaml,
    services,
    tool,
)

pytestmark = pytest.mark.broker

SCRAPE_SECS = 1  # compose's 5 would make this test last
RATE = "10s"  # what Grafana makes of it
LOAD_SECS = 12
WAIT_SECS = 120.0  # each takes seconds, on an idle machine
# By partition, where there are any: none is being restored here, and one worker has nobody to stand by for.
NONE_HERE = {"behaviour_restore_left_records", "behaviour_standby_lag_records"}
SELECTOR = re.compile(r"\b(?:behaviour_\w+|process_\w+|up)\b(?:\{[^}]*\})?")


class Prometheus:
    """Its HTTP API."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}/api/v1/"

    def get(self, path: str, **parameters: str | float) -> Any:
        address = f"{self._address}{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(address, timeout=10) as answer:
            return json.load(answer)["data"]

    def now(self, expr: str) -> list[Any]:
        """Its series, at this moment."""
        found: list[Any] = self.get("query", query=expr)["result"]
        return found

    def declares(self, metric: str) -> bool:
        """Whether a worker says what this metric is, be it without any series."""
        return metric in self.get("metadata", metric=metric)

    def so_far(self, expr: str) -> list[list[float]]:
        """The values of each of its series, from before the load until now."""
        end = time.time()
        result = self.get("query_range", query=expr, start=end - 600, end=end, step=SCRAPE_SECS)["result"]
        return [[float(value) for _, value in series["values"]] for series in result]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _broker_properties() -> dict[str, str]:
    """Of compose's broker, less what the embedded one sets itself: its addresses and folders."""
    own = {"node.id", "process.roles", "log.dirs", "controller.quorum.voters", "controller.listener.names",
           "heap.opts"}  # fmt: skip
    named = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): str(value)
        for name, value in services()["broker"]["environment"].items()
        if name.startswith("KAFKA_")
    }
    return {name: value for name, value in named.items() if name not in own and "listener" not in name}


def _environment(service: str, bootstrap_servers: str, data_dir: Path) -> dict[str, str]:
    settings = image_environment() | {k: str(v) for k, v in ours()[service]["environment"].items()}
    return (
        {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        | {name: value for name, value in settings.items() if name.startswith(ENV_PREFIX)}
        | {
            "BEHAVIOUR_BOOTSTRAP_SERVERS": bootstrap_servers,
            "BEHAVIOUR_DATA_DIR": str(data_dir),
            "BEHAVIOUR_METRICS_HOST": "127.0.0.1",
            "BEHAVIOUR_METRICS_PORT": "0",
        }
    )


@contextmanager
def _process(command: list[str], log: Path, **more: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Runs until the end of the `with`, and then ends in order."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, **more)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


def _until(log: Path, pattern: str, process: subprocess.Popen[bytes]) -> re.Match[str]:
    deadline = time.monotonic() + WAIT_SECS
    while (found := re.search(pattern, log.read_text())) is None:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, f"{pattern!r} not in {WAIT_SECS} s: {log.read_text()}"
        time.sleep(0.1)
    return found


async def _send_what_is_rare(bootstrap_servers: str) -> None:
    """A record that is no event, and an event of the year 9999."""
    far = {"user_id": "u", "event_id": "e", "event_name": "search", "event_time": "9999-12-31T00:00:00Z"}
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    try:
        await producer.send_and_wait("clicks", b"not JSON", key=b"u")
        await producer.send_and_wait("searches", json.dumps(far).encode(), key=b"u")
    finally:
        await producer.stop()


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus beside a worker that has scored for some seconds, with compose's commands."""
    program = tool("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: the dashboard's queries and the alerts were not asked")
    folder = tmp_path_factory.mktemp("deployment")
    with EmbeddedBroker(folder / "broker", properties=_broker_properties()) as broker:
        servers = broker.bootstrap_servers

        def command(service: str, *more: str) -> list[str]:
            return [sys.executable, "-m", "stream.cli", *ours()[service]["command"], *more]

        def environment(service: str) -> dict[str, str]:
            return _environment(service, servers, folder / "state")

        subprocess.run(command("topics"), env=environment("topics"), check=True, capture_output=True, timeout=WAIT_SECS)
        worker_log = folder / "worker.log"
        with _process(command("worker"), worker_log, env=environment("worker")) as worker:
            port = _until(worker_log, r"metrics on http://\S+?:(\d+)/", worker).group(1)
            _until(worker_log, "scoring partitions", worker)
            with _scraping(program, folder, f"127.0.0.1:{port}") as asked:
                asyncio.run(_send_what_is_rare(servers))
                subprocess.run(
                    command("simulator", f"--seconds={LOAD_SECS}"),
                    env=environment("simulator"), check=True, capture_output=True, timeout=WAIT_SECS,
                )  # fmt: skip
                yield asked
        assert worker.returncode == 0, worker_log.read_text()


@contextmanager
def _scraping(program: str, folder: Path, target: str) -> Iterator[Prometheus]:
    """Our configuration, with another target and rules every second."""
    configuration = read_yaml(PROMETHEUS)
    configuration["global"] = dict.fromkeys(configuration["global"], f"{SCRAPE_SECS}s")
    configuration["rule_files"] = [str(ALERTS)]
    (scrape,) = configuration["scrape_configs"]
    del scrape["dns_sd_configs"]
    scrape["static_configs"] = [{"targets": [target]}]
    path, port = folder / "prometheus.yml", _free_port()
    path.write_text(json.dumps(configuration))  # JSON is YAML
    flags = [
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    log = folder / "prometheus.log"
    with _process([program, *flags], log) as process:
        _until(log, "Server is ready", process)
        asked, deadline = Prometheus(port), time.monotonic() + WAIT_SECS
        while not asked.now("behaviour_rejects_total"):
            assert time.monotonic() < deadline, f"nothing scraped in {WAIT_SECS} s: {log.read_text()}"
            time.sleep(0.1)
        yield asked


def _values(prometheus: Prometheus, variable: str) -> list[str]:
    """What Grafana offers for a variable."""
    query = next(v["query"]["query"] for v in dashboard()["templating"]["list"] if v["name"] == variable)
    (call,) = re.findall(r"^label_values\((.*), (\w+)\)$", query)
    values: list[str] = prometheus.get(f"label/{call[1]}/values", **{"match[]": call[0]})
    return values


def _filled_in(prometheus: Prometheus, expr: str) -> Iterator[str]:
    """The query as Grafana sends it with everything chosen; once per value of a variable that panels repeat by."""
    expr = expr.replace("$__rate_interval", RATE)
    for variable in ("instance", "topic"):
        chosen = "|".join(re.escape(value) for value in _values(prometheus, variable))
        expr = expr.replace(f"${variable}", chosen.replace("\\", "\\\\"))
    for horizon in _values(prometheus, "horizon") if "$horizon" in expr else [""]:
        yield expr.replace("$horizon", horizon)


@pytest.mark.parametrize(
    ("variable", "expected"), [("topic", ["clicks", "purchases", "searches"]), ("horizon", ["24h", "30m", "session"])]
)
def test_a_variable_offers_what_there_is(prometheus: Prometheus, variable: str, expected: list[str]) -> None:
    assert _values(prometheus, variable) == expected


@pytest.mark.parametrize("expr", [expr for _, expr in queries()], ids=[title for title, _ in queries()])
def test_a_query_of_the_dashboard_has_an_answer_in_numbers(prometheus: Prometheus, expr: str) -> None:
    for query in _filled_in(prometheus, expr):
        series = prometheus.so_far(query)
        assert series, query
        assert not all(math.isnan(value) for values in series for value in values), f"nothing but NaN: {query}"


def test_annotations_are_queries(prometheus: Prometheus) -> None:
    for annotation in dashboard()["annotations"]["list"]:
        (query,) = _filled_in(prometheus, annotation["expr"])
        prometheus.now(query)


@pytest.mark.parametrize("alert", alerts())
def test_what_an_alert_looks_at_is_there(prometheus: Prometheus, alert: str) -> None:
    selectors = SELECTOR.findall(alerts()[alert])
    assert selectors
    for selector in selectors:
        if selector in NONE_HERE:
            assert prometheus.declares(selector), selector
        else:
            assert prometheus.now(selector), selector


def test_prometheus_evaluates_every_alert_and_none_fires(prometheus: Prometheus) -> None:
    (group,) = prometheus.get("rules")["groups"]
    assert {rule["name"] for rule in group["rules"] if rule["health"] == "ok"} == set(alerts())
    assert not [rule["name"] for rule in group["rules"] if rule["state"] == "firing"]


def test_the_first_of_what_is_rare_is_an_increase(prometheus: Prometheus) -> None:
    for query in ('behaviour_rejects_total{reason="not_json"}', "behaviour_time_bounded_events_total"):
        (series,) = prometheus.now(f"increase({query}[5m])")
        assert float(series["value"][1]) > 0
