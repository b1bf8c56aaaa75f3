"""One round: topics of its own, workers, load, faults, and the verdict once all is committed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, Literal

import msgspec

from stream import settings as settings_module
from stream.kafka import topics as topics_module
from stream.kafka.embedded import EmbeddedBroker
from stream.settings import Settings
from tests.faults import disk, load
from tests.faults.faults import FLEET_MAX, Fault, FillDisk, Ground, draw
from tests.faults.fleet import Fleet, disk_of
from tests.faults.verdict import Tally
from tests.faults.watch import Watch

Form = Literal["loaded", "live"]

_LOADED_START_MS = 1_767_225_600_000  # 1 January 2026
_LIVE_DAYS_AGO = 60  # simulated time passes faster than a clock: so the events of a live round stay in the past
_DAY_MS = 86_400_000
# A worker takes seconds to start, more on a busy machine; afterwards a backlog of some thousand events is a second.
_BEGIN_SECS, _FINISH_SECS = 120.0, 240.0
_POLL_SECS = 0.1
_SAME_MOMENT = 0.3  # of faults come without waiting for anything to go on after the one before


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How a campaign's rounds are to be."""

    seed: int
    form: Form
    guarantee: str
    events: int  # of a round that is loaded beforehand
    rate_per_sec: float  # of a live one
    faults: int  # of a round
    small_disks: bool  # some can be mounted, and filled up
    hostile_share: float = 0.05
    users: int = 200


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a round came to."""

    number: int  # from 1
    tally: Tally
    finished: bool  # all was committed in time
    records: int
    hostile: int
    faults: tuple[str, ...]  # kinds, in their order
    under_load: int  # of these, thrown while events waited to be scored
    worker_restarts: int
    exits: dict[str, int]  # by reason
    seconds: float
    notes: tuple[str, ...] = ()

    def defects(self, plan: Plan) -> dict[str, int]:
        """What was wrong, by name."""
        found = self.tally.defects(guarantee=plan.guarantee, order_is_determined=plan.form == "loaded")
        return found if self.finished else {"unfinished": 1} | found


class Round:
    """A round while it is played, in a folder of its own."""

    def __init__(self, plan: Plan, number: int, broker: EmbeddedBroker, folder: Path) -> None:
        self._plan, self._number, self._broker, self._folder = plan, number, broker, folder
        self._rng = Random(f"{plan.seed}/{number}/{plan.form}")
        self.settings = _settings(plan, number, broker, folder, self._rng)
        self._watch = Watch(self.settings)
        self._sent = load.Sent(0, 0)
        self._under_load = 0

    async def play(self) -> Outcome:
        """Throw the round's faults, see it to its end, and judge what is left on the topics."""
        started, plan = time.monotonic(), self._plan
        self._folder.mkdir(parents=True, exist_ok=True)
        await topics_module.ensure(self.settings)
        faults = draw(plan.seed, self._number - 1, plan.faults, small_disks=plan.small_disks)
        fleet = Fleet(self.settings, self._folder, self._rng)
        async with self._watch:
            with self._disks(needed=any(isinstance(fault, FillDisk) for fault in faults)) as disks:
                try:
                    async with self._loading():
                        await self._throw(
                            faults, Ground(fleet, self._broker, self.settings.session_timeout_ms / 1000, disks)
                        )
                    finished = await self._until_committed()
                    await fleet.close()
                finally:
                    fleet.kill_all()
            tally = await self._watch.judged(order_is_determined=plan.form == "loaded", sent=self._sent.records)
        return Outcome(
            number=self._number,
            tally=tally,
            finished=finished,
            records=self._sent.records,
            hostile=self._sent.hostile,
            faults=tuple(fault.kind for fault in faults),
            under_load=self._under_load,
            worker_restarts=fleet.restarts,
            exits=dict(fleet.exits),
            seconds=round(time.monotonic() - started, 1),
            notes=tuple(self._watch.notes),
        )

    async def _throw(self, faults: Sequence[Fault], ground: Ground) -> None:
        for _ in range(self._rng.choice((1, 2, 2))):
            ground.fleet.join()
        for at, fault in enumerate(faults):
            await self._until_under_way((at + 0.5) / (len(faults) + 1), first=at == 0)
            self._under_load += bool(await self._watch.left())
            self._log(f"{fault}")
            await fault.throw(ground)
            await self._watch.look_at_commits()

    @contextlib.asynccontextmanager
    async def _loading(self) -> AsyncIterator[None]:
        """Load beforehand, or for as long as this is entered."""
        plan, stop = self._plan, asyncio.Event()
        loaded = plan.form == "loaded"
        days_ago_ms = int(time.time() * 1000) // _DAY_MS * _DAY_MS - _LIVE_DAYS_AGO * _DAY_MS
        traffic = load.traffic(
            self._rng.getrandbits(32),
            users=plan.users,
            start_ms=_LOADED_START_MS if loaded else days_ago_ms,
            hostile_share=plan.hostile_share,
        )
        if loaded:
            self._sent = await load.send(self.settings, islice(traffic, plan.events), own_time=True)
            yield
            return
        sending = asyncio.create_task(
            load.send(self.settings, traffic, rate_per_sec=plan.rate_per_sec, own_time=False, stop=stop)
        )
        try:
            yield
            stop.set()
            self._sent = await sending
        finally:
            sending.cancel()

    async def _until_under_way(self, share: float, *, first: bool) -> None:
        """Wait until it is time for the next fault: some have to be in the middle of what came before."""
        if not first and self._rng.random() < _SAME_MOMENT:
            return
        if self._plan.form == "live" and not first:
            await asyncio.sleep(self._rng.uniform(0.5, 3.0))
            return
        wanted, deadline = 1 if first else int(share * self._plan.events), time.monotonic() + _BEGIN_SECS
        while time.monotonic() < deadline:
            if await self._watch.committed() >= wanted:
                return
            await asyncio.sleep(_POLL_SECS)
        self._watch.notes.append(f"less than {wanted} records committed {_BEGIN_SECS:.0f} s after a fault")

    async def _until_committed(self) -> bool:
        deadline = time.monotonic() + _FINISH_SECS
        while left := await self._watch.left():
            if time.monotonic() > deadline:
                self._watch.notes.append(f"not committed in {_FINISH_SECS:.0f} s: {left}")
                return False
            await asyncio.sleep(_POLL_SECS)
        return True

    @contextlib.contextmanager
    def _disks(self, *, needed: bool) -> Iterator[Sequence[disk.SmallDisk]]:
        with contextlib.ExitStack() as stack:
            numbers = range(FLEET_MAX if needed else 0)
            yield [stack.enter_context(disk.SmallDisk(disk_of(self._folder, number))) for number in numbers]

    def _log(self, line: str) -> None:
        with (self._folder / "faults.log").open("a") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {line}\n")


