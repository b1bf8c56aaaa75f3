"""Every number that a size is made of, where it comes from, and the command that measures it again.

They were measured on 2 shared cores (AMD EPYC), Python 3.11, broker, load and worker on the same two, processor time in
a quiet minute: in a busy one the same work took up to 1.7 times as long. What stands as assumed was not: it is told at
the end of each size. A file replaces any of them by one's own.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from stream.errors import SettingsError

Origin = Literal["measured", "assumed", "given"]

_PROFILE = "behaviour-stream bench --profile"
_TRIAL = "behaviour-stream size --check"
_OWN = "python -m tests.bench.sizing"
_STORE = "python -m tests.bench.store --users 1000000"
_RESTORE = "python -m tests.bench.restore --users 200000"


def _measured(unit: str, text: str, command: str) -> Meta:
    return Meta(gt=0, description=text, extra={"unit": unit, "origin": "measured", "from": command})


def _assumed(unit: str, text: str, why: str) -> Meta:
    return Meta(gt=0, description=text, extra={"unit": unit, "origin": "assumed", "from": why})


class Constants(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Processor time is user and system time of all threads together."""

    decode_us: Annotated[float, _measured("us", "of an event: records to columns", _PROFILE)] = 0.97
    merge_us: Annotated[float, _measured("us", "of an event: three topics to one order", _PROFILE)] = 0.24
    table_us: Annotated[float, _measured("us", "of an event: finding its user", _PROFILE)] = 1.41
    features_us: Annotated[float, _measured("us", "of an event: features", _PROFILE)] = 0.48
    apply_us: Annotated[float, _measured("us", "of an event: writing its user's row", _PROFILE)] = 0.62
    encode_us: Annotated[float, _measured("us", "of an event: its two score records", _PROFILE)] = 0.81
    network_us: Annotated[float, _measured("us", "of an event: what a network of no size would take", _OWN)] = 0.52
    network_us_per_1000_multiply_adds: Annotated[
        float, _measured("us", "of 1,000 multiply-adds of network and heads", _OWN)
    ] = 0.0345
    kafka_us: Annotated[
        float, _measured("us", "of an event: fetching, sending, waiting in turn: what a worker takes beside", _TRIAL)
    ] = 1.4
    row_us: Annotated[float, _measured("us", "of a row at a checkpoint: copied, sent, put into RocksDB", _STORE)] = 6.3
    row_scoring_us: Annotated[
        float, _measured("us", "of it on the scoring thread, which has nothing else to do meanwhile", _TRIAL)
    ] = 1.5
    store_read_us: Annotated[float, _measured("us", "of a user fetched from RocksDB", _STORE)] = 9.3
    seat_us: Annotated[
        float, _measured("us", "of a user who is then given a place in memory, and another theirs taken", _OWN)
    ] = 6.5
    worker_cores_most: Annotated[
        float,
        _measured("cores", "that one worker keeps busy: one interpreter", "CHANGELOG, of `behaviour-stream bench`"),
    ] = 1.2
    exactly_once_share: Annotated[
        float,
        _measured("", "of the events per second of at_least_once", "behaviour-stream bench --both-guarantees"),
    ] = 0.97

    event_bytes: Annotated[float, _measured("bytes", "of a source record with key and framing", _OWN)] = 342.9
    intent_bytes: Annotated[float, _measured("bytes", "of a purchase-intent record, likewise", _OWN)] = 400.1
    anomaly_bytes: Annotated[float, _measured("bytes", "of an anomaly record, likewise", _OWN)] = 534.6
    row_record_bytes: Annotated[float, _measured("bytes", "of key and framing of a changelog record", _TRIAL)] = 22.0

    worker_bytes: Annotated[float, _measured("bytes", "resident, of a worker without users", _TRIAL)] = 820e6
    user_bytes: Annotated[float, _measured("bytes", "in memory of a user, beside the row: key, index", _OWN)] = 213.0
    waiting_event_bytes: Annotated[
        float, _measured("bytes", "in memory of an event that waits, beside its record", _OWN)
    ] = 121.0
    disk_amplification: Annotated[
        float, _measured("", "bytes on a worker's disk of a byte of a row, put again and again", _OWN)
    ] = 1.9
    write_amplification: Annotated[
        float, _measured("", "bytes that RocksDB writes for a byte put, 400,000 rows a partition", _OWN)
    ] = 2.8

    restore_rows_per_second: Annotated[
        float, _measured("rows/s", "from the changelog to an empty disk, of one worker", _RESTORE)
    ] = 79_200.0
    checkpoint_ms: Annotated[
        float, _measured("ms", "of a checkpoint of a partition under full load, beside its rows", _TRIAL)
    ] = 215.0
    broker_transactions_per_second: Annotated[
        float, _measured("/s", "that one broker ended at least, with its clients on the same two cores", _OWN)
    ] = 175.0
    group_bytes_per_partition: Annotated[
        float, _measured("bytes", "of a partition in what each member says to its group", _OWN)
    ] = 22.0
    group_bytes_per_member: Annotated[float, _measured("bytes", "of a member in what each says of all", _OWN)] = 203.0
    group_bytes_of_itself: Annotated[float, _measured("bytes", "of itself in what each says", _OWN)] = 674.0
    group_record_bytes_most: Annotated[
        float,
        _measured(
            "bytes",
            "of one record with all members: message.max.bytes of __consumer_offsets; a larger group was refused",
            "Kafka's default; tried with Kafka 4.4",
        ),
    ] = 1_048_588.0

    broker_write_bytes_per_second: Annotated[
        float,
        _assumed("bytes a second", "that a broker writes steadily, replicas included", "a cloud disk"),
    ] = 200e6
    disk_write_bytes_per_second: Annotated[
        float, _assumed("bytes a second", "that a worker's disk writes steadily", "a cloud disk")
    ] = 200e6
    broker_replicas_most: Annotated[
        float, _assumed("replicas", "of partitions that a broker bears", "advice of Kafka's makers")
    ] = 4_000.0
    cluster_replicas_most: Annotated[
        float, _assumed("replicas", "of partitions that a cluster bears", "advice of Kafka's makers")
    ] = 200_000.0
    restore_secs_most: Annotated[
        float, _assumed("s", "that the users of a lost disk may be without scores", "a choice")
    ] = 120.0
    changelog_copies: Annotated[
        float, _assumed("", "of each row in a changelog between compactions", "min.cleanable.dirty.ratio of 0.5")
    ] = 2.0


