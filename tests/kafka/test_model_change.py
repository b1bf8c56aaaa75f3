"""Running workers take up another model under load, and are killed while they do.

Every event has scores of exactly one model, that of its place between the cuts in the log, and scoring it again offline
across the cuts gives the same.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from stream import model_file
from stream.assembly import assemble
from stream.changing import announcement, announcing
from stream.cuts import Cut
from stream.decode import TimeBounds, decode
from stream.events import EventBatch, Frame
from stream.kafka import models_topic
from stream.kafka.partition_rows import read_partition_rows
from stream.kafka.topics import TopicReport
from stream.model_file import LoadedModel
from stream.settings import Settings
from stream.simulator import scenario
from stream.simulator.load import Destination, produce
from stream.simulator.simulate import simulate
from tests.models import model_in
from tests.running import Worker, read, running, until_committed
from tests.shop import CPU, no_rows

EVENTS_PER_SEC, USERS = 400, 150
START_MS = 1_700_000_000_000
TAKEN_UP_SECS = 120.0
TOLERANCE = 1e-4 + 5e-7  # half of the last digit that is published


class Place(NamedTuple):
    """Where an event lies."""

    source: int
    partition: int
    offset: int


class Models(NamedTuple):
    """The models of a test, and the files that they come from."""

    by_hash: Mapping[str, LoadedModel]
    paths: Sequence[str]


@pytest.fixture
def models(tmp_path: Path) -> Models:
    """Three, of which the second has another carry."""
    loaded = [model_in(tmp_path, seed, hidden=hidden) for seed, hidden in enumerate((8, 12, 8))]
    paths = [str(tmp_path / f"model-{seed}.safetensors") for seed in range(3)]
    return Models({model.hash: model for model in loaded}, paths)


@pytest.fixture
def settings(settings: Settings, models: Models) -> Settings:
    """Small batches and short intervals: many places to be killed at. Workers begin with the first model."""
    return msgspec.structs.replace(
        settings, model=models.paths[0], batch_max_events=256, batch_max_steps=4, checkpoint_interval_ms=1_000
    )


async def _load(settings: Settings, stop: asyncio.Event) -> None:
    topics = dict(zip(("clicks", "searches", "purchases"), settings.source_topics, strict=True))
    events = simulate(scenario.load(), seed=11, users=USERS, start_ms=START_MS)
    await produce(events, Destination(settings.bootstrap_servers, topics), rate_per_sec=EVENTS_PER_SEC, stop=stop)


async def _taken_up(settings: Settings, result: announcing.Result) -> None:
    await announcing.taken_up(settings, result, timeout_secs=TAKEN_UP_SECS, say=lambda text: None)


async def test_models_change_under_load_and_around_kills_and_no_event_has_scores_of_two(
    settings: Settings, models: Models, topics: list[TopicReport], tmp_path: Path
) -> None:
    first, second = (msgspec.structs.replace(settings, data_dir=tmp_path / name) for name in ("first", "second"))
    logs, stop = (tmp_path / "first.log", tmp_path / "second.log"), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_load(settings, stop))
        with running(first, logs[0]) as one:
            with running(second, logs[1]) as other:
                await _shared(one, other)
                for worker in (one, other):
                    await _metrics(worker, lambda found: found["behaviour_slots_in_use"] > 20)
                await _taken_up(settings, await announcing.use(settings, models.paths[1]))
                await _assert_told(one, other, loaded=models.by_hash[model_file.load(models.paths[1]).hash], version=1)
                # One dies while both change: the other has the new model, and goes on with the former one where the
                # dead one had published and not committed.
                result = await _announce_and(settings, models.paths[2], other.kill, after_secs=0.15)
                await _taken_up(settings, result)
                await _assert_refused(settings, models, one)
            with running(second, logs[1]) as other:
                await _shared(one, other)
                former = await announcing.back(settings)
                one.kill()  # before it has heard of it, perhaps
                assert former.model_hash == model_file.load(models.paths[1]).hash
                await _taken_up(settings, former)
                result = await _announce_and(settings, models.paths[0], other.kill, after_secs=0.6)
        with running(first, logs[0]) as one:
            await _taken_up(settings, result)  # it was stopped by that, and finds its way from the log alone
            await asyncio.sleep(1.0)
            stop.set()
            await until_committed(settings, one)
            assert await one.stop() == 0, one.said()

    cuts = await _assert_one_model_each(settings, models)
    assert all(len({cut.sha256 for cut in of_partition}) == 3 for of_partition in cuts.values())


async def _announce_and(
    settings: Settings, path: str, then: Callable[[], None], *, after_secs: float
) -> announcing.Result:
    """Announce a model, and soon after it do something."""
    await asyncio.sleep(1.5)  # more is published than is committed
    result = await announcing.use(settings, path)
    await asyncio.sleep(after_secs)
    then()
    return result


async def _metrics(worker: Worker, shows: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """Its metrics without labels, once they show that."""
    deadline = time.monotonic() + TAKEN_UP_SECS
    while True:
        _, told = await worker.get("/metrics")
        found = {name: float(value) for name, value in re.findall(r"^(behaviour_\w+) (\S+)$", told, re.MULTILINE)}
        if shows(found):
            return found
        assert time.monotonic() < deadline, told
        await asyncio.sleep(0.1)


async def _assert_told(*workers: Worker, loaded: LoadedModel, version: int) -> None:
    """Their metrics say by which model they score, and that carries were made ahead of their users' events."""
    partitions: set[str] = set()
    for worker in workers:
        await _metrics(
            worker, lambda of: of["behaviour_carries_rebuilt_ahead_total"] > 0 == of["behaviour_stale_users"]
        )
        _, told = await worker.get("/metrics")
        assert re.search(rf'behaviour_model_info{{.*hash="{loaded.hash}".*version="{version}"', told)
        pattern = rf'behaviour_model_version{{hash="{loaded.hash}",partition="(\d)"}} {version}'
        partitions |= set(re.findall(pattern, told))
    assert partitions == {"0", "1", "2", "3"}


