"""Batches as aiokafka's producer makes and sends them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiokafka.producer.message_accumulator import BatchBuilder

_PRODUCER = (123_456_789_012, 7, 2**31 - 1)  # id, epoch, sequence


class Maker:
    """Makes batches of up to so many bytes."""

    def __init__(self, max_bytes: int, *, transactional: bool = True) -> None:
        # aiokafka's C fills a batch up to one byte less than its Python does.
        self._max_bytes, self._transactional = max_bytes + 1, transactional

    def create_batch(self) -> Any:
        return BatchBuilder(self._max_bytes, 0, is_transactional=self._transactional)


def built(batches: Sequence[Any]) -> list[bytes]:
    """As they are sent."""
    for batch in batches:
        batch._set_producer_state(*_PRODUCER)
    return [bytes(batch._build()) for batch in batches]
