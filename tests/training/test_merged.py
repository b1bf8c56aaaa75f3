"""Polls -> events in serving's order, each with what lies beside it, also where a topic holds the others back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.decode import TimeBounds, decode
from stream.events import SOURCES, EventBatch, Frame
from stream.intake import DecodedFrame, Intake
from stream.merge import Source
from stream.shop_event import ROLES
from stream.training.fraud_labels import Kinds
from stream.training.merged import Merged, merged
from stream.training.reading import Reading
from stream.training.sources import Poll, nothing_known
from tests.shop import FakeRecord
from tests.training.shops import START_MS, shop_event

NAMES = ("view_item", "search", "purchase")


class PolledShop:
    """A shop of polls at hand: each (source, partition) -> times of its next records, and what is read to its end."""

    name, ignore_refused = "polls", False
    bounds = TimeBounds(10**9, 10**9)

    def __init__(self, polls: Sequence[tuple[Mapping[Source, Sequence[int]], set[Source]]]) -> None:
        self._polls = polls
        self.waited: list[dict[Source, int]] = []

    def polls(
        self, kinds: Kinds, reading: Reading, waiting: Mapping[Source, int], looked: Callable[[int], None]
    ) -> Iterator[Poll]:
        offsets: Counter[Source] = Counter()
        for fetched, at_end in self._polls:
            frames = []
            for (source, partition), times in fetched.items():
                records = []
                for after in times:
                    offset = offsets[source, partition]
                    offsets[source, partition] += 1
                    session = f"{source}-{partition}-{offset}"
                    event = shop_event("ann", NAMES[source], START_MS + after, event_id=session, session_id=session)
                    records.append(FakeRecord(event.key, event.value, offset, event.sent_ms))
                frames.append(Frame(source, partition, records, offsets[source, partition]))
            beside = [nothing_known(len(frame.records)) for frame in frames]
            for frame, column in zip(frames, beside, strict=True):
                column["file"] = [record.offset for record in frame.records]
            yield Poll(frames, beside, at_end, None)
            self.waited.append(dict(waiting))

    def end_ms(self, last_ms: int) -> int:
        return last_ms + 1


def read(shop: PolledShop) -> list[Merged]:
    return list(merged(shop, Kinds(), Reading("polls"), lambda events: None))


def test_a_topic_that_is_behind_holds_the_others_back_and_all_keep_what_lies_beside_them() -> None:
    shop = PolledShop(
        [
            ({(0, 0): [1, 4, 9, 12], (1, 0): [5]}, {(2, 0)}),
            ({(1, 0): [10, 11]}, {(2, 0)}),
            ({}, {(0, 0), (1, 0), (2, 0)}),
        ]
    )
    parts = read(shop)
    assert [(part.events["time_ms"] - START_MS).tolist() for part in parts] == [[1, 4, 5], [9, 10, 11], [12]]
    assert [part.beside["file"].tolist() for part in parts] == [[0, 1, 0], [2, 1, 2], [3]]
    assert len({session for part in parts for session in part.beside["session"].tolist()}) == 7
    assert shop.waited[0] == {(0, 0): 2, (1, 0): 0, (2, 0): 0}


polls = st.lists(
    st.dictionaries(st.tuples(st.sampled_from(SOURCES), st.integers(0, 1)), st.lists(st.integers(0, 30), max_size=6)),
    max_size=6,
)


@given(polls=polls, ends=st.lists(st.sets(st.sampled_from([(s, p) for s in SOURCES for p in (0, 1)])), min_size=6))
def test_the_order_is_that_of_servings_intake_and_each_event_keeps_its_own(
    polls: list[dict[Source, list[int]]], ends: list[set[Source]]
) -> None:
    everything = {(source, partition) for source in SOURCES for partition in (0, 1)}
    asked = [*zip(polls, ends, strict=False), ({}, everything)]
    parts = read(PolledShop(asked))

    intake = Intake(hold_max_ms=10**9, steps=64)
    for partition in (0, 1):
        intake.start(partition, {})
    applied: list[EventBatch] = []
    for poll in PolledShop(asked).polls(Kinds(), Reading("-"), {}, lambda events: None):
        for frame in poll.frames:
            intake.put(
                DecodedFrame(frame.source, frame.partition, frame.next_offset, *decode(frame, PolledShop.bounds))
            )
        intake.absorb()
        applied.append(intake.take(10**6, poll.at_end or (), 0))

    for partition in (0, 1):
        ours = [(s, int(o)) for part in parts for s, p, o in _where(part.events) if p == partition]
        theirs = [(s, int(o)) for batch in applied for s, p, o in _where(batch) if p == partition]
        assert ours == theirs
    for part in parts:
        assert part.beside["file"].tolist() == part.events["offset"].tolist()


def _where(events: EventBatch) -> list[tuple[int, int, int]]:
    return list(zip(*(events[name].tolist() for name in ("source", "partition", "offset")), strict=True))


@pytest.mark.parametrize("source", SOURCES)
def test_the_roles_of_topics_are_those_of_the_names_used_here(source: int) -> None:
    assert shop_event("ann", NAMES[source], 0).topic == ROLES[source]
    assert np.array_equal(nothing_known(2)["fraud"], [-1, -1])
