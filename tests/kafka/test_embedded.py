from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from stream.errors import BrokerError, SettingsError
from stream.kafka.embedded import EmbeddedBroker

pytestmark = pytest.mark.broker

# A parent that starts a broker, says its address, then waits to be ended.
_PARENT = """
import sys, time
from pathlib import Path
from stream.kafka.embedded import EmbeddedBroker
with EmbeddedBroker(Path(sys.argv[1])) as broker:
    print(broker.bootstrap_servers, flush=True)
    time.sleep(600)
"""
_END_TIMEOUT_SECS = 30.0  # a broker may take 20 s to stop in order


def test_it_answers_between_start_and_stop_and_leaves_no_process(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "a folder, with a comma")
    broker.start()
    pid = broker.pid
    assert asyncio.run(_topics(broker)) == []
    assert broker.log_path.stat().st_size > 0
    broker.stop()
    broker.stop()  # a second time is nothing
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    with pytest.raises(BrokerError, match="not running"):
        _ = broker.pid


def test_topics_and_address_outlive_both_a_kill_and_a_stop(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    with broker:
        address = broker.bootstrap_servers
        asyncio.run(_create(broker, "kept"))
        broker.kill()
        broker.start()
        assert asyncio.run(_topics(broker)) == ["kept"]
    assert broker.bootstrap_servers == address
    with EmbeddedBroker(tmp_path) as second:  # another port for clients and controller
        assert asyncio.run(_topics(second)) == ["kept"]


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port} is taken"):
            EmbeddedBroker(tmp_path, port=port).start()


def test_a_broker_that_cannot_start_says_why_and_may_be_started_again(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path, properties={"num.io.threads": "0"})
    for _ in range(2):
        with pytest.raises(BrokerError, match=r"Invalid value 0 for configuration num\.io\.threads"):
            broker.start()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ties a process to its parent")
def test_a_sigkilled_parent_leaves_no_broker(tmp_path: Path) -> None:
    parent, address = _start_parent(tmp_path)
    parent.kill()
    parent.communicate()
    assert _is_gone(address)


def test_ctrl_c_reaches_only_the_parent_which_stops_the_broker_in_order(tmp_path: Path) -> None:
    parent, address = _start_parent(tmp_path)
    os.killpg(parent.pid, signal.SIGINT)
    parent.communicate(timeout=_END_TIMEOUT_SECS)
    assert parent.returncode == -signal.SIGINT
    assert _is_gone(address)
    assert "shut down completed" in (tmp_path / "broker.log").read_text()


def _start_parent(directory: Path) -> tuple[subprocess.Popen[str], str]:
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # a process group, as of a command at a terminal
    )
    assert parent.stdout is not None
    return parent, parent.stdout.readline().strip()


def _is_gone(address: str) -> bool:
    """Whether nobody listens there any more: a dead process has no port, even as an unreaped zombie."""
    host, port = address.split(":")
    deadline = time.monotonic() + _END_TIMEOUT_SECS
    while time.monotonic() < deadline:
        try:
            socket.create_connection((host, int(port))).close()
        except ConnectionRefusedError:
            return True
        time.sleep(0.05)
    return False


async def _create(broker: EmbeddedBroker, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        await admin.start()
        await admin.create_topics([NewTopic(topic, 2, 1)])
    finally:
        await admin.close()


async def _topics(broker: EmbeddedBroker) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)
    try:
        await admin.start()
        topics: list[str] = await admin.list_topics()
        return topics
    finally:
        await admin.close()
