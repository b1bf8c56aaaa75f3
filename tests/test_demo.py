"""The demo, as a newcomer runs it, at a terminal and without: it shows scores, sums up, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect
import psutil  # type: ignore[import-untyped]
import pyte
import pytest

from stream.settings import ENV_PREFIX
from tests.running import lives

pytestmark = pytest.mark.broker

TIMEOUT_SECS = 180.0  # it takes 10 s more than it was told to, on two idle cores
LINE = re.compile(r"^\d\d \w{3} \d\d:\d\d user-\d{7} \w+ .*\d\.\d{3} +\d\.\d{3} +\d\.\d{3} +\d+$", re.MULTILINE)
COMMAND = [sys.executable, "-m", "stream.cli", "demo"]


class Leavings:
    """Where a demo has its temporary folder, which processes it starts, and what it leaves of both."""

    def __init__(self, folder: Path) -> None:
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.environment = {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)}
        self.environment |= {"TMPDIR": str(self.temporary), "PYTHONUNBUFFERED": "1"}
        self.children: set[psutil.Process] = set()

    def look(self, pid: int) -> None:
        """Take note of the processes that it has at the moment."""
        with contextlib.suppress(psutil.NoSuchProcess):
            self.children.update(psutil.Process(pid).children(recursive=True))

    def left_behind(self) -> list[object]:
        """Processes that still live, and what is still in the temporary folder."""
        return [*filter(lives, self.children), *self.temporary.iterdir()]


class Run:
    """A demo in a process group and a temporary folder of its own, without a terminal."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self._leavings = Leavings(folder)
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [*COMMAND, *flags], env=self._leavings.environment, stdout=out, stderr=err, start_new_session=True
            )
        self.children, self.left_behind = self._leavings.children, self._leavings.left_behind

    def said(self) -> str:
        """On standard output, then on standard error."""
        return self._out.read_text() + self._err.read_text()

    def wait_for(self, pattern: str) -> None:
        """Until its output matches."""
        deadline = time.monotonic() + TIMEOUT_SECS
        while not re.search(pattern, self.said(), re.MULTILINE):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            self._look()

    def end(self) -> int:
        """Wait for its end -> exit code."""
        deadline = time.monotonic() + TIMEOUT_SECS
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.said()
            self._look()
        return self.process.returncode

    def _look(self) -> None:
        self._leavings.look(self.process.pid)
        time.sleep(0.1)


