"""The demo, as a newcomer runs it: it shows scores, sums up, and leaves nothing behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from stream.settings import ENV_PREFIX
from tests.running import lives

pytestmark = pytest.mark.broker

TIMEOUT_SECS = 180.0  # it takes 10 s more than it was told to, on two idle cores
LINE = re.compile(r"^\d\d \w{3} \d\d:\d\d user-\d{7} \w+ .*\d\.\d{3} +\d\.\d{3} +\d\.\d{3} +\d+$", re.MULTILINE)


class Run:
    """A demo in a process group and a temporary folder of its own."""

    def __init__(self, folder: Path, *flags: str) -> None:
        self.folder = folder
        self._out = folder / "out"
        temporary = folder / "temporary"
        temporary.mkdir()
        environment = {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)}
        with self._out.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "stream.cli", "demo", *flags],
                env=environment | {"TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.children: set[psutil.Process] = set()

    def said(self) -> str:
        return self._out.read_text()

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

    def left_behind(self) -> list[object]:
        """Processes that still live, and what is still in the temporary folder."""
        return [*filter(lives, self.children), *(self.folder / "temporary").iterdir()]

    def _look(self) -> None:
        self.children.update(psutil.Process(self.process.pid).children(recursive=True))
        time.sleep(0.1)


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


def test_the_demo_shows_scores_and_sums_up_and_leaves_nothing_behind(start: Callable[..., Run]) -> None:
    demo = start("--seconds", "20")
    assert demo.end() == 0, demo.said()
    assert len(LINE.findall(demo.said())) >= 40  # up to 4 a second
    last = demo.said().splitlines()[-1]
    found = re.match(r"Scored ([\d,]+) of ([\d,]+) simulated events, of [\d,]+ shoppers, (\d+) a second; .* p99 ", last)
    assert found, last
    scored, sent = (int(number.replace(",", "")) for number in found.group(1, 2))
    assert scored == sent > 4_000
    assert 180 <= int(found.group(3)) <= 220
    assert len(demo.children) >= 2  # the broker and the worker were seen
    assert demo.left_behind() == []


@pytest.mark.parametrize("moment", ["Starting a Kafka broker", "Simulating"])
def test_ctrl_c_before_the_first_score_leaves_nothing_behind(start: Callable[..., Run], moment: str) -> None:
    demo = start()
    demo.wait_for(moment)
    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.end() in (130, 0)  # 0: the first score was faster
    assert "Traceback" not in demo.said()
    assert demo.left_behind() == []


def test_sigterm_ends_a_demo_with_scores_as_ctrl_c_does(start: Callable[..., Run]) -> None:
    demo = start()
    demo.wait_for(LINE.pattern)
    demo.process.terminate()
    assert demo.end() == 0, demo.said()
    assert demo.said().splitlines()[-1].startswith("Scored ")
    assert demo.left_behind() == []


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
