"""The running part of the demo: sends simulated events, reads their scores, and has them shown."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any, Protocol

from stream.commands.client import reading
from stream.commands.demo_ending import Ending
from stream.commands.demo_scores import DemoScores, Scored
from stream.commands.demo_state import DemoState
from stream.commands.load_run import destination
from stream.commands.worker_process import WorkerProcess
from stream.settings import Settings
from stream.simulator import scenario
from stream.simulator.load import LoadReport, produce
from stream.simulator.simulate import simulate

_DAY_MS = 86_400_000
_SIMULATED_DAY_SECS = 150
_EVENTS_PER_USER_DAY = 3.2  # of the scenario, over its first days
# Event time reaches the present after 12 hours of demo; the worker believes times up to a year before their records.
_DAYS_AGO = 300

_FIRST_SCORE_SECS = 120.0  # it takes 10 on two idle cores; then something is wrong
_REST_SECS = 5.0  # for the scores of what was sent last
_POLL_MS = 50
_CHECK_SECS = 0.5


class Steps(Protocol):
    """Where it is said what is being done."""

    def __call__(self, text: str) -> None:
        """A step begins; no full stop at its end."""

    def done(self) -> None:
        """The last one is done."""

    def close(self) -> object:
        """Leave the terminal as it was."""


class View(Protocol):
    """Where scores are shown."""

    def add(self, event: Scored) -> None:
        """One that has just come; of all of them."""

    def show(self, state: DemoState, now: float, lag: int) -> None:
        """Called many times a second: draw if it is time to."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class Demo:
    """One run. `worker` is asked whether it still lives; `rate_per_sec` in events."""

    def __init__(
        self, settings: Settings, rate_per_sec: float, worker: WorkerProcess, view: View, ending: Ending
    ) -> None:
        self._settings, self._rate_per_sec, self._worker = settings, rate_per_sec, worker
        self._view, self._ending = view, ending
        self._now_ms = int(time.time() * 1000)
        self._start_ms = self._now_ms - _DAYS_AGO * _DAY_MS
        self._users = max(1, round(rate_per_sec * _SIMULATED_DAY_SECS / _EVENTS_PER_USER_DAY))
        self._scores = DemoScores(settings, time.monotonic)
        self.state = DemoState(time.monotonic())
        self.sent = 0

    @property
    def repeated(self) -> int:
        """Of what was sent, events that were sent a second time."""
        return self._scores.repeated

    def __str__(self) -> str:
        return (
            f"Simulating {self._users:,} shoppers, {self._rate_per_sec:g} events a second: a day of theirs passes in "
            f"{_SIMULATED_DAY_SECS} s, the first one is {datetime.fromtimestamp(self._start_ms / 1000, UTC):%d %b %Y}"
        )

    async def run(self, seconds: float | None) -> None:
        """Until so long after the first score, or until a signal."""
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # topics this new have no leader yet, and it says so
        stop = self._ending.stop_event()
        topics = (self._settings.purchase_intent_topic, self._settings.anomaly_scores_topic)
        async with reading(self._settings.bootstrap_servers, *topics, from_start=True) as consumer:
            sending = asyncio.create_task(self._send(stop))
            try:
                await self._show(consumer, sending, stop, seconds)
                self.sent = (await sending).events
                await self._read_the_rest(consumer)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, stop: asyncio.Event) -> LoadReport:
        events = simulate(
            scenario.load("demo"), seed=self._now_ms, users=self._users, start_ms=self._start_ms, end_ms=self._now_ms
        )
        return await produce(
            self._scores.expecting(events),
            destination(self._settings),
            rate_per_sec=self._rate_per_sec,
            record_time="now",
            stop=stop,
        )

    async def _show(
        self, consumer: Any, sending: asyncio.Task[LoadReport], stop: asyncio.Event, seconds: float | None
    ) -> None:
        state, clock = self.state, time.monotonic
        begun = checked = clock()
        while not stop.is_set() and not sending.done():
            await self._take(consumer)
            now = clock()
            state.tick(now, len(self._scores.waiting))
            self._view.show(state, now, len(self._scores.waiting))
            if now - checked < _CHECK_SECS:
                continue
            checked = now
            self._worker.check()
            if state.first_secs is None and now - begun > _FIRST_SCORE_SECS:
                raise self._worker.failed(f"no score in {_FIRST_SCORE_SECS:.0f} s")
            if seconds is not None and state.first_secs is not None and now - state.first_secs >= seconds:
                stop.set()

    async def _read_the_rest(self, consumer: Any) -> None:
        deadline = time.monotonic() + (_REST_SECS if self.state.count else 0.0)
        while self._scores.waiting and time.monotonic() < deadline:
            await self._take(consumer)
        self.state.tick(time.monotonic(), len(self._scores.waiting))

    async def _take(self, consumer: Any) -> None:
        records = await consumer.getmany(timeout_ms=_POLL_MS)
        now = time.monotonic()
        for event in self._scores.take(records):
            self.state.add(event, now)
            self._view.add(event)
