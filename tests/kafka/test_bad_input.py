"""Bad records among good ones on a real broker: every good one is scored, every bad one is a dead letter that says why,
and none of them holds up what comes behind it.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from stream import settings as settings_module
from stream.encode import DeadLetter
from stream.kafka import topics as topics_module
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import Settings
from tests.running import committed, ends, read, running, scores, until_committed

CLICKS, SEARCHES, PURCHASES = range(3)
SCHEMA = resources.files("stream") / "schemas" / "dead-letters.v1.json"
PARTITIONS = 4
KEPT_BYTES = 65_536  # the default of --dead-letter-max-bytes
# Kafka's own limit of a batch, and so of a record with the 61 bytes before it and the dozen around it.
LARGEST_BATCH_BYTES = 1_048_588
NOW_MS = time.time_ns() // 1_000_000


def _event(user: str, event_id: str, **fields: Any) -> dict[str, Any]:
    return {"user_id": user, "event_id": event_id, "event_name": "view_item", "event_time": NOW_MS, **fields}


class Bad(NamedTuple):
    """A record that cannot be scored, and what its dead letter must say."""

    source: int
    key: bytes | None
    value: bytes | None
    reason: str
    error: str  # a pattern: what was expected, and what came


def _bad(reason: str, error: str, *, source: int = CLICKS, key: bytes | None = b"bad", **fields: Any) -> Bad:
    """A JSON object that is right but for `fields`; a field of ... is left out."""
    event = {name: value for name, value in (_event("bad", "bad") | fields).items() if value is not ...}
    return Bad(source, key, orjson.dumps(event), reason, error)


def _raw(value: bytes | None, reason: str, error: str, *, source: int = CLICKS, key: bytes | None = b"bad") -> Bad:
    return Bad(source, key, value, reason, error)


_NO_JSON = r"expected a JSON object in UTF-8, got {} bytes that are none: "
_NO_AMOUNT = r"expected an amount from 0 to 1e\+09, got {}"
_NUMBER = b'{"user_id":"bad","event_id":"bad","event_name":"%b","event_time":1,"%b":%b}'
BAD = [
    _raw(b"view_item,bad,1790000000000", "not_json", _NO_JSON.format(27)),
    _raw(b"", "not_json", _NO_JSON.format(0)),
    _raw(b'{"user_id":"bad",', "not_json", _NO_JSON.format(17)),
    _raw(b'{"nested":' + b"[" * 5_000, "not_json", "expected at most 200 brackets open at a time, got more"),
    _raw(b'{"user_id":"b\xff\xfed"}', "not_json", _NO_JSON.format(18)),
    _raw(_NUMBER % (b"view_item", b"price", b"NaN"), "not_json", _NO_JSON.format(r"\d+")),
    _raw(_NUMBER % (b"view_item", b"price", b"1e308"), "bad_price", _NO_AMOUNT.format(r"1e\+308")),
    _raw(_NUMBER % (b"purchase", b"value", b"1e308"), "bad_price", _NO_AMOUNT.format(r"1e\+308"), source=PURCHASES),
    _raw(_NUMBER % (b"purchase", b"value", b'"NaN"'), "bad_price", _NO_AMOUNT.format("'NaN'"), source=PURCHASES),
    _raw(b'["view_item","bad"]', "schema", "Expected object, got array"),
    _raw(b"7", "schema", "Expected object, got int", source=SEARCHES),
    _raw(b"null", "schema", "Expected object, got null", source=PURCHASES),
    _raw(None, "null_value", "expected a JSON object, got a null value"),
    _raw(None, "null_value", "expected a JSON object, got a null value", source=SEARCHES, key=None),
    _bad("schema", r"Expected str, got int - at \$\.event_name", event_name=4),
    _bad("schema", r"Expected int \| str, got bool - at \$\.event_time", event_time=True),
    _bad("schema", r"Expected int >= 0 - at \$\.event_time", event_time=-1),
    _bad("schema", r"Expected float \| str \| null, got object - at \$\.price", price={"amount": 1}),
    _bad("schema", r"Expected str \| null, got array - at \$\.search_term", source=SEARCHES, search_term=["shoes"]),
    _bad("schema", r"Expected array \| null, got str - at \$\.items", source=PURCHASES, items="shoes"),
    _bad("schema", "Object missing required field user_id", user_id=...),
    _bad("schema", r"Expected str, got null - at \$\.user_id", user_id=None),
    _bad("schema", r"Expected str of length >= 1 - at \$\.user_id", user_id=""),
    _bad("schema", r"Expected str of length <= 256 - at \$\.event_id", event_id="e" * 257),
    _bad("key_mismatch", "expected the record's key to be user_id 'bad', got b'other'", key=b"other"),
    _bad("key_mismatch", "expected the record's key to be user_id 'bad', got None", key=None),
    _bad("unknown_event", "expected one of view_item_list, select_item, .*, got 'tap'", event_name="tap"),
    _bad("unknown_event", "expected one of search, got 'view_item'", source=SEARCHES),
    _bad("bad_time", r"expected RFC 3339 with a zone .*, got 'yesterday' - at \$\.event_time", event_time="yesterday"),
]  # fmt: skip

# Times that are not believed, as good shops' clocks never show them: scored all the same, at the record's own time.
ABSURD_TIMES: list[int | str] = [
    0,
    "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999Z",
    253_402_300_799_999,
    "0001-01-01T00:00:00Z",
]


@dataclass(frozen=True)
class Sent:
    """A record as it stands on its topic."""

    topic: str
    partition: int
    offset: int
    value: bytes | None


@dataclass(frozen=True)
class Published:
    """What a worker has said by the time that it stops."""

    metrics: str
    dead: list[Any]  # records
    intent: list[dict[str, Any]]
    anomaly: list[dict[str, Any]]
    ends: dict[tuple[str, int], int]
    committed: dict[tuple[str, int], int]


@dataclass(frozen=True)
class Run:
    """All that was sent, what a worker made of it, and what was there after a restart and one more event."""

    good: dict[str, Sent]  # by event id
    bad: list[tuple[Bad, Sent]]
    unbelieved: frozenset[str]  # event ids
    first: Published
    restarted: Published


@pytest.fixture(scope="module")
def run(broker: EmbeddedBroker, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder, app = tmp_path_factory.mktemp("bad-input"), uuid.uuid4().hex[:8]
    names = ("clicks", "searches", "purchases", "purchase_intent", "anomaly_scores", "dead_letters", "erasures")
    flags = {f"{name}_topic": f"{name.replace('_', '-')}-{app}" for name in names} | {
        "bootstrap_servers": broker.bootstrap_servers,
        "app_id": f"test-{app}",
        "data_dir": folder / "state",
        "metrics_port": 0,
        "partitions": PARTITIONS,
        "session_timeout_ms": 6_000,
        "checkpoint_interval_ms": 200,
    }
    return asyncio.run(_run(settings_module.load(flags, environ={}), folder))


async def _run(settings: Settings, folder: Path) -> Run:
    await topics_module.ensure(settings)
    good: dict[str, Sent] = {}
    bad: list[tuple[Bad, Sent]] = []
    # Larger limits than the broker's, which then is the one that decides.
    async with AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, max_batch_size=2 << 20, max_request_size=2 << 20
    ) as producer:

        async def send(source: int, partition: int, key: bytes | None, value: bytes | None) -> Sent:
            batch = producer.create_batch()  # `send` refuses a record without key and value; Kafka does not
            batch.append(timestamp=NOW_MS, key=key, value=value)
            topic = settings.source_topics[source]
            await producer.partitions_for(topic)
            at = await (await producer.send_batch(batch, topic, partition=partition))
            return Sent(topic, at.partition, at.offset, value)

        async def send_good(partition: int, *, user: str | None = None, **fields: Any) -> str:
            event_id = f"good-{len(good)}"
            user = user or f"user-of-{partition}-{len(good) % 3}"
            value = orjson.dumps(_event(user, event_id, **fields))
            good[event_id] = await send(CLICKS, partition, user.encode(), value)
            return event_id

        for number, record in enumerate(BAD):
            await send_good(number % PARTITIONS)
            bad.append((record, await send(record.source, number % PARTITIONS, record.key, record.value)))
            await send_good(number % PARTITIONS)
        unbelieved = [await send_good(i % PARTITIONS, event_time=when) for i, when in enumerate(ABSURD_TIMES)]

        room = LARGEST_BATCH_BYTES - _bytes_around(producer, b"large")
        with pytest.raises(MessageSizeTooLargeError):
            await send(CLICKS, 0, b"large", b"x" * (room + 1))
        garbage = _raw(b"x" * room, "not_json", _NO_JSON.format(room), key=b"large")
        bad.append((garbage, await send(CLICKS, 0, garbage.key, garbage.value)))
        bare = len(orjson.dumps(_event("large", f"good-{len(good)}", padding="")))
        large = await send_good(0, user="large", padding="x" * (room - bare))
        assert len(good[large].value or b"") == room
        for partition in range(PARTITIONS):
            await send_good(partition)

        first = await _published(settings, folder)
        await send(CLICKS, 0, b"after", orjson.dumps(_event("after", "after")))
        return Run(good, bad, frozenset(unbelieved), first, await _published(settings, folder))


async def _published(settings: Settings, folder: Path) -> Published:
    """Run a worker until all is committed, and stop it."""
    with running(settings, folder / "worker.log") as worker:
        await until_committed(settings, worker)
        _, metrics = await worker.get("/metrics")
        assert await worker.stop() == 0, worker.said()
    return Published(
        metrics=metrics,
        dead=await read(settings, settings.dead_letters_topic),
        intent=await scores(settings, settings.purchase_intent_topic),
        anomaly=await scores(settings, settings.anomaly_scores_topic),
        ends=await ends(settings, settings.source_topics),
        committed=await committed(settings),
    )


def _bytes_around(producer: AIOKafkaProducer, key: bytes) -> int:
    """What a batch of one record adds to its value, where its length takes as many bytes as that of the largest."""
    value, batch = b"x" * 1_000_000, producer.create_batch()
    batch.append(timestamp=NOW_MS, key=key, value=value)
    return int(batch.size()) - len(value)


def _where(sent: Sent) -> str:
    return f"{sent.topic}-{sent.partition}-{sent.offset}"


def test_every_good_record_is_scored_once_on_both_topics(run: Run) -> None:
    assert len(run.good) == 2 * len(BAD) + len(ABSURD_TIMES) + 1 + PARTITIONS
    for published in (run.first.intent, run.first.anomaly):
        assert Counter(score["event_id"] for score in published) == Counter(run.good.keys())
        for score in published:
            assert score["id"].rsplit("-", 1)[0] == _where(run.good[score["event_id"]])


def test_absurd_times_are_scored_at_the_time_of_their_record(run: Run) -> None:
    assert len(run.unbelieved) == len(ABSURD_TIMES)
    for score in run.first.anomaly:
        assert score["time_bounded"] == (score["event_id"] in run.unbelieved)
        assert score["event_time_ms"] == NOW_MS
    counted = re.search(r"\nbehaviour_time_bounded_events_total (\S+)", run.first.metrics)
    assert counted is not None and float(counted[1]) == len(ABSURD_TIMES)


def test_a_good_record_of_the_brokers_largest_size_is_scored(run: Run) -> None:
    (large,) = (event_id for event_id, sent in run.good.items() if len(sent.value or b"") > 1_048_000)
    assert large in {score["event_id"] for score in run.first.intent}


def test_every_bad_record_is_one_dead_letter_in_its_partition_valid_by_the_schema(run: Run) -> None:
    validate = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate
    letters = [msgspec.json.decode(record.value, type=DeadLetter) for record in run.first.dead]
    assert Counter(letter.id for letter in letters) == Counter(_where(sent) for _, sent in run.bad)
    for record, letter in zip(run.first.dead, letters, strict=True):
        validate(json.loads(record.value))
        assert record.partition == letter.partition


@pytest.mark.parametrize("number", range(len(BAD) + 1))
def test_a_dead_letter_says_where_what_was_expected_and_what_came(run: Run, number: int) -> None:
    bad, sent = run.bad[number]
    letters = [(record, json.loads(record.value)) for record in run.first.dead]
    ((record, letter),) = ((record, letter) for record, letter in letters if letter["id"] == _where(sent))
    where = f"{sent.topic}[{sent.partition}]@{sent.offset}: "
    assert letter["error"].startswith(where)
    assert re.match(bad.error, letter["error"].removeprefix(where)), letter["error"]
    assert letter["error"].endswith("; sent to dead letters")
    assert len(letter["error"]) < 500
    assert (letter["stage"], letter["reason"]) == ("decode", bad.reason)
    assert (letter["topic"], letter["partition"], letter["offset"]) == (sent.topic, sent.partition, sent.offset)
    assert letter["record_time_ms"] == NOW_MS <= letter["failed_time_ms"]
    assert record.key == bad.key == (None if letter["key"] is None else base64.b64decode(letter["key"]))
    if bad.value is None:
        assert (letter["value"], letter["value_bytes"], letter["value_sha256"]) == (None, 0, None)
    else:
        assert base64.b64decode(letter["value"]) == bad.value[:KEPT_BYTES]
        assert letter["value_bytes"] == len(bad.value)
        assert letter["value_sha256"] == hashlib.sha256(bad.value).hexdigest()


def test_a_bad_record_of_the_brokers_largest_size_is_a_dead_letter_with_its_value_cut(run: Run) -> None:
    letters = [json.loads(record.value) for record in run.first.dead]
    (large,) = (letter for letter in letters if letter["value_bytes"] > 1_048_000)
    assert len(base64.b64decode(large["value"])) == KEPT_BYTES


def test_rejects_are_counted_by_reason_and_by_topic(run: Run) -> None:
    for pattern, expected in (
        (r'behaviour_rejects_total\{reason="(\w+)"\} (\S+)', Counter(bad.reason for bad, _ in run.bad)),
        (
            r'behaviour_events_total\{outcome="rejected",topic="(\S+?)"\} (\S+)',
            Counter(sent.topic for _, sent in run.bad),
        ),
    ):
        counted = Counter({label: int(float(n)) for label, n in re.findall(pattern, run.first.metrics)})
        assert counted == expected  # none and 0 are the same to a Counter


def test_committed_offsets_go_past_the_bad_records(run: Run) -> None:
    assert run.first.committed == {source: end for source, end in run.first.ends.items() if end}
    for _, sent in run.bad:
        assert run.first.committed[sent.topic, sent.partition] > sent.offset


def test_a_restart_makes_no_dead_letter_and_no_score_again(run: Run) -> None:
    assert len(run.restarted.dead) == len(run.bad)
    for before, after in ((run.first.intent, run.restarted.intent), (run.first.anomaly, run.restarted.anomaly)):
        assert Counter(score["event_id"] for score in after) == Counter(
            [*(score["event_id"] for score in before), "after"]
        )
    assert set(re.findall(r"^behaviour_rejects_total\{.*\} (\S+)$", run.restarted.metrics, re.MULTILINE)) == {"0.0"}
