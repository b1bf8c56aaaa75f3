"""TAB in real shells: bash always, zsh and fish where they are installed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TIMEOUT_SECS = 60.0

_ASKED = """
eval "$(behaviour-stream completion bash)"
COMP_WORDS=("$@"); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
_behaviour_stream_completion behaviour-stream
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """In which `behaviour-stream` is a command, and nothing of the user's is read."""
    command = tmp_path / "bin" / "behaviour-stream"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stream.cli "$@"\n')
    command.chmod(0o755)
    return os.environ | {
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "TERM": "dumb",
    }


def shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def offered(environment: dict[str, str], *words: str) -> list[str]:
    """What bash is offered for the last of these words."""
    ended = subprocess.run(
        [shell("bash"), "--norc", "-c", _ASKED, "bash", "behaviour-stream", *words],
        env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECS, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["to"], ["topics"]),
        (["topics", "--rep"], ["--replication-factor"]),
        (["worker", "--device", ""], ["auto", "cpu", "cuda"]),
        (["worker", "--device", "=", "c"], ["cpu", "cuda"]),  # as bash parts --device=c
        (["worker", "--log-level", "w"], ["warning"]),
        (["worker", "--model", "shop"], ["shoppers-h64"]),
        (["watch", "an"], ["anomaly-scores"]),
        (["completion", ""], ["bash", "zsh", "fish"]),
        (["topics", "--partitions", ""], []),
    ],
)
def test_bash_is_offered_commands_options_and_choices(
    environment: dict[str, str], words: list[str], expected: list[str]
) -> None:
    assert offered(environment, *words) == expected


def test_every_command_is_offered(environment: dict[str, str]) -> None:
    assert {"settings", "topics", "doctor", "worker", "watch", "broker", "completion"} <= set(offered(environment, ""))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("replay rec", "file"),
        ("worker --model ./mine", "file"),
        ("worker --data-dir st", "dir"),
        ("broker --directory st", "dir"),
    ],
)
def test_files_and_folders_are_left_to_the_shell(environment: dict[str, str], words: str, kind: str) -> None:
    asked = {"_BEHAVIOUR_STREAM_COMPLETE": "bash_complete", "COMP_WORDS": f"behaviour-stream {words}"}
    asked["COMP_CWORD"] = str(len(words.split()))
    ended = subprocess.run(
        ["behaviour-stream"],
        env=environment | asked, capture_output=True, text=True, timeout=TIMEOUT_SECS, check=False,
    )  # fmt: skip
    assert ended.stdout.split(",")[0] == kind


def test_a_tab_in_bash_completes_a_command_and_a_file(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "recorded-clicks.parquet").write_bytes(b"")
    at_a_terminal(
        [shell("bash"), "--norc", "-i"],
        environment,
        ('eval "$(behaviour-stream completion bash)"; echo rea""dy\n', "ready"),
        ("behaviour-stream rep\t", "behaviour-stream replay "),
        ("reco\t", "recorded-clicks.parquet"),
    )


def test_a_tab_in_zsh_completes_a_command_and_an_option(environment: dict[str, str]) -> None:
    at_a_terminal(
        [shell("zsh"), "-f", "-i"],
        environment,
        ('autoload -U compinit; compinit -u; eval "$(behaviour-stream completion zsh)"; echo rea""dy\n', "ready"),
        ("behaviour-stream topi\t", "topics"),
        ("--chec\t", "--check"),
    )


def test_fish_is_offered_commands_and_choices(environment: dict[str, str]) -> None:
    for line, expected in (("behaviour-stream topi", "topics"), ("behaviour-stream worker --device cu", "cuda")):
        ended = subprocess.run(
            [shell("fish"), "--no-config", "-c", f"behaviour-stream completion fish | source; complete -C '{line}'"],
            env=environment, capture_output=True, text=True, timeout=TIMEOUT_SECS, check=False,
        )  # fmt: skip
        assert ended.stdout.split("\t")[0].strip() == expected, ended.stderr


def test_a_tab_imports_nothing_heavy(environment: dict[str, str]) -> None:
    program = (
        "import sys; from stream.cli import run\n"
        "try: run([])\n"
        "except SystemExit: pass\n"
        "sys.exit(sorted({'torch', 'faust', 'aiokafka', 'numpy', 'rich', 'pyarrow'} & sys.modules.keys()) or 0)"
    )
    asked = {"_BEHAVIOUR_STREAM_COMPLETE": "bash_complete", "COMP_CWORD": "3"}
    asked["COMP_WORDS"] = "behaviour-stream worker --model sh"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment | asked, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout) == (0, "plain,shoppers-h64\n"), ended.stderr


def at_a_terminal(command: list[str], environment: dict[str, str], *steps: tuple[str, str]) -> None:
    """Type each step's keys, and wait until the terminal shows what it is to bring."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs,
        env=environment, cwd=environment["HOME"], start_new_session=True,
    ) as process:  # fmt: skip
        try:
            for keys, awaited in steps:
                os.write(ours, keys.encode())
                shown, deadline = "", time.monotonic() + TIMEOUT_SECS
                while awaited not in shown:
                    ready, _, _ = select.select([ours], [], [], max(0, deadline - time.monotonic()))
                    assert ready, f"{awaited!r} does not come:\n{shown}"
                    shown += os.read(ours, 4096).decode(errors="replace")
        finally:
            process.kill()
            os.close(theirs)
            os.close(ours)
