"""A worker on a CPU of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from stream.placement import Placement, keep

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system keeps no process to a CPU")


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
