"""Runs a worker until it is told to stop: logging, garbage collection, signals, metrics server, exit code."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import logging
import os
import sys
import threading
from pathlib import Path
from typing import IO, Any

import faust
from aiokafka.errors import ProducerFenced
from prometheus_client import ProcessCollector

from stream.app import build_app
from stream.errors import BehaviourStreamError, SettingsError
from stream.kafka import topics
from stream.metrics_server import MetricsServer
from stream.settings import Settings

logger = logging.getLogger(__name__)

# Threads hand over at this interval (s); Python's 5 ms would be paid at every hand-over between fetching, scoring,
# sending.
_SWITCH_SECS = 0.0001
# A generation-0 collection after so many new objects, not after 700: a poll makes thousands, and none of them in
# cycles.
_GC_THRESHOLD = 100_000
# A stop that takes longer hangs on something that will not answer; the state is safe, for a stop adds nothing to it.
_STOP_SECS = 60.0


def run(settings: Settings) -> int:
    """Score until SIGTERM or SIGINT -> the exit code. Raises SettingsError where the worker must not start."""
    set_up_logging(settings.log_level)
    with _claimed(settings.data_dir):
        return _run(settings)


def _run(settings: Settings) -> int:
    asyncio.run(_wait_and_check(settings))
    app = build_app(settings)
    ProcessCollector(registry=app.metrics.registry)  # CPU, memory and start of this process
    server = MetricsServer(settings.metrics_host, settings.metrics_port, app.metrics.registry, app.health)
    logger.info("metrics on http://%s:%d/metrics", settings.metrics_host, server.port)
    sys.setswitchinterval(_SWITCH_SECS)
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 50, 50)
    worker = _Worker(app, override_logging=False, quiet=True, redirect_stdouts=False)
    try:
        worker.execute_from_commandline()
    except SystemExit as stop:
        if isinstance(reason := worker.crash_reason, BehaviourStreamError):
            logger.error("%s", reason)  # noqa: TRY400 - Faust has logged where it was raised
            return reason.exit_code
        return stop.code if isinstance(stop.code, int) else 0
    finally:
        server.close()


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
        raise SettingsError(f"--data-dir={folder}: cannot be used ({error.strerror})") from None
    return lock


async def _wait_and_check(settings: Settings) -> None:
    await topics.wait_for_broker(settings.bootstrap_servers, timeout_secs=None, say=logger.warning)
    for report in await topics.check(settings):
        for difference in report.differences:
            logger.warning("topic %s: %s", report.topic, difference)


class _Worker(faust.Worker):
    """Faust's worker without its spinner, and with a limit on how long it may take to stop."""

    def on_init_dependencies(self) -> Any:
        self.spinner = None
        return super().on_init_dependencies()

    def stop_and_shutdown(self) -> None:
        threading.Thread(target=self._end_anyway, daemon=True).start()
        super().stop_and_shutdown()

    def _end_anyway(self) -> None:
        threading.Event().wait(_STOP_SECS)
        logger.error(
            "not stopped after %d s; ending. What was not committed is done again at the next start", _STOP_SECS
        )
        os._exit(1)


def set_up_logging(level: str) -> None:
    """One line per message on standard error; Faust's and aiokafka's chatter only when it warns."""
    logging.basicConfig(
        stream=sys.stderr,
        level=level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        force=True,
    )
    if level != "debug":
        for noisy in ("faust", "mode", "aiokafka"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        # An error to aiokafka, and tried again at once: the first worker of a new broker always meets it.
        logging.getLogger("aiokafka.consumer.group_coordinator").addFilter(
            lambda record: "GroupCoordinatorNotAvailableError" not in record.getMessage()
        )
        # A fenced producer also fails futures that nobody waits for; that it is fenced has been said.
        logging.getLogger("asyncio").addFilter(
            lambda record: not (record.exc_info and isinstance(record.exc_info[1], ProducerFenced))
        )
