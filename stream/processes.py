"""Processes beside this one: they end with it, and may be kept to CPUs of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

# Where `preexec_fn` would do the same, Python forks, and a ctrl-C that comes in one of its hooks around that is lost.
_DIE_WITH_PARENT = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1: PR_SET_PDEATHSIG
if os.getppid() == int(sys.argv[1]):  # else it died in between
    os.execv(sys.argv[2], sys.argv[2:])
"""


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """The command (its program as a path), such that it ends with this process, even by SIGKILL. Linux only."""
    if not sys.platform.startswith("linux"):
        return list(command)
    return [sys.executable, "-I", "-S", "-c", _DIE_WITH_PARENT, str(os.getpid()), *command]


class Placement(NamedTuple):
    """CPUs for workers, one each, and for what else runs on the machine.

    A worker's threads take turns at one interpreter. On CPUs that others use too, the thread whose turn it is may be
    stopped in the middle of it, and then all wait. Empty where there are too few CPUs to part, or where the system does
    not keep a process to some.
    """

    workers: list[set[int]]  # CPUs of each
    others: set[int]

    @classmethod
    def of(cls, workers: int) -> Placement:
        """For so many workers on the CPUs that this process may use."""
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if len(cpus) <= workers:
            return ANYWHERE
        return cls([{cpu} for cpu in cpus[:workers]], set(cpus[workers:]))


ANYWHERE = Placement([], set())


def keep(pid: int, cpus: set[int]) -> None:
    """Keep a process, and the threads and processes that it will start, to these CPUs. Nothing if there are none."""
    if cpus:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cpus)
