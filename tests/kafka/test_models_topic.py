"""Announcements on a broker, and the commands that make and show them; what workers do with them is in
test_model_change.py.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiokafka import AIOKafkaProducer

from stream import cli
from stream.changing import announcing
from stream.changing.offered import Announced
from stream.cuts import Cut
from stream.errors import BehaviourStreamError, SettingsError
from stream.kafka import models_topic
from stream.kafka.partition_rows import read_partition_rows
from stream.kafka.topics import TopicReport
from stream.merge import Position
from stream.model_file import LoadedModel
from stream.rows import PARTITION_KEY, PartitionRow
from stream.settings import Settings
from tests.models import model_in


@pytest.fixture
def models(tmp_path: Path) -> list[LoadedModel]:
    return [model_in(tmp_path, seed) for seed in range(3)]


def path(tmp_path: Path, seed: int) -> str:
    return str(tmp_path / f"model-{seed}.safetensors")


async def _commit(settings: Settings, partition: int, version: int, of: LoadedModel, *, before: int = 0) -> None:
    """A checkpoint, as a worker writes it, with its partition's row last, and so many rows of users after it."""
    cut = Cut(version=version, sha256=of.card.weights_sha256, name=of.name, changes=0, offsets={0: 7})
    row = PartitionRow(positions={0: Position(7)}, cuts=(cut,))
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, transactional_id=f"{settings.app_id}-test-{partition}"
    )
    async with producer, producer.transaction():
        topic = settings.changelog_topic
        await producer.send(topic, row.to_bytes(), key=PARTITION_KEY, partition=partition)
        for n in range(before):
            await producer.send(topic, b"row", key=b"user-%d" % n, partition=partition)


async def test_versions_rise_with_every_announcement_and_a_follower_hears_each_once(
    settings: Settings, topics: list[TopicReport]
) -> None:
    assert await models_topic.announce(settings, "a", b"1") == 1
    heard: list[Announced] = []
    whole = asyncio.Event()

    async def follow() -> None:
        async for reading in models_topic.follow(settings):
            heard.extend(reading.announced)
            if reading.whole:
                whole.set()

    following = asyncio.create_task(follow())
    await asyncio.wait_for(whole.wait(), 60)
    assert heard == [Announced(1, b"1")]
    assert [await models_topic.announce(settings, key, b"2") for key in "ba"] == [2, 3]
    async with asyncio.timeout(60):
        while len(heard) < 3:  # noqa: ASYNC110 - what it hears, it says to nobody
            await asyncio.sleep(0.05)
    following.cancel()
    assert (
        heard == await models_topic.read_all(settings) == [Announced(1, b"1"), Announced(2, b"2"), Announced(3, b"2")]
    )


async def test_without_the_topic_it_is_said_how_to_make_it(settings: Settings) -> None:
    with pytest.raises(SettingsError, match=f"{settings.models_topic}: missing; `behaviour-stream topics` creates it"):
        await models_topic.read_all(settings)


