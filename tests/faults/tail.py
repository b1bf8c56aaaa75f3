"""Topics read on from where the last reading ended, and what a group has committed; brokers may come and go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Self, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError

T = TypeVar("T")

# A broker that was restarted answers within seconds, on a busy machine within many.
_PATIENCE_SECS = 120.0
_RETRY_SECS = 0.3
_REQUEST_MS = 10_000

Place = tuple[str, int]  # topic, partition


class Tail:
    """All committed records of some topics, once each: a reading begins where the one before it ended."""

    def __init__(self, bootstrap_servers: str, topics: Sequence[str], partitions: int) -> None:
        self._servers = bootstrap_servers
        self._at = {TopicPartition(topic, p): 0 for topic in topics for p in range(partitions)}
        self._consumer: Any = None

    async def read(self) -> list[Any]:
        """What has come since, up to the end as it is now; the records of a partition in their order."""
        records: list[Any] = []

        async def some() -> None:
            consumer = await self._connected()
            for tp, run in (await consumer.getmany(timeout_ms=200)).items():
                records.extend(run)
                self._at[tp] = run[-1].offset + 1
            for tp in self._at:  # past the markers of transactions, which are no records
                self._at[tp] = max(self._at[tp], await consumer.position(tp))

        ends = await self.ends()
        while any(self._at[TopicPartition(*place)] < end for place, end in ends.items()):
            await patiently(some, self.close)
        return records

    async def ends(self) -> dict[Place, int]:
        """The end of each partition for readers of committed records."""

        async def ask() -> dict[Place, int]:
            found = await (await self._connected()).end_offsets(list(self._at))
            return {(tp.topic, tp.partition): end for tp, end in found.items()}

        return await patiently(ask, self.close)

    async def _connected(self) -> Any:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._servers,
                isolation_level="read_committed",
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                fetch_max_wait_ms=20,
                max_partition_fetch_bytes=4 << 20,
                request_timeout_ms=_REQUEST_MS,
            )
            self._consumer = consumer  # so that it is closed, should it not start
            await consumer.start()
            consumer.assign(list(self._at))
            for tp, offset in self._at.items():
                consumer.seek(tp, offset)
        return self._consumer

    async def close(self) -> None:
        if self._consumer is not None:
            consumer, self._consumer = self._consumer, None
            # It raises even the cancellation of its own tasks where its broker is gone, and then keeps its connections.
            await asyncio.gather(consumer.stop(), return_exceptions=True)
            await asyncio.gather(consumer._client.close(), return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


class Group:
    """What a consumer group has committed."""

    def __init__(self, bootstrap_servers: str, name: str) -> None:
        self._servers, self._name = bootstrap_servers, name
        self._admin: Any = None

    async def committed(self) -> dict[Place, int]:
        """The offset of every partition that has one."""

        async def ask() -> dict[Place, int]:
            if self._admin is None:
                self._admin = AIOKafkaAdminClient(bootstrap_servers=self._servers, request_timeout_ms=_REQUEST_MS)
                await self._admin.start()
            try:
                found = await self._admin.list_consumer_group_offsets(self._name)
            except GroupCoordinatorNotAvailableError:  # a broker that has never had a group is still making its topic
                return {}
            return {(tp.topic, tp.partition): at.offset for tp, at in found.items() if at.offset >= 0}

        return await patiently(ask, self.close)

    async def close(self) -> None:
        if self._admin is not None:
            admin, self._admin = self._admin, None
            await asyncio.gather(admin.close(), return_exceptions=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()


async def patiently(ask: Callable[[], Awaitable[T]], start_anew: Callable[[], Awaitable[None]]) -> T:
    """Ask again, on a new connection, where the broker does not answer; what it raises after two minutes is raised."""
    deadline = time.monotonic() + _PATIENCE_SECS
    while True:
        try:
            async with asyncio.timeout(2 * _REQUEST_MS / 1000):
                return await ask()
        except (KafkaError, OSError, TimeoutError):
            await start_anew()
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(_RETRY_SECS)
