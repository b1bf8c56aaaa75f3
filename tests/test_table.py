"""The user table in memory: who is fetched when, what a row holds after a batch, what is dirty."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch

from stream import rows as row_format
from stream.errors import StateError
from stream.events import EventBatch
from stream.merge import Position
from stream.rows import NO_OFFSET, NOT_HELD_MS, RAW_EVENT, Sizes
from stream.sequences import Ints, pack, running_max
from stream.table import Table, raw_events
from tests.shop import CPU, MODEL, START_MS, no_rows, random_events, stored_rows

SIZES = Sizes(sequence=4, parts=2, layers=2, hidden=3)
Calls = list[tuple[int, list[bytes]]]


class Stored:
    """A store of rows that remembers what it was asked."""

    def __init__(self, rows: dict[tuple[int, bytes], bytes] | None = None) -> None:
        self.rows = rows or {}
        self.calls: Calls = []

    def fetch(self, partition: int, keys: Sequence[bytes]) -> list[bytes | None]:
        self.calls.append((partition, list(keys)))
        return [self.rows.get((partition, key)) for key in keys]


def _table(
    fetch_rows: Callable[[int, Sequence[bytes]], Sequence[bytes | None]] = no_rows,
    *,
    sizes: Sizes = SIZES,
    model: int = MODEL,
) -> Table:
    return Table(sizes, model=model, device=CPU, fetch_rows=fetch_rows)


def _slots(table: Table, *users: tuple[int, str]) -> Ints:
    keys = np.empty(len(users), object)
    keys[:] = [user.encode() for _, user in users]
    return table.slots(np.array([partition for partition, _ in users], np.int32), keys)


def _apply(table: Table, events: EventBatch) -> Ints:
    """Append a batch as the pipeline does, and move each user's carry and prices on by 1 per event -> its slots."""
    slots = table.slots(events["partition"], events.key)
    packing = pack(slots)
    raw = raw_events(events)[packing.arrival]
    high_ms = running_max(raw["time_ms"], packing, table.last_time_ms(packing.users))
    table.append(packing, raw, events, np.maximum(high_ms, raw["time_ms"]))
    memory = table.memory(packing.users)
    memory["prices"] += packing.counts
    table.remember(packing.users, memory)
    moved = torch.from_numpy(packing.counts).float()[:, None, None, None]
    table.scatter(packing.users, table.gather(packing.users) + moved)
    return slots


def _sequence(table: Table, slot: int) -> np.ndarray:
    owner, raw = table.sequences(np.array([slot]))
    assert set(owner.tolist()) <= {slot}
    return raw


def test_the_same_user_id_in_two_partitions_is_two_rows() -> None:
    table = _table()
    slots = _slots(table, (0, "u"), (1, "u"), (0, "u"), (1, "v"))
    assert len({*slots.tolist()}) == 3
    assert slots[0] == slots[2]
    assert len(table) == 3
    _apply(table, random_events(1, n=5, users=1, partition=1))
    assert {p for p, _ in stored_rows(table)} == {1}


def test_rows_are_fetched_once_per_batch_and_partition_and_only_for_users_not_in_memory() -> None:
    stored = Stored()
    table = _table(stored.fetch)
    _slots(table, (0, "a"), (3, "a"), (0, "b"), (0, "a"), (3, "c"))
    assert stored.calls == [(0, [b"a", b"b"]), (3, [b"a", b"c"])]
    stored.calls.clear()
    _slots(table, (0, "b"), (3, "d"), (0, "a"), (3, "c"), (3, "d"))
    assert stored.calls == [(3, [b"d"])]
    stored.calls.clear()
    _slots(table, (0, "a"), (3, "d"))
    _slots(table)
    assert stored.calls == []


def test_a_user_never_seen_has_a_blank_row() -> None:
    table = _table()
    slots = _slots(table, (0, "u"))
    assert (table.events_seen(slots).tolist(), table.last_time_ms(slots).tolist()) == ([0], [-1])
    assert not table.applied(slots, np.array([0], np.uint8), np.array([0])).any()
    assert table.gather(slots).shape == (1, *SIZES[1:])
    assert not table.gather(slots).any()
    assert len(_sequence(table, slots[0])) == 0
    assert not table.recent(slots, 4).view(np.uint8).any()
    assert not table.memory(slots).view(np.uint8).any()
    assert len(table.stale(slots)) == 0


