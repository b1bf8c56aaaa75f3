"""Frames on their way from the agents to the intake, decoded on a thread of their own while a batch is scored."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from stream.decode import TimeBounds
from stream.events import SOURCES, EventBatch, Frame, Reject
from stream.intake import DecodedFrame
from stream.merge import Source
from stream.metrics import Metrics
from stream.stages import Laps, on_thread

# The frames of a poll come one by one within this time; together they are one hand-over, one batch, one request.
_GATHER_SECS = 0.001
# Records. Small frames share the cost of their arrays; of large ones, what lies in the processor's cache is soon lost.
_DECODED_TOGETHER = 256
# How far the clock of whoever wrote a record's timestamp may be ahead of ours.
_AHEAD_MAX_MS = 86_400_000


class FrameDecoder:
    """Hands on what it is given, decoded, each topic partition in its order. All calls are made on the event loop."""

    def __init__(
        self,
        decode_all: Callable[[Sequence[Frame], TimeBounds], list[tuple[EventBatch, list[Reject]]]],
        bounds: TimeBounds,
        metrics: Metrics,
        *,
        on_decoded: Callable[[Sequence[DecodedFrame]], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        self._decode_all, self._bounds, self._metrics = decode_all, bounds, metrics
        self._on_decoded, self._on_failed = on_decoded, on_failed
        self._thread = ThreadPoolExecutor(1, "decoding")
        self._frames: list[Frame] = []  # not yet given to the thread
        self._working: asyncio.Task[None] | None = None
        self._cleared = 0  # times
        self.waiting: Counter[Source] = Counter()  # records not yet handed on

    def put(self, frame: Frame) -> None:
        """Take a frame; never waits."""
        self.waiting[frame.source, frame.partition] += len(frame.records)
        self._frames.append(frame)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())

    def clear(self) -> None:
        """Forget what is not handed on; what is being decoded is dropped when it is done."""
        self._cleared += 1
        self._frames.clear()
        self.waiting.clear()

    def close(self) -> None:
        self._thread.shutdown()

    async def _work(self) -> None:
        """Decode what was put, and what is meanwhile."""
        await asyncio.sleep(_GATHER_SECS)
        try:
            while self._frames:
                frames, self._frames = self._frames, []
                cleared, records = self._cleared, sum(len(frame.records) for frame in frames)
                decoded = await on_thread(self._thread, self._decode, frames, size=records)
                if cleared != self._cleared:
                    continue
                for frame in frames:
                    self.waiting[frame.source, frame.partition] -= len(frame.records)
                self._on_decoded(decoded)
        except Exception as error:
            self._on_failed(error)

    def _decode(self, frames: list[Frame]) -> list[DecodedFrame]:
        lap = Laps(self._metrics)
        bounds = dataclasses.replace(self._bounds, end_ms=time.time_ns() // 1_000_000 + _AHEAD_MAX_MS)
        decoded = []
        for together in _groups(frames):
            for frame, parts in zip(together, self._decode_all(together, bounds), strict=True):
                decoded.append(DecodedFrame(frame.source, frame.partition, frame.next_offset, *parts))
        lap("decode")
        return decoded


def _groups(frames: Sequence[Frame]) -> Iterator[list[Frame]]:
    """Frames of one source, as many as are few records together."""
    for source in SOURCES:
        group: list[Frame] = []
        records = 0
        for frame in frames:
            if frame.source == source:
                if group and records + len(frame.records) > _DECODED_TOGETHER:
                    yield group
                    group, records = [], 0
                group.append(frame)
                records += len(frame.records)
        if group:
            yield group
