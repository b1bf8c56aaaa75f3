"""The job for one event at a time: (the user's state, a record) -> (their state, an intent record, an anomaly record).

What all Python peers share. Written for one event: floats, tuples and `struct` where a call of numpy would cost as much
as ten of theirs, numpy for the 64 fading counts, the step compiled; 45 us an event in all on one busy core, a quarter
of it the step. A state is 1,440 bytes for 64 hidden numbers, as a row of the service is, and of the same content. It
lies in columns, the latest event first, so that an event is appended by cutting the last one off:

    format u1 | parts u1 | layers u2 | hidden u2 | sequence u2 | model u8 | events_seen i8 | last_time_ms i8
    | offsets i8 x 3 | generations u4 x 3 | prices f4 | price_mean f4 | price_variance f4 | known u2 x 3 x 4
    | event_hash u8 x R | time_ms i8 x R | item u4 x R | category u4 x R | price f4 x R | device, country, place u2 x R
    | action u1 x R | counts f4 x 4 x 16 | strain f4 | strain_weight f4 | h f4 x H | c f4 x H
"""

from __future__ import annotations

import json
import struct
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence
from functools import partial
from json.encoder import encode_basestring_ascii as quoted
from math import cos, exp, isnan, log, log1p, pi, sin, sqrt
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream.anomaly import EVEN, STRAIN_WEIGHTS, USUAL
from stream.features import (
    ACTION,
    CONTEXT,
    FIRST_PRICE_EDGES,
    GAP_EDGES_S,
    NOTHING,
    PARTS,
    PRICE,
    PRICE_EDGES,
    REAL,
    RECENT,
    RHYTHM,
    RHYTHM_EDGES,
)
from stream.habits import SCALES_S
from stream.rows import COUNT_BUCKETS, COUNT_SCALES, FORMAT, KNOWN_PLACES, NO_OFFSET
from tests.bench.peers.exported import Arrays, Exported, Step
from tests.bench.peers.rarity import anomaly_of
from tests.bench.peers.reading import Record, facts

_GAPS, _RHYTHMS, _PRICES, _FIRST_PRICES = (
    edges.tolist() for edges in (GAP_EDGES_S, RHYTHM_EDGES, PRICE_EDGES, FIRST_PRICE_EDGES)
)
_MINUTE, _QUARTER, _HALF_DAY, _DAYS = (-float(scale) for scale in SCALES_S)
_COUNTS = len(REAL) - COUNT_SCALES * COUNT_BUCKETS  # where they begin in the features
_COUNTS_BYTES = 4 * COUNT_SCALES * COUNT_BUCKETS
_DAY_MS, _BLINK_S, _PRICES_KEPT = 86_400_000, 0.05, 32  # as in `stream.features` and `stream.habits`
_KEPT, _PRIOR, _EVEN_WEIGHT = 0.98, 1.0, 0.5  # as in `stream.anomaly`
_WEIGHTS = STRAIN_WEIGHTS.tolist()


class Begun(NamedTuple):
    """An event between its features and its scores."""

    said: str  # what both its records begin with
    state: bytes  # up to the strain
    strain: float
    strain_weight: float


class _Priced(NamedTuple):
    """A price beside the user's usual one."""

    norm: float
    step: float
    spread: float
    of_class: int
    memory: tuple[float, float, float]  # moved on


class Done(NamedTuple):
    """What becomes of an event."""

    state: bytes
    intent: bytes
    anomaly: bytes