async def test_back_goes_to_the_model_before_and_back_again_to_the_later_one(
    settings: Settings, topics: list[TopicReport], models: list[LoadedModel], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(settings, model=path(tmp_path, 0))
    with pytest.raises(SettingsError, match="nothing was announced"):
        await announcing.back(settings)
    used = await announcing.use(settings, path(tmp_path, 1))
    assert (used.version, used.model, used.model_hash, used.announced) == (1, "model-1", models[1].hash, True)
    again = await announcing.use(settings, path(tmp_path, 1))
    assert (again.version, again.announced) == (1, False)
    first = await announcing.back(settings)  # nothing was announced before: that of --model
    assert (first.version, first.model_hash) == (2, models[0].hash)
    assert (await announcing.use(settings, path(tmp_path, 2))).version == 3
    assert [(await announcing.back(settings)).model for _ in range(3)] == ["model-0", "model-2", "model-0"]


async def test_with_one_model_there_is_nothing_to_go_back_to(
    settings: Settings, topics: list[TopicReport], models: list[LoadedModel], tmp_path: Path
) -> None:
    settings = msgspec.structs.replace(settings, model=path(tmp_path, 1))
    await announcing.use(settings, path(tmp_path, 1))
    with pytest.raises(SettingsError, match="model-1 is the only model that was announced, and --model names it too"):
        await announcing.back(settings)


async def test_the_same_weights_with_another_card_are_refused_since_their_scores_would_have_the_same_ids(
    settings: Settings, topics: list[TopicReport], models: list[LoadedModel], tmp_path: Path
) -> None:
    await announcing.use(settings, path(tmp_path, 1))
    card = Path(path(tmp_path, 1)).with_suffix(".json")
    changed: dict[str, Any] = json.loads(card.read_bytes())
    changed["statistics"][0] += 1.0
    card.write_text(json.dumps(changed))
    with pytest.raises(SettingsError, match="expected other weights than those of version 1, got the same"):
        await announcing.use(settings, path(tmp_path, 1))


async def test_the_listing_says_which_partitions_are_scored_by_which_version(
    settings: Settings, topics: list[TopicReport], models: list[LoadedModel], tmp_path: Path
) -> None:
    result = await announcing.use(settings, path(tmp_path, 1))
    await _commit(settings, 0, 0, models[0])
    await _commit(settings, 1, 1, models[1])
    await _commit(settings, 2, 0, models[0], before=500)  # as former versions wrote it: far from the end
    await _commit(settings, 2, 1, models[1], before=300)
    rows = await read_partition_rows(settings)
    assert {p: row and row.cuts[-1].version for p, row in rows.items()} == {0: 0, 1: 1, 2: 1, 3: None}

    found = await announcing.listing(settings)
    assert [(of.version, of.model, of.partitions) for of in found.models] == [
        (1, "model-1", [1, 2]),
        (0, "model-0", [0]),
    ]
    assert found.models[0].announced_ms is not None and found.models[1].announced_ms is None
    assert [of.version for of in found.partitions] == [0, 1, 1, None]
    assert found.partitions[1].offsets == {settings.clicks_topic: 7}

    said: list[str] = []
    with pytest.raises(BehaviourStreamError, match="expected 4 partitions to be scored by it within 0 s, 2 are"):
        await announcing.taken_up(settings, result, timeout_secs=0, say=said.append)
    assert said == ["2 of 4 partitions are scored by version 1"]
    await _commit(settings, 0, 1, models[1])
    await _commit(settings, 3, 2, models[2])  # a later one is as good
    done = await announcing.taken_up(settings, result, timeout_secs=60, say=said.append)
    assert (done.partitions, done.of_partitions) == (4, 4)


@pytest.fixture
def logs_as_before() -> Iterator[None]:
    """A command silences aiokafka in its process, which here is that of all tests."""
    library = logging.getLogger("aiokafka")
    level = library.level
    yield
    library.setLevel(level)


def _flags(settings: Settings) -> Sequence[str]:
    names = ("bootstrap_servers", "models_topic", "app_id")
    return [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in names]


@pytest.mark.usefixtures("topics", "logs_as_before")
async def test_the_commands_say_what_they_did_to_people_and_to_machines(
    settings: Settings, models: list[LoadedModel], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def run(*words: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(cli.run, ["model", *words, *_flags(settings)])
        return code, *capsys.readouterr()

    code, said, _ = await run("use", path(tmp_path, 1))
    assert (code, said) == (0, f"model-1, hash {models[1].hash}: announced as version 1\n")
    code, said, _ = await run("use", path(tmp_path, 1))
    assert (code, said) == (0, f"model-1, hash {models[1].hash}: is already version 1\n")
    code, said, errors = await run("back", "--json", f"--model={path(tmp_path, 0)}")
    assert (code, errors) == (0, f"model-0, hash {models[0].hash}: announced as version 2\n")
    assert json.loads(said)["version"] == 2
    await _commit(settings, 2, 2, models[0])
    code, said, _ = await run("list")
    header, *lines = said.splitlines()
    assert header.split() == ["version", "announced", "hash", "model", "partitions"]
    assert [line.split()[0] for line in lines[:2]] == ["2", "1"]
    assert lines[0].endswith("model-0                     2")
    assert lines[1].endswith("none")
    assert lines[2] == "never scored: partitions 0 1 3"
    code, said, _ = await run("list", "--json")
    assert [of["version"] for of in json.loads(said)["models"]] == [2, 1]
    code, said, errors = await run("use", path(tmp_path, 2), "--wait", "--timeout-secs=0", "--json")
    assert (code, said) == (1, "")
    assert "expected 4 partitions to be scored by it within 0 s, 0 are" in errors
    Path(path(tmp_path, 2)).write_bytes(b"rubbish")  # noqa: ASYNC240 - a few bytes
    code, said, errors = await run("use", path(tmp_path, 2))
    assert (code, said) == (2, "")
    assert "its card says SHA-256" in errors
