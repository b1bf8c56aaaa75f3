"""Scores and dead letters -> output topics, in prebuilt batches, to the source's own partition number.

Batches are built where they are encoded, and sent from the event loop, by the outlet of the partition that their events
came from. A checkpoint of that partition waits until all of them are acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from stream.encode import Encoder, Scored, short_key
from stream.events import Reject
from stream.kafka.batches import BATCH_BYTES, Batches, PreparedBatch
from stream.kafka.outlets import Outlets
from stream.kernels import REFERENCE, Kernels
from stream.settings import Settings


class Batch(NamedTuple):
    """A closed batch of records of one topic partition; `source` is the partition that their events came from."""

    source: int
    topic: str
    partition: int
    records: Any


class Publisher:
    """All outputs of a worker."""

    def __init__(self, settings: Settings, encoder: Encoder, outlets: Outlets, kernels: Kernels = REFERENCE) -> None:
        self._settings, self._encoder, self._outlets = settings, encoder, outlets
        self._score_batches = kernels.score_batches
        self._unacknowledged: defaultdict[int, list[asyncio.Future[Any]]] = defaultdict(list)  # by source partition

    async def start(self) -> None:
        """Begin with nothing sent; called whenever partitions were taken on."""
        for futures in self._unacknowledged.values():
            for future in futures:  # of what nobody waits for any more, nobody is told how it ended either
                future.cancel()
        self._unacknowledged.clear()
        await self._outlets.start()

    async def close(self) -> None:
        await self._outlets.stop()

    def build(self, scored: Scored, rejects: Sequence[Reject], now_ms: int) -> list[Batch]:
        """Two records per event and one per reject, in order, as closed batches."""
        outputs = _Outputs(self._outlets, now_ms)
        prepared = self._prepared(scored, now_ms)
        if prepared is None:
            prepared = []
            rows = self._encoder.scores(scored, now_ms)
            # Events come in long runs of one partition, as they were taken.
            for source, run in groupby(zip(scored.events["partition"].tolist(), rows, strict=True), itemgetter(0)):
                add_intent = outputs.to(source, self._settings.purchase_intent_topic, source)
                add_anomaly = outputs.to(source, self._settings.anomaly_scores_topic, source)
                for _, (key, intent, anomaly) in run:
                    add_intent(key, intent)
                    add_anomaly(key, anomaly)
        dead_letters = self._settings.dead_letters_topic
        for reject in rejects:
            value = self._encoder.dead_letter(reject, now_ms=now_ms, max_bytes=self._settings.dead_letter_max_bytes)
            source = reject.partition
            partition = source % self._outlets.of(source).partitions(dead_letters)
            outputs.to(source, dead_letters, partition)(short_key(reject.key), value)
        return prepared + outputs.close()

    def _prepared(self, scored: Scored, now_ms: int) -> list[Batch] | None:
        """The scores, written at once; None where they have to be written one by one."""
        if self._score_batches is None:
            return None
        topics = self._settings.purchase_intent_topic, self._settings.anomaly_scores_topic
        prepared = []
        try:
            for source, *of_it in self._score_batches(self._encoder, scored, now_ms, BATCH_BYTES):
                transactional = self._outlets.of(source).transactional
                for topic, runs in zip(topics, of_it, strict=True):
                    batches = (PreparedBatch(run, now_ms, transactional=transactional) for run in runs)
                    prepared += [Batch(source, topic, source, batch) for batch in batches]
        except ValueError:  # a figure that is not written so: no model's, but one may be broken
            return None
        return prepared

    async def send(self, batches: Iterable[Batch]) -> None:
        """Hand batches to their outlets, those of one source in order; waits for room, and for commits under way."""
        by_source: defaultdict[int, list[Batch]] = defaultdict(list)
        for batch in batches:
            by_source[batch.source].append(batch)
        await asyncio.gather(*(self._send(source, of_it) for source, of_it in by_source.items()))

    async def _send(self, source: int, batches: Iterable[Batch]) -> None:
        outlet = self._outlets.of(source)
        for _, topic, partition, records in batches:
            self._unacknowledged[source].append(await outlet.send(topic, partition, records))

    def cut(self, source: int) -> list[asyncio.Future[Any]]:
        """What was sent of a source partition since the last call, acknowledged or not yet: its checkpoint waits for
        all of it, and has no part in what is sent after."""
        self._outlets.of(source).seal()
        return self._unacknowledged.pop(source, [])


class _Outputs:
    """The batches of each topic partition that are being filled."""

    def __init__(self, outlets: Outlets, now_ms: int) -> None:
        self._outlets, self._now_ms = outlets, now_ms
        self._batches: dict[tuple[int, str, int], Batches] = {}

    def to(self, source: int, topic: str, partition: int) -> Callable[[bytes | None, bytes], None]:
        """What appends a record to this topic partition, of what came from this source partition."""
        place = (source, topic, partition)
        if place not in self._batches:
            self._batches[place] = Batches(self._outlets.of(source), self._now_ms)
        return self._batches[place].append

    def close(self) -> list[Batch]:
        return [Batch(*place, batch) for place, batches in self._batches.items() for batch in batches.close()]
