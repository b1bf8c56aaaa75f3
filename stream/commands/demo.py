"""`demo`: a broker, topics, a worker and simulated shoppers on this machine, with scores as they come."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click

from stream.commands import INTERRUPTED
from stream.commands.options import setting_flags
from stream.settings import Settings, load


@click.command("demo", short_help="all of it on this machine: broker, worker, shoppers, live scores")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), help="End so long after the first score. [ctrl-C]")
@click.option(
    "--rate-per-sec",
    type=click.FloatRange(1, 5_000),
    default=200.0,
    help="Events per second; there are shoppers enough for a day to pass in 150 s. [200]",
)
@setting_flags("model", "device", "torch_threads", "partitions", "log_level")
def demo(seconds: float | None, rate_per_sec: float, **flags: str | None) -> int:
    """See it work: a Kafka broker, a worker and simulated shoppers on this machine, with live scores.

    Shown are about four of the scores of each second: the likeliest buyer and the strangest event of every half
    second. At the end everything is stopped, and what it stored is removed.

    \b
      behaviour-stream demo
      behaviour-stream demo --seconds 60 --rate-per-sec 2000
    """
    from stream.commands.demo_live import Demo
    from stream.commands.worker_process import WorkerProcess
    from stream.kafka import topics
    from stream.kafka.embedded import EmbeddedBroker

    for number in (signal.SIGTERM, signal.SIGHUP):  # as ctrl-C, so that nothing stays behind
        signal.signal(number, signal.default_int_handler)
    with _own_folder() as folder:
        embedded = EmbeddedBroker(folder / "broker")
        settings = _settings(flags, embedded.bootstrap_servers, folder)
        click.echo(f"Starting a Kafka broker of its own in {folder}; the very first time, 43 MB are fetched for it.")
        with WorkerProcess(settings, folder / "worker.log") as worker, embedded:
            click.echo(f"Creating its topics: {', '.join((*settings.source_topics, *settings.output_topics))}.")
            asyncio.run(topics.ensure(settings))
            click.echo(f"Starting a worker, a process of its own; its log is {folder / 'worker.log'}.")
            worker.begin()
            try:
                summary = asyncio.run(Demo(settings, rate_per_sec, worker).run(seconds))
            finally:
                worker.stop()  # before the broker: it commits at its end
            click.echo("Stopped the worker; stopping the broker.")
    if summary is None:
        return INTERRUPTED
    click.echo(summary)
    return 0


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
def _own_folder() -> Iterator[Path]:
    """A new folder, removed in the end; kept, and named, if something failed."""
    folder = Path(tempfile.mkdtemp(prefix="behaviour-stream-demo-"))
    kept = False
    try:
        yield folder
    except BrokenPipeError:  # whoever read the scores has gone
        raise
    except Exception:
        kept = True
        click.echo(f"The logs are kept in {folder}.", err=True)
        raise
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)
