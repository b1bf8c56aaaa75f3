"""Three topics of one partition to one order."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.decode import decode
from stream.events import EventBatch, Reject
from stream.intake import DecodedFrame, Intake
from stream.merge import PartitionMerge, Position, Source
from tests.shop import BOUNDS, START_MS, FakeRecord, click, frame

ALL_READ = (True, True, True)


def _events(source: int, times: Sequence[int], *, first_offset: int = 0, user: str = "u1") -> EventBatch:
    """Events of one source at seconds after the start; clicks stand for all, since the merge reads only times."""
    records = [click(user, START_MS + 1000 * t, first_offset + i) for i, t in enumerate(times)]
    batch, _ = decode(frame(records), BOUNDS)
    batch["source"][:] = source
    return batch


def _order(batch: EventBatch) -> list[tuple[int, int]]:
    return list(zip(batch["source"].tolist(), batch["offset"].tolist(), strict=True))


def test_topics_are_merged_by_event_time_with_ties_by_topic_then_offset() -> None:
    merge = PartitionMerge()
    merge.queues[2].put(_events(2, [1, 5]), 2)
    merge.queues[0].put(_events(0, [1, 1, 6]), 3)
    merge.queues[1].put(_events(1, [0, 5]), 2)
    assert _order(merge.take(10, ALL_READ)) == [(1, 0), (0, 0), (0, 1), (2, 0), (1, 1), (2, 1), (0, 2)]


def test_one_topic_partition_is_never_reordered() -> None:
    merge = PartitionMerge()
    merge.queues[0].put(_events(0, [9, 2, 10]), 3)  # the second is late
    merge.queues[1].put(_events(1, [5, 9]), 2)
    assert _order(merge.take(10, ALL_READ)) == [(1, 0), (0, 0), (0, 1), (1, 1), (0, 2)]


def test_a_topic_behind_its_end_holds_the_others_back() -> None:
    merge = PartitionMerge()
    merge.queues[0].put(_events(0, [1, 4, 8]), 3)
    behind = (True, True, False)
    assert len(merge.take(10, behind)) == 0  # nothing is known of purchases yet
    merge.queues[2].put(_events(2, [3, 5]), 2)
    assert _order(merge.take(10, behind)) == [(0, 0), (2, 0), (0, 1), (2, 1)]  # the click at 8 waits: a 6 may come
    assert merge.held_by(behind) == [2]
    assert _order(merge.take(10, ALL_READ)) == [(0, 2)]


def test_a_topic_read_to_its_end_holds_nobody_and_what_then_comes_earlier_is_taken_on_arrival() -> None:
    merge = PartitionMerge()
    merge.queues[0].put(_events(0, [8]), 1)
    assert _order(merge.take(10, ALL_READ)) == [(0, 0)]
    merge.queues[2].put(_events(2, [3]), 1)
    assert _order(merge.take(10, ALL_READ)) == [(2, 0)]


def test_an_event_at_the_very_time_that_a_topic_has_reached_waits_only_for_topics_that_go_first() -> None:
    merge = PartitionMerge()
    merge.queues[0].put(_events(0, [5]), 1)
    merge.queues[2].put(_events(2, [5]), 1)
    merge.queues[1].put(_events(1, [5]), 1)
    # Searches may still bring another 5, which goes before purchases' and after clicks'.
    assert _order(merge.take(10, (True, False, True))) == [(0, 0), (1, 0)]


_TIMES = st.lists(st.integers(0, 30), max_size=12)


@settings(max_examples=200, deadline=None)
@given(times=st.tuples(_TIMES, _TIMES, _TIMES), seed=st.randoms(use_true_random=False))
def test_however_the_topics_arrive_and_are_taken_the_order_is_the_same(
    times: tuple[list[int], list[int], list[int]], seed: object
) -> None:
    whole = PartitionMerge()
    for source, column in enumerate(times):
        if column:
            whole.queues[source].put(_events(source, column), len(column))
    expected = _order(whole.take(100, ALL_READ))

    pieces = PartitionMerge()
    read = [0, 0, 0]
    found: list[tuple[int, int]] = []
    while len(found) < len(expected):
        source = seed.randrange(3)  # type: ignore[attr-defined]
        n = seed.randrange(1, 4)  # type: ignore[attr-defined]
        chunk = times[source][read[source] : read[source] + n]
        if chunk:
            pieces.queues[source].put(_events(source, chunk, first_offset=read[source]), read[source] + len(chunk))
            read[source] += len(chunk)
        at_end = [read[s] == len(times[s]) for s in range(3)]
        found += _order(pieces.take(seed.randrange(1, 5), at_end))  # type: ignore[attr-defined]
    assert found == expected


@settings(max_examples=100, deadline=None)
@given(times=st.tuples(_TIMES, _TIMES, _TIMES), taken=st.integers(0, 36))
def test_after_a_restart_the_rest_comes_in_the_same_order(
    times: tuple[list[int], list[int], list[int]], taken: int
) -> None:
    first = PartitionMerge({s: Position(0) for s in range(3)})
    for source, column in enumerate(times):
        if column:
            first.queues[source].put(_events(source, column), len(column))
    first.take(taken, ALL_READ)
    positions = {s: queue.position for s, queue in enumerate(first.queues)}
    rest = _order(first.take(100, ALL_READ))

    second = PartitionMerge({s: p for s, p in positions.items() if p is not None})
    for source, column in enumerate(times):
        at = positions[source]
        assert at is not None
        if column[at.offset :]:
            second.queues[source].put(_events(source, column[at.offset :], first_offset=at.offset), len(column))
    assert _order(second.take(100, ALL_READ)) == rest


# -- intake: across partitions, with deferral and positions ------------------------------------------------------------

NO_WAIT = 60_000


def _intake(partitions: Sequence[int] = (0,), *, hold_max_ms: int = NO_WAIT) -> Intake:
    intake = Intake(hold_max_ms=hold_max_ms, steps=64)
    for partition in partitions:
        intake.start(partition, {})
    return intake


def _put(intake: Intake, records: list[FakeRecord], *, partition: int = 0) -> list[Reject]:
    of = frame(records, partition=partition)
    intake.put(DecodedFrame(of.source, of.partition, of.next_offset, *decode(of, BOUNDS)))
    return intake.absorb()


def _read(partitions: Sequence[int] = (0,)) -> set[Source]:
    return {(s, p) for s in range(3) for p in partitions}


def _records(n: int, *, user: str = "u", first: int = 0, step_ms: int = 10) -> list[FakeRecord]:
    return [click(f"{user}{i % 3}", START_MS + step_ms * (first + i), first + i) for i in range(n)]


def test_positions_stop_before_the_first_deferred_event_of_each_source() -> None:
    intake = _intake()
    assert _put(intake, _records(9)) == []
    events = intake.take(100, _read(), 0)
    intake.defer(events.take(events.key == b"u1"))  # offsets 1, 4, 7
    assert intake.positions() == {(0, 0): Position(1, START_MS + 10)}
    again = intake.take(100, _read(), 0)
    assert again["offset"].tolist() == [1, 4, 7]
    assert intake.positions() == {(0, 0): Position(9, START_MS + 80)}


def test_positions_go_past_records_that_were_refused() -> None:
    intake = _intake()
    records = _records(4)
    records[0].value = records[3].value = b"nope"
    assert [r.offset for r in _put(intake, records)] == [0, 3]
    intake.take(1, _read(), 0)
    assert intake.positions()[0, 0].offset == 2
    intake.take(1, _read(), 0)
    assert intake.positions()[0, 0].offset == 4


def test_a_frame_of_refused_records_alone_moves_the_position() -> None:
    intake = _intake()
    _put(intake, [FakeRecord(None, b"x", 5, START_MS)])
    assert intake.positions() == {(0, 0): Position(6)}


def test_deferred_events_come_before_later_ones_of_their_user_however_often_they_are_deferred() -> None:
    intake = _intake()
    _put(intake, _records(40))
    applied: list[tuple[bytes, int]] = []
    rng = np.random.default_rng(3)
    for _ in range(500):
        events = intake.take(6, _read(), 0)
        assert len(events) <= 6
        share = rng.integers(0, 3, len(events))  # of each user some of the first
        rank = np.array([events.key[:i].tolist().count(key) for i, key in enumerate(events.key.tolist())], np.int64)
        now = rank < share.min(initial=2)
        intake.defer(events.take(~now))
        applied += zip(events.key[now].tolist(), events["offset"][now].tolist(), strict=True)
    assert not intake.holds_any()
    assert sorted(offset for _, offset in applied) == list(range(40))
    for user in (b"u0", b"u1", b"u2"):
        offsets = [offset for key, offset in applied if key == user]
        assert offsets == sorted(offsets)


def test_one_user_with_a_backlog_leaves_half_of_every_batch_to_the_others() -> None:
    intake = _intake()
    _put(intake, [click("bot", START_MS + i, i) for i in range(1_000)])
    intake.defer(intake.take(1_000, _read(), 0))
    _put(intake, _records(400, first=1_000))
    of_others = []
    while intake.queued().total():
        taken = intake.take(200, _read(), 0)
        of_others.append(int(np.count_nonzero(taken.key != b"bot")))
        assert np.count_nonzero(taken.key == b"bot") == 64
    assert of_others == [136, 136, 128]
    assert intake.deferred[0, 0] == intake.deferred.total()


def test_the_position_of_what_is_deferred_is_that_of_its_first_event_even_if_others_were_deferred_later() -> None:
    intake = _intake((0, 1))
    _put(intake, _records(6), partition=1)
    first = intake.take(3, _read((0, 1)), 0)
    intake.defer(first.take(first["offset"] > 0))
    _put(intake, _records(6, user="v"))
    intake.defer(intake.take(100, _read((0, 1)), 0))
    assert intake.positions()[0, 0].offset == 0
    assert intake.positions()[0, 1].offset == 1


def test_a_backlog_in_one_partition_delays_no_other() -> None:
    intake = _intake((0, 1))
    _put(intake, _records(100), partition=0)
    _put(intake, _records(3), partition=1)
    taken = intake.take(20, _read((0, 1)), 0)
    assert (taken["partition"] == 1).sum() == 3
    assert len(taken) == 20


def test_a_source_that_cannot_be_read_holds_the_others_for_a_limited_time_and_is_counted() -> None:
    intake = _intake(hold_max_ms=1_000)
    _put(intake, _records(3))
    reached = {(0, 0), (1, 0)}  # purchases are behind their end, and nothing comes
    assert len(intake.take(10, reached, 0)) == 0
    assert len(intake.take(10, reached, 999)) == 0
    assert intake.holds_given_up == 0
    assert len(intake.take(10, reached, 1_000)) == 3
    assert intake.holds_given_up == 1


def test_the_limit_of_a_hold_counts_from_when_it_began_not_from_an_earlier_one() -> None:
    intake = _intake(hold_max_ms=1_000)
    reached = {(0, 0), (1, 0)}
    _put(intake, _records(3))
    assert len(intake.take(10, reached, 0)) == 0
    assert len(intake.take(10, _read(), 1)) == 3  # purchases have been read to their end: the hold is over
    _put(intake, _records(3, first=3))
    assert len(intake.take(10, reached, 5_000)) == 0
    assert len(intake.take(10, reached, 5_999)) == 0
    assert len(intake.take(10, reached, 6_000)) == 3


def test_waiting_counts_what_is_put_and_not_yet_taken() -> None:
    intake = _intake()
    _put(intake, _records(3))
    of = frame(_records(2, first=3))
    intake.put(DecodedFrame(of.source, of.partition, of.next_offset, *decode(of, BOUNDS)))
    assert intake.queued()[0, 0] == 5
    intake.absorb()
    assert intake.queued()[0, 0] == 5
    intake.take(4, _read(), 0)
    assert intake.queued()[0, 0] == 1
