"""The command line, run as its users run it: what it says, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import psutil  # type: ignore[import-untyped]
import pytest
from aiokafka import AIOKafkaProducer

from stream.encode import PurchaseIntent
from stream.kafka import topics as topics_module
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.topics import TopicReport
from stream.settings import ENV_PREFIX, Settings, describe, in_force

COMMANDS = (
    "demo", "settings", "topics", "doctor", "worker", "model", "erase", "simulate", "replay", "watch", "train",
    "parity", "broker", "bench", "compare", "completion", "size",
)  # fmt: skip
TIMEOUT_SECS = 60.0


def environment(**variables: str) -> dict[str, str]:
    return {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)} | variables


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stream.cli", *arguments],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECS,
        check=False,
    )


@contextmanager
def running(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command in a process group of its own, as at a terminal; killed if it is still there at the end."""
    with subprocess.Popen(
        [sys.executable, "-m", "stream.cli", *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def refusal(ended: subprocess.CompletedProcess[str]) -> str:
    """What it said, which is one line, and not a traceback."""
    assert ended.stdout == ""
    assert ended.stderr.startswith("behaviour-stream: ")
    assert ended.stderr.count("\n") == 1
    return ended.stderr


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address at which no broker answers: bound, so that nobody else takes it, and not listened on."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def source_flags(settings: Settings) -> list[str]:
    named = ("bootstrap_servers", "clicks_topic", "searches_topic", "purchases_topic")
    return [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in named]


def topic_flags(settings: Settings) -> list[str]:
    others = ("purchase_intent_topic", "anomaly_scores_topic", "dead_letters_topic")
    ours = ("erasures_topic", "models_topic", "app_id")
    return source_flags(settings) + [f"--{name.replace('_', '-')}={getattr(settings, name)}" for name in others + ours]


def test_help_names_every_command_and_the_way_from_a_broker_to_scores() -> None:
    ended = run("--help")
    assert ended.returncode == 0
    for command in COMMANDS:
        assert f"\n  {command} " in ended.stdout
    steps = [ended.stdout.index(f"behaviour-stream {step}") for step in ("broker", "topics", "worker", "simulate")]
    assert steps == sorted(steps)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    ended = run(command, "--help")
    assert ended.returncode == 0
    assert "  behaviour-stream " in ended.stdout.replace("Usage: behaviour-stream", "")
    assert all(len(line) <= 80 for line in ended.stdout.splitlines())


def test_help_imports_neither_torch_nor_kafka() -> None:
    program = (
        "import sys; from stream.cli import run; run(['--help']); "
        "sys.exit(sorted({'torch', 'faust', 'aiokafka', 'numpy'} & sys.modules.keys()) or 0)"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_every_setting_is_a_flag_of_the_worker_with_its_default() -> None:
    shown = " ".join(run("worker", "--help").stdout.split())
    for name, _, description in describe():
        assert f" --{name.replace('_', '-')} " in shown
        assert description.split()[0] in shown


def test_settings_in_json_are_those_of_flags_over_the_environment_over_defaults() -> None:
    ended = run("settings", "--json", "--partitions=8", BEHAVIOUR_PARTITIONS="6", BEHAVIOUR_APP_ID="other")
    values = json.loads(ended.stdout)
    assert values == in_force(Settings()) | {"partitions": 8, "app_id": "other"}


def test_settings_says_where_each_value_comes_from() -> None:
    ended = run("settings", "--partitions=8", BEHAVIOUR_APP_ID="other")
    origins = {line.split()[0]: line.split()[1:] for line in ended.stdout.splitlines()}
    assert origins["partitions"] == ["8", "flag"]
    assert origins["app_id"] == ["other", "environment"]
    assert origins["data_dir"] == [".behaviour-stream", "default"]


@pytest.mark.parametrize("command", ["settings", "topics", "worker", "watch"])
def test_an_unknown_setting_in_the_environment_is_refused_by_name(command: str) -> None:
    ended = run(command, BEHAVIOUR_PARTITION="8")
    assert ended.returncode == 2
    assert "did you mean BEHAVIOUR_PARTITIONS?" in refusal(ended)


def test_a_value_that_is_none_is_refused_by_its_flag() -> None:
    ended = run("worker", "--batch-max-events", "many")
    assert ended.returncode == 2
    assert "--batch-max-events=many" in refusal(ended)


@pytest.mark.parametrize("command", ["topics", "simulate", "watch"])
def test_without_a_broker_a_command_tries_once_and_says_so(command: str, nobody: str) -> None:
    ended = run(command, "--bootstrap-servers", nobody)
    assert ended.returncode == 3
    assert nobody in refusal(ended)


def test_topics_waits_for_a_broker_no_longer_than_it_was_told_to(nobody: str) -> None:
    ended = run("topics", "--bootstrap-servers", nobody, "--wait-secs", "3")
    assert ended.returncode == 3
    assert "gave up after 3 s" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_taken_port_is_refused_by_its_number(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        ended = run("broker", "--directory", str(tmp_path), "--port", str(port))
    assert ended.returncode == 2
    assert f"port {port} is taken" in refusal(ended)


@pytest.mark.broker
def test_the_broker_command_runs_until_ctrl_c_and_leaves_no_process(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with running("broker", "--json", "--directory", str(tmp_path), "--port", str(port)) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["bootstrap_servers"] == f"127.0.0.1:{port}"
        assert Path(said["log"]).is_relative_to(tmp_path)
        children = psutil.Process(process.pid).children(recursive=True)
        assert said["pid"] in {child.pid for child in children}
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=TIMEOUT_SECS)
    assert process.returncode == 130
    assert errors.strip() == ""
    assert not any(child.is_running() for child in children)


def test_topics_creates_what_check_then_finds(settings: Settings) -> None:
    missing = run("topics", "--check", *topic_flags(settings))
    assert missing.returncode == 2
    assert missing.stderr.count(": missing") == 9
    created = run("topics", *topic_flags(settings))
    assert (created.returncode, created.stdout.count(": created")) == (0, 9)
    checked = run("topics", "--check", *topic_flags(settings))
    assert (checked.returncode, checked.stdout.count(": exists")) == (0, 9)


def test_topics_in_json_are_one_a_line_and_what_is_wrong_is_on_standard_error(settings: Settings) -> None:
    missing = run("topics", "--check", "--json", *topic_flags(settings))
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.count(": missing") == 9
    created = run("topics", "--json", "--wait-secs=30", *topic_flags(settings), "--partitions=3")
    checked = run("topics", "--check", "--json", *topic_flags(settings), "--partitions=4")
    assert (created.returncode, checked.returncode, created.stderr, checked.stderr) == (0, 0, "", "")
    first, *others = [json.loads(line) for line in created.stdout.splitlines()]
    assert first == {
        "topic": settings.clicks_topic, "partitions": 3, "replication_factor": 1, "created": True, "differences": [],
    }  # fmt: skip
    assert len(others) == 8
    for report in map(json.loads, checked.stdout.splitlines()):
        asked = [] if report["topic"] == settings.models_topic else ["partitions is 3, asked for 4"]
        assert (report["created"], report["differences"]) == (False, asked)


def test_simulate_sends_as_many_events_as_it_was_told_to(settings: Settings, topics: list[TopicReport]) -> None:
    ended = run("simulate", "--flat-out", "--events", "2000", *source_flags(settings))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("sent 2,000 events ")


def test_simulate_ends_where_event_time_has_caught_up_with_the_clock(
    settings: Settings, topics: list[TopicReport]
) -> None:
    ended = run("simulate", "--flat-out", "--users=100", "--days-ago=2", *source_flags(settings))
    assert ended.returncode == 0, ended.stderr
    assert "event time has caught up with the clock" in ended.stdout
    assert run("simulate", "--flat-out", "--days-ago=0", *source_flags(settings)).returncode == 2


def test_ctrl_c_ends_a_simulation_with_its_summary(settings: Settings, topics: list[TopicReport]) -> None:
    with running("simulate", "--progress", *source_flags(settings)) as process:
        assert process.stderr is not None
        process.stderr.readline()  # that it sends
        assert " events, " in process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        said, errors = process.communicate(timeout=TIMEOUT_SECS)
    assert process.returncode == 130
    assert said.startswith("sent ")
    assert "Traceback" not in errors


async def test_a_replay_that_retention_would_delete_is_refused_with_what_to_do(
    settings: Settings, tmp_path: Path
) -> None:
    await topics_module.ensure(msgspec.structs.replace(settings, retention_hours=168))
    flags = [str(recording(tmp_path)), "--flat-out", *source_flags(settings)]
    refused = await asyncio.to_thread(run, "replay", *flags)
    assert refused.returncode == 2
    assert "--retention-hours -1" in refused.stderr
    assert "--ignore-retention" in refused.stderr
    assert "Traceback" not in refused.stderr
    anyway = await asyncio.to_thread(run, "replay", "--ignore-retention", *flags)
    assert anyway.returncode == 0, anyway.stderr
    assert "sent 3 events" in anyway.stdout


async def test_a_replay_into_topics_that_keep_for_ever_is_sent(settings: Settings, tmp_path: Path) -> None:
    await topics_module.ensure(msgspec.structs.replace(settings, retention_hours=-1))
    ended = await asyncio.to_thread(
        run, "replay", str(recording(tmp_path)), "--speed=100", "--format=taobao", *source_flags(settings)
    )
    assert ended.returncode == 0, ended.stderr
    assert "sent 3 events" in ended.stdout


async def test_watch_shows_a_line_per_score_and_passes_over_what_is_none(
    settings: Settings, topics: list[TopicReport]
) -> None:
    await put_scores(settings, "ann", "a user whose id would not fit", "\x1b[31mred")
    flags = [f"--bootstrap-servers={settings.bootstrap_servers}"]
    flags += [f"--purchase-intent-topic={settings.purchase_intent_topic}", "--from-start", "--limit=4"]
    ended = await asyncio.to_thread(run, "watch", *flags)
    assert ended.returncode == 0, ended.stderr
    header, *lines = ended.stdout.splitlines()
    assert header.split()[-4:] == ["in", "30m", "in", "24h"]
    assert len(lines) == 3
    assert all(len(line) <= 80 for line in (header, *lines))
    assert "\x1b" not in ended.stdout
    assert "expected a PurchaseIntent" in ended.stderr
    raw = await asyncio.to_thread(run, "watch", "--json", *flags)
    assert [line == "no score" or json.loads(line)["events_seen"] for line in raw.stdout.splitlines()].count(7) == 3


async def test_watch_is_quiet_when_its_reader_goes_away(settings: Settings, topics: list[TopicReport]) -> None:
    await put_scores(settings, *("ann" for _ in range(5_000)))
    flags = [f"--bootstrap-servers={settings.bootstrap_servers}"]
    flags += [f"--purchase-intent-topic={settings.purchase_intent_topic}", "--from-start", "--json"]
    with running("watch", *flags) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        await asyncio.to_thread(process.stdout.readline)
        process.stdout.close()
        await asyncio.to_thread(process.wait, TIMEOUT_SECS)
        assert process.returncode == 1
        assert len(process.stderr.read().splitlines()) == 1  # what it follows


def test_ctrl_c_ends_watch(settings: Settings, topics: list[TopicReport], broker: EmbeddedBroker) -> None:
    flags = [f"--bootstrap-servers={broker.bootstrap_servers}"]
    with running("watch", *flags, f"--purchase-intent-topic={settings.purchase_intent_topic}") as process:
        assert process.stderr is not None
        assert settings.purchase_intent_topic in process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=TIMEOUT_SECS)
    assert process.returncode == 130


def recording(folder: Path) -> Path:
    """Three events of 2017, in the layout of Taobao."""
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = folder / "clicks.parquet"
    times = [datetime(2017, 11, 26, 12, 0, second, tzinfo=UTC) for second in range(3)]
    rows = {"user": [1, 2, 1], "ts": times, "type": ["view", "cart", "buy"], "item": [5, 6, 5], "cat": [7, 7, 7]}
    parquet.write_table(pa.table(rows), path)
    return path


async def put_scores(settings: Settings, *users: str) -> None:
    """A score of each user, and one record that is none."""
    async with AIOKafkaProducer(bootstrap_servers=settings.bootstrap_servers) as producer:
        await producer.send_and_wait(settings.purchase_intent_topic, b"no score")
        for number, user in enumerate(users):
            score = PurchaseIntent(
                1, f"clicks-0-{number}-m", "e", user, 1_767_225_600_000, 1_767_225_600_000, 7, "model", "m",
                False, False, False, {"30m": 0.125, "24h": 0.5},
            )  # fmt: skip
            await producer.send(settings.purchase_intent_topic, msgspec.json.encode(score))
