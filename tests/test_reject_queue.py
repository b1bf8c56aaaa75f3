"""Rejects wait for what came before them, and no longer."""

from __future__ import annotations

from stream.events import Reject
from stream.merge import Position
from stream.reject_queue import RejectQueue


def _reject(offset: int, source: int = 0, partition: int = 0, value: bytes | None = None) -> Reject:
    return Reject(source, partition, offset, 0, "decode", "not_json", "", None, value)


def test_a_reject_is_taken_once_its_topic_partition_is_past_it() -> None:
    queue = RejectQueue()
    queue.put([_reject(3), _reject(5), _reject(9)])
    assert queue.take(lambda: {(0, 0): Position(3)}) == []
    assert queue.take(lambda: {(0, 0): Position(6)}) == [_reject(3), _reject(5)]
    assert queue.take(lambda: {(0, 0): Position(10)}) == [_reject(9)]
    assert queue.take(lambda: {(0, 0): Position(10)}) == []


def test_topic_partitions_wait_for_themselves_alone() -> None:
    queue = RejectQueue()
    queue.put([_reject(3), _reject(3, source=1), _reject(3, partition=1)])
    assert queue.take(lambda: {(1, 0): Position(4), (0, 1): Position(0)}) == [_reject(3, source=1)]
    assert queue.waiting == {(0, 0): 1, (0, 1): 1}


def test_what_waits_is_counted_and_forgotten() -> None:
    queue = RejectQueue()
    queue.put([_reject(3), _reject(4)])
    assert queue.waiting == queue.room == {(0, 0): 2}
    queue.put([_reject(5, value=bytes(10_000))])
    assert (queue.waiting, queue.room) == ({(0, 0): 3}, {(0, 0): 5})
    queue.take(lambda: {(0, 0): Position(4)})
    assert (queue.waiting, queue.room) == ({(0, 0): 2}, {(0, 0): 4})
    queue.clear()
    assert not queue.waiting
    assert queue.take(lambda: {(0, 0): Position(10)}) == []
