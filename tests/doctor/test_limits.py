"""Control groups as they lie in the file system, of both versions."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.doctor import limits


def write(root: Path, files: dict[str, str]) -> Path:
    """A file system of these files."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return root


V2 = {
    "proc/self/cgroup": "0::/shop/worker",
    "sys/fs/cgroup/shop/memory.max": "1000000",
    "sys/fs/cgroup/shop/memory.current": "900000",
    "sys/fs/cgroup/shop/memory.stat": "anon 5\ninactive_file 50000",
    "sys/fs/cgroup/shop/worker/memory.max": "max",
    "sys/fs/cgroup/shop/worker/memory.current": "10",
    "sys/fs/cgroup/shop/cpu.max": "max 100000",
    "sys/fs/cgroup/shop/worker/cpu.max": "150000 100000",
}
V1 = {
    "proc/self/cgroup": "5:cpuacct,cpu:/a\n4:memory:/not/here",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "500",
    "sys/fs/cgroup/memory/memory.usage_in_bytes": "200",
    "sys/fs/cgroup/memory/memory.stat": "inactive_file 10\ntotal_inactive_file 40",
    "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "50000",
    "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
}


def test_the_tightest_group_around_us_counts_less_what_can_be_given_back(tmp_path: Path) -> None:
    assert limits.memory_left(write(tmp_path, V2)) == 150_000


def test_in_a_container_the_group_at_the_top_is_ours(tmp_path: Path) -> None:
    assert limits.memory_left(write(tmp_path, V1)) == 340


@pytest.mark.parametrize(("files", "cpus"), [(V2, 1.5), (V1, 0.5)])
def test_a_quota_is_time_over_period(tmp_path: Path, files: dict[str, str], cpus: float) -> None:
    assert limits.cpu_quota(write(tmp_path, files)) == cpus


@pytest.mark.parametrize("no_limit", ["max", "9223372036854771712"])
def test_a_limit_that_is_none_is_none(tmp_path: Path, no_limit: str) -> None:
    name = "memory.max" if no_limit == "max" else "memory.limit_in_bytes"
    group = "0::/" if no_limit == "max" else "4:memory:/"
    folder = "sys/fs/cgroup" if no_limit == "max" else "sys/fs/cgroup/memory"
    files = {
        "proc/self/cgroup": group,
        f"{folder}/{name}": no_limit,
        f"{folder}/memory.current": "1",
        f"{folder}/memory.usage_in_bytes": "1",
    }
    assert limits.memory_left(write(tmp_path, files)) is None


def test_a_machine_without_groups_has_no_limits(tmp_path: Path) -> None:
    assert limits.memory_left(tmp_path) is None
    assert limits.cpu_quota(tmp_path) is None


def test_this_machine_has_a_cpu() -> None:
    assert limits.cpus() >= 1