def test_a_row_comes_back_from_the_store_as_it_was_written() -> None:
    table = _table()
    _apply(table, random_events(1, n=60, users=5))
    written = stored_rows(table)
    stored = Stored(written)
    again = _table(stored.fetch)
    slots = _slots(again, *((p, key.decode()) for p, key in written), (0, "new"))
    rows = again.rows(slots)
    assert row_format.to_bytes(rows[:-1]) == list(written.values())
    assert rows[-1]["events_seen"] == 0
    assert stored_rows(again) == {}  # what is as in the store is not dirty


def test_a_row_of_another_model_is_stale_until_its_carry_is_made_anew() -> None:
    table = _table()
    _apply(table, random_events(1, n=20, users=2))
    stored = Stored(stored_rows(table))
    other = _table(stored.fetch, model=MODEL + 1)
    slots = _slots(other, (0, "user-0"), (0, "user-1"), (0, "new"))
    assert other.stale(slots).tolist() == slots[:2].tolist()
    other.scatter(slots[:1], other.gather(slots[:1]))
    assert other.stale(slots).tolist() == slots[1:2].tolist()


def test_a_row_that_is_none_is_a_state_error() -> None:
    with pytest.raises(StateError, match="row: "):
        _slots(_table(Stored({(0, b"u"): b"rubbish"}).fetch), (0, "u"))


def test_the_table_grows_beyond_its_first_slots_and_keeps_every_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stream.slots._FIRST_SLOTS", 16)
    table = _table()
    first = _apply(table, random_events(1, n=40, users=7))
    events_seen, rows = table.events_seen(first), table.rows(np.unique(first))
    many = _slots(table, *((2, f"user-{i}") for i in range(5000)))
    assert len(set(many.tolist())) == 5000
    assert len(table) == 5007
    assert not set(many.tolist()) & set(first.tolist())
    assert table.events_seen(first).tolist() == events_seen.tolist()
    assert table.rows(np.unique(first)).tobytes() == rows.tobytes()
    assert not table.events_seen(many).any()
    assert _slots(table, *((2, f"user-{i}") for i in range(5000))).tolist() == many.tolist()


def test_clear_forgets_everybody_and_what_changed() -> None:
    stored = Stored()
    table = _table(stored.fetch)
    slots = _apply(table, random_events(1, n=60, users=5))
    assert table.gather(slots).any()
    table.clear()
    assert len(table) == 0
    assert len(table.take_changed(0)) == 0
    stored.calls.clear()
    users = [(0, f"user-{i}") for i in range(5)]
    again = _slots(table, *users)  # in slots that others have used
    assert stored.calls == [(0, [user.encode() for _, user in users])]
    assert len(table) == 5
    assert row_format.to_bytes(table.rows(again)) == row_format.to_bytes(row_format.new_rows(5, SIZES))


@pytest.mark.parametrize("sequence", [1, 4, 16])
@pytest.mark.parametrize("batch", [1, 3, 50, 400])
def test_the_rolling_sequence_holds_the_last_events_in_order_however_the_batches_are_cut(
    sequence: int, batch: int
) -> None:
    events = random_events(5, n=400, users=6)  # about 67 of each: far more than the sequence is long
    table = _table(sizes=SIZES._replace(sequence=sequence))
    for start in range(0, len(events), batch):
        _apply(table, events.take(slice(start, start + batch)))
    for key in sorted(set(events.key.tolist())):
        mine = events.take(events.key == key)
        slots = _slots(table, (0, key.decode()))
        expected = raw_events(mine)
        assert _sequence(table, slots[0]).tobytes() == expected[-sequence:].tobytes()
        for n in {1, sequence}:
            assert table.recent(slots, n).tobytes() == expected[-n:].tobytes()
        assert table.memory(slots)["prices"].tolist() == [len(mine)]
        assert table.events_seen(slots).tolist() == [len(mine)]
        assert table.last_time_ms(slots).tolist() == [mine["time_ms"].max()]
        assert set(table.gather(slots).flatten().tolist()) == {len(mine)}


def test_of_a_user_with_few_events_the_recent_ones_stand_at_the_end() -> None:
    table = _table()
    for n in range(1, 6):
        slot = _apply(table, random_events(n, n=1, users=1, first_offset=n))[:1]
        recent = table.recent(slot, 4)[0]
        held = _sequence(table, slot[0])
        assert recent[4 - len(held) :].tobytes() == held.tobytes()
        assert not recent[: 4 - len(held)].view(np.uint8).any()


