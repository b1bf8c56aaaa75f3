"""Where events to learn from come from. Whatever it is, it gives polls: frames as serving fetches them, and what is
known of their records beside.

    files (file_source) ─────┐
    topics (topic_source) ───┼─> polls ─> merged: decode, merge ─> gathering ─> runs
    simulated shoppers ──────┘
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stream.decode import TimeBounds
from stream.events import Frame
from stream.merge import Source
from stream.shop_event import ROLES, ShopEvent
from stream.shop_frames import ShopFrames
from stream.simulator.scenario import Scenario
from stream.simulator.simulate import simulate
from stream.training.fraud_labels import NO, UNKNOWN, Kinds, verdict
from stream.training.reading import Reading

# What is known of a record beside what serving decodes of it.
BESIDE = np.dtype(
    [
        ("session", "u8"),  # hash of the session id; 0: none
        ("fraud", "i1"),  # -1 unknown, 0 no, 1 yes
        ("kind", "u1"),  # of fraud, its code in `Kinds`; 0: none
        ("file", "u2"),  # of several that are one shop
    ]
)

# Events of a poll, and the most where that many have one and the same time: about 30 MB.
_POLL_EVENTS = 4096
_POLL_MAX_EVENTS = 1 << 16

# Record and event carry one and the same time here, or one that a simulated delay is between.
_BELIEVED = TimeBounds(max_ahead_ms=86_400_000, max_behind_ms=86_400_000)


@dataclass(frozen=True, slots=True)
class Poll:
    """What one fetch brought."""

    frames: Sequence[Frame]
    beside: Sequence[NDArray[np.void]]  # of each frame [n] BESIDE: of each record; the session is read later
    at_end: Collection[Source] | None  # topic partitions that are read to their end with this poll; None: all
    share: float | None  # of the shop that is read with this poll


class Shop(Protocol):
    """One shop's events; users of two shops are never taken for the same, whatever their ids."""

    name: str
    bounds: TimeBounds
    ignore_refused: bool  # what is left is right even where more is refused

    def polls(
        self, kinds: Kinds, reading: Reading, waiting: Mapping[Source, int], looked: Callable[[int], None]
    ) -> Iterator[Poll]:
        """Go through the shop once.

        What should be known is told to `reading`; `waiting` says how many events of each topic partition could not be
        merged yet; `looked` is told of events that were looked at beforehand.
        """

    def end_ms(self, last_ms: int) -> int:
        """The time up to which the shop was watched, not included, once all was read; `last_ms` is the last event's."""


def polls_of(
    events: Iterable[tuple[int, ShopEvent]],
    kinds: Kinds,
    *,
    share: Callable[[int, int], float | None],
    unlabelled: int = UNKNOWN,
) -> Iterator[Poll]:
    """Polls of events in the order in which they were sent, each with the number of its file.

    A poll ends between two times, so that no order depends on where it ends: what is of one time goes by topic.
    `share` says from how many there were, and from the time of the last, how much of the shop that is. `unlabelled` is
    the verdict on events without a label.
    """
    topics, read = ShopFrames(), 0
    for poll in _cut(events):
        source = np.array([ROLES.index(event.topic) for _, event in poll], np.int64)
        beside = np.zeros(len(poll), BESIDE)
        beside["file"] = [file for file, _ in poll]
        beside["fraud"] = unlabelled
        for place, (_, event) in enumerate(poll):
            if event.label is not None:
                beside["fraud"][place], beside["kind"][place] = verdict(event.label, kinds)
        frames = topics.append(event for _, event in poll)
        read += len(poll)
        of_frames = [beside[source == frame.source] for frame in frames]
        yield Poll(frames, of_frames, None, share(read, poll[-1][1].sent_ms))


def _cut(events: Iterable[tuple[int, ShopEvent]]) -> Iterator[list[tuple[int, ShopEvent]]]:
    poll: list[tuple[int, ShopEvent]] = []
    for file, event in events:
        if len(poll) >= _POLL_EVENTS and (event.sent_ms != poll[-1][1].sent_ms or len(poll) >= _POLL_MAX_EVENTS):
            yield poll
            poll = []
        poll.append((file, event))
    if poll:
        yield poll


class EventsShop:
    """Events at hand, in the order in which they were sent; who has no label is known to be honest."""

    bounds = _BELIEVED
    ignore_refused = False

    def __init__(
        self,
        name: str,
        events: Iterable[ShopEvent],
        *,
        end_ms: int | None = None,
        share: Callable[[int, int], float | None] = lambda events, time_ms: None,
    ) -> None:
        """`end_ms`: watched up to then, not included; None: up to the last event. `share` as for `polls_of`."""
        self.name, self._events, self._end_ms, self._share = name, events, end_ms, share

    def polls(
        self, kinds: Kinds, reading: Reading, waiting: Mapping[Source, int], looked: Callable[[int], None]
    ) -> Iterator[Poll]:
        return polls_of(((0, event) for event in self._events), kinds, share=self._share, unlabelled=NO)

    def end_ms(self, last_ms: int) -> int:
        return last_ms + 1 if self._end_ms is None else self._end_ms


def simulated(scenario: Scenario, *, seed: int, users: int, start_ms: int, end_ms: int) -> EventsShop:
    """A simulated shop, from its opening to `end_ms` (not included). Two seeds have no shop in common."""
    return EventsShop(
        f"simulated shop {seed}",
        simulate(scenario, seed=seed, users=users, start_ms=start_ms, end_ms=end_ms),
        end_ms=end_ms,
        share=lambda events, time_ms: (time_ms - start_ms) / (end_ms - start_ms),
    )


def nothing_known(records: int) -> NDArray[np.void]:
    """[records] of BESIDE."""
    beside = np.zeros(records, BESIDE)
    beside["fraud"] = UNKNOWN
    return beside
