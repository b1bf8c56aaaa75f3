"""Law: topics loaded beforehand, kill and restart anywhere, any number of times: rows equal those of an uninterrupted
run, every input is scored or a dead letter, no offset is ahead of its row; exactly once, if that is the guarantee.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from stream import rows
from stream.kafka import topics as topics_module
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.running import Worker, committed, ends, fill, read, running, scores, until_committed
from tests.shop import assert_rows_alike

EVENTS = 60_000
CUT = 200  # after so many events, the last of them comes again as a record that is cut short
KILLS = 5


def _loaded() -> Iterator[ShopEvent]:
    events = simulate(scenario.load(), seed=7, users=3_000, start_ms=1_767_225_600_000)
    for n, event in enumerate(itertools.islice(events, EVENTS), 1):
        yield event
        if n % CUT == 0:
            yield event._replace(value=event.value[:-1])


def _of_another_app(settings: Settings, suffix: str, data_dir: Path) -> Settings:
    """The same sources, with a state and outputs of its own."""
    names = ("app_id", "purchase_intent_topic", "anomaly_scores_topic", "dead_letters_topic")
    return msgspec.structs.replace(
        settings, data_dir=data_dir, **{name: f"{getattr(settings, name)}-{suffix}" for name in names}
    )


async def _state(settings: Settings) -> dict[bytes, bytes]:
    """The changelog's last value of every key."""
    return {record.key: record.value for record in await read(settings, settings.changelog_topic)}


class Sent(NamedTuple):
    """A record on a source topic."""

    topic: str
    partition: int
    offset: int
    key: bytes
    event_id: str  # empty: it is no event


async def _source_records(settings: Settings) -> tuple[list[Sent], list[Sent]]:
    """Events, and records that are none."""
    events: list[Sent] = []
    cut: list[Sent] = []
    for topic in settings.source_topics:
        for record in await read(settings, topic):
            place = (topic, record.partition, record.offset, record.key)
            if record.value.endswith(b"}"):
                events.append(Sent(*place, json.loads(record.value)["event_id"]))
            else:
                cut.append(Sent(*place, ""))
    return events, cut


async def _assert_no_offset_is_ahead_of_its_row(settings: Settings, sources: list[Sent]) -> None:
    offsets, state = await committed(settings), await _state(settings)
    row_of = {
        key: np.frombuffer(row, rows.HEADER, count=1)[0] for key, row in state.items() if key != rows.PARTITION_KEY
    }
    for topic, partition, offset, key, _ in sources:
        if offset < offsets.get((topic, partition), 0):
            assert row_of[key]["offsets"][settings.source_topics.index(topic)] >= offset


async def _scored(settings: Settings) -> int:
    return sum((await ends(settings, [settings.anomaly_scores_topic])).values())


async def test_rows_after_five_kills_equal_those_of_an_uninterrupted_run(settings: Settings, tmp_path: Path) -> None:
    # Small batches and short intervals: many places to be killed at.
    settings = msgspec.structs.replace(settings, batch_max_events=256, checkpoint_interval_ms=100, batch_max_steps=4)
    whole = _of_another_app(settings, "whole", tmp_path / "whole")
    killed = [
        msgspec.structs.replace(_of_another_app(settings, name, tmp_path / name), guarantee=name)
        for name in ("at_least_once", "exactly_once")
    ]
    for app in (whole, *killed):
        await topics_module.ensure(app)
    assert await fill(settings, _loaded()) == EVENTS + EVENTS // CUT
    sources, cut = await _source_records(settings)
    assert (len(sources), len(cut)) == (EVENTS, EVENTS // CUT)

    with running(whole, tmp_path / "whole.log") as worker:
        await until_committed(whole, worker)
        assert await worker.stop() == 0
    expected = await _state(whole)
    for topic in ("purchase_intent_topic", "anomaly_scores_topic"):
        _assert_all_scored(sources, await scores(whole, getattr(whole, topic)), repeats=False)

    for app in killed:
        repeats = app.guarantee == "at_least_once"
        await _kill_five_times(app, sources, tmp_path / f"{app.guarantee}.log")
        _assert_equal(expected, await _state(app))
        for topic in ("purchase_intent_topic", "anomaly_scores_topic"):
            _assert_all_scored(sources, await scores(app, getattr(app, topic)), repeats=repeats)
            once = len({(sent.key, sent.event_id) for sent in sources})
            assert len(await read(app, getattr(app, topic), aborted=True)) > once, "no kill left anything uncommitted"
        _assert_all_refused(cut, await scores(app, app.dead_letters_topic), repeats=repeats)


async def _kill_five_times(settings: Settings, sources: list[Sent], log: Path) -> None:
    """Score all, by workers that are killed at work, but for the last."""
    before_kill = []
    for kill in range(KILLS):
        worker = Worker(settings, log)
        while await _scored(settings) < EVENTS * (kill + 1) // (KILLS + 2):
            assert worker.process.poll() is None, worker.said()
            await asyncio.sleep(0.02)
        worker.kill()
        before_kill.append(await _scored(settings))
        await _assert_no_offset_is_ahead_of_its_row(settings, sources)
    assert before_kill[-1] < EVENTS, "killed too late to prove anything"
    with running(settings, log) as worker:
        await until_committed(settings, worker)
        assert await worker.stop() == 0
    await _assert_no_offset_is_ahead_of_its_row(settings, sources)


def _assert_equal(expected: dict[bytes, bytes], found: dict[bytes, bytes]) -> None:
    assert len(expected) > 1_000 and found.keys() == expected.keys()
    for key, row in expected.items():
        if key != rows.PARTITION_KEY:
            # h lies within 1; c has no bounds, and at 37 the next float32 is 4e-6 away.
            assert_rows_alike(found[key], row, rtol=1e-5)


def _assert_all_refused(cut: list[Sent], dead_letters: list[dict[str, Any]], *, repeats: bool) -> None:
    ids = Counter(letter["id"] for letter in dead_letters)
    assert ids.keys() == {f"{sent.topic}-{sent.partition}-{sent.offset}" for sent in cut}
    assert repeats or set(ids.values()) == {1}


def _assert_all_scored(sources: list[Sent], published: list[dict[str, Any]], *, repeats: bool) -> None:
    ids = Counter(score["id"].rsplit("-", 1)[0] for score in published)
    sent = {f"{topic}-{partition}-{offset}": (key, event_id) for topic, partition, offset, key, event_id in sources}
    assert ids.keys() <= sent.keys()
    scored = {sent[name] for name in ids}
    assert scored == set(sent.values())  # every event,
    assert len(ids) == len(scored) < len(sent)  # and what was sent twice once
    if not repeats:
        assert set(ids.values()) == {1}
    first: dict[str, dict[str, Any]] = {}
    for score in published:
        kept = first.setdefault(score["id"], score)
        # Topics loaded beforehand, so a replay repeats the order, and with it the number; the score too, to rounding.
        assert kept["events_seen"] == score["events_seen"]
        assert json.dumps(kept["event_id"]) == json.dumps(score["event_id"])
