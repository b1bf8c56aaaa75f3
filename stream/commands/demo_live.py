"""The running part of the demo: sends simulated events, reads their scores, shows some, and sums up."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime
from typing import Any

import click

from stream.commands.client import reading, stop_event
from stream.commands.demo_scores import DemoScores
from stream.commands.load_run import destination
from stream.commands.worker_process import WorkerProcess
from stream.settings import Settings
from stream.simulator import scenario
from stream.simulator.load import LoadReport, produce
from stream.simulator.simulate import simulate

_DAY_MS = 86_400_000
_SIMULATED_DAY_SECS = 150
_EVENTS_PER_USER_DAY = 2.78  # of the simulator, over five days of 8,000 users
# Event time reaches the present after 12 hours of demo; the worker believes times up to a year before their records.
_DAYS_AGO = 300

_FIRST_SCORE_SECS = 120.0  # it takes 10 on two idle cores; then something is wrong
_REST_SECS = 5.0  # for the scores of what was sent last
_POLL_MS = 50
_SHOW_SECS = 0.5  # two lines each


class Demo:
    """One run. `worker` is asked whether it still lives."""

    def __init__(self, settings: Settings, rate_per_sec: float, worker: WorkerProcess) -> None:
        self._settings, self._rate_per_sec, self._worker = settings, rate_per_sec, worker
        self._scores = DemoScores(settings)

    async def run(self, seconds: float | None) -> str | None:
        """Show scores until so long after the first, or until ctrl-C -> a summary; None: ctrl-C before any score."""
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # topics this new have no leader yet, and it says so
        stop = stop_event()
        topics = (self._settings.purchase_intent_topic, self._settings.anomaly_scores_topic)
        async with reading(self._settings.bootstrap_servers, *topics, from_start=True) as consumer:
            sending = asyncio.create_task(self._send(stop))
            try:
                await self._show(consumer, sending, stop, seconds)
                report = await sending
                await self._read_the_rest(consumer)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
        return self._scores.summary(report.events) if self._scores.count else None

    async def _send(self, stop: asyncio.Event) -> LoadReport:
        users = max(1, round(self._rate_per_sec * _SIMULATED_DAY_SECS / _EVENTS_PER_USER_DAY))
        now_ms = int(time.time() * 1000)
        start_ms = now_ms - _DAYS_AGO * _DAY_MS
        click.echo(
            f"Simulating {users:,} shoppers, {self._rate_per_sec:g} events a second: a day of theirs passes in "
            f"{_SIMULATED_DAY_SECS} s, the first one is {datetime.fromtimestamp(start_ms / 1000, UTC):%d %b %Y}."
        )
        click.echo(
            "Scores of some: the probability of a purchase in 30 minutes and in 24 hours; how strange the event is, as "
            "the share of normal traffic that is less surprising; and the user's events so far."
        )
        events = simulate(scenario.load(), seed=now_ms, users=users, start_ms=start_ms, end_ms=now_ms)
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
        scores, clock = self._scores, time.monotonic
        begun = shown = clock()
        while not stop.is_set() and not sending.done():
            scores.take(await consumer.getmany(timeout_ms=_POLL_MS))
            if clock() - shown < _SHOW_SECS:
                continue
            shown = clock()
            scores.show()
            self._worker.check()
            if not scores.count and shown - begun > _FIRST_SCORE_SECS:
                raise self._worker.failed(f"no score in {_FIRST_SCORE_SECS:.0f} s")
            if seconds is not None and scores.count and shown - scores.first_secs >= seconds:
                stop.set()

    async def _read_the_rest(self, consumer: Any) -> None:
        deadline = time.monotonic() + (_REST_SECS if self._scores.count else 0.0)
        while self._scores.waiting and time.monotonic() < deadline:
            self._scores.take(await consumer.getmany(timeout_ms=_POLL_MS))