@dataclass(frozen=True, slots=True)
class Fact:
    """A constant, in words."""

    name: str
    value: float
    unit: str
    origin: Origin
    text: str
    source: str  # the command that measures it, or why it is assumed


def facts(constants: Constants, given: frozenset[str] = frozenset()) -> Iterator[Fact]:
    """All of them; `given` are those that came from a file."""
    for field in msgspec.inspect.type_info(Constants).fields:  # type: ignore[attr-defined]
        schema, extra = field.type.extra_json_schema or {}, field.type.extra
        origin: Origin = "given" if field.name in given else extra["origin"]
        source = "--constants" if field.name in given else extra["from"]
        yield Fact(field.name, getattr(constants, field.name), extra["unit"], origin, schema["description"], source)


def read(path: Path) -> tuple[Constants, frozenset[str]]:
    """Constants with those of a JSON file instead (`{"kafka_us": 8.5}`), and the names of these.

    SettingsError naming file and field, what was expected and what came.
    """
    try:
        given = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise SettingsError(f"--constants={path}: cannot be read ({error.strerror})") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"--constants={path}: expected a JSON object, name to number: {error}") from None
    for name, value in given.items():
        if name not in Constants.__struct_fields__:
            close = difflib.get_close_matches(name, Constants.__struct_fields__, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise SettingsError(f"--constants={path}: {name}: no such constant{hint} (`size --json` lists them all)")
        try:
            msgspec.convert({name: value}, Constants)
        except msgspec.ValidationError:
            raise SettingsError(
                f"--constants={path}: {name}: expected a number above 0, got {msgspec.json.encode(value).decode()}"
            ) from None
    return msgspec.convert(given, Constants), frozenset(given)
