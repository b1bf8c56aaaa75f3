"""Fixtures that need a broker: one real Kafka for the whole run, names of their own for every test."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from stream import settings as settings_module
from stream.kafka import topics as topics_module
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.topics import TopicReport
from stream.settings import Settings

# No test is a timed one: machines are noisy.
hypothesis.settings.register_profile("untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("untimed")

# A shell that starts the tests in the background has them ignore ctrl-C, and so all that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "broker" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.broker)


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedBroker]:
    """Shared by all tests: whoever stops or kills a broker starts one of their own."""
    with EmbeddedBroker(tmp_path_factory.mktemp("broker")) as running:
        yield running


@pytest.fixture
def settings(broker: EmbeddedBroker, tmp_path: Path) -> Settings:
    """Settings of an app that no other test has: its own group, topics and folder."""
    run = uuid.uuid4().hex[:8]
    names = (
        "clicks",
        "searches",
        "purchases",
        "purchase_intent",
        "anomaly_scores",
        "dead_letters",
        "erasures",
        "models",
    )
    flags = {f"{name}_topic": f"{name.replace('_', '-')}-{run}" for name in names} | {
        "bootstrap_servers": broker.bootstrap_servers,
        "app_id": f"test-{run}",
        "data_dir": tmp_path / "state",
        "metrics_port": 0,
        "partitions": 4,
        "retention_hours": -1,  # simulated records are months old: the broker would delete them
        "session_timeout_ms": 6_000,  # Kafka's least: a killed worker is missed soon
    }
    return settings_module.load(flags, environ={})


@pytest.fixture
async def topics(settings: Settings) -> list[TopicReport]:
    """The topics of `settings`, created."""
    return await topics_module.ensure(settings)