class AtTerminal:
    """A demo at a terminal of its own, whose screen can be read."""

    def __init__(self, folder: Path, *, columns: int, rows: int) -> None:
        self._leavings = Leavings(folder)
        self.left_behind = self._leavings.left_behind
        self.screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self.screen)
        self.sent = b""
        self.process = pexpect.spawn(
            COMMAND[0],
            COMMAND[1:],
            env=self._leavings.environment | {"TERM": "xterm-256color"},
            dimensions=(rows, columns),
            timeout=None,
        )

    def said(self) -> str:
        """What is on its screen."""
        return "\n".join(self.screen.display)

    def resize(self, columns: int, rows: int) -> None:
        self.screen.resize(rows, columns)
        self.process.setwinsize(rows, columns)

    def wait_for(self, *words: str) -> None:
        """Until all of them are on its screen."""
        deadline = time.monotonic() + TIMEOUT_SECS
        while not all(word in self.said() for word in words):
            assert self._read(), self.said()
            assert time.monotonic() < deadline, self.said()

    def end(self) -> int:
        """Wait for its end -> exit code."""
        deadline = time.monotonic() + TIMEOUT_SECS
        while self._read():
            assert time.monotonic() < deadline, self.said()
        self.process.close()
        return int(self.process.exitstatus)

    def _read(self) -> bool:
        self._leavings.look(self.process.pid)
        try:
            sent = self.process.read_nonblocking(1 << 16, timeout=0.1)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.sent += sent
        self._stream.feed(sent)
        return True


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts a demo, which does not outlive a test that fails; its broker and worker end with it."""
    runs: list[Run] = []

    def start(*flags: str) -> Run:
        runs.append(Run(tmp_path, *flags))
        return runs[-1]

    yield start
    for run in runs:
        run.process.kill()
        run.process.wait()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[AtTerminal]:
    """A demo at a terminal of 80 by 24."""
    run = AtTerminal(tmp_path, columns=80, rows=24)
    yield run
    run.process.close(force=True)


def test_without_a_terminal_it_prints_scores_sums_up_and_leaves_nothing_behind(start: Callable[..., Run]) -> None:
    demo = start("--seconds", "20")
    assert demo.end() == 0, demo.said()
    said = demo.said()
    assert "\x1b" not in said
    assert len(LINE.findall(said)) >= 40  # up to 4 a second
    found = re.search(
        r"^Scored ([\d,]+) of ([\d,]+) simulated events, of [\d,]+ shoppers \(sent twice and scored once: [\d,]+\), "
        r"(\d+) a second; .* p99 ",
        said,
        re.MULTILINE,
    )
    assert found, said
    scored, sent = (int(number.replace(",", "")) for number in found.group(1, 2))
    assert scored == sent > 4_000
    assert 180 <= int(found.group(3)) <= 220
    assert re.search(r"^Of the tenth of the scores .* within 30m; of all, \d+%\.$", said, re.MULTILINE)
    assert re.search(r" {2}behaviour-stream topics$|/behaviour-stream topics$", said, re.MULTILINE)
    assert len(demo.children) >= 2  # the broker and the worker were seen
    assert demo.left_behind() == []


def test_in_json_the_summary_is_all_that_is_on_standard_output(start: Callable[..., Run], tmp_path: Path) -> None:
    demo = start("--seconds", "3", "--json")
    assert demo.end() == 0, demo.said()
    figures = json.loads((tmp_path / "out").read_text())
    assert figures["events_scored"] == figures["events_sent"] - figures["events_sent_twice"] > 600
    assert figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]
    assert "Starting a Kafka broker" in (tmp_path / "err").read_text()


@pytest.mark.parametrize("moment", ["Starting a Kafka broker", "Simulating"])
def test_ctrl_c_twice_before_the_first_score_leaves_nothing_behind(start: Callable[..., Run], moment: str) -> None:
    demo = start()
    demo.wait_for(moment)
    for _ in range(2):
        os.killpg(demo.process.pid, signal.SIGINT)
        time.sleep(0.1)
    assert demo.end() == 130, demo.said()
    assert "Traceback" not in demo.said()
    assert demo.left_behind() == []


def test_sigterm_ends_a_demo_with_scores_as_ctrl_c_does(start: Callable[..., Run]) -> None:
    demo = start()
    demo.wait_for(LINE.pattern)
    demo.process.terminate()
    assert demo.end() == 0, demo.said()
    assert re.search(r"^Scored ", demo.said(), re.MULTILINE)
    assert demo.left_behind() == []


def test_the_board_follows_the_size_of_its_terminal_and_gives_it_back(terminal: AtTerminal) -> None:
    terminal.wait_for("Starting a Kafka broker")
    terminal.wait_for("shop clock", "latency p99", "users known", "likeliest to buy now", "strangest now", "predicted")
    for columns, rows in ((140, 40), (20, 5)):
        terminal.resize(columns, rows)
        terminal.screen.reset()
        terminal.wait_for("╰───" if columns == 140 else "latency p50")
        assert len(terminal.screen.display) == rows
    terminal.resize(80, 24)
    terminal.process.sendintr()  # ctrl-C, typed
    assert terminal.end() == 0, terminal.said()
    assert "Next, with your own events:" in terminal.said()
    assert not terminal.screen.cursor.hidden
    assert terminal.sent.count(b"\x1b[?1049h") == terminal.sent.count(b"\x1b[?1049l") == 1
    assert b"Traceback" not in terminal.sent
    assert terminal.left_behind() == []


def test_a_terminal_that_is_closed_ends_the_demo_and_leaves_nothing_behind(terminal: AtTerminal) -> None:
    terminal.wait_for("users known")
    process = psutil.Process(terminal.process.pid)
    terminal.process.ptyproc.fileobj.close()
    terminal.process.wait()
    assert not lives(process)
    assert terminal.left_behind() == []


def test_a_worker_that_dies_ends_the_demo_with_its_log_kept(start: Callable[..., Run]) -> None:
    demo = start()
    demo.wait_for(LINE.pattern)
    (worker,) = (child for child in psutil.Process(demo.process.pid).children() if "worker" in child.cmdline())
    worker.kill()
    assert demo.end() == 1
    assert "the worker ended with code -9" in demo.said()
    assert "scoring partitions" in demo.said()  # the end of its log
    assert "Traceback" not in demo.said()
    (kept,) = demo.left_behind()
    assert isinstance(kept, Path)
    assert (kept / "worker.log").exists()
    assert f"kept in {kept}" in demo.said()
