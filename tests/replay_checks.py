"""What tests of the replay share: events as objects, and whether decoding takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from stream.decode import TimeBounds, decode
from stream.events import Frame
from stream.shop_event import ROLES, ShopEvent
from tests.shop import FakeRecord


def fields_of(events: Iterable[ShopEvent]) -> list[dict[str, Any]]:
    """The JSON object of each."""
    return [orjson.loads(event.value) for event in events]


def assert_decoding_takes(events: Sequence[ShopEvent]) -> None:
    """No reject, and event time is that of the record."""
    assert events
    for source, role in enumerate(ROLES):
        sent = [event for event in events if event.topic == role]
        records = [FakeRecord(event.key, event.value, at, event.sent_ms) for at, event in enumerate(sent)]
        batch, rejects = decode(Frame(source, 0, records, len(records)), TimeBounds(0, 0))
        assert not rejects, rejects[0].error
        assert len(batch) == len(sent)
        assert not batch["time_bounded"].any()
        assert batch["time_ms"].tolist() == [event.sent_ms for event in sent]
