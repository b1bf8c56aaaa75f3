"""`settings`, `topics`, `worker` and `broker`: what runs in production, and the broker that does not."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import click
import orjson

from stream.commands.options import ALL, TOPICS, json_flag, setting_flags
from stream.errors import BrokerError
from stream.settings import describe, in_force, load

_BROKER_POLL_SECS = 0.2


@click.command("settings", short_help="what is in force, and where it comes from")
@json_flag("one JSON object, name to value")
@setting_flags(*ALL)
def settings(as_json: bool, **flags: str | None) -> None:
    """Show every setting in force, and where it comes from.

    A flag beats the environment, the environment beats the default. The setting batch_max_events is the flag
    --batch-max-events and the variable BEHAVIOUR_BATCH_MAX_EVENTS. A worker with the same flags runs with these.

    \b
      behaviour-stream settings --batch-max-events 1024
      BEHAVIOUR_APP_ID=other behaviour-stream settings --json
    """
    values = in_force(load(flags))
    if as_json:
        click.echo(orjson.dumps(values, option=orjson.OPT_INDENT_2))
        return
    defaults = {name: default for name, default, _ in describe()}
    click.echo(f"{'setting':<26}{'value':<30}from")
    for name, value in values.items():
        click.echo(f"{name:<26}{value!s:<29} {_origin(value, flags[name], defaults[name])}")


def _origin(value: Any, flag: str | None, default: Any) -> str:
    """Told from the values: the environment is read by `settings.load` alone."""
    if flag is not None:
        return "flag"
    return "default" if value == (str(default) if isinstance(default, Path) else default) else "environment"


@click.command("topics", short_help="create what is missing, check the rest")
@click.option("--check", "only_check", is_flag=True, help="Create nothing; a missing topic is an error (exit code 2).")
@click.option("--wait-secs", type=click.FloatRange(0), default=0.0, help="Wait this long for a broker. [0: one try]")
@json_flag("a JSON object for each topic, one a line; nothing where something is wrong")
@setting_flags(*TOPICS)
def topics(only_check: bool, wait_secs: float, as_json: bool, **flags: str | None) -> None:
    """Create the topics that are missing, and check all of them.

    Three source topics, that of erasures, three output topics, that of models, and the changelog of the state. What
    exists is never changed: what is wrong with it is said, with what to do.

    \b
      behaviour-stream topics --partitions 12 --replication-factor 3
      behaviour-stream topics --check
      behaviour-stream topics --check --json | jq -c .differences
    """
    from stream.commands.client import with_broker
    from stream.kafka import topics as topics_module

    asked = load(flags)
    work = topics_module.check if only_check else topics_module.ensure
    for report in with_broker(asked, lambda: work(asked), wait_secs=wait_secs):
        click.echo(orjson.dumps(report) if as_json else str(report))


@click.command("worker", short_help="score events until it is told to stop")
@setting_flags(*ALL)
def worker(**flags: str | None) -> int:
    """Score events until SIGTERM or ctrl-C.

    Reads the three source topics, writes a purchase intent and an anomaly score for every event. Start as many as
    there are partitions to share, each with its own --data-dir: they divide the partitions among them, and take over
    from one that dies. Each flag may also be set as BEHAVIOUR_<NAME>, such as BEHAVIOUR_BATCH_MAX_EVENTS.

    \b
      behaviour-stream worker
      behaviour-stream worker --data-dir .behaviour-stream-2 --metrics-port 9465
          a second one on the same machine
    """
    asked = load(flags)
    from stream import worker as worker_module  # after the flags were right: torch and Faust take seconds to import

    return worker_module.run(asked)


@click.command("broker", short_help="a real Kafka broker in the foreground")
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".behaviour-stream/broker"),
    help="What it stores; a second start finds the topics of the first. [.behaviour-stream/broker]",
)
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=9092, help="On 127.0.0.1. [9092, where all look by default]"
)
@json_flag("one JSON object, once it answers")
def broker(directory: Path, port: int, as_json: bool) -> None:
    """Run a real Kafka broker, for development, until ctrl-C.

    One node on 127.0.0.1, without Docker or an installed Java; the first start fetches 43 MB of jars. Then, in a
    second terminal:

    \b
      behaviour-stream topics
      behaviour-stream worker
    """
    from stream.kafka.embedded import EmbeddedBroker

    for number in (signal.SIGTERM, signal.SIGHUP):  # as ctrl-C, so that the broker is stopped in order
        signal.signal(number, signal.default_int_handler)
    with EmbeddedBroker(directory, port=port) as running:
        if as_json:
            where = {"bootstrap_servers": running.bootstrap_servers, "pid": running.pid, "log": str(running.log_path)}
            click.echo(orjson.dumps(where))
        else:
            click.echo(f"broker at {running.bootstrap_servers}, its log in {running.log_path}; ctrl-C ends it")
        while os.waitpid(running.pid, os.WNOHANG) == (0, 0):
            time.sleep(_BROKER_POLL_SECS)
        raise BrokerError(f"broker {running.bootstrap_servers} has ended; the reason is in {running.log_path}")