def test_more_recent_events_than_a_sequence_holds_are_refused() -> None:
    table = _table()
    with pytest.raises(ValueError, match="expected at least the 5 events that are looked at, got 4"):
        table.recent(_slots(table, (0, "u")), 5)


def test_what_is_remembered_is_each_users_own_and_put_back_where_it_was() -> None:
    table = _table()
    slots = _slots(table, (0, "a"), (0, "b"), (1, "a"))
    memory = table.memory(slots[[2, 0]])
    memory["prices"], memory["known"][:, 1, 2] = [3, 5], [30, 50]
    assert not table.memory(slots).view(np.uint8).any()  # a copy until it is put back
    table.remember(slots[[2, 0]], memory)
    assert table.memory(slots)["prices"].tolist() == [5, 0, 3]
    assert table.memory(slots)["known"][:, 1, 2].tolist() == [50, 0, 30]


def test_a_sequence_made_longer_gives_only_what_it_held_until_it_is_full() -> None:
    table = _table()
    events = random_events(1, n=30, users=1)
    _apply(table, events.take(slice(20)))
    stored = Stored(stored_rows(table))
    longer = _table(stored.fetch, sizes=SIZES._replace(sequence=12))
    slot = _slots(longer, (0, "user-0"))
    for n in range(20, 31):
        held = raw_events(events)[16:n][-12:]
        assert _sequence(longer, slot[0]).tobytes() == held.tobytes()
        recent = longer.recent(slot, 12)[0]
        assert recent[12 - len(held) :].tobytes() == held.tobytes()
        unknown = np.zeros(12 - len(held), RAW_EVENT)
        unknown["time_ms"] = NOT_HELD_MS
        assert recent[: 12 - len(held)].tobytes() == unknown.tobytes()
        if n < 30:
            _apply(longer, events.take(slice(n, n + 1)))


def test_a_user_who_had_room_in_a_sequence_made_longer_had_no_events_before() -> None:
    table = _table()
    _apply(table, random_events(1, n=3, users=1))
    longer = _table(Stored(stored_rows(table)).fetch, sizes=SIZES._replace(sequence=12))
    slot = _slots(longer, (0, "user-0"))
    assert len(_sequence(longer, slot[0])) == 3
    assert not longer.recent(slot, 12)[0, :9].view(np.uint8).any()


def test_the_sequences_of_several_users_are_told_apart_and_oldest_first() -> None:
    table = _table()
    events = random_events(3, n=30, users=4)
    slots = np.unique(_apply(table, events))[::-1].copy()
    owner, raw = table.sequences(slots)
    assert list(dict.fromkeys(owner.tolist())) == slots.tolist()
    for slot in slots:
        assert raw[owner == slot].tobytes() == _sequence(table, slot).tobytes()


def test_an_event_is_applied_if_its_own_source_has_come_that_far() -> None:
    table, events = _table(), random_events(1, n=6, users=1, first_offset=10)
    events["source"][:] = [0, 1, 0, 1, 0, 0]  # offsets 10, 12, 14, 15 and 11, 13
    slot = _apply(table, events)[:1]
    offset = np.array([9, 13, 14, 15, 16])
    for source, applied in ((0, [True] * 4 + [False]), (1, [True] * 2 + [False] * 3), (2, [False] * 5)):
        found = table.applied(np.repeat(slot, 5), np.full(5, source, np.uint8), offset)
        assert found.tolist() == applied
    assert table.rows(slot)["offsets"].tolist() == [[15, 13, NO_OFFSET]]


def test_a_late_event_does_not_turn_back_the_latest_time() -> None:
    table, events = _table(), random_events(1, n=3, users=1)
    events["time_ms"][:] = START_MS + np.array([0, 5000, 1000])
    slot = _apply(table, events)[:1]
    assert table.last_time_ms(slot).tolist() == [START_MS + 5000]
    assert table.recent(slot, 1)["time_ms"].tolist() == [[START_MS + 1000]]  # the last applied, not the latest


def test_what_changed_is_taken_once_and_by_partition() -> None:
    table = _table()
    _apply(table, EventBatch.concat([random_events(1, n=20, users=3), random_events(2, n=20, users=3, partition=7)]))
    _slots(table, (5, "only looked at"))
    for partition in (0, 7):
        assert sorted(table.take_changed(partition).keys) == [b"user-0", b"user-1", b"user-2"]
    assert [len(table.take_changed(p)) for p in (0, 5, 7)] == [0, 0, 0]
    for first_offset in (100, 101):  # twice the same user
        _apply(table, random_events(3, n=1, users=1, first_offset=first_offset))
    assert table.take_changed(0).keys.tolist() == [b"user-0"]


