"""What is said of this machine, where it is good and where it is not."""

from __future__ import annotations

import fcntl
import shutil
import socket
import threading
from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from stream.doctor import machine
from stream.doctor.finding import Finding
from stream.doctor.machine import Need
from stream.metrics_server import MetricsServer
from stream.rows import Sizes, row_dtype
from stream.settings import Settings

SMALL = Need(partitions=4, rows_written=1_000)
YEARS = Need(partitions=4, rows_written=10**13)  # 15 PB, had each been of another user: more than any machine has


def only(findings: list[Finding], status: str) -> str:
    (finding,) = findings
    assert finding.status == status, finding
    assert bool(finding.to_do) == (status != "ok"), finding
    return finding.found


def of(**changes: object) -> Settings:
    return msgspec.structs.replace(Settings(), **changes)


def test_a_folder_that_is_still_to_be_made_can_be_written_and_is_not_made(tmp_path: Path) -> None:
    said = only(machine.check_disk(of(data_dir=tmp_path / "new" / "state"), SMALL), "ok")
    assert f"to be made in {tmp_path}" in said
    assert "1,000 rows written so far, most of them again: 1.5 MB at the very most" in said
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"")
    for folder in (tmp_path / "state", tmp_path / "state" / "inner"):
        assert "cannot be written (Not a directory)" in only(machine.check_disk(of(data_dir=folder), SMALL), "error")


def test_a_folder_that_a_worker_holds_is_said_to_be_in_use(tmp_path: Path) -> None:
    with (tmp_path / "worker.lock").open("wb") as lock:
        assert "in use" not in only(machine.check_disk(of(data_dir=tmp_path), SMALL), "ok")
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert "in use by a worker" in only(machine.check_disk(of(data_dir=tmp_path), SMALL), "ok")


def test_rows_that_a_changelog_was_ever_given_are_said_and_decide_nothing(tmp_path: Path) -> None:
    # Compaction leaves offsets as they are: after years these are a thousand times its users.
    few = of(data_dir=tmp_path, buffer_max_events=1)
    assert "1.5e+04 TB at the very most" in only(machine.check_disk(few, YEARS), "ok")
    assert "for 500,000 users in memory" in only(machine.check_memory(few, YEARS), "ok")
    assert machine.check_open_files(few, YEARS) == machine.check_open_files(few, SMALL)


def test_a_disk_without_room_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=900_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    assert "900 MB free" in only(machine.check_disk(of(data_dir=tmp_path), SMALL), "warning")


def test_a_users_bytes_are_those_of_a_row() -> None:
    row = row_dtype(Sizes(Settings().sequence_events, parts=2, layers=1, hidden=64)).itemsize
    assert "1.5 MB at most for 1,000 users in memory" in only(machine.check_memory(Settings(), SMALL), "ok")
    assert 0.9 < row / 1500 < 1


def test_memory_is_estimated_from_partitions_and_their_buffers() -> None:
    few = only(machine.check_memory(of(buffer_max_events=1), Need(1, 0)), "ok")
    assert "537 MB at most for buffers of 1 partition and its local copies" in few
    less = only(machine.check_memory(of(buffer_max_events=1, store_memory_bytes=64 << 20), Need(1, 0)), "ok")
    assert "67.1 MB at most" in less
    many = only(machine.check_memory(of(buffer_max_events=10_000_000), Need(1_000, 0)), "warning")
    assert "15 TB at most" in many


def test_more_files_than_may_be_open_are_an_error() -> None:
    assert "about 180 needed with 4 partitions" in only(machine.check_open_files(Settings(), SMALL), "ok")
    assert "20,000,100 needed" in only(machine.check_open_files(Settings(), Need(1_000_000, 0)), "error")


def test_more_threads_than_cpus_are_a_warning() -> None:
    only(machine.check_cpu(Settings(), SMALL), "ok")
    assert "--torch-threads=256" in only(machine.check_cpu(of(torch_threads=256), SMALL), "warning")


def test_a_free_port_is_free_afterwards_too() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for _ in range(2):
        assert "is free" in only(machine.check_port(of(metrics_port=port), SMALL), "ok")


def test_a_port_that_something_else_has_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert "not by a worker" in only(machine.check_port(of(metrics_port=port), SMALL), "error")


def test_a_port_that_answers_with_other_than_http_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            with other.accept()[0] as connection:
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
                connection.recv(1_000)

        threading.Thread(target=greet, daemon=True).start()
        port = other.getsockname()[1]
        assert "not by a worker" in only(machine.check_port(of(metrics_port=port), SMALL), "error")


def test_a_host_that_is_not_this_machine_s_is_an_error() -> None:
    # 192.0.2.0/24 is for documents: nobody has it
    assert "192.0.2.1" in only(machine.check_port(of(metrics_host="192.0.2.1"), SMALL), "error")


@pytest.mark.parametrize(("healthy", "status"), [(True, "ok"), (False, "warning")])
def test_a_port_that_a_worker_has_is_said_to_be_a_worker_s_with_its_health_whatever_the_proxy(
    healthy: bool, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MetricsServer("127.0.0.1", 0, CollectorRegistry(), lambda: (healthy, {"partitions": [0]}))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # nobody is there
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    try:
        said = only(machine.check_port(of(metrics_port=server.port), SMALL), status)
    finally:
        server.close()
    assert f"127.0.0.1:{server.port}: {'healthy' if healthy else 'not healthy'}" in said
