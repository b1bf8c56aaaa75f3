"""Scores -> the bytes of record batches: what `encode.Encoder.scores` gives, in the batches that aiokafka would make.

The format is Kafka's record batch, version 2: a header, which the producer fills in when it sends, and one record after
the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.compiled import varints
from stream.compiled.compiling import compiled
from stream.compiled.writing import TEXT_MOST, copy, integer, rounded, text
from stream.encode import ANOMALY_DIGITS, ANOMALY_MOST, DIGITS, FLAGS, Encoder, Scored
from stream.features import PARTS
from stream.record_batches import HEADER_BYTES, PartitionScores, RecordRun

INTENT, ANOMALY = range(2)
_SCALE = 10.0**DIGITS

# Which pieces of text stand where: before, between and after the figures.
_OF_BOTH, _OF_ANOMALY = 0, 8
_OF_INTENT = _OF_ANOMALY + 5 + len(PARTS)
_FRAUD = np.frombuffer(b',"fraud":', np.uint8)
_FLAG_TEXT = np.frombuffer(b"".join(FLAGS), np.uint8)
_FLAG_AT = np.array([0, *accumulate(map(len, FLAGS))], np.int64)
# Bytes that an event's figures may take in a record, and what stands around key and value
_FIGURES_MOST, _AROUND_MOST = 32 * (8 + len(PARTS)), 32


def score_batches(encoder: Encoder, scored: Scored, now_ms: int, max_bytes: int) -> Iterator[PartitionScores]:
    """The records of all events, in order; none of a batch of more than `max_bytes` but where one record is larger.

    ValueError where a figure is too large to be written here.
    """
    events = scored.events
    if not len(events):
        return
    before, intent, anomaly = (_pieces(template) for template in encoder.templates(now_ms))
    pieces = [*before, *anomaly, *intent]
    ids = int(events["key_size"].max()) + int(events["id_size"].max())
    figures = _FIGURES_MOST + 32 * scored.intent.shape[1]
    partitions = events["partition"]
    cuts = np.flatnonzero(partitions[1:] != partitions[:-1]) + 1
    for begin, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(events)], strict=True):
        partition, n = int(partitions[begin]), end - begin
        run = slice(begin, end)
        wheres = encoder.wheres(partition)
        room = sum(map(len, pieces)) + max(map(len, wheres)) + TEXT_MOST * ids + figures
        out = np.empty((2, n * (room + ids + _AROUND_MOST)), np.uint8)
        ends = np.empty((2, n, 2), np.int64)
        batches = _fill(
            events.columns[run],
            events.text,
            scored.events_seen[run],
            scored.late[run],
            scored.carry_rebuilt[run],
            np.ascontiguousarray(scored.intent[run]),
            np.ascontiguousarray(scored.surprise_parts[run]),
            scored.anomaly[run],
            scored.strain[run],
            _NO_FRAUD if scored.fraud is None else scored.fraud[run],
            *_joined(pieces),
            *_joined(wheres),
            max_bytes,
            np.empty(room, np.uint8),
            out,
            ends,
        )
        if batches[INTENT] < 0:
            raise ValueError("expected figures of at most 15 digits, got a larger one")
        intents, anomalies = (runs(out[kind], ends[kind, : batches[kind]]) for kind in (INTENT, ANOMALY))
        yield PartitionScores(partition, intents, anomalies)


_NO_FRAUD = np.empty(0, np.float32)


def _pieces(template: bytes) -> list[bytes]:
    holes = template.replace(b"%%", b"").count(b"%b")
    return (template % ((b"\0",) * holes)).split(b"\0")


def _joined(pieces: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    at = np.array([0, *accumulate(map(len, pieces))], np.int64)
    return np.frombuffer(b"".join(pieces), np.uint8), at


def runs(out: NDArray[np.uint8], ends: NDArray[np.int64]) -> list[RecordRun]:
    runs, begin = [], 0
    for end, count in ends.tolist():
        data = bytearray(HEADER_BYTES + end - begin)
        data[HEADER_BYTES:] = out[begin:end].data
        runs.append(RecordRun(data, count))
        begin = end
    return runs


@compiled
def _fill(
    events: Any,
    ids: Any,
    seen: Any,
    late: Any,
    rebuilt: Any,
    intent: Any,
    parts: Any,
    anomaly: Any,
    strain: Any,
    fraud: Any,
    pieces: Any,
    piece_at: Any,
    wheres: Any,
    where_at: Any,
    max_bytes: int,
    value: Any,
    out: Any,
    ends: Any,
) -> tuple[int, int]:
    """Events of one partition, in order, into `out` [2, bytes], and where each batch ends there and of how many records
    it is into `ends` [2, N, 2] -> how many batches of each kind; (-1, -1) where a figure is not to be written here.

    `value` is room for one value.
    """
    batches, counts, begins, at = np.zeros((4, 2), np.int64)
    for i in range(len(events)):
        event = events[i]
        key_at = event.text_at
        id_at = key_at + event.key_size
        id_end = id_at + event.id_size

        both = copy(value, 0, pieces, piece_at[0], piece_at[1])
        both = copy(value, both, wheres, where_at[event.source], where_at[event.source + 1])
        both = integer(value, both, event.offset)
        both = copy(value, both, pieces, piece_at[2], piece_at[3])
        both = text(value, both, ids, id_at, id_end)
        both = copy(value, both, pieces, piece_at[3], piece_at[4])
        both = text(value, both, ids, key_at, id_at)
        both = copy(value, both, pieces, piece_at[4], piece_at[5])
        both = integer(value, both, event.time_ms)
        both = copy(value, both, pieces, piece_at[5], piece_at[6])
        both = integer(value, both, seen[i])
        both = copy(value, both, pieces, piece_at[6], piece_at[7])
        flag = int(late[i]) + 2 * int(event.time_bounded) + 4 * int(rebuilt[i])
        both = copy(value, both, _FLAG_TEXT, _FLAG_AT[flag], _FLAG_AT[flag + 1])
        both = copy(value, both, pieces, piece_at[7], piece_at[8])

        for kind in (INTENT, ANOMALY):
            end = both
            piece = _OF_INTENT if kind == INTENT else _OF_ANOMALY
            if kind == INTENT:
                for k in range(intent.shape[1]):
                    end = copy(value, end, pieces, piece_at[piece + k], piece_at[piece + k + 1])
                    end = rounded(value, end, intent[i, k], DIGITS)
                    if end < 0:
                        return -1, -1
                piece += intent.shape[1]
            else:
                end = copy(value, end, pieces, piece_at[piece], piece_at[piece + 1])
                strange = anomaly[i]
                if ANOMALY_MOST < strange < 1:
                    strange = ANOMALY_MOST
                end = rounded(value, end, strange, ANOMALY_DIGITS)
                if end < 0 or strange > 1:
                    return -1, -1
                end = copy(value, end, pieces, piece_at[piece + 1], piece_at[piece + 2])
                surprise = 0.0
                for part in range(parts.shape[1]):
                    surprise += np.rint(np.float64(parts[i, part]) * _SCALE) / _SCALE
                end = rounded(value, end, surprise, DIGITS)
                if end < 0:
                    return -1, -1
                for part in range(parts.shape[1]):
                    end = copy(value, end, pieces, piece_at[piece + 2 + part], piece_at[piece + 3 + part])
                    end = rounded(value, end, parts[i, part], DIGITS)
                    if end < 0:
                        return -1, -1
                piece += 2 + parts.shape[1]
                end = copy(value, end, pieces, piece_at[piece], piece_at[piece + 1])
                end = rounded(value, end, strain[i], DIGITS)
                if end < 0:
                    return -1, -1
                if len(fraud):
                    end = copy(value, end, _FRAUD, 0, len(_FRAUD))
                    end = rounded(value, end, fraud[i], DIGITS)
                    if end < 0:
                        return -1, -1
                piece += 2
            end = copy(value, end, pieces, piece_at[piece], piece_at[piece + 1])

            size = record_size(counts[kind], id_at - key_at, end)
            size += varints.size(size)
            if counts[kind] and HEADER_BYTES + at[kind] - begins[kind] + size > max_bytes:
                ends[kind, batches[kind], 0], ends[kind, batches[kind], 1] = at[kind], counts[kind]
                batches[kind] += 1
                begins[kind], counts[kind] = at[kind], 0
            at[kind] = record(out[kind], at[kind], counts[kind], ids, key_at, id_at - key_at, value, 0, end)
            counts[kind] += 1
    for kind in (INTENT, ANOMALY):
        if counts[kind]:
            ends[kind, batches[kind], 0], ends[kind, batches[kind], 1] = at[kind], counts[kind]
            batches[kind] += 1
    return batches[INTENT], batches[ANOMALY]


@compiled
def record_size(number: int, key_size: int, value_size: int) -> int:
    """Of a record without its own length: attributes, time, number in the batch, key, value (-1: null), no headers."""
    around = 3 + varints.size(number) + varints.size(key_size) + varints.size(value_size)
    return around + key_size + max(value_size, 0)


@compiled
def record(
    out: Any, at: int, number: int, keys: Any, key_at: int, key_size: int, values: Any, value_at: int, value_size: int
) -> int:
    """-> where it ended."""
    at = varints.write(out, at, record_size(number, key_size, value_size))
    out[at], out[at + 1] = 0, 0  # no attributes; as late as the batch's first record
    at = varints.write(out, at + 2, number)
    at = copy(out, varints.write(out, at, key_size), keys, key_at, key_at + key_size)
    at = copy(out, varints.write(out, at, value_size), values, value_at, value_at + max(value_size, 0))
    out[at] = 0
    return at + 1
