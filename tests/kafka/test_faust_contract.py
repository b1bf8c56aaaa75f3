"""What is overridden in Faust is what it was: checked at start, and each difference named."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiokafka
import pytest
from aiokafka.consumer.fetcher import PartitionRecords
from faust.tables.recovery import Recovery
from faust.transport import drivers
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.drivers import aiokafka as driver

from stream.app import WorkerApp
from stream.errors import SettingsError
from stream.kafka import faust_contract, fetching, frame_app, transport
from stream.worker import _Worker


@pytest.fixture(autouse=True)
def unregistered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Undo what `transport.register` does to aiokafka, in this or any test before."""
    monkeypatch.setattr(PartitionRecords, "_consumer_record", _stock(PartitionRecords._consumer_record))
    yield


def _stock(method: Any) -> Any:
    def _consumer_record(self: Any, tp: Any, record: Any) -> Any: ...

    return _consumer_record if method.__module__ == transport.__name__ else method


def _differences() -> list[str]:
    with pytest.raises(SettingsError) as refused:
        faust_contract.check()
    first, *differences = str(refused.value).split("\n  ")
    assert first == "the installed Faust is not the one that this version overrides:"
    return differences


def test_the_installed_faust_is_the_one_that_is_overridden() -> None:
    faust_contract.check()


def test_a_changed_signature_is_named_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recovery, "_resume_streams", lambda self, force=False: None)
    assert _differences() == [
        "faust.tables.recovery.Recovery._resume_streams: expected (self, generation_id=0), got (self, force=False)"
    ]


def test_a_changed_default_is_a_changed_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    def commit(self: Any, topics: Any = None, start_new_transaction: bool = False) -> None: ...

    monkeypatch.setattr(BaseConsumer, "commit", commit)
    assert _differences() == [
        "faust.transport.consumer.Consumer.commit: expected (self, topics=None, start_new_transaction=True), "
        "got (self, topics=None, start_new_transaction=False)"
    ]


def test_annotations_are_no_part_of_a_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    def _resume_streams(self: int, generation_id: str = 0) -> None: ...  # type: ignore[assignment]

    monkeypatch.setattr(Recovery, "_resume_streams", _resume_streams)
    faust_contract.check()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (Recovery, "_resume_streams"),
        (Recovery, "on_rebalance"),
        (driver.AIOKafkaConsumerThread, "_fetch_records"),
        (aiokafka.AIOKafkaProducer, "send_batch"),
        (PartitionRecords, "_consumer_record"),
    ],
)
def test_a_missing_method_is_named(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    monkeypatch.delattr(owner, name)
    (difference,) = _differences()
    assert difference.startswith(f"{owner.__module__}.{owner.__qualname__}.{name}: expected (self")
    assert difference.endswith(", got nothing of this name")


@pytest.mark.parametrize("package", list(faust_contract.VERSIONS))
def test_another_version_is_named_with_both(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setattr(faust_contract, "version", lambda name: "9.9.9" if name == package else version(name))
    assert _differences() == [f"{package}: expected version {faust_contract.VERSIONS[package]}, got 9.9.9"]


def test_a_missing_attribute_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(faust_contract._ATTRIBUTES, aiokafka.AIOKafkaConsumer, ("_subscription", "_isolation"))
    assert _differences() == ["aiokafka.consumer.consumer.AIOKafkaConsumer: no _isolation"]


@pytest.mark.parametrize(
    "ours",
    [
        frame_app.FrameSchema,
        fetching.FrameConsumerThread,
        transport.FrameConsumer,
        transport.NoTables,
        WorkerApp,
        _Worker,
    ],
)
def test_every_method_that_is_overridden_is_checked(ours: type) -> None:
    checked = {name for owner, name in faust_contract._SIGNATURES if issubclass(ours, owner)}
    overridden = {
        name
        for name, method in vars(ours).items()
        if inspect.isfunction(method) and name != "__init__" and any(name in vars(base) for base in ours.__mro__[1:])
    }
    assert overridden <= checked


def test_every_difference_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(faust_contract._ATTRIBUTES, aiokafka.AIOKafkaConsumer, ("_isolation",))
    monkeypatch.setattr(Recovery, "_resume_streams", lambda self, force: None)
    monkeypatch.delattr(Recovery, "on_rebalance")
    monkeypatch.setattr(faust_contract, "version", lambda name: "0")
    told = "\n".join(_differences())
    assert all(word in told for word in (*faust_contract.VERSIONS, "_resume_streams", "on_rebalance", "_isolation"))


def test_the_versions_are_those_that_are_installed_with_this_package() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    pinned = dict(line.split("==") for line in project["dependencies"] if "==" in line)
    assert pinned == faust_contract.VERSIONS


def test_a_second_app_of_the_same_process_passes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drivers.TRANSPORTS, "aliases", dict(drivers.TRANSPORTS.aliases))
    transport.register()
    faust_contract.check()