class Job:
    """The features, states and records of up to `n` users at a time, and the step. One thread at a time."""

    def __init__(
        self, exported: Exported, topics: Sequence[str], make_step: Callable[[Arrays], Step], n: int = 1
    ) -> None:
        """`topics` are clicks, searches and purchases."""
        self._topics = topics
        self._arrays = arrays = Arrays(exported, len(REAL), n)
        self._step = make_step(arrays)
        self._action, self._classes = arrays.action, _bytes_of(arrays.classes)
        self._real = _bytes_of(arrays.real)
        self._h, self._c = _bytes_of(arrays.h), _bytes_of(arrays.c)
        self._counts_at = [arrays.real[i, _COUNTS:].reshape(COUNT_SCALES, COUNT_BUCKETS) for i in range(n)]
        self._carry_bytes = 4 * exported.hidden
        self._layout(exported)
        self._figures(exported)

    @classmethod
    def of(cls, folder: Path, topics: Sequence[str], n: int = 1) -> Self:
        """With the model that was exported to a folder, by what is fastest."""
        from tests.bench.peers.compiled import CompiledStep

        return cls(Exported.read(folder), topics, partial(CompiledStep, folder), n)

    def _layout(self, exported: Exported) -> None:
        r = exported.sequence
        head = f"<BBHHHQqq3q3I3f{3 * KNOWN_PLACES}H"
        self._head = struct.Struct(head)
        # An event's columns, in each all but the last entry, before which a new event's goes, and the whole with it
        starts, moved = [self._head.size], head
        self._kept = []
        for kind in "QqIIfHHHB":
            length = struct.calcsize(kind)
            self._kept.append(slice(starts[-1], starts[-1] + length * (r - 1)))
            starts.append(starts[-1] + length * r)
            moved += f"{kind}{length * (r - 1)}s"
        self._moved = struct.Struct(f"{moved}{_COUNTS_BYTES}s")
        self._counts = slice(starts[-1], starts[-1] + _COUNTS_BYTES)
        strain = self._counts.stop
        self._strain = struct.Struct("<2f")
        self._carry = (strain + self._strain.size, strain + self._strain.size + self._carry_bytes)
        # What is looked at of the past: whose ids an event may repeat, three times, eight items and categories
        self._past = struct.Struct(f"<{self._head.size}x{r}Q3q{8 * (r - 3)}x{RECENT}I{4 * (r - RECENT)}x{RECENT}I")
        self._sequence = r
        mark = int(exported.model_hash, 16)
        self._fixed = (FORMAT, 2, 1, exported.hidden, r, mark)
        blank = self._head.pack(*self._fixed, 0, NO_OFFSET, *[NO_OFFSET] * 3, *[0] * 3, *[0] * (3 + 3 * KNOWN_PLACES))
        self._blank = blank + bytes(self._carry[1] + self._carry_bytes - len(blank))

    def _figures(self, exported: Exported) -> None:
        told = exported.statistics
        self._gap = told["gap_mean"], told["gap_std"]
        self._price = told["price_mean"], told["price_std"]
        self._bounds = exported.bounds
        self._anomaly_of = anomaly_of(exported.normal_traffic)
        means = exported.normal_traffic.part_means
        self._usual = sum(weight * USUAL * mean for weight, mean in zip(_WEIGHTS, means, strict=True))
        one_of = np.zeros((COUNT_BUCKETS, COUNT_SCALES, COUNT_BUCKETS), np.float32)
        for bucket in range(COUNT_BUCKETS):
            one_of[bucket, :, bucket] = 1.0
        self._one_of = list(one_of)
        self._one = np.float32(1.0)
        self._fade = np.zeros((COUNT_SCALES, 1), np.float32)
        self._fade_bytes = _bytes_of(self._fade)
        self._before = np.zeros((COUNT_SCALES, COUNT_BUCKETS), np.float32)
        self._before_bytes = _bytes_of(self._before)
        self._classes_as = struct.Struct(f"<{len(PARTS)}q")
        self._real_as = struct.Struct(f"<{_COUNTS}f")
        model, model_hash = exported.model, exported.model_hash
        # Text with holes: half the time of encoding a structure
        self._said_as = (
            f'{{"schema_version":1,"id":"%s-%d-%d-{model_hash}","event_id":%s,"user_id":%s,"event_time_ms":%d,'
            f'"scored_time_ms":%d,"events_seen":%d,"model":{json.dumps(model)},"model_hash":"{model_hash}","late":%s,'
            '"time_bounded":%s,"carry_rebuilt":false,'
        )
        horizons = ",".join(f'"{name}":%.6f' for name in exported.horizons)
        self._intent_as = f'%s"purchase_intent":{{{horizons}}}}}'
        parts = ",".join(f'"{part}":%.6f' for part in PARTS)
        self._anomaly_as = f'%s"anomaly":%r,"surprise":%.6f,"surprise_parts":{{{parts}}},"strain":%.6f}}'

    def apply(self, state: bytes | None, record: Record) -> Done | None:
        """One event. None: it is none, or one that repeats one of the user's last."""
        begun = self.begin(0, state, record)
        if begun is None:
            return None
        self._step.one()
        arrays = self._arrays
        carry = arrays.h_out.tobytes() + arrays.c_out.tobytes()
        return self._end(begun, arrays.intent[0].tolist(), arrays.nats[0].tolist(), carry)

    def apply_begun(self, begun: Sequence[Begun]) -> list[Done]:
        """What becomes of events of different users that were begun at the places 0, 1, ..."""
        n, size = len(begun), self._carry_bytes
        intent, nats, h, c = self._step.many(n)
        hs, cs = h.tobytes(), c.tobytes()
        carries = [hs[at : at + size] + cs[at : at + size] for at in range(0, n * size, size)]
        return list(map(self._end, begun, intent.tolist(), nats.tolist(), carries))

    def begin(self, place: int, state: bytes | None, record: Record) -> Begun | None:
        """An event up to its features, which go to a place of the step's arrays; None as of `apply`."""
        event = facts(record, self._bounds)
        if event is None:
            return None
        user_id, event_id, action, time_ms, bounded, item, category, price, where = event
        state = state or self._blank
        past, r = self._past.unpack_from(state), self._sequence
        event_hash = xxh3_64_intdigest(event_id.encode())
        if event_hash in past[:r]:
            return None
        head = self._head.unpack_from(state)
        seen, high_ms, *offsets = head[6:11]
        first = seen == 0
        gap_s = 0.0 if first or time_ms < high_ms else (time_ms - high_ms) / 1000.0
        rhythm, rhythm_class = _rhythm(time_ms, *past[r : r + 3]) if seen >= 3 else (0.0, NOTHING)
        same_item, item_class = _alike(item, past[r + 3 : r + 3 + RECENT])
        same_category, category_class = _alike(category, past[r + 3 + RECENT :])
        priced = self._priced(price, *head[14:17])
        known = head[17:]
        context = 0
        if where != known[::KNOWN_PLACES]:  # hardly ever: they are where they were
            known, context = _visited(known, where)
        counts = self._count(place, state, action, gap_s)

        hour = (time_ms % _DAY_MS) * (2 * pi / _DAY_MS)
        gap_mean, gap_std = self._gap
        self._action[place] = action
        self._real_as.pack_into(
            self._real, 4 * len(REAL) * place,
            0.0 if first else (log1p(gap_s) - gap_mean) / gap_std,
            priced.norm, first, isnan(price), priced.step, priced.spread, rhythm, sin(hour), cos(hour),
            context & 1, context >> 1 & 1, context >> 2,
            *same_item, *same_category,
        )  # fmt: skip
        self._classes_as.pack_into(
            self._classes, self._classes_as.size * place,
            action, item_class, category_class, NOTHING if first else bisect_right(_GAPS, gap_s), rhythm_class,
            priced.of_class, NOTHING if first else context,
        )  # fmt: skip
        at_h, at_c = self._carry
        size = self._carry_bytes
        self._h[size * place : size * (place + 1)] = state[at_h:at_c]
        self._c[size * place : size * (place + 1)] = state[at_c:]

        offsets[record.source] = record.offset
        k = self._kept
        moved = self._moved.pack(
            *self._fixed, seen + 1, max(time_ms, high_ms), *offsets, *head[11:14], *priced.memory, *known,
            event_hash, state[k[0]], time_ms, state[k[1]], item, state[k[2]], category, state[k[3]], price, state[k[4]],
            where[0], state[k[5]], where[1], state[k[6]], where[2], state[k[7]], action, state[k[8]], counts,
        )  # fmt: skip
        said = self._said_as % (
            self._topics[record.source], record.partition, record.offset, quoted(event_id), quoted(user_id), time_ms,
            time.time_ns() // 1_000_000, seen + 1,
            "true" if time_ms < high_ms else "false", "true" if bounded else "false",
        )  # fmt: skip
        return Begun(said, moved, *self._strain.unpack_from(state, at_h - self._strain.size))

    def _priced(self, price: float, prices: float, mean: float, variance: float) -> _Priced:
        """The price beside the user's usual one; how many they had, their mean and variance."""
        spread = sqrt(variance)
        if isnan(price):
            return _Priced(0.0, 0.0, spread, 0, (prices, mean, variance))
        usual, deviation = self._price
        log_price = log1p(_F4.unpack(_F4.pack(price))[0])
        norm, away, weight = (log_price - usual) / deviation, log_price - mean, 1.0 / min(prices + 1, _PRICES_KEPT)
        if prices > 0:
            of_class = 1 + bisect_right(_PRICES, away)
            step = min(max(away, -5.0), 5.0)
            variance += weight * away * away
        else:
            of_class, step = 2 + len(_PRICES) + bisect_right(_FIRST_PRICES, norm), 0.0
        return _Priced(norm, step, spread, of_class, (prices + 1, mean + weight * away, (1 - weight) * variance))

    def _count(self, place: int, state: bytes, action: int, gap_s: float) -> bytes:
        """The user's counts fade and count the action; their logarithms go to a place of the features."""
        before = self._before
        self._before_bytes[:] = state[self._counts]
        fades = exp(gap_s / _MINUTE), exp(gap_s / _QUARTER), exp(gap_s / _HALF_DAY), exp(gap_s / _DAYS)
        _F4X4.pack_into(self._fade_bytes, 0, *fades)
        np.multiply(before, self._fade, before)
        np.add(before, self._one_of[action], before)
        counts = self._counts_at[place]
        np.add(before, self._one, counts)
        np.log(counts, counts)
        return before.tobytes()

    def _end(self, begun: Begun, intent: Sequence[float], nats: Sequence[float], carry: bytes) -> Done:
        said, state, total, weight = begun
        beyond = (
            _WEIGHTS[ACTION] * nats[ACTION] + _WEIGHTS[PRICE] * nats[PRICE] + _WEIGHTS[CONTEXT] * nats[CONTEXT]
        ) - self._usual
        if nats[RHYTHM] > EVEN:
            beyond += _EVEN_WEIGHT * (nats[RHYTHM] - EVEN)
        total, weight = _KEPT * total + beyond, _KEPT * _KEPT * weight + 1.0
        strain = total / sqrt(weight + _PRIOR)
        return Done(
            b"".join((state, self._strain.pack(total, weight), carry)),
            (self._intent_as % (said, *intent)).encode(),
            (self._anomaly_as % (said, self._anomaly_of(nats, strain), sum(nats), *nats, strain)).encode(),
        )


