"""A worker from start to stop, twice over: what it publishes, what it says of itself, and what it remembers."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from stream import model_file
from stream import settings as settings_module
from stream.encode import AnomalyScore, PurchaseIntent
from stream.kafka import topics as topics_module
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import Settings
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.running import committed, ends, fill, read, running, until_committed

START_MS = 1_700_000_000_000
SIMULATED, USERS, MORE = 500, 40, 60  # MORE: events after each restart
YEAR_9999_MS = 253_402_300_799_000
SCHEMAS = resources.files("stream") / "schemas"


def _click(user: str, number: int, time_ms: int, *, record_time_ms: int | None = None) -> ShopEvent:
    event = {"user_id": user, "event_id": f"{user}-{number}", "event_name": "view_item", "event_time": time_ms}
    value = msgspec.json.encode(event)
    return ShopEvent("clicks", user.encode(), value, time_ms if record_time_ms is None else record_time_ms)


# By event id: what its flag is to be. All of one user on one topic, so they are applied as they lie there.
LATE = {
    _click("slow", number, START_MS + secs * 1000): late
    for number, (secs, late) in enumerate(
        [(600, False), (540, True), (599, True), (600, False), (601, False), (0, True), (700, False)]
    )
}
BOUNDED = {
    _click("clock", number, time_ms, record_time_ms=START_MS + number): bounded
    for number, (time_ms, bounded) in enumerate(
        [(YEAR_9999_MS, True), (0, True), (START_MS, False), (1, True), (START_MS + 300_000, False)]
    )
}
HAND_MADE = [*LATE, *BOUNDED]


def _simulated(first: int, last: int) -> list[ShopEvent]:
    return list(itertools.islice(simulate(scenario.load(), seed=3, users=USERS, start_ms=START_MS), first, last))


@dataclass(frozen=True)
class Session:
    """What there is after a worker has started, scored all and stopped."""

    exit_code: int
    said: str
    answers: dict[str, tuple[int, str]]
    intent: list[Any]  # records
    anomaly: list[Any]
    ends: dict[tuple[str, int], int]
    committed: dict[tuple[str, int], int]


@dataclass(frozen=True)
class Run:
    """Three workers, one after the other; the last finds no local copy of the state."""

    settings: Settings
    sent: list[ShopEvent]  # before the first
    events: int  # of these; some were sent twice
    sources: dict[str, Any]  # records, by id
    first: Session
    restarted: Session
    recovered: Session


@pytest.fixture(scope="module")
def run(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, app = tmp_path_factory.mktemp("worker"), uuid.uuid4().hex[:8]
    names = ("clicks", "searches", "purchases", "purchase_intent", "anomaly_scores", "dead_letters", "erasures")
    flags = {f"{name}_topic": f"{name.replace('_', '-')}-{app}" for name in names} | {
        "bootstrap_servers": broker.bootstrap_servers,
        "app_id": f"test-{app}",
        "data_dir": folder / "state",
        "metrics_port": 0,
        "partitions": 4,
        "retention_hours": -1,
        "session_timeout_ms": 6_000,
    }
    return asyncio.run(_run(settings_module.load(flags, environ={}), folder))


async def _run(settings: Settings, folder: Path) -> Run:
    await topics_module.ensure(settings)
    sent = [*_simulated(0, SIMULATED), *HAND_MADE]
    await fill(settings, sent)
    first = await _session(settings, folder)
    await fill(settings, _simulated(SIMULATED, SIMULATED + MORE))
    restarted = await _session(settings, folder)
    shutil.rmtree(settings.data_dir)
    await fill(settings, _simulated(SIMULATED + MORE, SIMULATED + 2 * MORE))
    recovered = await _session(settings, folder)
    sources = {
        f"{topic}-{record.partition}-{record.offset}": record
        for topic in settings.source_topics
        for record in await read(settings, topic)
    }
    return Run(settings, sent, len({event.value for event in sent}), sources, first, restarted, recovered)


async def _session(settings: Settings, folder: Path) -> Session:
    with running(settings, folder / "worker.log") as worker:
        await until_committed(settings, worker)
        await _until_idle(worker)
        answers = {path: await worker.get(path) for path in ("/metrics", "/healthz", "/", "/metrics/more")}
        code = await worker.stop()
    return Session(
        exit_code=code,
        said=worker.said(),
        answers=answers,
        intent=await read(settings, settings.purchase_intent_topic),
        anomaly=await read(settings, settings.anomaly_scores_topic),
        ends=await ends(settings, settings.source_topics),
        committed=await committed(settings),
    )


async def _until_idle(worker: Any) -> None:
    """Its gauges are set once a second."""
    deadline = time.monotonic() + 20
    while json.loads((await worker.get("/healthz"))[1])["lag_records"] != 0:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)


def _source_of(record: Any) -> str:
    return str(json.loads(record.value)["id"].rsplit("-", 1)[0])


def _values(records: Sequence[Any]) -> list[Any]:
    return [json.loads(record.value) for record in records]


def _metric(session: Session, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", session.answers["/metrics"][1], re.MULTILINE)
    assert found is not None, f"{name} is not on /metrics"
    return float(found[1])


def test_each_event_has_one_record_on_each_score_topic_under_its_user_in_its_partition(run: Run) -> None:
    for records in (run.first.intent, run.first.anomaly):
        assert len(records) == run.events
        assert len({_source_of(record) for record in records}) == run.events
        for record in records:
            source = run.sources[_source_of(record)]
            assert (record.key, record.partition) == (source.key, source.partition)
            value, event = json.loads(record.value), json.loads(source.value)
            assert value["user_id"] == event["user_id"] == record.key.decode()
            assert value["event_id"] == event["event_id"]


@pytest.mark.parametrize(
    ("of", "kind", "schema"),
    [("intent", PurchaseIntent, "purchase-intent.v1.json"), ("anomaly", AnomalyScore, "anomaly-scores.v1.json")],
)
def test_each_record_is_valid_by_its_schema_and_reads_back_as_its_type(
    run: Run, of: str, kind: type[msgspec.Struct], schema: str
) -> None:
    validate = jsonschema.Draft202012Validator(json.loads((SCHEMAS / schema).read_text())).validate
    for record in getattr(run.first, of):
        value = json.loads(record.value)
        validate(value)
        assert msgspec.to_builtins(msgspec.json.decode(record.value, type=kind)) == value  # no field more, none less


def test_ids_are_topic_partition_offset_and_model(run: Run) -> None:
    model = model_file.load(run.settings.model)
    for record in (*run.first.intent, *run.first.anomaly):
        value = json.loads(record.value)
        assert value["id"] == f"{_source_of(record)}-{model.hash}"
        assert (value["model"], value["model_hash"]) == (model.name, model.hash)


def test_both_topics_tell_the_same_of_an_event(run: Run) -> None:
    of_score = {"purchase_intent", "anomaly", "surprise", "surprise_parts", "strain", "fraud"}
    intent, anomaly = (
        {value["id"]: {k: v for k, v in value.items() if k not in of_score} for value in _values(records)}
        for records in (run.first.intent, run.first.anomaly)
    )
    assert intent == anomaly


def test_events_seen_counts_each_user_from_one_in_order(run: Run) -> None:
    for records in (run.first.anomaly, run.restarted.anomaly, run.recovered.anomaly):
        seen: dict[str, list[int]] = defaultdict(list)
        for value in _values(records):
            seen[value["user_id"]].append(value["events_seen"])
        assert len(seen) > USERS / 2
        for numbers in seen.values():
            assert numbers == list(range(1, len(numbers) + 1))


def test_late_is_what_is_older_than_an_event_of_the_user_already_applied(run: Run) -> None:
    flags = {value["event_id"]: value["late"] for value in _values(run.first.anomaly)}
    for event, late in LATE.items():
        assert flags[json.loads(event.value)["event_id"]] == late, event
    high: dict[str, int] = {}
    for value in _values(run.first.anomaly):  # a user's are in one partition, so in order
        latest = high.setdefault(value["user_id"], value["event_time_ms"])
        assert value["late"] == (value["event_time_ms"] < latest)
        high[value["user_id"]] = max(latest, value["event_time_ms"])
    assert _metric(run.first, "behaviour_late_events_total") == sum(flags.values())


def test_time_bounded_is_what_lies_beyond_the_limits_and_then_the_records_time_counts(run: Run) -> None:
    values = {value["event_id"]: value for value in _values(run.first.anomaly)}
    for event, bounded in BOUNDED.items():
        sent = json.loads(event.value)
        found = values[sent["event_id"]]
        assert found["time_bounded"] == bounded, event
        assert found["event_time_ms"] == (event.sent_ms if bounded else sent["event_time"])
    assert sum(value["time_bounded"] for value in values.values()) == sum(BOUNDED.values())
    assert _metric(run.first, "behaviour_time_bounded_events_total") == sum(BOUNDED.values())


def test_metrics_count_what_was_scored(run: Run) -> None:
    status, text = run.first.answers["/metrics"]
    assert status == 200
    counted = re.findall(r'^behaviour_events_total\{outcome="(\w+)",topic="(\S+)"\} (\S+)$', text, re.MULTILINE)
    topics = Counter(source.rsplit("-", 2)[0] for source in map(_source_of, run.first.anomaly))
    assert {(outcome, topic): float(n) for outcome, topic, n in counted} == {
        (outcome, topic): n for topic, scored in topics.items() for outcome, n in (("scored", scored), ("rejected", 0))
    }
    assert _metric(run.first, "behaviour_repeated_events_total") == len(run.sent) - run.events > 0
    assert _metric(run.first, "behaviour_partitions_owned") == 4
    assert _metric(run.first, "behaviour_slots_in_use") == len({record.key for record in run.first.anomaly})
    assert _metric(run.first, "behaviour_checkpoints_total") > 0
    for name in ("behaviour_batch_events", "behaviour_checkpoint_seconds"):
        assert _metric(run.first, f"{name}_count") > 0
    assert set(re.findall(r"^behaviour_lag_records\{.*\} (\S+)$", text, re.MULTILINE)) == {"0.0"}
    for label in ('since="event"', 'since="produce"'):
        assert _metric(run.first, f"behaviour_latency_seconds_count{{{label}}}") == run.events


def test_metrics_tell_what_the_process_takes(run: Run) -> None:
    for name in ("process_cpu_seconds_total", "process_resident_memory_bytes", "process_start_time_seconds"):
        assert _metric(run.first, name) > 0


def test_an_idle_worker_is_healthy_and_an_unknown_path_is_not_found(run: Run) -> None:
    status, body = run.first.answers["/healthz"]
    health = json.loads(body)
    assert (status, health["healthy"], health["lag_records"]) == (200, True, 0)
    assert health["partitions"] == [0, 1, 2, 3]
    for path in ("/", "/metrics/more"):
        assert run.first.answers[path][0] == 404


def test_a_stop_ends_with_0_and_all_committed(run: Run) -> None:
    for session in (run.first, run.restarted, run.recovered):
        assert session.exit_code == 0, session.said
        assert session.committed == {source: end for source, end in session.ends.items() if end}
        assert "Traceback" not in session.said and " ERROR stream" not in session.said


def test_a_restart_repeats_nothing_and_goes_on(run: Run) -> None:
    _assert_goes_on(run.first, run.restarted)


def test_a_restart_without_its_local_copy_recovers_all_from_the_changelog(run: Run) -> None:
    _assert_goes_on(run.restarted, run.recovered)


def _assert_goes_on(before: Session, after: Session) -> None:
    for had, has in ((before.intent, after.intent), (before.anomaly, after.anomaly)):
        assert 0.9 * MORE < len(has) - len(had) <= MORE  # an event that is sent twice is scored once
        assert len({value["event_id"] for value in _values(has)}) == len(has)
        assert len({_source_of(record) for record in has}) == len(has)
    known = Counter(record.key for record in before.anomaly)
    old = {_source_of(record) for record in before.anomaly}
    new = [json.loads(record.value) for record in after.anomaly if _source_of(record) not in old]
    returning = [value for value in new if known[value["user_id"].encode()]]
    assert len(returning) > MORE / 2
    assert all(value["events_seen"] > known[value["user_id"].encode()] for value in returning)
    assert not any(value["carry_rebuilt"] for value in new)
