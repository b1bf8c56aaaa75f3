"""An open-loop load from here: its process, its records, and where each of them came to lie."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple, Self

import msgspec
import numpy as np
from aiokafka.partitioner import murmur2
from numpy.typing import NDArray

from stream.bench import pipe
from stream.bench.generator import Order, Placed, Sent
from stream.errors import BehaviourStreamError
from stream.processes import dying_with_parent
from stream.shop_event import ROLES, ShopEvent

_CHUNK = 4_096  # records of a message to it
_KEYS_CACHED = 1 << 18  # about 40 MB; murmur2 in Python costs 2 us a key


class LaneOfLoad(NamedTuple):
    """What was sent to a topic partition, [N] each."""

    topic: str
    partition: int
    due_secs: NDArray[np.float64]  # after the start of the schedule
    behind_secs: NDArray[np.float64]  # from then until the load came to it
    offsets: NDArray[np.int64]


class Loaded(NamedTuple):
    """What was sent, and when the schedule began, in ms since 1970."""

    start_ms: float
    lanes: list[LaneOfLoad]


def placed(events: Iterable[ShopEvent], partitions: int) -> Iterator[Placed]:
    """Where every Kafka client would put them."""
    partition = lru_cache(_KEYS_CACHED)(lambda key: (murmur2(key) & 0x7FFF_FFFF) % partitions)
    for event in events:
        yield ROLES.index(event.topic), partition(event.key), event.key, event.value


class OpenLoad:
    """The load of one schedule, between `with` and its end. It ends with this process."""

    def __init__(self, order: Order) -> None:
        self._order = order

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            dying_with_parent([sys.executable, "-m", "stream.bench.generator"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # ctrl-C reaches this process alone
        )
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def prepare(self, records: Iterable[Placed]) -> None:
        """Hand over as many as were ordered; it encodes them, and has done so when this returns."""
        left = iter(records)
        self._tell(msgspec.msgpack.encode(self._order))
        while chunk := list(itertools.islice(left, _CHUNK)):
            self._tell(msgspec.msgpack.encode(chunk))
        self._tell(b"")
        self._told()

    def run(self) -> Loaded:
        """Begin, and return once all is acknowledged."""
        self._tell(b"begin")
        sent = msgspec.msgpack.decode(self._told(), type=Sent)
        lanes = [
            LaneOfLoad(
                lane.topic,
                lane.partition,
                np.frombuffer(lane.due_secs, np.float64),
                np.frombuffer(lane.behind_secs, np.float64),
                np.frombuffer(lane.offsets, np.int64),
            )
            for lane in sent.lanes
        ]
        return Loaded(sent.start_ms, lanes)

    def _tell(self, message: bytes) -> None:
        assert self._process.stdin is not None
        try:
            pipe.write(self._process.stdin, message)
        except BrokenPipeError:
            raise self._ended() from None

    def _told(self) -> bytes:
        assert self._process.stdout is not None
        try:
            return pipe.read(self._process.stdout)
        except EOFError:
            raise self._ended() from None

    def _ended(self) -> BehaviourStreamError:
        return BehaviourStreamError(
            f"the load: expected all its records to be sent, got the end of its process with code "
            f"{self._process.wait()}; its reason is above"
        )

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.wait()
        for pipe_end in (self._process.stdin, self._process.stdout):
            if pipe_end is not None:
                pipe_end.close()
