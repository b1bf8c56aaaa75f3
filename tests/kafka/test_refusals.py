"""Where a worker must not start, it says why in a line and ends with its exit code; where it must wait, it says so."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream import model_file
from stream.errors import SettingsError
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.topics import TopicReport
from stream.settings import ENV_PREFIX, Settings, in_force
from tests.running import running

SHIPPED = Path(str(resources.files("stream") / "models" / "shoppers-h64.safetensors"))
STOP_SECS = 5.0  # nothing is to be finished
ENDS_SECS = 60.0  # torch and Faust take seconds to import, on a busy machine tens of them


@contextmanager
def _worker(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """`behaviour-stream worker` as at a terminal, killed if it is still there at the end."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in in_force(settings).items()]
    with subprocess.Popen(
        [sys.executable, "-m", "stream.cli", "worker", *flags],
        env={name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _ended(settings: Settings) -> tuple[int, str]:
    """Exit code, and all that it said."""
    with _worker(settings) as worker:
        out, err = worker.communicate(timeout=ENDS_SECS)
        return worker.returncode, out + err


async def _refused(settings: Settings, expected: str) -> None:
    code, said = await asyncio.to_thread(_ended, settings)
    lines = [line for line in said.splitlines() if " INFO " not in line]
    assert code == 2, said
    assert len(lines) == 1 and re.match(f"behaviour-stream: {expected}", lines[0]), said


def _copied(folder: Path, name: str) -> Path:
    """A copy of the shipped model, to be spoilt."""
    path = folder / f"{name}.safetensors"
    shutil.copy(SHIPPED, path)
    shutil.copy(SHIPPED.with_suffix(".json"), path.with_suffix(".json"))
    return path


def _sizes() -> dict[str, Any]:
    sizes: dict[str, Any] = json.loads(SHIPPED.with_suffix(".json").read_text())["sizes"]
    return sizes


def _edit_card(path: Path, **changes: Any) -> None:
    card = path.with_suffix(".json")
    card.write_text(json.dumps(json.loads(card.read_text()) | changes))


async def _create(settings: Settings, *new: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    try:
        await admin.start()
        assert not any(code for _, code, _ in (await admin.create_topics(list(new))).topic_errors)
        while True:  # the controller has them; the broker tells of them up to 0.3 s later
            if {topic.name for topic in new} <= set(await admin.list_topics()):
                break
            await asyncio.sleep(0.01)
    finally:
        await admin.close()


async def test_a_model_that_does_not_fit_its_card_or_is_a_pickle_refuses(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    smaller, pickled = _copied(tmp_path, "smaller"), tmp_path / "pickled.pt"
    _edit_card(smaller, sizes=_sizes() | {"hidden": 32})
    torch.save({"lstm": torch.zeros(1)}, pickled)
    tensor = r"\(\([\d, ]+\), torch\.float32\)"
    await asyncio.gather(
        _refused(
            msgspec.structs.replace(settings, model=str(smaller), data_dir=tmp_path / "one"),
            rf"model {smaller}: expected \S+ as {tensor}, got {tensor}$",
        ),
        _refused(
            msgspec.structs.replace(settings, model=str(pickled), data_dir=tmp_path / "other"),
            rf"model {pickled}: expected one of shoppers-h64, or a path to a \.safetensors file$",
        ),
    )


def test_whatever_is_wrong_with_a_model_is_said_with_the_file(tmp_path: Path) -> None:
    def spoilt(name: str, **card: Any) -> Path:
        path = _copied(tmp_path, name)
        _edit_card(path, **card)
        return path

    garbage = spoilt("garbage", weights_sha256=hashlib.sha256(b"no tensors here").hexdigest())
    garbage.write_bytes(b"no tensors here")
    pickle_under_another_name = spoilt("renamed")
    torch.save({"lstm": torch.zeros(1)}, pickle_under_another_name)
    without_card = spoilt("without-card")
    without_card.with_suffix(".json").unlink()
    cut = spoilt("cut")
    cut.with_suffix(".json").write_text("{")
    for model, expected in (
        ("shoppers-h46", r"model shoppers-h46: expected one of shoppers-h64, or a path to a \.safetensors file"),
        (tmp_path / "absent.safetensors", r"model {}: cannot be read \(No such file or directory\)"),
        (garbage, "model {}: expected safetensors, got something else "),
        (pickle_under_another_name, r"model {}: its card says SHA-256 \w{{12}}, but the file has \w{{12}}"),
        (without_card, r"model \S+/without-card\.json: cannot be read \(No such file or directory\)"),
        (cut, r"model card \S+/cut\.json: Input data was truncated"),
        (spoilt("deeper", sizes=_sizes() | {"layers": 2}), r"model {}: expected \S+ as \(.*\), got nothing"),
        (spoilt("older", features_format=0), r"model card \S+: expected features_format \d+, got 0; another version"),
        (spoilt("strange", colour="blue"), r"model card \S+: Object contains unknown field `colour`"),
    ):
        with pytest.raises(SettingsError, match=expected.format(re.escape(str(model)))) as refused:
            model_file.load(str(model))
        assert "\n" not in str(refused.value)


async def test_a_metrics_port_that_is_taken_refuses(settings: Settings, topics: list[TopicReport]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        await _refused(
            msgspec.structs.replace(settings, metrics_port=port),
            rf"--metrics-port={port}: cannot listen on 127\.0\.0\.1:{port} \(Address already in use\); choose another",
        )


async def test_topics_that_are_missing_refuse_one_a_line(settings: Settings) -> None:
    code, said = await asyncio.to_thread(_ended, settings)
    assert code == 2 and "Traceback" not in said
    names = (*settings.read_topics, *settings.output_topics, settings.changelog_topic, settings.models_topic)
    lines = [line.removeprefix("behaviour-stream: ") for line in said.splitlines() if " INFO " not in line]
    assert lines == [f"{name}: missing; `behaviour-stream topics` creates it" for name in names]


async def test_unequal_partition_counts_refuse_naming_each(settings: Settings) -> None:
    compacted = {"cleanup.policy": "compact"}
    names = (*settings.read_topics, *settings.output_topics, settings.changelog_topic)
    counts = {name: 6 if name == settings.searches_topic else 4 for name in names}
    await _create(
        settings,
        NewTopic(settings.models_topic, 1, 1, topic_configs=compacted),
        *(
            NewTopic(name, n, 1, topic_configs=compacted if name == settings.changelog_topic else {})
            for name, n in counts.items()
        ),
    )
    counts.pop(settings.dead_letters_topic)  # which may have any number
    each = "".join(f"(?=.*{name} has {n}[,;])" for name, n in counts.items())
    await _refused(settings, rf"partition counts must be equal, {each}")


async def test_a_second_worker_on_the_same_data_dir_refuses_and_the_first_does_not_notice(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    with running(settings, tmp_path / "first.log") as first:
        await first.wait_for(r"scoring partitions \[0, 1, 2, 3\]")
        await _refused(
            settings, f"--data-dir={settings.data_dir}: another process has it open; each worker needs a --data-dir"
        )
        assert first.said().count("scoring partitions") == 1
        assert await first.stop() == 0, first.said()


async def test_without_a_broker_it_waits_until_one_comes_up_or_it_is_stopped(
    settings: Settings, tmp_path: Path
) -> None:
    late = EmbeddedBroker(tmp_path / "late")
    settings = msgspec.structs.replace(settings, bootstrap_servers=late.bootstrap_servers)
    other = msgspec.structs.replace(settings, data_dir=tmp_path / "other")
    with running(settings, tmp_path / "first.log") as stopped, running(other, tmp_path / "second.log") as patient:
        for worker in (stopped, patient):
            await worker.wait_for(rf"WARNING .*broker {late.bootstrap_servers} does not answer .*; waiting, 0 s so far")
        sent = time.monotonic()
        assert await stopped.stop() in (0, -signal.SIGTERM)
        assert time.monotonic() - sent < STOP_SECS and "Traceback" not in stopped.said()
        with late:  # it has no topics, so the worker is not to go on any further
            await asyncio.to_thread(patient.process.wait, ENDS_SECS)
        assert f"broker {late.bootstrap_servers} answers, after " in patient.said()
        assert patient.said().count(": missing; `behaviour-stream topics` creates it") == 9
