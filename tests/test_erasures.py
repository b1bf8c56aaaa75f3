"""Requests that users be forgotten: what is one, when it is granted, and what of its topic may be committed."""

from __future__ import annotations

import logging

import pytest

from stream.erasures import ERASURES, Erasures
from stream.events import Reject
from stream.merge import Position
from tests.shop import FakeRecord

PATIENCE_MS = 100
NOBODY_BEHIND = {0: 0, 1: 0, 2: 0}


def _record(offset: int, key: bytes | None = b"u", value: bytes | None = None) -> FakeRecord:
    return FakeRecord(key, value, offset, 1_000 + offset)


def _taken(*records: FakeRecord, ends: dict[int, int] | None = None) -> Erasures:
    erasures = Erasures(PATIENCE_MS)
    erasures.put(0, records, ends or NOBODY_BEHIND, 0)
    assert erasures.absorb() == []
    return erasures


def _ready(erasures: Erasures, passed: dict[int, int], now_ms: int = 0, partition: int = 0) -> list[int]:
    return [request.offset for request in erasures.ready(partition, passed, now_ms)]


@pytest.mark.parametrize(
    "value", [None, b"{}", b'{"user_id":"u"}', b'{"user_id":null,"why":"asked by mail"}', b' {"user_id": "\\u0075"} ']
)
def test_a_request_is_a_key_and_a_value_that_names_nobody_else(value: bytes | None) -> None:
    erasures = _taken(_record(7, value=value))
    ((offset, key, *_),) = erasures.ready(0, {}, 0)
    assert (offset, key) == (7, b"u")


@pytest.mark.parametrize(
    ("key", "value", "reason", "error"),
    [
        (None, b'{"user_id":"u"}', "schema", "expected a user id of 1 to 256 characters as key, got 0"),
        (b"", None, "schema", "expected a user id of 1 to 256 characters as key, got 0"),
        (b"u" * 257, None, "schema", "expected a user id of 1 to 256 characters as key, got 257"),
        (b"\xff", None, "schema", "expected a user id in UTF-8 as key, got 1 bytes that are none"),
        (b"u", b"", "not_json", "expected no value, or a JSON object, got 0 bytes that are none"),
        (b"u", b"\xff", "not_json", "expected no value, or a JSON object, got 1 bytes that are none"),
        (b"u", b"[" * 100_000, "schema", "Expected object, got array"),
        (b"u", b"null", "schema", "Expected object, got null"),
        (b"u", b'{"user_id":3}', "schema", "Expected str | null, got int - at $.user_id"),
        (b"u", b'{"user_id":"v"}', "key_mismatch", "expected the user of the key, got 'v' - at $.user_id"),
    ],
)
def test_what_is_none_is_refused_with_its_reason(
    key: bytes | None, value: bytes | None, reason: str, error: str
) -> None:
    erasures = Erasures(PATIENCE_MS)
    erasures.put(3, [_record(7, key, value)], NOBODY_BEHIND, 0)
    (reject,) = erasures.absorb()
    assert (reject.source, reject.partition, reject.offset, reject.record_time_ms) == (ERASURES, 3, 7, 1_007)
    assert (reject.stage, reject.reason, reject.key, reject.value) == ("erasure", reason, key, value)
    assert reject.error.startswith(error)
    assert erasures.positions() == {(ERASURES, 3): Position(8)}


def test_a_request_waits_for_all_that_was_sent_before_it() -> None:
    erasures = _taken(_record(0), ends={0: 5, 1: 0, 2: 9})
    assert _ready(erasures, {}) == []
    assert _ready(erasures, {0: 5, 1: 0, 2: 8}) == []
    assert _ready(erasures, {0: 4, 1: 3, 2: 9}) == []
    assert _ready(erasures, {0: 5, 1: 0, 2: 9}) == [0]


def test_requests_are_granted_in_their_order_each_partition_for_itself() -> None:
    erasures = _taken(_record(0), _record(3), ends={0: 5, 1: 0, 2: 0})
    erasures.put(0, [_record(4)], {0: 8, 1: 0, 2: 0}, 0)
    erasures.put(1, [_record(0)], {0: 1, 1: 0, 2: 0}, 0)
    erasures.absorb()
    assert len(erasures) == 4
    assert _ready(erasures, {0: 5}) == [0, 3]
    assert _ready(erasures, {0: 0}, partition=1) == []
    assert erasures.positions() == {(ERASURES, 0): Position(0), (ERASURES, 1): Position(0)}
    erasures.granted(0, 1)
    assert erasures.positions()[ERASURES, 0] == Position(3)
    erasures.granted(0, 1)
    assert (erasures.positions()[ERASURES, 0], _ready(erasures, {0: 8})) == (Position(4), [4])
    erasures.granted(0, 1)
    assert erasures.positions()[ERASURES, 0] == Position(5)
    assert len(erasures) == 1


def test_what_is_refused_is_told_once_all_before_it_is_granted_and_not_passed_before_it_is_told() -> None:
    erasures = _taken(_record(0), _record(1, b"\xff"), _record(2, b"\xff"), _record(3), ends={0: 5, 1: 0, 2: 0})
    assert _ready(erasures, {0: 5}) == [0]
    erasures.granted(0, 1)
    assert erasures.positions()[ERASURES, 0] == Position(1)
    rejects = erasures.absorb()
    assert [reject.offset for reject in rejects if isinstance(reject, Reject)] == [1, 2]
    assert erasures.positions()[ERASURES, 0] == Position(3)


@pytest.mark.parametrize("ends", [{0: 5, 1: 0, 2: 0}, {1: 0, 2: 0}])
def test_a_source_that_cannot_be_read_is_waited_for_no_longer_than_the_limit(
    ends: dict[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    erasures = _taken(_record(0, b"somebody"), ends=ends)
    assert _ready(erasures, {0: 4, 1: 0, 2: 0}, now_ms=0) == []
    assert _ready(erasures, {0: 4, 1: 0, 2: 0}, now_ms=99) == []
    assert not caplog.records
    assert _ready(erasures, {0: 4, 1: 0, 2: 0}, now_ms=100) == [0]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "erasure 0 of partition 0" in record.message and "sources [0]" in record.message
    assert "somebody" not in record.message


def test_a_backlog_that_is_being_applied_is_waited_for_however_long_it_takes() -> None:
    erasures = _taken(_record(0), ends={0: 50, 1: 0, 2: 0})
    for at in range(50):
        assert _ready(erasures, {0: at}, now_ms=at * (PATIENCE_MS - 1)) == []
    assert _ready(erasures, {0: 50}, now_ms=51 * PATIENCE_MS) == [0]


def test_no_more_are_granted_at_once_than_a_checkpoint_has_time_for() -> None:
    erasures = _taken(*(_record(n) for n in range(2_500)))
    assert erasures.waiting(0) == 2_500
    granted = []
    while ready := _ready(erasures, {}):
        erasures.granted(0, len(ready))
        granted.append(len(ready))
    assert granted == [1_000, 1_000, 500]


def test_after_a_change_of_owner_nothing_is_left() -> None:
    erasures = _taken(_record(0))
    erasures.put(0, [_record(1)], NOBODY_BEHIND, 0)
    erasures.clear()
    assert erasures.absorb() == [] and len(erasures) == 0 and erasures.positions() == {}
