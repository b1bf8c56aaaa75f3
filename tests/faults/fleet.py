"""Worker processes under a supervisor that starts whoever ends again, as `restart: always` does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import msgspec

from stream.processes import dying_with_parent
from stream.settings import ENV_PREFIX, Settings, in_force

# Docker begins with 0.1 s, doubles it, and begins anew after 10 s of life.
_DELAY_SECS, _DELAY_MAX_SECS, _LIVED_SECS = 0.1, 5.0, 10.0
# A worker ends itself after 60 s of stopping; the rest is for a busy machine.
_STOP_SECS = 90.0
_POLL_SECS = 0.02
_NUMBER = re.compile(r"\d+")


def disk_of(folder: Path, number: int) -> Path:
    """Where the state of a worker lies, in the folder of its fleet."""
    return folder / f"disk-{number}"


class Slot:
    """The place of a worker, with its own folder: one process after the other."""

    def __init__(self, number: int, settings: Settings, folder: Path) -> None:
        self.number = number
        self.disk = disk_of(folder, number)
        self.log = folder / f"worker-{number}.log"
        self.settings = msgspec.structs.replace(settings, data_dir=self.disk / "state")
        self.process: subprocess.Popen[bytes] | None = None
        self.frozen = False  # stopped by SIGSTOP
        self.fate = ""  # what was done to it, and will be the reason of its end
        self.loses_disk = False  # before its next start
        self._log_start = 0

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> subprocess.Popen[bytes]:
        """A new process; only from the main thread, since Linux ends it with the thread that started it."""
        if self.loses_disk:
            shutil.rmtree(self.settings.data_dir, ignore_errors=True)
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in in_force(self.settings).items()]
        command = dying_with_parent([sys.executable, "-m", "stream.cli", "worker", *flags])
        environment = {name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)}
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
            )
        self.frozen, self.loses_disk, self.fate = False, False, ""
        return self.process

    def signal(self, number: signal.Signals) -> None:
        """Nothing to a process that has ended."""
        if self.alive and self.process is not None:
            self.process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP."""
        self.frozen = True
        self.signal(signal.SIGSTOP)

    def wake(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)
        self.frozen = False

    def said(self) -> str:
        """What the latest process has logged."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    @property
    def takings(self) -> int:
        """How often its process has begun to score partitions; an empty share counts for nothing."""
        return len(re.findall(r"scoring partitions \[\d", self.said())) if self.alive else 0

    @property
    def begun(self) -> bool:
        """Whether its process has come so far as to score."""
        return self.takings > 0

    def end(self) -> str:
        """Why its process ended: what was done to it, or its code and its last words, without their numbers."""
        assert self.process is not None
        code = self.process.returncode
        if self.fate or code == 0:
            return f"{self.fate or 'by itself'}: {code}"
        said = [line for line in self.said().splitlines() if line.strip()] or ["nothing said"]
        errors = [line for line in said if " ERROR stream" in line or re.match(r"[\w.]*Error\b", line)]
        last = (errors or said)[-1].split(" ERROR ", 1)[-1]
        return f"{code}: {_NUMBER.sub('N', last)[:160]}"


class Fleet:
    """As many workers as are wanted. Nobody is started again once the fleet is left."""

    def __init__(self, settings: Settings, folder: Path, rng: Random) -> None:
        self._settings, self._folder, self._rng = settings, folder, rng
        self.slots: list[Slot] = []
        self._wanted: set[int] = set()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self.exits: Counter[str] = Counter()
        self.restarts = 0

    def running(self) -> list[Slot]:
        """The slots whose process lives and is not stopped."""
        return [slot for slot in self.slots if slot.alive and not slot.frozen]

    async def any_running(self) -> Slot:
        """One of them, if it can be one that scores; waits for one."""
        while True:
            if running := self.running():
                return self._rng.choice([slot for slot in running if slot.begun] or running)
            await asyncio.sleep(0.1)

    @staticmethod
    async def until(holds: Callable[[], bool]) -> None:
        """Wait until something holds."""
        while True:
            if holds():
                return
            await asyncio.sleep(_POLL_SECS)

    @property
    def wanted(self) -> int:
        return len(self._wanted)

    def join(self) -> None:
        """One more worker: a new one, or one that left, with the state that it had then."""
        for slot in self.slots:
            if slot.number not in self._wanted and slot.number not in self._tasks:
                break
        else:
            slot = Slot(len(self.slots), self._settings, self._folder)
            self.slots.append(slot)
        self._wanted.add(slot.number)
        self._tasks[slot.number] = asyncio.create_task(self._supervise(slot))

    async def leave(self) -> None:
        """One worker less, in order."""
        slot = await self.any_running()
        self._wanted.discard(slot.number)
        slot.fate = "leave"
        await self._stopped(slot)

    async def kill(self, slot: Slot, fate: str = "kill -9") -> None:
        """SIGKILL; returns once it has ended."""
        slot.fate = fate
        slot.signal(signal.SIGKILL)
        await _ended(slot)

    async def terminate(self, slot: Slot) -> None:
        """SIGTERM; returns once it has ended."""
        slot.fate = "SIGTERM"
        await self._stopped(slot)

    async def close(self) -> None:
        """Everybody leaves, in order; who does not is killed."""
        self._wanted.clear()
        for slot in self.slots:
            slot.signal(signal.SIGCONT)
            slot.fate = slot.fate or "end"
        await asyncio.gather(*(self._stopped(slot) for slot in self.slots if slot.alive))
        await asyncio.gather(*self._tasks.values())

    def kill_all(self) -> None:
        """At once, without waiting: the round is given up."""
        self._wanted.clear()
        for slot in self.slots:
            slot.signal(signal.SIGKILL)
        for task in self._tasks.values():
            task.cancel()

    async def _supervise(self, slot: Slot) -> None:
        delay_secs = _DELAY_SECS
        while True:
            slot.start()
            started = time.monotonic()
            await _ended(slot)
            self.exits[slot.end()] += 1
            lived = time.monotonic() - started > _LIVED_SECS
            delay_secs = _DELAY_SECS if lived else min(2 * delay_secs, _DELAY_MAX_SECS)
            await asyncio.sleep(delay_secs)
            if slot.number not in self._wanted:
                break
            self.restarts += 1
        del self._tasks[slot.number]

    async def _stopped(self, slot: Slot) -> None:
        slot.signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECS):
                await _ended(slot)
        if slot.alive:
            await self.kill(slot, f"{slot.fate}, killed after {_STOP_SECS:.0f} s")


async def _ended(slot: Slot) -> None:
    # A thread that waits would be one of the few that the event loop has.
    await Fleet.until(lambda: not slot.alive)