def _settings(plan: Plan, number: int, broker: EmbeddedBroker, folder: Path, rng: Random) -> Settings:
    """Small batches and short intervals, by seed: many places to be hit at."""
    suffix = f"{plan.form}-{plan.guarantee.replace('_', '-')}-{plan.seed}-{number}"
    scores = ("purchase_intent", "anomaly_scores", "dead_letters")
    names = ("clicks", "searches", "purchases", *scores, "erasures", "models")
    flags: dict[str, Any] = {f"{name}_topic": f"{name.replace('_', '-')}-{suffix}" for name in names}
    flags |= {
        "bootstrap_servers": broker.bootstrap_servers,
        "app_id": f"faults-{suffix}",
        "data_dir": folder / "state",
        "metrics_port": 0,
        "retention_hours": -1,
        "session_timeout_ms": 6_000,  # Kafka's least
        "transaction_timeout_ms": 20_000,  # least of exactly_once with such sessions and intervals: 16.3 s
        "guarantee": plan.guarantee,
        "partitions": rng.choice((2, 3, 4)),
        "batch_max_events": rng.choice((8, 32, 128)),
        "batch_max_steps": rng.choice((2, 4, 64)),
        "poll_max_records": rng.choice((10, 20, 40)),
        "checkpoint_interval_ms": rng.choice((100, 200, 300)),
    }
    return settings_module.load(flags, environ={})
