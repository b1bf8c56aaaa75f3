"""The systems that are compared, by name, and the commands that start one."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import msgspec

from stream.kafka.embedded import free_port
from stream.settings import Settings, in_force
from tests.bench.peers import environment

OURS = {"behaviour-stream": "at_least_once", "behaviour-stream-exactly-once": "exactly_once"}
PYTHON = {
    "faust": "plain_faust",
    "faust-take": "faust_take",
    "quix-streams": "quix",
    "bytewax": "bytewax_flow",
}
JAVA = ("kafka-streams-onnx", "kafka-streams-vector", "kafka-streams-batched")
FLOORS = {"floor-aiokafka": "floor_aiokafka", "floor-lstm": "floor_lstm"}
NAMES = (*OURS, *PYTHON, *JAVA, *FLOORS)
# What is compared where nothing else is asked for
USUAL = (*OURS, *PYTHON, *(f"{name}{threads}" for name in JAVA for threads in ("", ":2")), *FLOORS)

_WORKER = "import sys; from stream import settings, worker; sys.exit(worker.run(settings.load()))"


class UnableError(Exception):
    """A system cannot run here; its words say why."""


class Run(NamedTuple):
    """One run of a system."""

    settings: Settings  # topics, group and folder of its own; the source topics of all
    exported: Path  # the model; empty where it could not be exported


def parsed(name: str) -> tuple[str, int]:
    """`SYSTEM` or `SYSTEM:N` -> (system, processes or threads). Raises ValueError."""
    system, _, together = name.partition(":")
    if system not in NAMES or (together and (not together.isdigit() or not int(together))):
        raise ValueError(f"expected one of {', '.join(NAMES)}, with :2 for two processes or threads, got {name}")
    return system, int(together or 1)


def commands(name: str, run: Run) -> Sequence[Sequence[str]]:
    """One for each process. Raises UnableError."""
    system, together = parsed(name)
    if system in OURS:
        return [_worker(run.settings, OURS[system], i) for i in range(together)]
    if system in PYTHON:
        return _python(PYTHON[system], together, run)
    return [_java(system, together, run)]


def floor_command(name: str, run: Run, seconds: float) -> list[str]:
    """Of one that prints its own rate: it writes nothing that could be counted. Raises UnableError."""
    settings, module = run.settings, ["-m", f"tests.bench.peers.{FLOORS[name]}", "--seconds", str(seconds)]
    if name == "floor-lstm":
        return [sys.executable, *module, "--model", settings.model]
    flags = ["--bootstrap-servers", settings.bootstrap_servers, "--partitions", str(settings.partitions)]
    return [_interpreter(), *module, *flags, "--topics", *settings.source_topics]


def _worker(settings: Settings, guarantee: str, number: int) -> list[str]:
    own = msgspec.structs.replace(settings, guarantee=guarantee, data_dir=settings.data_dir / str(number))
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in in_force(own).items()]
    return [sys.executable, "-m", "stream.cli", "worker", *flags]


def _python(module: str, together: int, run: Run) -> list[list[str]]:
    interpreter = _interpreter()
    ports: list[int] = []
    for _ in range(together if together > 1 else 0):
        ports.append(free_port(but=ports))
    return [
        [
            interpreter, "-m", f"tests.bench.peers.{module}", *_flags(run),
            "--process", str(process), f"--ports={','.join(map(str, ports))}",
        ]
        for process in range(together)
    ]  # fmt: skip


def _interpreter() -> str:
    if (interpreter := environment.python()) is None:
        raise UnableError("the peers' environment could not be made")
    return str(interpreter)


def _java(system: str, threads: int, run: Run) -> list[str]:
    if not (run.exported / "step.onnx").exists():
        raise UnableError("the model could not be exported: the peers' environment could not be made")
    try:
        kafka_streams = import_module("tests.bench.peers.kafka_streams")
    except ImportError as error:
        raise UnableError(f"{error}") from None
    command = kafka_streams.command(system)
    if isinstance(command, str):
        raise UnableError(command)
    return [*command, *_flags(run), "--threads", str(threads)]


def _flags(run: Run) -> list[str]:
    """Of every peer; those of several processes share their folder as they see fit."""
    settings = run.settings
    return [
        "--bootstrap-servers", settings.bootstrap_servers, "--app-id", settings.app_id,
        "--clicks", settings.clicks_topic, "--searches", settings.searches_topic,
        "--purchases", settings.purchases_topic, "--purchase-intent", settings.purchase_intent_topic,
        "--anomaly-scores", settings.anomaly_scores_topic, "--partitions", str(settings.partitions),
        "--state-dir", str(settings.data_dir), "--model", str(run.exported),
    ]  # fmt: skip
