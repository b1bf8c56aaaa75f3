"""`behaviour-stream doctor` as its users run it: what it says, and how it ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from stream.kafka.topics import TopicReport
from stream.settings import ENV_PREFIX, Settings, in_force


def doctor(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)} | variables
    return subprocess.run(
        [sys.executable, "-m", "stream.cli", "doctor", *arguments],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def flags(settings: Settings) -> list[str]:
    return ["--timeout-secs=100", *(f"--{name.replace('_', '-')}={v}" for name, v in in_force(settings).items())]


def test_a_good_setup_ends_with_0_and_with_its_findings_as_one_object(
    settings: Settings, topics: list[TopicReport]
) -> None:
    ended = doctor("--json", *flags(settings))
    assert (ended.returncode, ended.stderr) == (0, "")
    said = json.loads(ended.stdout)
    assert said["ok"] is True
    assert {finding["status"] for finding in said["findings"]} == {"ok", "warning"}
    assert all(finding.keys() == {"name", "status", "found", "to_do"} for finding in said["findings"])


def test_strict_ends_with_1_for_a_warning_whose_lines_fit_80_columns(
    settings: Settings, topics: list[TopicReport]
) -> None:
    ended = doctor("--strict", *flags(settings))
    assert (ended.returncode, ended.stderr) == (1, "")
    lines = ended.stdout.splitlines()
    assert all(len(line) <= 80 for line in lines if str(settings.data_dir.parent) not in line)  # no word is parted
    assert "\x1b" not in ended.stdout
    assert any(line.startswith("warning  model       shoppers-h64") for line in lines)
    assert lines[-1].startswith("A worker can start: ")


def test_a_bad_setup_ends_with_1_and_every_error_is_told(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        ended = doctor(
            "--timeout-secs=10",
            "--batch-max-events=many",
            f"--data-dir={tmp_path / 'state'}",
            f"--metrics-port={taken.getsockname()[1]}",
            BEHAVIOUR_PARTITION="8",
            BEHAVIOUR_BOOTSTRAP_SERVERS=f"127.0.0.1:{closed.getsockname()[1]}",
        )
    assert (ended.returncode, ended.stderr) == (1, "")
    errors = [line.split()[1] for line in ended.stdout.splitlines() if line.startswith("error ")]
    assert errors[:5] == ["settings", "settings", "broker", "disk", "port"]
    assert "did you mean BEHAVIOUR_PARTITIONS?" in " ".join(ended.stdout.split())
    assert "-> set --data-dir to a folder that this user may write" in " ".join(ended.stdout.split())
    summary = ended.stdout[ended.stdout.index("A worker cannot run as it should") :]
    assert "settings: BEHAVIOUR_PARTITION: no such setting" in " ".join(summary.split())
