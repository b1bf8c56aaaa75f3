"""Which CPUs a process is kept to: a worker to one of its own, and what else runs on the machine to the others.

A worker's threads take turns at one interpreter. On CPUs that others use too, the thread whose turn it is may be
stopped in the middle of it, and then all wait.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple


class Placement(NamedTuple):
    """Empty where there are too few CPUs to part, or where the system does not do that."""

    workers: list[set[int]]  # CPUs of each
    others: set[int]

    @classmethod
    def of(cls, workers: int) -> Placement:
        """For so many workers on the CPUs that this process may use."""
        cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        if len(cpus) <= workers:
            return cls([], set())
        return cls([{cpu} for cpu in cpus[:workers]], set(cpus[workers:]))


def keep(pid: int, cpus: set[int]) -> None:
    """Keep a process, and the threads and processes that it will start, to these CPUs. Nothing if there are none."""
    if cpus:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cpus)
