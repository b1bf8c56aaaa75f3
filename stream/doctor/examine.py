"""All checks, in the order in which they are shown, and none of which stops another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import msgspec

from stream.doctor import learned
from stream.doctor.clock import check_clock
from stream.doctor.cluster import Cluster, look
from stream.doctor.finding import Finding
from stream.doctor.machine import Need, check_cpu, check_disk, check_memory, check_open_files, check_port
from stream.doctor.reach import find_broker, in_thread
from stream.doctor.rights import check_rights
from stream.doctor.topics import check_durability, check_partitions, check_topics
from stream.doctor.waiting import check_waiting
from stream.errors import SettingsError
from stream.settings import Settings

T = TypeVar("T")

# Those that ask the broker, and those that look at this machine
_CLUSTER: Sequence[tuple[str, Callable[[Settings, Cluster], Awaitable[list[Finding]]]]] = (
    ("topics", check_topics),
    ("durability", check_durability),
    ("partitions", check_partitions),
    ("waiting", check_waiting),
    ("rights", check_rights),
    ("clock", check_clock),
)
_MACHINE: Sequence[tuple[str, Callable[[Settings, Need], list[Finding]]]] = (
    ("disk", check_disk),
    ("memory", check_memory),
    ("files", check_open_files),
    ("cpu", check_cpu),
    ("port", check_port),
)
_MACHINE_SECS = 3.0  # for those, also where the broker has taken all the time


async def examine(settings: Settings, problems: Sequence[SettingsError], timeout_secs: float) -> list[Finding]:
    """Every finding. What has not answered within `timeout_secs` is an error: a worker would wait for it too."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + timeout_secs

    async def guarded(name: str, work: Awaitable[T]) -> T | list[Finding]:
        try:
            async with asyncio.timeout_at(deadline):
                return await work
        except TimeoutError:
            found, to_do = f"no answer within {timeout_secs:g} s", "give it more with --timeout-secs"
            return [Finding(name, "error", found, to_do)]
        except NotImplementedError:  # aiokafka, of a request that this broker takes in no version that we have
            found = "doctor asks what Kafka 2.3 and newer tell, and this one is older"
            return [Finding(name, "warning", found, "`behaviour-stream topics --check` looks at the topics alone")]
        except Exception as error:
            return [Finding(name, "error", f"could not be looked at: {error!r}")]

    beside = asyncio.ensure_future(guarded(learned.NAME, learned.look(settings)))
    findings = _of_settings(problems)
    reached, cluster = None, None
    met = await guarded("broker", find_broker(settings))
    if isinstance(met, list):
        findings += met
    else:
        said, reached = met
        findings += said
    if reached is not None:
        through = msgspec.structs.replace(settings, bootstrap_servers=reached.servers)
        try:
            seen = await guarded("broker", look(through, reached.client))
            if isinstance(seen, list):
                findings += seen
            else:
                cluster = seen
                asked = [guarded(name, check(through, cluster)) for name, check in _CLUSTER]
                findings += [finding for found in await asyncio.gather(*asked) for finding in found]
        finally:
            await reached.client.close()
    if cluster is None:
        findings += [Finding(name, "skipped", "it needs the broker's answers") for name, _ in _CLUSTER]
    deadline = max(deadline, clock() + _MACHINE_SECS)
    need = _need(settings, cluster)
    here = [guarded(name, in_thread(partial(check, settings, need))) for name, check in _MACHINE]
    return findings + [finding for found in await asyncio.gather(*here, beside) for finding in found]


def _of_settings(problems: Sequence[SettingsError]) -> list[Finding]:
    if not problems:
        return [Finding("settings", "ok", "every flag and BEHAVIOUR_ variable is a setting, with a value it takes")]
    to_do = "correct it: a worker refuses to start; below, defaults stand in for refused values"
    return [Finding("settings", "error", str(problem), to_do) for problem in problems]


def _need(settings: Settings, cluster: Cluster | None) -> Need:
    topic = cluster.topics.get(settings.clicks_topic) if cluster else None
    partitions = len(topic.partitions) if topic else settings.partitions
    return Need(partitions, cluster.rows_written(settings) if cluster else None)
