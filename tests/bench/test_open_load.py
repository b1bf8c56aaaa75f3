"""The open-loop load: its schedule is made beforehand, and nothing that happens moves it."""

from __future__ import annotations

import numpy as np
import pytest

from stream.bench.lane import Lane, varint
from stream.bench.schedule import due_secs, parsed_rates
from stream.kafka.batches import PreparedBatch
from stream.record_batches import BatchRecord, read
from stream.record_batches import varint as read_varint

_START_MS = 1_790_000_000_000.4


def _lane(n: int, rate_per_sec: float, value: bytes = b"{}") -> Lane:
    lane = Lane()
    for number, due in enumerate(due_secs(n, rate_per_sec)):
        lane.append(float(due), b"user-%d" % number, value)
    lane.begin(_START_MS)
    return lane


def _taken(lane: Lane) -> list[BatchRecord]:
    taken = lane.take()
    assert taken is not None
    run, first_ms = taken
    return list(read(bytes(PreparedBatch(run, first_ms, transactional=False)._build())))


def test_rates_are_numbers_and_half_of_the_peak() -> None:
    assert parsed_rates("1000, 2.5e3,half") == (1000.0, 2500.0, "half")


@pytest.mark.parametrize("text", ["", "fast", "0", "-1", "nan", "inf", "1000,,half", "Half"])
def test_what_is_no_rate_is_refused_with_its_words(text: str) -> None:
    with pytest.raises(ValueError, match="expected events per second above 0, or half"):
        parsed_rates(text)


def test_events_are_due_at_an_even_pace_from_the_start() -> None:
    assert due_secs(5, 4.0).tolist() == [0, 0.25, 0.5, 0.75, 1.0]


@pytest.mark.parametrize("number", [0, 1, 63, 64, 127, 128, 8_191, 8_192, 1 << 20, -1, -64, -65])
def test_a_number_is_written_as_it_is_read(number: int) -> None:
    assert read_varint(varint(number), 0) == (number, len(varint(number)))


def test_a_record_bears_the_time_at_which_it_was_meant_to_be_sent_however_late_it_is() -> None:
    lane = _lane(4, 1000 / 3)  # one each 3 ms
    lane.notice(60.0)

    records = _taken(lane)

    assert [record.timestamp for record in records] == [int(_START_MS) + late for late in (0, 3, 6, 9)]
    assert [(record.key, record.value, record.offset) for record in records] == [
        (b"user-%d" % n, b"{}", n) for n in range(4)
    ]


def test_an_event_is_not_sent_before_it_is_due() -> None:
    lane = _lane(10, 10)
    lane.notice(0.35)

    assert [record.key for record in _taken(lane)] == [b"user-0", b"user-1", b"user-2", b"user-3"]
    assert lane.take() is None
    assert lane.left
    lane.notice(5.0)
    assert len(_taken(lane)) == 6
    assert not lane.left


def test_how_far_the_load_is_behind_counts_from_when_an_event_was_due_not_from_when_its_batch_left() -> None:
    lane = _lane(3, 1.0)
    lane.notice(0.5)  # the first, half a second late; it waits for a batch in flight
    lane.notice(2.25)
    _taken(lane)
    lane.acknowledged(100, 3)

    due, behind, offsets = lane.columns()

    assert due.tolist() == [0, 1, 2]
    assert behind.tolist() == [0.5, 1.25, 0.25]
    assert offsets.tolist() == [100, 101, 102]


def test_what_is_too_much_for_a_batch_goes_with_the_next_ones_in_order() -> None:
    lane = _lane(10, 1000.0, value=b"x" * 100_000)
    lane.notice(1.0)

    sent = []
    while lane.left:
        batch = _taken(lane)
        assert len(batch) in (1, 2)
        sent += [record.key for record in batch]

    assert sent == [b"user-%d" % n for n in range(10)]


def test_a_record_that_is_larger_than_a_batch_goes_alone() -> None:
    lane = _lane(2, 1000.0, value=b"x" * 400_000)
    lane.notice(1.0)

    assert len(_taken(lane)) == len(_taken(lane)) == 1


def test_varints_are_those_of_a_lane_of_a_minute() -> None:
    """A batch that waited so long has deltas of that many ms."""
    lane = _lane(2, 1 / 60)
    lane.notice(120.0)

    assert np.diff([record.timestamp for record in _taken(lane)]).tolist() == [60_000]
