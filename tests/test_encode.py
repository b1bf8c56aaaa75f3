"""Scores and rejects to the JSON that subscribers read."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream import encode
from stream.decode import decode
from stream.encode import (
    SCHEMA_VERSION,
    AnomalyScore,
    DeadLetter,
    Encoder,
    PurchaseIntent,
    Scored,
    SurpriseParts,
    json_schemas,
    published_anomaly,
)
from stream.events import Reject
from stream.features import PARTS
from tests.scores import ENCODER, HASH, HORIZONS, IDS, LONGEST, MODEL, NASTY, NOW_MS, TOPICS, scored_events
from tests.shop import BOUNDS, FakeRecord, click, frame, pipeline, random_events, score_all, small_model


def _straightforward(scored: Scored, i: int) -> tuple[PurchaseIntent, AnomalyScore]:
    """The two records of an event, field by field."""
    event = scored.events.columns[i]
    parts = [round(float(nats), 6) for nats in scored.surprise_parts[i]]
    common: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "id": f"{TOPICS[event['source']]}-{event['partition']}-{event['offset']}-{HASH}",
        "event_id": scored.events.event_id[i],
        "user_id": scored.events.key[i].decode(),
        "event_time_ms": int(event["time_ms"]),
        "scored_time_ms": NOW_MS,
        "events_seen": int(scored.events_seen[i]),
        "model": MODEL,
        "model_hash": HASH,
        "late": bool(scored.late[i]),
        "time_bounded": bool(event["time_bounded"]),
        "carry_rebuilt": bool(scored.carry_rebuilt[i]),
    }
    intent = [round(float(p), 6) for p in scored.intent[i]]
    return (
        PurchaseIntent(**common, purchase_intent=dict(zip(HORIZONS, intent, strict=True))),
        AnomalyScore(
            **common,
            anomaly=float(published_anomaly(scored.anomaly[i : i + 1])[0]),
            surprise=round(sum(parts), 6),
            surprise_parts=SurpriseParts(**dict(zip(PARTS, parts, strict=True))),
            strain=round(float(scored.strain[i]), 6),
            fraud=msgspec.UNSET if scored.fraud is None else round(float(scored.fraud[i]), 6),
        ),
    )


def _check(scored: Scored) -> None:
    """Every record is what a straightforward construction gives, in fields, order and types."""
    written = list(ENCODER.scores(scored, NOW_MS))
    assert len(written) == len(scored)
    for i, (key, intent_value, anomaly_value) in enumerate(written):
        intent, anomaly = _straightforward(scored, i)
        assert key == scored.events.key[i]
        assert msgspec.json.decode(intent_value, type=PurchaseIntent, strict=True) == intent
        assert msgspec.json.decode(anomaly_value, type=AnomalyScore, strict=True) == anomaly
        for value, record in ((intent_value, intent), (anomaly_value, anomaly)):
            assert _pairs(value) == _pairs(msgspec.json.encode(record))  # no field more, and in the type's order
            left_out = {*record.__struct_fields__} - json.loads(value).keys()
            assert left_out == ({"fraud"} if record is anomaly and scored.fraud is None else set())
            _validate(value, type(record))


def _pairs(value: bytes) -> Any:
    """JSON with the order of its fields, and whether one is there twice."""
    return json.loads(value, object_pairs_hook=lambda pairs: pairs)


_FILES: dict[type, str] = {
    PurchaseIntent: "purchase-intent.v1.json",
    AnomalyScore: "anomaly-scores.v1.json",
    DeadLetter: "dead-letters.v1.json",
}
_FOLDER = Path(encode.__file__).parent / "schemas"
_VALIDATORS = {
    kind: jsonschema.Draft202012Validator(json.loads((_FOLDER / name).read_bytes())) for kind, name in _FILES.items()
}


def _validate(value: bytes, kind: type) -> None:
    _VALIDATORS[kind].validate(json.loads(value))


@given(st.lists(st.tuples(IDS, IDS), max_size=6), st.integers(0, 2**32))
@example([(text, text) for text in NASTY], 0)
@example([(text, text) for text in LONGEST], 1)
@example([("clicks-0-0", "%b"), ("%(", "%")], 2)
@example([], 3)
@settings(max_examples=100)
def test_every_record_is_what_a_straightforward_construction_gives(ids: list[tuple[str, str]], seed: int) -> None:
    _check(scored_events(ids, seed))


def test_records_of_several_partitions_and_sources_keep_the_order_of_their_events() -> None:
    scored = scored_events([(f"user-{i}", f"event-{i}") for i in range(500)], 4)
    places = set(zip(scored.events["source"].tolist(), scored.events["partition"].tolist(), strict=True))
    assert len(places) == 12
    _check(scored)
    assert [key for key, _, _ in ENCODER.scores(scored, NOW_MS)] == [f"user-{i}".encode() for i in range(500)]


def test_no_events_make_no_records() -> None:
    assert list(ENCODER.scores(Scored.none(), NOW_MS)) == []
    assert Scored.none().surprise.shape == (0,)


def test_scores_at_the_ends_of_their_ranges_are_written_and_valid() -> None:
    ends = np.array([0.0, -0.0, 1.0, 1 - 1e-15, 1e-300, 5e-7, 1e-12, 1 - 1e-16])
    n = len(ends)
    nats = np.array([0.0, 60.0, 1e-6, 4.9e-7, 103.9, 1e4, 0.1, 5e-6], np.float32)
    scored = scored_events(
        [("u", "e")] * n,
        strain=np.array([0.0, -0.0, -1e-9, -3.5, 1e6, 214.97502, -0.000123, 1e3]),
        anomaly=ends,
        intent=np.stack([ends, ends[::-1], ends], axis=1).astype(np.float32),
        surprise_parts=np.stack([nats, nats[::-1], *[np.zeros(n, np.float32)] * (len(PARTS) - 3), nats], axis=1),
        fraud=ends.astype(np.float32),
        events_seen=np.array([1, 2, 2**31, 2**53, 2**62, 10, 100, 1000]),
    )
    _check(scored)
    values = [msgspec.json.decode(value, type=AnomalyScore) for _, _, value in ENCODER.scores(scored, NOW_MS)]
    assert values[3].anomaly == values[7].anomaly == 1 - 1e-15 < 1.0  # never rounded up to certainty
    assert [abs(v.anomaly - exact) <= 1e-15 for v, exact in zip(values, ends, strict=True)] == [True] * n
    assert values[1].surprise_parts.action == 60.0
    assert [v.surprise for v in values] == scored.surprise.tolist()


def test_all_eight_combinations_of_the_flags_are_told_apart() -> None:
    bits = np.arange(8)
    scored = scored_events([("u", "e")] * 8, late=bits & 1 > 0, carry_rebuilt=bits & 4 > 0)
    scored.events["time_bounded"][:] = bits & 2 > 0
    _check(scored)


def test_every_part_of_the_surprise_is_written_under_its_name() -> None:
    assert SurpriseParts.__struct_fields__ == PARTS
    nats = np.arange(1, len(PARTS) + 1, dtype=np.float32)[None]
    ((_, _, anomaly),) = ENCODER.scores(scored_events([("u", "e")], surprise_parts=nats), NOW_MS)
    read = json.loads(anomaly)
    assert read["surprise_parts"] == {part: place for place, part in enumerate(PARTS, 1)}
    assert read["surprise"] == sum(range(1, len(PARTS) + 1))


def test_a_probability_of_fraud_is_written_for_a_model_that_gives_one_and_else_left_out() -> None:
    def written(fraud: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        ((_, intent, anomaly),) = ENCODER.scores(scored_events([("u", "e")], fraud=fraud), NOW_MS)
        return json.loads(intent), json.loads(anomaly)

    intent, anomaly = written(np.array([0.25], np.float32))
    assert anomaly["fraud"] == 0.25
    assert "fraud" not in intent
    assert "fraud" not in written(None)[1]
    assert msgspec.convert(written(None)[1], AnomalyScore).fraud is msgspec.UNSET


def test_another_model_changes_the_ids_and_not_which_generation_its_topics_are_of() -> None:
    encoder = Encoder(topics=TOPICS, model=MODEL, model_hash=HASH, horizons=HORIZONS)
    scored = scored_events([("u", "e")])
    encoder.own(int(scored.events["partition"][0]), [2, 2, 2, 0])
    (before,) = (msgspec.json.decode(intent, type=PurchaseIntent) for _, intent, _ in encoder.scores(scored, NOW_MS))
    encoder.use("other", "0" * 12, HORIZONS)
    (after,) = (msgspec.json.decode(intent, type=PurchaseIntent) for _, intent, _ in encoder.scores(scored, NOW_MS))
    assert (after.model, after.model_hash) == ("other", "0" * 12)
    assert after.id == before.id.replace(HASH, "0" * 12) != before.id


@pytest.mark.parametrize("horizons", [("1m",), ("30s", "30m", "1h", "168h"), ("session",)])
def test_a_model_may_have_any_number_of_horizons(horizons: tuple[str, ...]) -> None:
    intent = np.linspace(0, 1, 2 * len(horizons), dtype=np.float32).reshape(2, len(horizons))
    encoder = Encoder(topics=TOPICS, model=MODEL, model_hash=HASH, horizons=horizons)
    written = [value for _, value, _ in encoder.scores(scored_events([("a", "1"), ("b", "2")], intent=intent), NOW_MS)]
    for value, expected in zip(written, intent.tolist(), strict=True):
        read = msgspec.json.decode(value, type=PurchaseIntent).purchase_intent
        assert read == {name: round(p, 6) for name, p in zip(horizons, expected, strict=True)}


@pytest.mark.parametrize(
    "model",
    [
        'my "best" \\ model',
        "modèle-🛒",
        "50%off",
        "100% done",
        "100%",
        "a%%b",
    ],
)
def test_a_model_file_may_have_any_name(model: str) -> None:
    encoder = Encoder(topics=TOPICS, model=model, model_hash=HASH, horizons=HORIZONS)
    ((_, intent, anomaly),) = encoder.scores(scored_events([("u", "e")]), NOW_MS)
    assert msgspec.json.decode(intent, type=PurchaseIntent).model == model
    assert msgspec.json.decode(anomaly, type=AnomalyScore).model == model


@pytest.mark.parametrize("fraud", [False, True])
def test_what_the_pipeline_scores_is_written_and_valid(fraud: bool) -> None:
    scoring, _ = pipeline(small_model(fraud=fraud))
    for partition in (0, 3):
        for scored in score_all(scoring, random_events(partition, n=200, users=9, partition=partition), cuts=(50,)):
            _check(scored)


def test_the_schema_files_are_those_of_the_types() -> None:
    files = {path.name: json.loads(path.read_bytes()) for path in _FOLDER.iterdir()}
    assert files == json_schemas()
    for schema in files.values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_the_schemas_refuse_what_is_out_of_range() -> None:
    ((_, intent, anomaly),) = ENCODER.scores(scored_events([("u", "e")]), NOW_MS)
    for kind, value, change in (
        (PurchaseIntent, intent, {"purchase_intent": {"30m": 1.5}}),
        (PurchaseIntent, intent, {"events_seen": 0}),
        (AnomalyScore, anomaly, {"anomaly": -0.1}),
        (AnomalyScore, anomaly, {"surprise": None}),
        (AnomalyScore, anomaly, {"strain": None}),
        (AnomalyScore, anomaly, {"fraud": 1.5}),
        (AnomalyScore, anomaly, {"fraud": None}),
        (AnomalyScore, anomaly, {"surprise_parts": {"action": 1.0}}),
    ):
        with pytest.raises(jsonschema.ValidationError):
            _validate(json.dumps(json.loads(value) | change).encode(), kind)


def _dead_letter(reject: Reject, max_bytes: int = 65_536) -> DeadLetter:
    value = ENCODER.dead_letter(reject, now_ms=NOW_MS, max_bytes=max_bytes)
    _validate(value, DeadLetter)
    read = msgspec.json.decode(value, type=DeadLetter, strict=True)
    assert list(json.loads(value)) == list(DeadLetter.__struct_fields__)
    return read


def _reject(value: bytes | None, *, key: bytes | None = b"u", source: int = 0) -> Reject:
    return Reject(source, 3, 43, 1_789_999_999_000, "decode", "schema", "expected x, got 'é\"%s'", key, value)


def test_a_dead_letter_says_where_what_was_expected_what_came_and_what_became_of_it() -> None:
    records = [click("u", 1_790_000_000_000, 43, name="tap")]
    _, (reject,) = decode(frame(records, partition=3), BOUNDS)
    letter = _dead_letter(reject)
    assert letter.error.startswith("clicks[3]@43: expected one of view_item_list, ")
    assert letter.error.endswith(", got 'tap' - at $.event_name; sent to dead letters")
    assert (letter.id, letter.topic, letter.partition, letter.offset) == ("clicks-3-43", "clicks", 3, 43)
    assert (letter.stage, letter.reason, letter.schema_version) == ("decode", "unknown_event", SCHEMA_VERSION)
    assert (letter.record_time_ms, letter.failed_time_ms) == (1_790_000_000_000, NOW_MS)
    assert (letter.key, letter.value) == (b"u", records[0].value)


@pytest.mark.parametrize("source", [0, 1, 2])
def test_a_dead_letter_names_its_source_topic(source: int) -> None:
    letter = _dead_letter(_reject(b"{}", source=source))
    assert letter.error == f"{TOPICS[source]}[3]@43: expected x, got 'é\"%s'; sent to dead letters"
    assert letter.id == f"{TOPICS[source]}-3-43"


@pytest.mark.parametrize("kept", [0, 1, 299, 300, 301])
def test_a_dead_letter_keeps_the_beginning_of_the_value_and_the_length_and_hash_of_all_of_it(kept: int) -> None:
    value = bytes(range(256)) + b"%" * 44  # bytes that are no text
    letter = _dead_letter(_reject(value, key=value), kept)
    assert letter.value == value[:kept]
    assert letter.key == value
    assert letter.value_bytes == 300
    assert letter.value_sha256 == hashlib.sha256(value).hexdigest()


def test_the_largest_dead_letter_fits_into_a_record() -> None:
    most = 700_000  # what the setting allows
    letter = ENCODER.dead_letter(_reject(b"v" * 500_000, key=b"k" * 500_000), now_ms=NOW_MS, max_bytes=most)
    assert msgspec.json.decode(letter, type=DeadLetter).key == b"k" * 1024
    largest = ENCODER.dead_letter(_reject(b"v" * 1_000_000, key=b"k" * 1024), now_ms=NOW_MS, max_bytes=most)
    assert len(letter) < len(largest) < 1_000_000  # of the broker's 1,048,588


def test_the_bytes_of_a_dead_letter_are_base64() -> None:
    raw = json.loads(ENCODER.dead_letter(_reject(b"\xff\x00", key=b"\xfe"), now_ms=NOW_MS, max_bytes=10))
    assert (base64.b64decode(raw["value"]), base64.b64decode(raw["key"])) == (b"\xff\x00", b"\xfe")


def test_a_null_value_and_an_empty_one_are_told_apart() -> None:
    nothing, empty = _dead_letter(_reject(None, key=None)), _dead_letter(_reject(b"", key=b""))
    assert (nothing.key, nothing.value, nothing.value_bytes, nothing.value_sha256) == (None, None, 0, None)
    assert (empty.key, empty.value, empty.value_bytes) == (b"", b"", 0)
    assert empty.value_sha256 == hashlib.sha256(b"").hexdigest()
    _, (reject,) = decode(frame([FakeRecord(b"u", None, 7, 0)]), BOUNDS)
    assert _dead_letter(reject).error == ("clicks[0]@7: expected a JSON object, got a null value; sent to dead letters")
