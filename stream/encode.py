"""Scores and rejects -> record values: the JSON that subscribers read.

How a schema may change: a field may be added within a `schema_version`, and readers ignore what they do not know; a
field that is renamed, removed, or changes its type, unit or meaning takes the next version, which is written to a new
topic beside the old one until its readers have moved. `stream/schemas/` holds these types as JSON Schemas.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Self

import msgspec
import numpy as np
import orjson
from msgspec import UNSET, Meta, UnsetType
from numpy.typing import NDArray

from stream.events import SOURCES, EventBatch, Reject
from stream.features import PARTS

SCHEMA_VERSION = 1

Unit = Annotated[float, Meta(ge=0, le=1)]
Nats = Annotated[float, Meta(ge=0)]


def _about(text: str) -> Meta:
    return Meta(description=text)


class _Score(msgspec.Struct, frozen=True, gc=False):
    schema_version: Annotated[int, _about("1 here; rises when a field changes its meaning")]
    id: Annotated[str, _about("source topic, partition, offset and model; a replay repeats it: keep the first of each")]
    event_id: str
    user_id: str
    event_time_ms: int
    scored_time_ms: Annotated[int, _about("when the score was made, by the worker's clock")]
    events_seen: Annotated[int, Meta(ge=1, description="this was the user's n-th event: the order of application")]
    model: str
    model_hash: Annotated[str, _about("SHA-256 of the weights, first 12 hex digits")]
    late: Annotated[bool, _about("older than an event of the user already applied; scored on arrival")]
    time_bounded: Annotated[bool, _about("its own time was not believed; event_time_ms is the source record's")]
    carry_rebuilt: Annotated[bool, _about("the user's rolling sequence was first run through a model new to it")]


class PurchaseIntent(_Score, frozen=True, gc=False):
    """How likely the user is to buy, after this event. One per event."""

    purchase_intent: Annotated[dict[str, Unit], _about("probability of a purchase within each horizon, by its name")]


class SurpriseParts(msgspec.Struct, frozen=True, gc=False):
    """What the surprise is made of, in nats."""

    action: Nats
    item: Annotated[float, Meta(ge=0, description="one of the user's last items, or another")]
    category: Annotated[float, Meta(ge=0, description="one of the user's last categories, or another")]
    gap: Annotated[float, Meta(ge=0, description="time since the event before")]
    rhythm: Annotated[float, Meta(ge=0, description="how even the last three gaps are")]
    price: Annotated[float, Meta(ge=0, description="beside the user's usual one")]
    context: Annotated[float, Meta(ge=0, description="a device, country or place new to the user")]


class AnomalyScore(_Score, frozen=True, gc=False):
    """How strange this event is, given the user's events before it. One per event."""

    anomaly: Annotated[Unit, _about("share of normal traffic that is less surprising; a high score is strange")]
    surprise: Annotated[Nats, _about("-ln p(what came), in nats: the sum of its parts")]
    surprise_parts: SurpriseParts
    strain: Annotated[float, _about("surprise of the user's latest events beyond the usual, in standard deviations")]
    # Left out, never null.
    fraud: Annotated[Unit | UnsetType, _about("probability of fraud; only of a model that learned from labels")] = UNSET


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that could not be scored."""

    schema_version: int
    id: Annotated[str, _about("source topic, partition and offset; a replay repeats it")]
    topic: str
    partition: int
    offset: int
    record_time_ms: int
    failed_time_ms: int
    stage: str
    reason: Annotated[str, _about("one of a few words, for counting")]
    error: Annotated[str, _about("where, what was expected, what came")]
    key: Annotated[bytes | None, _about("base64 of the first 1,024 bytes")]
    value: Annotated[bytes | None, _about("base64 of the original bytes, cut to a limit")]
    value_bytes: Annotated[int, _about("length of the original")]
    value_sha256: Annotated[str | None, _about("of the whole original")]


@dataclass(frozen=True, slots=True)
class Scored:
    """N events with their scores, in the order in which they were applied."""

    events: EventBatch
    events_seen: NDArray[np.int64]  # the user's count with this event
    late: NDArray[np.bool_]
    carry_rebuilt: NDArray[np.bool_]
    intent: NDArray[np.float32]  # [N, K] in [0, 1]
    surprise_parts: NDArray[np.float32]  # [N, len(PARTS)] nats
    strain: NDArray[np.float64]
    anomaly: NDArray[np.float64]  # in [0, 1]
    fraud: NDArray[np.float32] | None = None  # in [0, 1]; None: the model has no such head

    def __len__(self) -> int:
        return len(self.events)

    @classmethod
    def none(cls) -> Self:
        """The scores of no events."""
        flags, numbers = np.empty(0, np.bool_), np.empty((0, len(PARTS)), np.float32)
        of_each = np.empty(0, np.float64)
        return cls(EventBatch.concat([]), np.empty(0, np.int64), flags, flags, numbers, numbers, of_each, of_each)

    @property
    def surprise(self) -> NDArray[np.float64]:
        """[N] nats: the sum of the parts as published."""
        return np.asarray(np.round(_rounded(self.surprise_parts).sum(axis=1), DIGITS), np.float64)


# Digits after the point: an intent of 1e-6 drives no decision, and shorter numbers make shorter records. Of an anomaly,
# those that tell the strange from the stranger.
DIGITS, ANOMALY_DIGITS = 6, 15
ANOMALY_MOST = 1 - 1e-15  # as long as it is not certain

_encode = msgspec.json.Encoder().encode

# The types above as text with holes, which takes half the time of filling and encoding them one by one (2 us against
# 4 us for the two records of an event); a test reads each record back as its type.
_BOTH = (
    b'{"schema_version":%d,"id":"%%b%%b-%b","event_id":%%b,"user_id":%%b,"event_time_ms":%%b,"scored_time_ms":%d,'
    b'"events_seen":%%b,"model":%b,"model_hash":"%b",%%b,'
)
_INTENT = b'"purchase_intent":{%b}}'
_ANOMALY = b'"anomaly":%%b,"surprise":%%b,"surprise_parts":{%b},"strain":%%b%%b}' % b",".join(
    b'"%b":%%b' % part.encode() for part in PARTS
)
_JSON_FLAG = (b"false", b"true")
_FIRST = (0,) * (len(SOURCES) + 1)  # generations
# By late + 2 time_bounded + 4 carry_rebuilt
FLAGS = tuple(
    b'"late":%b,"time_bounded":%b,"carry_rebuilt":%b' % tuple(_JSON_FLAG[bits >> i & 1] for i in range(3))
    for bits in range(8)
)


class Encoder:
    """Writes records, for one model at a time; what is the same in each is set once."""

    def __init__(self, *, topics: Sequence[str], model: str, model_hash: str, horizons: Sequence[str]) -> None:
        self._topics = topics
        self._generations: dict[int, Sequence[int]] = {}
        self.use(model, model_hash, horizons)

    def use(self, model: str, model_hash: str, horizons: Sequence[str]) -> None:
        """What is written from here on was scored by this model."""
        self._model_hash = model_hash.encode()
        self._model = _encode(model).replace(b"%", b"%%")  # it goes into a template
        self._intent = _INTENT % b",".join(_encode(horizon) + b":%b" for horizon in horizons)

    def own(self, partition: int, generations: Sequence[int]) -> None:
        """Of which generation its topics are: an offset of one that was made anew has been another event's before."""
        self._generations[partition] = generations

    def templates(self, now_ms: int) -> tuple[bytes, bytes, bytes]:
        """What both records of an event begin with, and how each goes on, with a %b for each figure and text.

        Those of the beginning: where it came from, offset, event id, user id, event time, events seen, flags.
        """
        both = _BOTH % (SCHEMA_VERSION, self._model_hash, now_ms, self._model, self._model_hash)
        return both, self._intent, _ANOMALY

    def wheres(self, partition: int) -> list[bytes]:
        """`topic-partition-` of each source, the beginning of an id."""
        return [f"{self._where(source, partition)}-".encode() for source in SOURCES]

    def scores(self, scored: Scored, now_ms: int) -> Iterator[tuple[bytes, bytes, bytes]]:
        """(key, purchase-intent value, anomaly-scores value) of each event, in order.

        One at a time, to be used at once: bytes kept by the thousand cost ten times as much.
        """
        events = scored.events
        if not len(events):
            return
        both_as, intent_as, anomaly_as = self.templates(now_ms)
        intent, parts = _rounded(scored.intent), _rounded(scored.surprise_parts)
        flags = scored.late + 2 * events["time_bounded"] + 4 * scored.carry_rebuilt
        fraud = [b""] * len(events)
        if scored.fraud is not None:
            fraud = [b',"fraud":' + token for token in _tokens(_rounded(scored.fraud))]
        for key, event_id, where, flag, offset, time_ms, seen, anomaly, nats, horizons, *of in zip(
            events.key.tolist(),
            events.event_id.tolist(),
            self._wheres(events),
            flags.tolist(),
            *(_tokens(column) for column in (events["offset"], events["time_ms"], scored.events_seen)),
            _tokens(published_anomaly(scored.anomaly)),
            _tokens(scored.surprise),
            zip(*(_tokens(intent[:, k]) for k in range(intent.shape[1])), strict=True),
            *(_tokens(parts[:, part]) for part in range(len(PARTS))),
            _tokens(np.round(scored.strain, DIGITS)),
            fraud,
            strict=True,
        ):
            both = both_as % (where, offset, _encode(event_id), _encode(key.decode()), time_ms, seen, FLAGS[flag])
            yield key, both + intent_as % horizons, both + anomaly_as % (anomaly, nats, *of)

    def _wheres(self, events: EventBatch) -> list[bytes]:
        """[N] `topic-partition-`, the beginning of an id."""
        names = {partition: self.wheres(partition) for partition in np.unique(events["partition"]).tolist()}
        places = zip(events["partition"].tolist(), events["source"].tolist(), strict=True)
        return [names[partition][source] for partition, source in places]

    def _where(self, source: int, partition: int) -> str:
        """`topic-partition`; from its second generation on `topic~generation-partition`: no topic's name has a ~."""
        generation = self._generations.get(partition, _FIRST)[source]
        return f"{self._topics[source]}{f'~{generation}' if generation else ''}-{partition}"

    def dead_letter(self, reject: Reject, *, now_ms: int, max_bytes: int) -> bytes:
        """The value of a dead letter, with at most `max_bytes` of the original."""
        topic, value = self._topics[reject.source], reject.value
        where = f"{topic}[{reject.partition}]@{reject.offset}"
        return _encode(
            DeadLetter(
                schema_version=SCHEMA_VERSION,
                id=f"{self._where(reject.source, reject.partition)}-{reject.offset}",
                topic=topic,
                partition=reject.partition,
                offset=reject.offset,
                record_time_ms=reject.record_time_ms,
                failed_time_ms=now_ms,
                stage=reject.stage,
                reason=reject.reason,
                error=f"{where}: {reject.error}; sent to dead letters",
                key=short_key(reject.key),
                value=None if value is None else value[:max_bytes],
                value_bytes=0 if value is None else len(value),
                value_sha256=None if value is None else hashlib.sha256(value).hexdigest(),
            )
        )


def short_key(key: bytes | None) -> bytes | None:
    """A dead letter's key: one of a megabyte beside a value of a megabyte would be more than a record can hold."""
    return None if key is None else key[:1024]


def json_schemas() -> Mapping[str, dict[str, Any]]:
    """File name -> JSON Schema of each output record; the files in `stream/schemas/` are these."""
    return {
        "purchase-intent.v1.json": msgspec.json.schema(PurchaseIntent),
        "anomaly-scores.v1.json": msgspec.json.schema(AnomalyScore),
        "dead-letters.v1.json": msgspec.json.schema(DeadLetter),
    }


def published_anomaly(anomaly: NDArray[np.float64]) -> NDArray[np.float64]:
    """[N] in as many digits as are published; none is rounded up to certainty."""
    return np.asarray(np.where(anomaly < 1, np.minimum(np.round(anomaly, ANOMALY_DIGITS), ANOMALY_MOST), anomaly))


def _tokens(column: NDArray[Any]) -> list[bytes]:
    """[N] numbers or flags, each as JSON."""
    return orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY)[1:-1].split(b",")


def _rounded(column: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(np.round(column.astype(np.float64), DIGITS), np.float64)
