"""Events that were taken and not applied yet, by user: they come again in their order, a share of them a batch.

A bot that sends half of all traffic has its events here, thousands of them, and nobody else waits for them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from stream.events import SOURCES, EventBatch
from stream.merge import Position, Source

# The hash of a user id, and of the partition. Two users of one hash wait for one another, and each keeps their order.
_User = int
_MIX = np.uint64(0x9E37_79B9_7F4A_7C15)
_Firsts = Mapping[Source, Position]


class _Piece(NamedTuple):
    """Some of a user's events, and the first of each source among them."""

    events: EventBatch
    firsts: _Firsts

    @classmethod
    def of(cls, events: EventBatch) -> Self:
        return cls(events, _firsts(events))


def share(steps: int, n: int) -> int:
    """Events of one user in a batch of n, at most; `steps` of a small one.

    A step of one user costs about what an event of many does: a quarter of a batch may go to the busiest.
    """
    return max(steps, n // 4)


class Deferred:
    """Per user, in their order; none of it is applied."""

    def __init__(self) -> None:
        self._of_user: dict[_User, deque[_Piece]] = {}
        self.waiting: Counter[Source] = Counter()  # never changed but replaced: others may be reading it

    def __len__(self) -> int:
        return self.waiting.total()

    def put_back(self, events: EventBatch) -> None:
        """Events that were taken and not applied: before the others of their users."""
        if not len(events):
            return
        for user, batch in _by_user(events):
            self._of_user.setdefault(user, deque()).appendleft(_Piece.of(batch))
        self.waiting = self.waiting + _sources(events)

    def keep_behind(self, events: EventBatch) -> EventBatch:
        """Events, without those whose user has earlier ones here: these are kept, behind the earlier ones."""
        if not self._of_user or not len(events):
            return events
        behind = np.isin(_users(events), np.fromiter(self._of_user, np.uint64, len(self._of_user)))
        if not behind.any():
            return events
        kept = events.take(behind)
        for user, batch in _by_user(kept):
            self._of_user[user].append(_Piece.of(batch))
        self.waiting = self.waiting + _sources(kept)
        return events.take(~behind)

    def take(self, each: int, n: int) -> EventBatch:
        """The first events of each user, at most `each` of one and n in all."""
        taken: list[EventBatch] = []
        if not self._of_user:
            return EventBatch.concat(taken)
        for user in list(self._of_user):
            if n <= 0:
                break
            pieces, room = self._of_user.pop(user), min(each, n)
            while pieces and room:
                batch = pieces.popleft().events
                if len(batch) > room:
                    pieces.appendleft(_Piece.of(batch.take(slice(room, None))))
                    batch = batch.take(slice(room))
                taken.append(batch)
                room -= len(batch)
                n -= len(batch)
            if pieces:
                self._of_user[user] = pieces  # behind the others, so that all have their turn
        events = EventBatch.concat(taken)
        self.waiting = self.waiting - _sources(events)
        return events

    def positions(self) -> dict[Source, Position]:
        """The first event of each source."""
        first: dict[Source, Position] = {}
        for pieces in self._of_user.values():
            for piece in pieces:
                for source, position in piece.firsts.items():
                    if source not in first or position.offset < first[source].offset:
                        first[source] = position
        return first

    def clear(self) -> None:
        self._of_user.clear()
        self.waiting = Counter()


def _users(events: EventBatch) -> NDArray[np.uint64]:
    """[N] the user of each."""
    return np.asarray(events["user_hash"] ^ events["partition"].astype(np.uint64) * _MIX)


def _by_user(events: EventBatch) -> Iterator[tuple[_User, EventBatch]]:
    users, of_each = np.unique(_users(events), return_inverse=True)
    in_order = np.argsort(of_each, kind="stable")
    ends = np.cumsum(np.bincount(of_each, minlength=len(users)))
    for user, of_user in zip(users.tolist(), np.split(in_order, ends[:-1]), strict=True):
        yield user, events.take(of_user).compact()  # else one event keeps a whole batch's text


def _sources(events: EventBatch) -> Counter[Source]:
    places, counts = np.unique(_places(events), return_counts=True)
    return Counter({_source(place): n for place, n in zip(places.tolist(), counts.tolist(), strict=True)})


def _firsts(events: EventBatch) -> _Firsts:
    places, first = np.unique(_places(events), return_index=True)
    # Its own key stands for the running maximum before it: from there on, both give the same order.
    return {
        _source(place): Position(int(events["offset"][i]), int(events["order_ms"][i]))
        for place, i in zip(places.tolist(), first.tolist(), strict=True)
    }


def _places(events: EventBatch) -> NDArray[np.int64]:
    return np.asarray(events["partition"].astype(np.int64) * len(SOURCES) + events["source"])


def _source(place: int) -> Source:
    return place % len(SOURCES), place // len(SOURCES)
