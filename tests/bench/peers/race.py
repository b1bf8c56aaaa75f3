"""Systems in rounds, A B C A B C, on one broker, the same events and the same two CPUs."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import msgspec
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from stream import model_file
from stream.bench.bed import make_topics, of_its_own, of_the_same_events
from stream.bench.throughput import load
from stream.core_speed import this_machine
from stream.errors import BehaviourStreamError
from stream.kafka.embedded import EmbeddedBroker
from stream.model_file import LoadedModel
from stream.settings import Settings
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.bench.peers import environment, measuring, systems
from tests.bench.peers.checking import Check, check
from tests.bench.peers.children import children
from tests.bench.peers.result import Found, settings_of_all, versions
from tests.bench.peers.systems import FLOORS, Run, UnableError
from tests.models import untaught_in

_CPUS = 2  # of all that is measured, the broker among it
_USERS, _SEED, _DAYS_AGO, _DAY_MS = 50_000, 1, 60, 86_400_000
_BROKER = {
    "log.segment.delete.delay.ms": "1000",  # a run's topics are a gigabyte, and are deleted after it
    "group.initial.rebalance.delay.ms": "1000",
}
_FLOOR_SECS = 120.0  # beside what is measured


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for."""

    names: tuple[str, ...]  # of systems, `SYSTEM` or `SYSTEM:N`
    rounds: int
    seconds: float  # of a measured window, at most
    events: int  # on the source topics
    checked: int  # scores that are looked at of each system
    hidden: int | None  # of an untaught model; None: the shipped one


def compare(plan: Plan, say: Callable[[str], None]) -> Found:
    """All of it."""
    _keep_to_cpus()
    with tempfile.TemporaryDirectory(prefix="behaviour-stream-compare-") as name:
        folder = Path(name)
        loaded, model = _model(plan, folder)
        _export(model, folder / "model", say)
        with EmbeddedBroker(folder / "broker", properties=_BROKER) as broker:
            settings = Settings(
                bootstrap_servers=broker.bootstrap_servers,
                metrics_port=0,
                retention_hours=-1,
                model=model,
                device="cpu",
                log_level="warning",
            )
            race = _Race(plan, of_its_own(settings, "race", folder), loaded, folder, say)
            race.load()
            for turn, system in itertools.product(range(plan.rounds), plan.names):
                race.turn(system, turn)
    return race.found()


class _Race:
    """The runs so far."""

    def __init__(
        self, plan: Plan, settings: Settings, loaded: LoadedModel, folder: Path, say: Callable[[str], None]
    ) -> None:
        self._plan, self._settings, self._loaded, self._folder, self._say = plan, settings, loaded, folder, say
        self._runs: dict[str, list[float]] = {name: [] for name in plan.names}
        self._checks: dict[str, Check] = {}
        self._void: dict[str, str] = {}

    def load(self) -> None:
        """Put the events on the source topics."""
        start_ms = (int(time.time() * 1000) // _DAY_MS - _DAYS_AGO) * _DAY_MS
        self._say(f"simulating {self._plan.events:,} events of up to {_USERS:,} shoppers")
        shop = simulate(scenario.load(), seed=_SEED, users=_USERS, start_ms=start_ms)
        asyncio.run(load(self._settings, shop, self._plan.events))

    def turn(self, name: str, turn: int) -> None:
        """One run of a system, unless it is void."""
        if name in self._void:
            return
        marker = f"{name.replace(':', '-')}-{turn}-run"
        settings = of_the_same_events(self._settings, marker, self._folder)
        try:
            run = Run(settings, self._folder / "model")
            rate = self._floor(name, run) if name in FLOORS else self._scored(name, run)
        except (BehaviourStreamError, KafkaError, UnableError, OSError, subprocess.SubprocessError) as error:
            self._void[name] = str(error)
            self._say(f"{name}: void, {error}")
            return
        finally:
            shutil.rmtree(settings.data_dir, ignore_errors=True)
            asyncio.run(_delete(settings, marker))
        if name not in self._void:
            self._runs[name].append(round(rate, 1))
            self._say(f"{name}: {rate:,.0f} events/s")

    def _scored(self, name: str, run: Run) -> float:
        settings = run.settings
        settings.data_dir.mkdir(parents=True)
        asyncio.run(make_topics(settings))
        with children(systems.commands(name, run), self._folder / settings.app_id) as group:
            rate = asyncio.run(measuring.watch(settings, group, self._plan.events, self._plan.seconds))
        if name not in self._checks:
            found = self._checks[name] = asyncio.run(check(settings, self._loaded, self._plan.checked))
            words = f"{found.compared:,} events are within {found.largest_difference:.1g} of offline scoring"
            self._say(f"{name}: {words if found.ok else found.why}")
            if not found.ok:
                self._void[name] = found.why
        return rate.events_per_second

    def _floor(self, name: str, run: Run) -> float:
        done = subprocess.run(
            systems.floor_command(name, run, self._plan.seconds),
            cwd=environment.ROOT,
            check=True,
            stdout=subprocess.PIPE,
            timeout=self._plan.seconds + _FLOOR_SECS,
        )
        return float(json.loads(done.stdout)["events_per_second"])

    def found(self) -> Found:
        """All that was found."""
        good = {name: runs for name, runs in self._runs.items() if runs and name not in self._void}
        return Found(
            events_per_second={name: round(median(good[name]), 1) if name in good else None for name in self._runs},
            spread={name: (min(runs), max(runs)) for name, runs in good.items()},
            runs=good,
            checks=self._checks,
            void=self._void,
            machine=f"{this_machine()}; all on {_CPUS} of them",
            versions=versions(),
            settings=settings_of_all(self._plan.seconds, self._plan.rounds),
            events=self._plan.events,
            model=f"{self._loaded.name} ({self._loaded.hash})",
        )


def _keep_to_cpus() -> None:
    """This process and all that it starts."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:_CPUS])


def _model(plan: Plan, folder: Path) -> tuple[LoadedModel, str]:
    """The model, and how a command names it."""
    name = Settings().model if plan.hidden is None else untaught_in(folder, hidden=plan.hidden)
    return model_file.load(name), name


def _export(model: str, folder: Path, say: Callable[[str], None]) -> None:
    """What the peers read; without their environment none of them is compared."""
    try:
        command = [str(environment.make(say)), "-m", "tests.bench.peers.export", str(folder), "--model", model]
        subprocess.run(command, cwd=environment.ROOT, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        say(f"no peers: {error}")


async def _delete(settings: Settings, marker: str) -> None:
    """The topics of a run."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    await admin.start()
    try:
        if theirs := [topic for topic in await admin.list_topics() if marker in topic]:
            await admin.delete_topics(theirs)
    finally:
        await admin.close()
