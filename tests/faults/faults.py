"""What is thrown at a round, each fault a small value with what was drawn for it; and the draw.

Kinds come from a deck that is shuffled by the campaign's seed, so that few rounds have most of them and thirty have
each several times.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import ClassVar, Protocol

from stream.kafka.embedded import EmbeddedBroker
from tests.faults.disk import SmallDisk
from tests.faults.fleet import Fleet

FLEET_MAX = 3  # more starve each other on two cores
_STARTED_SECS = 90.0  # a worker takes 4 s on a quiet machine, many times that on a busy one


@dataclass(frozen=True, slots=True)
class Ground:
    """What faults are thrown at."""

    fleet: Fleet
    broker: EmbeddedBroker
    session_secs: float
    disks: Sequence[SmallDisk]  # by worker; empty where none can be mounted


class Fault(Protocol):
    """Returns once it is over: what was stopped goes on, a broker answers again."""

    kind: ClassVar[str]

    async def throw(self, ground: Ground) -> None: ...


@dataclass(frozen=True, slots=True)
class KillWorker:
    """kill -9; the supervisor starts it again."""

    kind: ClassVar[str] = "worker kill -9"

    async def throw(self, ground: Ground) -> None:
        await ground.fleet.kill(await ground.fleet.any_running())


@dataclass(frozen=True, slots=True)
class KillAllWorkers:
    """Power is lost: everybody at once."""

    kind: ClassVar[str] = "all workers kill -9"

    async def throw(self, ground: Ground) -> None:
        await asyncio.gather(*(ground.fleet.kill(slot) for slot in ground.fleet.running()))


@dataclass(frozen=True, slots=True)
class TerminateWorker:
    """SIGTERM; the supervisor starts it again."""

    kind: ClassVar[str] = "worker SIGTERM"

    async def throw(self, ground: Ground) -> None:
        await ground.fleet.terminate(await ground.fleet.any_running())


@dataclass(frozen=True, slots=True)
class FreezeWorker:
    """SIGSTOP until another one has taken over its partitions, and for some time after; then it wakes.

    Without another one nobody would be its successor, so there are two at least.
    """

    beyond_takeover_secs: float
    kind: ClassVar[str] = "worker SIGSTOP past its session"

    async def throw(self, ground: Ground) -> None:
        fleet = ground.fleet
        if fleet.wanted < 2:
            fleet.join()
        await _in_time(lambda: sum(slot.begun for slot in fleet.running()) > 1)
        slot = await fleet.any_running()
        others = {other.number: other.takings for other in fleet.running() if other is not slot}
        slot.freeze()
        try:
            await asyncio.sleep(ground.session_secs)
            await _in_time(lambda: any(o.takings > others.get(o.number, 0) for o in fleet.running()))
            await asyncio.sleep(self.beyond_takeover_secs)
        finally:
            slot.wake()


@dataclass(frozen=True, slots=True)
class PauseWorker:
    """SIGSTOP, too short for anybody to notice."""

    secs: float
    kind: ClassVar[str] = "worker SIGSTOP within its session"

    async def throw(self, ground: Ground) -> None:
        slot = await ground.fleet.any_running()
        slot.freeze()
        try:
            await asyncio.sleep(self.secs)
        finally:
            slot.wake()


@dataclass(frozen=True, slots=True)
class Join:
    """One more worker, or where there are as many as may be, one that leaves."""

    kind: ClassVar[str] = "worker joins"

    async def throw(self, ground: Ground) -> None:
        if ground.fleet.wanted < FLEET_MAX:
            ground.fleet.join()
        else:
            await ground.fleet.leave()


@dataclass(frozen=True, slots=True)
class Leave:
    """One worker less, in order; where there is only one, another comes first."""

    kind: ClassVar[str] = "worker leaves"

    async def throw(self, ground: Ground) -> None:
        if ground.fleet.wanted == 1:
            ground.fleet.join()
        await ground.fleet.leave()


@dataclass(frozen=True, slots=True)
class LoseDisk:
    """kill -9, and its local copy of the state is gone."""

    kind: ClassVar[str] = "worker loses its disk"

    async def throw(self, ground: Ground) -> None:
        slot = await ground.fleet.any_running()
        slot.loses_disk = True  # between its end and its next start
        await ground.fleet.kill(slot, "kill -9, disk lost")


@dataclass(frozen=True, slots=True)
class FillDisk:
    """No space is left for the state of a worker for a while.

    It may be killed meanwhile, and is then to start on the full disk; or one may join or leave, and partitions move.
    """

    secs: float  # after what else is done
    also: str
    kind: ClassVar[str] = "worker's disk is full"

    async def throw(self, ground: Ground) -> None:
        slot = await ground.fleet.any_running()
        disk = ground.disks[slot.number]
        disk.fill()
        try:
            if self.also == "kill":
                ended = ground.fleet.exits.total() + 1
                await ground.fleet.kill(slot)
                await _in_time(lambda: slot.begun or ground.fleet.exits.total() > ended)
            elif self.also == "move":
                await Join().throw(ground)
            await asyncio.sleep(self.secs)
        finally:
            disk.free()


@dataclass(frozen=True, slots=True)
class KillBroker:
    """kill -9, and a start after a while."""

    secs: float
    kind: ClassVar[str] = "broker kill -9"

    async def throw(self, ground: Ground) -> None:
        ground.broker.kill()
        await asyncio.sleep(self.secs)
        await _started(ground.broker)


@dataclass(frozen=True, slots=True)
class RestartBroker:
    """It is stopped in order and started again."""

    kind: ClassVar[str] = "broker restart"

    async def throw(self, ground: Ground) -> None:
        await asyncio.to_thread(ground.broker.stop)
        await _started(ground.broker)


@dataclass(frozen=True, slots=True)
class PauseBroker:
    """SIGSTOP: connections stay, nothing is answered."""

    secs: float
    kind: ClassVar[str] = "broker SIGSTOP"

    async def throw(self, ground: Ground) -> None:
        os.kill(ground.broker.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self.secs)
        finally:
            os.kill(ground.broker.pid, signal.SIGCONT)


Drawn = Callable[[Random], Fault]

_DECK: Sequence[Drawn] = (
    lambda rng: KillWorker(),
    lambda rng: KillWorker(),
    lambda rng: KillAllWorkers(),
    lambda rng: TerminateWorker(),
    lambda rng: FreezeWorker(rng.uniform(1.0, 4.0)),
    lambda rng: PauseWorker(rng.uniform(0.5, 3.0)),
    lambda rng: Join(),
    lambda rng: Leave(),
    lambda rng: LoseDisk(),
    lambda rng: KillBroker(rng.uniform(0.0, 3.0)),
    lambda rng: RestartBroker(),
    lambda rng: PauseBroker(rng.choice((rng.uniform(0.5, 3.0), rng.uniform(7.0, 10.0)))),
)
_WITH_SMALL_DISKS: Sequence[Drawn] = (
    lambda rng: FillDisk(rng.uniform(1.0, 5.0), rng.choice(("", "kill", "move"))),
)  # fmt: skip


def draw(seed: int, number: int, count: int, *, small_disks: bool) -> list[Fault]:
    """The faults of a round, given its number from 0 on: always the same."""
    shuffling = Random(seed)
    kinds = [*_DECK, *(_WITH_SMALL_DISKS if small_disks else ())]

    def deck() -> list[Drawn]:
        return shuffling.sample(kinds, len(kinds))

    cards: list[Drawn] = []
    while len(cards) < (number + 1) * count:
        cards += deck()
    own = Random(f"{seed}/{number}")
    return [card(own) for card in islice(cards, number * count, (number + 1) * count)]


async def _in_time(holds: Callable[[], bool]) -> None:
    """Wait until something holds of workers; go on where it takes too long, which is no fault of the faults."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_STARTED_SECS):
            await Fleet.until(holds)


async def _started(broker: EmbeddedBroker) -> None:
    broker.launch()  # here: Linux would end it with another thread
    await asyncio.to_thread(broker.wait_until_it_answers)
