"""What the control group leaves of the machine, versions 1 and 2: in a container, its limits are what counts."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

# What version 1 says for "no limit": the largest page-aligned number of 63 bits.
_NO_LIMIT = 1 << 62


def memory_left(root: Path = Path("/")) -> int | None:
    """Bytes that the tightest group still gives; None where no group has a limit."""
    left = None
    for folder in _groups(root, "memory"):
        limit = _number(folder / "memory.max") or _number(folder / "memory.limit_in_bytes")
        used = _number(folder / "memory.current") or _number(folder / "memory.usage_in_bytes")
        if limit is None or used is None or limit >= _NO_LIMIT:
            continue
        # Pages of files that nobody has used lately are given back before anything fails.
        spare = max(_stat(folder / "memory.stat", name) for name in ("inactive_file", "total_inactive_file"))
        here = max(0, limit - used + spare)
        left = here if left is None else min(left, here)
    return left


def cpu_quota(root: Path = Path("/")) -> float | None:
    """CPUs' worth of time that the tightest group gives; None where no group has a quota."""
    quotas = []
    for folder in _groups(root, "cpu"):
        if (given := _text(folder / "cpu.max")) is not None:
            quota, _, period = given.partition(" ")
        else:
            quota = _text(folder / "cpu.cfs_quota_us") or ""
            period = _text(folder / "cpu.cfs_period_us") or ""
        if quota.isdigit() and period.isdigit():
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def cpus() -> int:
    """CPUs that this process may run on: affinity and quota together, at least 1."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return allowed if quota is None else max(1, min(allowed, math.ceil(quota)))


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of all groups around it, the innermost first."""
    mounts = root / "sys/fs/cgroup"
    for line in (_text(root / "proc/self/cgroup") or "").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            top = mounts
        elif controller in controllers.split(","):
            top = mounts / controller
        else:
            continue
        inner = top / path.lstrip("/")
        # In a container the path may be the machine's, and its own folder be at the top.
        yield from (folder for folder in (inner, *inner.parents) if folder.is_relative_to(top) and folder.is_dir())


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text is not None and text.isdigit() else None


def _stat(path: Path, name: str) -> int:
    lines = (line.split() for line in (_text(path) or "").splitlines())
    return next((int(words[1]) for words in lines if len(words) == 2 and words[0] == name), 0)


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None