def test_rows_taken_do_not_change_with_the_table() -> None:
    table = _table()
    _apply(table, random_events(1, n=20, users=3))
    taken = table.take_changed(0)
    before = taken.to_bytes()
    _apply(table, random_events(2, n=20, users=3, first_offset=100))
    table.clear()
    assert taken.to_bytes() == before
    read = row_format.unpack([row for _, row in before if row is not None], SIZES)
    assert read.tobytes() == taken.rows.tobytes()
    assert set(read["model"].tolist()) == {MODEL}


# -- users who are forgotten -------------------------------------------------------------------------------------------


def _checkpointed(table: Table, stored: Stored, partition: int = 0) -> dict[bytes, bytes | None]:
    """What a checkpoint writes, and has written."""
    written = dict(table.take_changed(partition).to_bytes())
    for key, row in written.items():
        if row is None:
            stored.rows.pop((partition, key), None)
        else:
            stored.rows[partition, key] = row
    table.durable(partition)
    return written


def test_who_is_forgotten_leaves_a_blank_slot_and_a_deletion_and_nobody_else_changes() -> None:
    stored = Stored()
    table = _table(stored.fetch)
    slots = _apply(table, random_events(1, n=60, users=5))
    _checkpointed(table, stored)
    before = {key: row for (_, key), row in stored.rows.items()}
    gone = int(_slots(table, (0, "user-2"))[0])
    table.forget(0, [b"user-2", b"never seen"])
    assert not table.holds(0, b"user-2") and len(table) == len(set(slots.tolist())) - 1
    assert table.gather(np.array([gone])).count_nonzero() == 0
    blank = row_format.to_bytes(row_format.new_rows(1, SIZES))
    assert row_format.to_bytes(table.rows(np.array([gone]))) == blank
    assert _checkpointed(table, stored) == {b"user-2": None, b"never seen": None}
    assert {key: row for (_, key), row in stored.rows.items()} == {k: v for k, v in before.items() if k != b"user-2"}


def test_who_is_forgotten_is_not_brought_back_from_the_store_before_their_deletion_is_there() -> None:
    stored = Stored()
    table = _table(stored.fetch)
    _apply(table, random_events(1, n=60, users=1))
    _checkpointed(table, stored)
    table.forget(0, [b"user-0"])
    assert len(table.header(0, b"user-0")) == 0
    changes = table.take_changed(0)  # on its way, while the next event comes
    slots = _apply(table, random_events(2, n=3, users=1, first_offset=100))
    assert table.events_seen(slots[:1]).tolist() == [3]
    assert dict(changes.to_bytes()) == {b"user-0": None}
    table.durable(0)
    ((key, row),) = table.take_changed(0).to_bytes()
    assert key == b"user-0" and row is not None


def test_a_header_is_told_from_memory_or_the_store_without_keeping_the_user() -> None:
    stored = Stored()
    table = _table(stored.fetch)
    _apply(table, random_events(1, n=20, users=1))
    assert table.header(0, b"user-0")["events_seen"].tolist() == [20]
    assert not table.is_durable(0, b"user-0")
    _checkpointed(table, stored)
    assert table.is_durable(0, b"user-0") and table.is_durable(0, b"never seen")
    table.clear()
    assert table.header(0, b"user-0")["events_seen"].tolist() == [20]
    assert len(table.header(0, b"never seen")) == 0 and len(table) == 0


def test_an_event_may_come_again_where_a_position_is_not_past_it_unless_it_is_of_a_former_topic() -> None:
    headers = row_format.new_rows(1, SIZES)[list(row_format.HEADER.names or ())]
    headers["offsets"] = [[4, NO_OFFSET, 7]]

    def may(positions: dict[int, int], *generations: int) -> bool:
        at = {source: Position(offset) for source, offset in positions.items()}
        return bool(row_format.may_come_again(headers, at, np.array(generations or (0, 0, 0)))[0])

    assert not may({0: 5, 2: 8})
    assert not may({0: 5, 1: 0, 2: 8})
    assert may({0: 4, 2: 8}) and may({0: 5, 2: 7}) and may({0: 5})
    assert not may({0: 0, 2: 8}, 1, 0, 0)
    assert may({0: 5, 2: 0}, 1, 0, 0)
