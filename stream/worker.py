"""Runs a worker until it is told to stop: logging, garbage collection, signals, metrics server, exit code."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import IO, Any, NoReturn

import faust
from prometheus_client import ProcessCollector

from stream import anew
from stream.anew import Beginning
from stream.app import WorkerApp, build_app
from stream.errors import BehaviourStreamError, PassingError, SettingsError
from stream.health import Health
from stream.kafka import disk, faults
from stream.kafka.watch import Watch
from stream.logs import hush, set_up_logging
from stream.metrics import Metrics
from stream.metrics_server import MetricsServer
from stream.scoring_loop import ScoringLoop
from stream.settings import Settings
from stream.waiting import until_ready

logger = logging.getLogger(__name__)

# Threads hand over at this interval (s); Python's 5 ms would be paid at every hand-over between fetching, scoring,
# sending.
_SWITCH_SECS = 0.0001
# A generation-0 collection after so many new objects, not after 700: a poll makes thousands, and none of them in
# cycles.
_GC_THRESHOLD = 100_000
# A stop that takes longer hangs on something that will not answer; the state is safe, for a stop adds nothing to it.
_STOP_SECS = 60.0
# After a failure, what does not answer is likely to be what failed; of a broker that is away it is known.
_GIVE_UP_SECS, _ALONE_SECS = 10.0, 1.0
# A worker that ran for so long was not begun in vain, even if nothing came that it could have committed.
_LONG_SECS = 300.0


def run(settings: Settings) -> int:
    """Score until SIGTERM or SIGINT -> the exit code. Raises SettingsError where the worker must not start.

    What passes by itself is no end: the process begins anew, and waits for what it needs.
    """
    set_up_logging(settings.log_level)
    life = _Life(Beginning.of_this_process())
    try:
        with _claimed(settings.data_dir):
            return _run(settings, life)
    except PassingError as error:
        life.begin_anew(error)


def _run(settings: Settings, life: _Life) -> int:
    metrics, health = Metrics(settings.source_topics), Health()
    metrics.begun_anew.inc(life.beginning.number)
    ProcessCollector(registry=metrics.registry)  # CPU, memory and start of this process
    with closing(MetricsServer(settings.metrics_host, settings.metrics_port, metrics.registry, health)) as server:
        logger.info("metrics on http://%s:%d/metrics", settings.metrics_host, server.port)
        time.sleep(life.beginning.pause_secs)
        for report in asyncio.run(until_ready(settings, health, again=life.beginning.number > 0)):
            for difference in report.differences:
                logger.warning("topic %s: %s", report.topic, difference)
        app = build_app(settings, metrics)
        health.scores(app.health)
        life.has_begun(app.committer)
        sys.setswitchinterval(_SWITCH_SECS)
        gc.collect()
        gc.freeze()
        gc.set_threshold(_GC_THRESHOLD, 50, 50)
        worker = _Worker(app, life)
        watch = Watch(settings, app.committer.watched, health=health, metrics=metrics, end=worker.give_up)
        app.broker_answers = lambda: watch.answers
        watch.start()
        with closing(watch):
            return _ended(worker)


def _ended(worker: _Worker) -> int:
    """Run it to its end -> the exit code. Raises PassingError where it ended by one."""
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        reason = worker.reason
        if isinstance(reason, PassingError) and not worker.told_to_stop:
            raise reason from None
        if isinstance(reason, BehaviourStreamError):
            logger.error("%s", reason)  # noqa: TRY400 - Faust has logged where it was raised
            return reason.exit_code
        return stop.code if isinstance(stop.code, int) else 0


class _Life:
    """This process from one beginning to the next."""

    def __init__(self, beginning: Beginning) -> None:
        self.beginning = beginning
        self._loop: ScoringLoop | None = None
        self._since = time.monotonic()

    def has_begun(self, loop: ScoringLoop) -> None:
        """Nothing is waited for any more."""
        self._loop, self._since = loop, time.monotonic()

    def begin_anew(self, error: PassingError) -> NoReturn:
        """From any thread. Raises the error where that was tried too often."""
        long = time.monotonic() - self._since > _LONG_SECS
        fruitful = self._loop is not None and (self._loop.fruitful or long)
        anew.begin(self.beginning.next(fruitful=fruitful), error)


def _claimed(folder: Path) -> IO[bytes]:
    """The folder's lock, held until it is closed, or the process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / "worker.lock").open("wb")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingsError(
            f"--data-dir={folder}: another process has it open; each worker needs a --data-dir of its own"
        ) from None
    except OSError as error:
        if disk.is_full(error):
            raise PassingError(f"--data-dir={folder}: cannot be used ({error.strerror})") from None
        raise SettingsError(f"--data-dir={folder}: cannot be used ({error.strerror})") from None
    return lock


class _Worker(faust.Worker):
    """Faust's worker without its spinner, and with a limit on how long it may take to stop."""

    def __init__(self, app: WorkerApp, life: _Life) -> None:
        super().__init__(app, override_logging=False, quiet=True, redirect_stdouts=False)
        self._app, self._life = app, life
        self._given_up: BehaviourStreamError | None = None
        self._stopping = threading.Event()

    def on_init_dependencies(self) -> Any:
        self.spinner = None
        return super().on_init_dependencies()

    @property
    def told_to_stop(self) -> bool:
        """Whether a signal came: then nothing is begun anew."""
        return self._signal_stop_future is not None

    @property
    def reason(self) -> BaseException | None:
        """Why it ended, if not because it was told to."""
        reason = self._given_up or self.crash_reason
        if isinstance(reason, faults.KAFKA_FAULTS):
            return faults.told(reason, "the broker has let a request down")
        return reason

    def give_up(self, error: BehaviourStreamError) -> None:
        """End because of it, also where the event loop hangs. From any thread."""
        self._given_up = error
        self.loop.call_soon_threadsafe(lambda: self._app.add_future(self._app.crash(error)))
        self._end_anyway_later()

    def stop_and_shutdown(self) -> None:
        if isinstance(self.reason, BehaviourStreamError):
            hush()
        self._end_anyway_later()
        super().stop_and_shutdown()

    def _end_anyway_later(self) -> None:
        if not self._stopping.is_set():
            self._stopping.set()
            threading.Thread(target=self._end_anyway, daemon=True).start()

    def _end_anyway(self) -> None:
        """What was not committed is done again at the next start, so that an end by force loses nothing."""
        secs = _STOP_SECS if self.reason is None else _GIVE_UP_SECS
        if not self._app.broker_answers():
            secs = _GIVE_UP_SECS if self.reason is None else _ALONE_SECS
        threading.Event().wait(secs)
        logger.warning("not stopped after %d s; ending all the same", secs)
        reason, code = self.reason, 1
        try:
            if isinstance(reason, PassingError) and not self.told_to_stop:
                self._life.begin_anew(reason)
        except PassingError as error:
            reason = error
        if isinstance(reason, BehaviourStreamError):
            logger.error("%s", reason)
            code = reason.exit_code
        os._exit(code)
