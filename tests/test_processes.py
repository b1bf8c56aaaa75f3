"""Processes that end with their parent, and that are kept to CPUs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil  # type: ignore[import-untyped]
import pytest

from stream.processes import Placement, keep
from tests.running import lives

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux does any of this")

_PARENT = """
import subprocess, sys
from stream.processes import dying_with_parent
child = subprocess.Popen(dying_with_parent([sys.executable, "-c", "print('up', flush=True); input()"]),
                         stdin=subprocess.PIPE, start_new_session=True)
print(child.pid, flush=True)
child.wait()
"""


def test_a_child_ends_with_a_parent_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        said = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
        assert b"up" in said  # it is the command by now
        (child,) = (psutil.Process(int(line)) for line in said - {b"up"})
        parent.kill()
    deadline = time.monotonic() + 10
    while lives(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.communicate(b"\n")


def test_workers_and_the_rest_share_no_cpu() -> None:
    here = os.sched_getaffinity(0)
    placement = Placement.of(len(here) - 1)
    assert sorted([*placement.others, *(cpu for cpus in placement.workers for cpu in cpus)]) == sorted(here)


def test_with_a_worker_for_every_cpu_nobody_is_kept_anywhere(child: subprocess.Popen[bytes]) -> None:
    here = os.sched_getaffinity(0)
    placement = Placement.of(len(here))
    assert not placement.workers
    keep(child.pid, placement.others)
    assert os.sched_getaffinity(child.pid) == here


def test_a_process_is_kept_where_it_is_told(child: subprocess.Popen[bytes]) -> None:
    cpu = min(os.sched_getaffinity(0))
    keep(child.pid, {cpu})
    assert os.sched_getaffinity(child.pid) == {cpu}
