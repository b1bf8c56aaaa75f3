"""Requests that users be forgotten, and which of them can be granted.

A record on the topic of erasures asks that its key, a user id, be forgotten. It is granted once all is applied that the
partition's source topics held when it came: what was sent before it goes with the rest, and what comes after it is
granted finds a user never seen. It is no event: rows keep no offset of this topic.
"""

from __future__ import annotations

import logging
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec

from stream.events import ID_MAX_LENGTH, SOURCES, Reason, Record, Reject
from stream.merge import Position, Source

logger = logging.getLogger(__name__)

# Of a checkpoint: each is a row that is looked for, and the rest has its turn with the next one.
_GRANTED_AT_ONCE = 1_000

# The topic's place behind the source topics, in a partition's row and in a dead letter.
ERASURES = len(SOURCES)


class Request(NamedTuple):
    """That a user be forgotten."""

    offset: int
    key: bytes
    ends: Mapping[int, int]  # of each source that could be asked, when the request came
    since_ms: int  # when it came


class _Arrived(NamedTuple):
    """Records of one partition, not yet looked at."""

    partition: int
    records: Sequence[Record]
    ends: Mapping[int, int]
    since_ms: int

    def look_at(self, record: Record) -> Request | Reject:
        refusal, key = _refusal(record), record.key
        if refusal is None and key is not None:
            return Request(record.offset, key, self.ends, self.since_ms)
        assert refusal is not None  # of a record without a key
        where = (ERASURES, self.partition, record.offset, record.timestamp)
        return Reject(*where, "erasure", *refusal, key, record.value)


class _Refusal(NamedTuple):
    reason: Reason
    error: str


class _Value(msgspec.Struct):
    user_id: str | None = None


_decode = msgspec.json.Decoder(_Value).decode


class Erasures:
    """Requests by partition. `put` may be called from another thread."""

    def __init__(self, patience_ms: int) -> None:
        """A source that stands still for so long, or whose end nobody tells, is waited for no longer."""
        self._patience_ms = patience_ms
        self._moved: dict[Source, tuple[int, int]] = {}  # how far each source was passed, and since when
        self._arrived: deque[_Arrived] = deque()
        self._waiting: defaultdict[int, deque[Request | Reject]] = defaultdict(deque)
        self._next: dict[int, int] = {}  # by partition, the first offset not looked at

    def __len__(self) -> int:
        """How many wait. May be asked from another thread."""
        return sum(map(len, list(self._waiting.values())))

    def waiting(self, partition: int) -> int:
        """How many of a partition wait. May be asked from another thread."""
        return len(self._waiting.get(partition, ()))

    def start(self, partition: int, position: Position) -> None:
        """Own a partition, whose first request is at this position."""
        self._next[partition] = position.offset

    def clear(self) -> None:
        """Own nothing; what was not granted comes again from the committed offsets."""
        self._arrived.clear()
        self._waiting.clear()
        self._next.clear()
        self._moved.clear()

    def put(self, partition: int, records: Sequence[Record], ends: Mapping[int, int], since_ms: int) -> None:
        """Take over records, in offset order, that came at that time; `ends` of the sources, as far as known."""
        self._arrived.append(_Arrived(partition, records, ends, since_ms))

    def absorb(self) -> list[Reject]:
        """Look at what was put -> what is no request, to be published before the next checkpoint.

        As soon as all before it is granted: published any sooner, it would come again after a change of owner.
        """
        for _ in range(len(self._arrived)):
            arrived = self._arrived.popleft()
            self._waiting[arrived.partition] += map(arrived.look_at, arrived.records)
            self._next[arrived.partition] = arrived.records[-1].offset + 1
        rejects: list[Reject] = []
        for waiting in self._waiting.values():
            while waiting and isinstance(first := waiting[0], Reject):
                rejects.append(first)
                waiting.popleft()
        return rejects

    def ready(self, partition: int, passed: Mapping[int, int], now_ms: int) -> list[Request]:
        """The first requests, up to one that has to wait; all of a source's records before `passed` are applied."""
        if not self._waiting[partition]:
            return []
        for source in SOURCES:
            at = passed.get(source, 0)
            if self._moved.get((source, partition), (-1, 0))[0] != at:
                self._moved[source, partition] = at, now_ms
        requests = []
        for request in islice(self._waiting[partition], _GRANTED_AT_ONCE):
            if isinstance(request, Reject):
                break
            ends = request.ends
            behind = [s for s in SOURCES if s not in ends or passed.get(s, 0) < ends[s]]
            if any(now_ms - self._waited_since_ms(request, s, partition) < self._patience_ms for s in behind):
                break
            if behind:
                logger.warning(
                    "erasure %d of partition %d: granted, though sources %s are not read up to where they ended; "
                    "what is still to come of them begins the user anew", request.offset, partition, behind,
                )  # fmt: skip
            requests.append(request)
        return requests

    def _waited_since_ms(self, request: Request, source: int, partition: int) -> int:
        if source not in request.ends:
            return request.since_ms
        return max(request.since_ms, self._moved[source, partition][1])

    def granted(self, partition: int, n: int) -> None:
        """The first n requests are granted with the next commit."""
        for _ in range(n):
            self._waiting[partition].popleft()

    def positions(self) -> dict[Source, Position]:
        """The first record of each partition that is neither granted nor refused."""
        first = {p: waiting[0].offset for p, waiting in self._waiting.items() if waiting}
        return {(ERASURES, p): Position(first.get(p, after)) for p, after in self._next.items()}


def _refusal(record: Record) -> _Refusal | None:
    """Why a record is no request; None: it is one."""
    key = record.key or b""
    try:
        user = key.decode()
    except UnicodeDecodeError as error:
        return _Refusal("schema", f"expected a user id in UTF-8 as key, got {len(key)} bytes that are none: {error}")
    if not 1 <= len(user) <= ID_MAX_LENGTH:
        return _Refusal("schema", f"expected a user id of 1 to {ID_MAX_LENGTH} characters as key, got {len(user)}")
    return None if record.value is None else _refusal_of_value(record.value, user)


def _refusal_of_value(value: bytes, user: str) -> _Refusal | None:
    try:
        named = _decode(value).user_id
    except msgspec.ValidationError as error:
        return _Refusal("schema", str(error).replace("`", ""))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return _Refusal(
            "not_json", f"expected no value, or a JSON object, got {len(value)} bytes that are none: {error}"
        )
    if named not in (None, user):
        return _Refusal("key_mismatch", f"expected the user of the key, got {named!r} - at $.user_id")
    return None
