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
import torch
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.topics import TopicReport
from stream.settings import ENV_PREFIX, Settings, in_force
from tests.running import running

SHIPPED = Path(str(resources.files("stream") / "models" / "shoppers-h64.safetensors"))
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


async def _all_refused(settings: Settings, cases: dict[str, dict[str, Any]]) -> None:
    """Two at a time: each is busy importing."""
    two = asyncio.Semaphore(2)

    async def one(expected: str, changes: dict[str, Any]) -> None:
        async with two:
            await _refused(msgspec.structs.replace(settings, **changes), expected)

    async with asyncio.TaskGroup() as group:
        for expected, changes in cases.items():
            group.create_task(one(expected, changes))


def _copied(folder: Path, name: str) -> Path:
    """A copy of the shipped model, to be spoilt."""
    path = folder / f"{name}.safetensors"
    shutil.copy(SHIPPED, path)
    shutil.copy(SHIPPED.with_suffix(".json"), path.with_suffix(".json"))
    return path


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


async def test_a_model_that_is_none_refuses(settings: Settings, topics: list[TopicReport], tmp_path: Path) -> None:
    garbage, pickled = tmp_path / "garbage.safetensors", tmp_path / "pickled.pt"
    shutil.copy(SHIPPED.with_suffix(".json"), garbage.with_suffix(".json"))
    garbage.write_bytes(b"no tensors here")
    _edit_card(garbage, weights_sha256=hashlib.sha256(garbage.read_bytes()).hexdigest())
    torch.save({"lstm": torch.zeros(1)}, pickled)
    renamed = tmp_path / "renamed.safetensors"
    shutil.copy(pickled, renamed)
    shutil.copy(SHIPPED.with_suffix(".json"), renamed.with_suffix(".json"))
    swapped = _copied(tmp_path, "swapped")
    swapped.write_bytes(swapped.read_bytes()[:-1] + b"\x00")
    await _all_refused(
        settings,
        {
            r"model shoppers-h46: expected one of shoppers-h64, or a path to a \.safetensors file": {
                "model": "shoppers-h46"
            },
            rf"model {tmp_path}/absent\.safetensors: cannot be read \(No such file or directory\)": {
                "model": f"{tmp_path}/absent.safetensors"
            },
            rf"model {garbage}: expected safetensors, got something else ": {"model": str(garbage)},
            rf"model {pickled}: expected one of .*, or a path to a \.safetensors file": {"model": str(pickled)},
            rf"model {renamed}: its card says SHA-256 \w{{12}}, but the file has \w{{12}}": {"model": str(renamed)},
            rf"model {swapped}: its card says SHA-256 \w{{12}}, but the file has \w{{12}}": {"model": str(swapped)},
        },
    )


async def test_a_card_that_does_not_fit_the_weights_refuses(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    sizes = json.loads(SHIPPED.with_suffix(".json").read_text())["sizes"]
    smaller, deeper, older, strange, cut = (
        _copied(tmp_path, name) for name in ("smaller", "deeper", "older", "strange", "cut")
    )
    _edit_card(smaller, sizes=sizes | {"hidden": 32})
    _edit_card(deeper, sizes=sizes | {"layers": sizes["layers"] + 1})
    _edit_card(older, features_format=0)
    _edit_card(strange, colour="blue")
    cut.with_suffix(".json").write_text("{")
    await _all_refused(
        settings,
        {
            rf"model {smaller}: expected \S+ as \(\(.*\), torch\.float32\), got \(\(.*\), torch\.float32\)$": {
                "model": str(smaller)
            },
            rf"model {deeper}: expected \S+ as \(\(.*\), torch\.float32\), got nothing$": {"model": str(deeper)},
            rf"model card {older.with_suffix('.json')}: expected features_format \d+, got 0; another version": {
                "model": str(older)
            },
            rf"model card {strange.with_suffix('.json')}: Object contains unknown field `colour`": {
                "model": str(strange)
            },
            rf"model card {cut.with_suffix('.json')}: Input data was truncated": {"model": str(cut)},
        },
    )


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
    names = (*settings.source_topics, *settings.output_topics, settings.changelog_topic)
    assert said.removeprefix("behaviour-stream: ").splitlines() == [
        f"{name}: missing; `behaviour-stream topics` creates it" for name in names
    ]


async def test_unequal_partition_counts_refuse_naming_each(settings: Settings) -> None:
    compacted = {"cleanup.policy": "compact"}
    names = (*settings.source_topics, *settings.output_topics, settings.changelog_topic)
    counts = {name: 6 if name == settings.searches_topic else 4 for name in names}
    await _create(
        settings,
        *(
            NewTopic(name, n, 1, topic_configs=compacted if name == settings.changelog_topic else {})
            for name, n in counts.items()
        ),
    )
    counts.pop(settings.dead_letters_topic)  # which may have any number
    each = "".join(f"(?=.*{name} has {n}[,;])" for name, n in counts.items())
    await _refused(settings, rf"partition counts must be equal, {each}")


async def test_a_second_worker_on_the_same_data_dir_ends_and_the_first_goes_on(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    with running(settings, tmp_path / "first.log") as first:
        await first.wait_for(r"scoring partitions \[0, 1, 2, 3\]")
        code, said = await asyncio.to_thread(_ended, settings)
        assert code != 0 and "Traceback" not in said, said
        assert re.search(r"users-\d\.rocksdb: another process has it open; each worker needs a --data-dir", said), said
        assert first.process.poll() is None
        assert await first.stop() == 0, first.said()


async def test_without_a_broker_it_waits_and_goes_on_when_one_comes_up(settings: Settings, tmp_path: Path) -> None:
    late = EmbeddedBroker(tmp_path / "late")
    with running(
        msgspec.structs.replace(settings, bootstrap_servers=late.bootstrap_servers), tmp_path / "log"
    ) as worker:
        await worker.wait_for(rf"WARNING .*broker {late.bootstrap_servers} does not answer .*; waiting, 0 s so far")
        with late:  # without topics, it is not to go on any further
            await asyncio.to_thread(worker.process.wait, ENDS_SECS)
        assert f"broker {late.bootstrap_servers} answers, after " in worker.said()
        assert worker.said().count(": missing; `behaviour-stream topics` creates it") == 7


async def test_a_stop_while_it_waits_for_a_broker_ends_it_at_once(settings: Settings, tmp_path: Path) -> None:
    absent = EmbeddedBroker(tmp_path / "absent").bootstrap_servers
    with running(msgspec.structs.replace(settings, bootstrap_servers=absent), tmp_path / "log") as worker:
        await worker.wait_for("waiting, 0 s so far")
        started = time.monotonic()
        worker.process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(worker.process.wait, ENDS_SECS)
        assert time.monotonic() - started < 5
        assert code in (0, -signal.SIGTERM), code
        assert "Traceback" not in worker.said()