async def _assert_refused(settings: Settings, models: Models, worker: Worker) -> None:
    """What cannot be used is refused, and the model in use stays: other weights than said, no file, rubbish."""
    whole = announcement.of_file(models.paths[0], 0)
    assert whole.weights is not None
    damaged = msgspec.structs.replace(whole, weights=whole.weights[:-1] + b"\0")
    absent = msgspec.structs.replace(whole, weights=None, file="/nowhere/model.safetensors")
    for value, reason in (
        (damaged.to_bytes(), "expected weights of SHA-256"),
        (absent.to_bytes(), "/nowhere/model.safetensors: cannot be read"),
        (b"rubbish", "expected an announcement"),
    ):
        await models_topic.announce(settings, "key", value)
        await worker.wait_for(f"{reason}.*Refused", secs=TAKEN_UP_SECS)
    assert "behaviour_models_refused_total 3.0" in (await worker.get("/metrics"))[1]


async def _shared(*workers: Worker) -> None:
    """Wait until each has half of the partitions."""
    for worker in workers:
        deadline = time.monotonic() + TAKEN_UP_SECS
        while not re.search(r"scoring partitions \[\d, \d\]\n(?!.*scoring partitions)", worker.said(), re.DOTALL):
            assert worker.process.poll() is None and time.monotonic() < deadline, worker.said()
            await asyncio.sleep(0.1)


# -- what was published, beside what the log says ----------------------------------------------------------------------


async def _assert_one_model_each(settings: Settings, models: Models) -> dict[int, tuple[Cut, ...]]:
    """-> the cuts of each partition."""
    cuts = {partition: row.cuts for partition, row in (await read_partition_rows(settings)).items() if row}
    assert len(cuts) == settings.partitions
    sources = await _sources(settings)
    for topic in (settings.purchase_intent_topic, settings.anomaly_scores_topic):
        last: dict[Place, dict[str, Any]] = {}
        for record in await read(settings, topic):
            score = json.loads(record.value)
            place = _place(settings, score)
            # The log has the last word: before a cut all is the former model's, and after it all the new one's.
            model = _segment(cuts[place.partition], place).sha256[:12]
            assert score["id"].endswith(model) and score["model_hash"] == model
            last[place] = score
        assert len(last) == sum(len(set(zip(of.key, of.event_id, strict=True))) for of in sources.values())
        for partition, of_partition in cuts.items():
            of_it = {place: score for place, score in last.items() if place.partition == partition}
            _assert_parity(settings, models, of_partition, events=sources[partition], published=of_it)
    return cuts


def _segment(cuts: Sequence[Cut], place: Place) -> Cut:
    """The cut behind which an event lies."""
    return [cut for cut in cuts if place.offset >= cut.offsets.get(place.source, 0)][-1]


def _assert_parity(
    settings: Settings,
    models: Models,
    cuts: Sequence[Cut],
    *,
    events: EventBatch,
    published: Mapping[Place, dict[str, Any]],
) -> None:
    """A partition, scored again by what its row says, in the applied order, without any state before."""
    whole = msgspec.structs.replace(settings, batch_max_steps=len(published))
    core = assemble(whole, models.by_hash[cuts[0].sha256[:12]], CPU, no_rows)
    at = {place: i for i, place in enumerate(zip(events["source"].tolist(), events["offset"].tolist(), strict=True))}
    by_cut: dict[int, list[Place]] = defaultdict(list)
    for place in sorted(published, key=lambda place: int(published[place]["events_seen"])):
        by_cut[cuts.index(_segment(cuts, place))].append(place)
    assert len(by_cut) > 2
    for n, cut in enumerate(cuts):
        core.use(models.by_hash[cut.sha256[:12]], {place.partition: cut.mark for place in by_cut[n]})
        if not by_cut[n]:
            continue
        scored = core.pipeline.apply(events.take(np.array([at[p.source, p.offset] for p in by_cut[n]]))).scored
        said = [published[place] for place in by_cut[n]]
        assert scored.events_seen.tolist() == [score["events_seen"] for score in said]
        assert scored.carry_rebuilt.tolist() == [score["carry_rebuilt"] for score in said]
        if "anomaly" in said[0]:
            made = {"anomaly": scored.anomaly, "strain": scored.strain, "surprise": scored.surprise}
        else:
            said = [score["purchase_intent"] for score in said]
            horizons = core.model.card.sizes.horizons
            made = {name: scored.intent[:, k].astype(np.float64) for k, name in enumerate(horizons)}
        for name, column in made.items():
            np.testing.assert_allclose([score[name] for score in said], column, atol=TOLERANCE, rtol=0)


async def _sources(settings: Settings) -> dict[int, EventBatch]:
    """The events of each partition."""
    bounds = TimeBounds(settings.event_time_max_ahead_ms, settings.event_time_max_behind_ms)
    found: dict[int, list[EventBatch]] = defaultdict(list)
    for source, topic in enumerate(settings.source_topics):
        records = await read(settings, topic)
        for partition in range(settings.partitions):
            of_it = [record for record in records if record.partition == partition]
            if of_it:
                found[partition].append(decode(Frame(source, partition, of_it, of_it[-1].offset + 1), bounds)[0])
    return {partition: EventBatch.concat(batches) for partition, batches in found.items()}


def _place(settings: Settings, score: Mapping[str, Any]) -> Place:
    topic, partition, offset, _ = score["id"].rsplit("-", 3)
    return Place(settings.source_topics.index(topic), int(partition), int(offset))