_F4, _F4X4 = struct.Struct("<f"), struct.Struct("<4f")
_NONE_ALIKE = [False] * RECENT


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return memoryview(array.data).cast("B")


def _rhythm(time_ms: int, before: int, second: int, third: int) -> tuple[float, int]:
    """How even the gaps between the last four events are: (feature, class)."""
    gaps = time_ms - before, before - second, second - third
    shortest = min(gaps)
    if shortest < 0:
        return 0.0, NOTHING
    ratio = log((max(gaps) / 1000.0 + _BLINK_S) / (shortest / 1000.0 + _BLINK_S))
    return exp(ratio / -0.5), bisect_right(_RHYTHMS, ratio)


def _alike(this: int, before: tuple[int, ...]) -> tuple[Sequence[bool], int]:
    """(whether it is that of each of the events before, the latest first; class)."""
    if not this:
        return _NONE_ALIKE, 0
    if this not in before:
        return _NONE_ALIKE, 1 + RECENT
    return [this == other for other in before], 1 + before.index(this)


def _visited(known: tuple[int, ...], where: tuple[int, int, int]) -> tuple[tuple[int, ...], int]:
    """(places known of each whereabout, the latest first, with these; which of these are new, a bit each)."""
    moved: list[int] = []
    new = 0
    for which, here in enumerate(where):
        before = known[which * KNOWN_PLACES : (which + 1) * KNOWN_PLACES]
        if here in (0, before[0]):
            moved += before
            continue
        if here in before:
            moved += (here, *(place for place in before if place != here))
        else:
            new |= (before[0] != 0) << which
            moved += (here, *before[:-1])
    return tuple(moved), new
