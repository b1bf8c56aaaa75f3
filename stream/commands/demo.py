"""`demo`: a broker, topics, a worker and simulated shoppers on this machine, with scores as they come."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import click

from stream.commands import INTERRUPTED
from stream.commands.options import json_flag, setting_flags
from stream.errors import BrokerError
from stream.settings import Settings, load

if TYPE_CHECKING:
    from stream.commands.demo_ending import Ending
    from stream.commands.demo_live import Demo, Steps, View
    from stream.commands.demo_screen import Screen
    from stream.commands.worker_process import WorkerProcess
    from stream.kafka.embedded import EmbeddedBroker


@click.command("demo", short_help="all of it on this machine: broker, worker, shoppers, live scores")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="End so long after the first score. [ctrl-C]")
@click.option(
    "--rate-per-sec",
    type=click.FloatRange(1, 5_000),
    default=200.0,
    help="Events per second; there are shoppers enough for a day to pass in 150 s. [200]",
)
@click.option("--plain", is_flag=True, help="Lines instead of a board, at a terminal too.")
@json_flag("only a summary, one JSON object at the end")
@setting_flags("model", "device", "torch_threads", "partitions", "log_level")
def demo(seconds: float | None, rate_per_sec: float, plain: bool, as_json: bool, **flags: str | None) -> int:
    """See it work: a Kafka broker, a worker and simulated shoppers on this machine, with live scores.

    At a terminal, a board: who is likeliest to buy, what is strangest and why, and who has bought. Elsewhere, a line
    for about four of the scores of each second. At the end everything is stopped, and what it stored is removed.

    \b
      behaviour-stream demo
      behaviour-stream demo --seconds 60 --rate-per-sec 2000
      behaviour-stream demo --seconds 30 --json | jq .latency_ms
    """
    try:
        return _demo(seconds, rate_per_sec, plain, as_json, flags)
    except OSError as error:
        if error.errno == errno.EIO:  # the terminal has gone; click itself ends quietly where a pipe has
            return INTERRUPTED
        raise


def _demo(seconds: float | None, rate_per_sec: float, plain: bool, as_json: bool, flags: dict[str, str | None]) -> int:
    from stream.commands import demo_screen
    from stream.commands.demo_ending import Ending
    from stream.commands.demo_lines import Lines, Progress, Sentences
    from stream.commands.worker_process import WorkerProcess
    from stream.kafka.embedded import EmbeddedBroker

    console = None if plain or as_json else demo_screen.terminal()
    steps = demo_screen.Steps(console) if console is not None else Sentences(to_stderr=as_json)
    screen = demo_screen.Screen(console, steps.done) if console is not None else None
    view: View = screen or (Progress() if as_json else Lines())
    hurry: list[Callable[[], None]] = []
    ending = Ending(hurry)
    with _own_folder(ending) as folder, contextlib.closing(steps), contextlib.closing(view):
        broker = EmbeddedBroker(folder / "broker")
        settings = _settings(flags, broker.bootstrap_servers, folder)
        worker = WorkerProcess(settings, folder / "worker.log")
        # A second of imports, while the broker starts; whoever comes for them sooner waits.
        threading.Thread(target=import_module, args=("stream.commands.demo_live",), daemon=True).start()
        steps("Starting a Kafka broker of its own; the very first time, 43 MB are fetched for it")
        with worker:
            hurry += [worker.kill, lambda: _kill(broker)]
            with broker:
                live = _run(
                    settings,
                    rate_per_sec=rate_per_sec,
                    seconds=seconds,
                    worker=worker,
                    view=view,
                    steps=steps,
                    ending=ending,
                )
                view.close()
                steps("Stopping the worker and the broker")
                worker.stop()  # before the broker: it commits at its end
        steps.done()
    if not live.state.count:
        return INTERRUPTED
    _sum_up(live, screen, as_json)
    return 0


def _run(
    settings: Settings,
    *,
    rate_per_sec: float,
    seconds: float | None,
    worker: WorkerProcess,
    view: View,
    steps: Steps,
    ending: Ending,
) -> Demo:
    from stream.commands.demo_live import Demo
    from stream.kafka import topics

    steps(f"Creating its topics: {', '.join((*settings.source_topics, *settings.output_topics))}")
    ending.run(topics.ensure(settings))
    steps("Starting a worker, a process of its own, which loads the model")
    worker.begin()
    live = Demo(settings, rate_per_sec, worker, view, ending)
    steps(str(live))
    ending.run(live.run(seconds))
    return live


def _sum_up(live: Demo, screen: Screen | None, as_json: bool) -> None:
    from stream.commands.demo_summary import figures, next_steps, sentences

    if as_json:
        click.echo(json.dumps(figures(live.state, live.sent, live.repeated)))
        return
    if screen is not None:
        screen.leave_a_picture()
    for line in (*sentences(live.state, live.sent, live.repeated), *next_steps()):
        click.echo(line)


def _kill(broker: EmbeddedBroker) -> None:
    with contextlib.suppress(BrokerError, ProcessLookupError):
        os.kill(broker.pid, signal.SIGKILL)


def _settings(flags: dict[str, str | None], bootstrap_servers: str, folder: Path) -> Settings:
    own = {
        "bootstrap_servers": bootstrap_servers,
        "data_dir": folder / "state",
        "metrics_port": 0,
        "replication_factor": 1,  # there is one broker
        "min_insync_replicas": 1,
    }
    return load(flags | own)


@contextlib.contextmanager
def _own_folder(ending: Ending) -> Iterator[Path]:
    """A new folder, removed in the end; kept, and named, if something failed."""
    folder = Path(tempfile.mkdtemp(prefix="behaviour-stream-demo-"))
    kept = False
    try:
        yield folder
    except Exception as error:
        kept = not _nobody_looks(error)
        if kept:
            click.echo(f"The logs are kept in {folder}.", err=True)
        raise
    finally:
        ending.is_cleaning_up()
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
        ending.is_over()


def _nobody_looks(error: Exception) -> bool:
    """Whether it says that whoever read the scores has gone: `head`, or the terminal."""
    return isinstance(error, OSError) and error.errno in (errno.EPIPE, errno.EIO)
