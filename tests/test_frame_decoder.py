"""Frames are handed on decoded; a record from the future is refused by this machine's clock."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from stream.decode import decode_all
from stream.frame_decoder import FrameDecoder
from stream.intake import DecodedFrame
from stream.metrics import Metrics
from tests.shop import BOUNDS, click, frame

DAY_MS = 86_400_000


async def test_a_record_from_the_day_after_tomorrow_is_refused_and_moves_nobodys_time() -> None:
    now_ms = time.time_ns() // 1_000_000
    found: list[DecodedFrame] = []
    done = asyncio.Event()

    def decoded(frames: Sequence[DecodedFrame]) -> None:
        found.extend(frames)
        done.set()

    decoder = FrameDecoder(decode_all, BOUNDS, Metrics(), on_decoded=decoded, on_failed=lambda error: None)
    times = (now_ms, now_ms + 2 * DAY_MS, 1_000 * now_ms, now_ms + DAY_MS // 2)
    records = [click("u1", now_ms, offset) for offset in range(len(times))]
    for record, time_ms in zip(records, times, strict=True):
        record.timestamp = time_ms
    decoder.put(frame(records))
    await asyncio.wait_for(done.wait(), 10)
    decoder.close()
    (one,) = found
    assert one.events["offset"].tolist() == [0, 3]
    assert one.events["order_ms"].max() <= now_ms + DAY_MS
    assert [(reject.offset, reject.reason) for reject in one.rejects] == [(1, "bad_time"), (2, "bad_time")]
