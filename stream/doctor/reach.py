"""Whether the brokers can be reached, and if not, at which step it fails: the name, the port, or what answers there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeVar, cast

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaError

from stream.doctor.finding import Finding, Status, plural
from stream.kafka import inquiry
from stream.settings import Settings

T = TypeVar("T")

_CONNECT_SECS = 3.0  # one that is there takes milliseconds, from the other side of the earth 300
_ANSWER_MS = 5_000  # a broker under load takes seconds

_SILENT = (
    "accepts the connection, but does not answer as a Kafka broker does on a plain listener",
    "name a PLAINTEXT listener: TLS and SASL are not supported yet",
)


async def in_thread(work: Callable[[], T]) -> T:
    """Run what may block for ever in a thread that the end of the process does not wait for."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: Exception | None) -> None:
        if future.done():  # nobody waits any more
            return
        if error is None:
            future.set_result(cast(T, result))
        else:
            future.set_exception(error)

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except Exception as error:
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(settle, result, failed)

    threading.Thread(target=run, daemon=True).start()
    return await future


class Reached(NamedTuple):
    """A client that is connected, and the servers through which it is."""

    client: AIOKafkaClient
    servers: str  # host:port,host:port


async def find_broker(settings: Settings) -> tuple[list[Finding], Reached | None]:
    """What is to be said of the brokers, and the way to them; None where it would not work.

    The way leads only through addresses to which a connection came about. Looking up the name of another may never end,
    and asyncio would wait for it before the process ends.
    """
    try:
        hosts = [(host, port) for host, port, _ in collect_hosts(settings.bootstrap_servers, randomize=False)]
    except ValueError as error:
        to_do = "set --bootstrap-servers to host:port,host:port"
        return [Finding("broker", "error", f"{settings.bootstrap_servers}: no list of hosts ({error})", to_do)], None
    problems = dict(zip(hosts, await asyncio.gather(*(_unreachable(*address) for address in hosts)), strict=True))
    if all(problems.values()):
        return _said_of(problems, "error"), None
    servers = ",".join(_address(*host) for host, problem in problems.items() if problem is None)
    async with contextlib.AsyncExitStack() as stack:
        client = AIOKafkaClient(bootstrap_servers=servers, request_timeout_ms=_ANSWER_MS)
        stack.push_async_callback(client.close)
        started = time.monotonic()
        try:
            await client.bootstrap()
        except (KafkaError, OSError):
            return _said_of({address: problem or _SILENT for address, problem in problems.items()}, "error"), None
        took_ms = (time.monotonic() - started) * 1000
        findings = await _of_the_cluster(client, servers, took_ms)
        if any(finding.status == "error" for finding in findings):
            return findings, None
        stack.pop_all()
        return [*_said_of(problems, "warning"), *findings], Reached(client, servers)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"  # IPv6


def _said_of(problems: Mapping[tuple[str, int], tuple[str, str] | None], status: Status) -> list[Finding]:
    return [
        Finding("broker", status, f"{_address(*host)} {problem[0]}", problem[1])
        for host, problem in problems.items()
        if problem
    ]


async def _of_the_cluster(client: AIOKafkaClient, servers: str, took_ms: float) -> list[Finding]:
    brokers = sorted(client.cluster.brokers(), key=lambda broker: int(broker.nodeId))
    controller = client.cluster.controller
    of = f"controller is {controller.nodeId}" if controller else "no controller is known"
    found = f"{servers} answers in {took_ms:.0f} ms; {plural(len(brokers), 'broker')}, {of}"
    findings = [Finding("broker", "ok" if controller else "warning", found)]
    unreachable = await asyncio.gather(*(_unreachable(broker.host, broker.port) for broker in brokers))
    for broker, problem in zip(brokers, unreachable, strict=True):
        if problem:
            where = f"broker {broker.nodeId} says that it is at {_address(broker.host, broker.port)}, which"
            to_do = "make that address reachable from here, or correct its advertised.listeners"
            findings.append(Finding("broker", "error", f"{where} {problem[0]}", to_do))
        elif missing := await inquiry.missing_requests(client, broker.nodeId):
            to_do = "use Kafka 0.11 or newer, and no newer one than this version's client knows"
            found = f"broker {broker.nodeId} does not take what a worker sends: {', '.join(missing)}"
            findings.append(Finding("broker", "error", found, to_do))
    return findings


async def _unreachable(host: str, port: int) -> tuple[str, str] | None:
    """Why no connection comes about, and what to do; None if one does."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(_CONNECT_SECS + 1):  # a resolver has no limit of its own
            await in_thread(lambda: socket.create_connection((host, port), _CONNECT_SECS).close())
    except socket.gaierror as error:
        why = f"cannot be found: the name does not resolve ({error.strerror})"
        return why, "correct --bootstrap-servers, or the name's DNS or hosts entry"
    except ConnectionRefusedError:
        return "refuses the connection: nothing listens there", "start the broker, or correct --bootstrap-servers"
    except TimeoutError:
        why = f"does not answer: no connection in {time.monotonic() - started:.0f} s"
        return why, "look for a firewall or a wrong address in between"
    except OSError as error:
        return f"cannot be reached ({error.strerror})", "correct --bootstrap-servers, or this machine's network"
    return None
