"""This machine: disk, memory, CPUs, open files, and the port of the metrics."""

from __future__ import annotations

import errno
import fcntl
import http.client
import json
import platform
import resource
import shutil
import socket
import tempfile
import urllib.error
import urllib.request
from math import inf
from pathlib import Path
from typing import NamedTuple

import psutil  # type: ignore[import-untyped]

from stream.doctor import limits
from stream.doctor.finding import Finding, plural, size
from stream.settings import Settings

# A row's size, in memory and on disk (README, Limits).
_ROW_BYTES = 1_500
# RSS of a worker after its first thousands of events: Python, PyTorch, Faust, the model. Measured: 712 MB.
_IDLE_BYTES = 715_000_000
# A click as JSON is 231 bytes; as much again for what Python keeps of a record.
_WAITING_BYTES = 500
_DISK_SPARE_BYTES = 1_000_000_000
# RocksDB keeps every file of a table open; new ones are of 64 MiB, rows of so many users, and there are a few more of
# each partition.
_USERS_PER_TABLE = 60_000
_FILES_PER_PARTITION = 20
_OTHER_FILES = 100  # libraries, sockets to brokers, a scraper's
_ANSWER_SECS = 2.0  # of whoever has the metrics port


class Need(NamedTuple):
    """What is known of the work of one worker that has it all to itself."""

    partitions: int
    # To the changelog; None: not known. Users are at most as many, and may be a thousandth: it decides nothing.
    rows_written: int | None


def check_disk(settings: Settings, need: Need) -> list[Finding]:
    """Whether the folder can be written, by a file without a name, and whether there is any room."""
    folder = settings.data_dir.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    what = f"{settings.data_dir}" if there == folder else f"{settings.data_dir} (to be made in {there})"
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        found = f"--data-dir={settings.data_dir}: {there} cannot be written ({error.strerror})"
        return [Finding("disk", "error", found, "set --data-dir to a folder that this user may write")]
    if _is_locked(folder / "worker.lock"):
        what += ", in use by a worker"
    free = shutil.disk_usage(there).free
    found = f"{what}: {size(free)} free; {_ROW_BYTES / 1000} kB a user: {_users(need)}"
    if free < _DISK_SPARE_BYTES:
        return [Finding("disk", "warning", found, "make room, or set --data-dir to a larger disk")]
    return [Finding("disk", "ok", found)]


def check_memory(settings: Settings, need: Need) -> list[Finding]:
    """What is available, in the control group too, against an estimate for one worker with all partitions."""
    machine, group = psutil.virtual_memory().available, limits.memory_left()
    available = machine if group is None else min(machine, group)
    buffers = need.partitions * 3 * settings.buffer_max_events * _WAITING_BYTES + settings.store_memory_bytes
    users = min(settings.memory_max_users, inf if need.rows_written is None else need.rows_written)
    where = "available" if group is None or machine <= group else "left in the control group"
    found = (
        f"{size(available)} {where}; a worker takes {size(_IDLE_BYTES)}, {size(buffers)} at most for buffers of "
        f"{plural(need.partitions, 'partition')} and its local copies, {size(users * _ROW_BYTES)} at most for "
        f"{plural(int(users), 'user')} in memory"
    )
    if available < _IDLE_BYTES:
        return [Finding("memory", "error", found, "give it more memory, or end other programs")]
    if available < _IDLE_BYTES + buffers + users * _ROW_BYTES:
        to_do = "give it more memory, lower --buffer-max-events or --memory-max-users, or share the partitions"
        return [Finding("memory", "warning", found, to_do)]
    return [Finding("memory", "ok", found)]


def _users(need: Need) -> str:
    if need.rows_written is None:
        return "how many there are is not known without the changelog"
    most = size(need.rows_written * _ROW_BYTES)
    return f"{plural(need.rows_written, 'row')} written so far, most of them again: {most} at the very most"


def check_cpu(settings: Settings, need: Need) -> list[Finding]:
    """CPUs that a worker may use, and whether its LSTM is given more threads than there are."""
    machine, quota, usable = psutil.cpu_count() or 1, limits.cpu_quota(), limits.cpus()
    allowed = f", a quota of {quota:g}" if quota is not None else ""
    found = f"{usable} of {plural(machine, 'CPU')} may be used{allowed} ({platform.machine()})"
    if settings.torch_threads > usable:
        found += f"; --torch-threads={settings.torch_threads} are more than that"
        return [Finding("cpu", "warning", found, f"set --torch-threads to {usable} at most")]
    if quota is not None and quota < 1:
        return [Finding("cpu", "warning", found, "raise the quota to a whole CPU: less makes scores late")]
    return [Finding("cpu", "ok", found)]


def check_port(settings: Settings, need: Need) -> list[Finding]:
    """Whether /metrics and /healthz can be served, or who serves there."""
    host, port = settings.metrics_host, settings.metrics_port
    if port == 0:
        return [Finding("port", "ok", "any free one (--metrics-port=0)")]
    try:
        socket.create_server((host, port)).close()
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            found = f"{host}:{port} cannot be listened on ({error.strerror})"
            return [Finding("port", "error", found, "correct --metrics-host, or choose another --metrics-port")]
    else:
        return [Finding("port", "ok", f"{host}:{port} is free")]
    if (health := _health(host, port)) is None:
        found = f"{host}:{port} is taken, and not by a worker"
        return [Finding("port", "error", found, "end what has it, or choose another --metrics-port")]
    found = f"a running worker has {host}:{port}: {'healthy' if health['healthy'] else 'not healthy'}"
    if not health["healthy"]:
        return [Finding("port", "warning", found, "look at its log: it has lag, and commits nothing")]
    return [Finding("port", "ok", f"{found}; a second one needs another --metrics-port")]


def _health(host: str, port: int) -> dict[str, bool] | None:
    """What a worker's /healthz says; None where it is no worker's."""
    # Never through http_proxy, whose own machine would be asked.
    directly = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with directly.open(f"http://{host}:{port}/healthz", timeout=_ANSWER_SECS) as answer:
            said = answer.read()
    except urllib.error.HTTPError as error:
        with error:
            said = error.read()  # 503: a worker that is not healthy
    except (OSError, ValueError, http.client.HTTPException):  # the last: it answers with other than HTTP
        return None
    try:
        facts = json.loads(said)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and {"healthy", "partitions"} <= facts.keys() else None


def check_open_files(settings: Settings, need: Need) -> list[Finding]:
    """`ulimit -n` against what RocksDB keeps open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = _OTHER_FILES + need.partitions * _FILES_PER_PARTITION
    allowed = "as many open files as it likes" if soft == resource.RLIM_INFINITY else f"{soft:,} open files allowed"
    found = f"{allowed}; about {needed:,} needed with {plural(need.partitions, 'partition')}"
    found += f", and one more for each {_USERS_PER_TABLE:,} users"
    if soft != resource.RLIM_INFINITY and soft < needed:
        to_do = f"`ulimit -n {needed * 2}`, or LimitNOFILE={needed * 2} in its systemd unit"
        return [Finding("files", "error", found, to_do)]
    return [Finding("files", "ok", found)]


def _is_locked(path: Path) -> bool:
    """Whether a worker holds the folder's lock."""
    try:
        with path.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
