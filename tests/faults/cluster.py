"""Several embedded brokers as one cluster on loopback: for leader changes, and for writes that outlive a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from stream.kafka import topics
from stream.kafka.embedded import EmbeddedBroker, Seat, free_port, new_cluster_id
from stream.settings import Settings

REPLICAS, MIN_INSYNC = 3, 2  # of a topic that goes on without any one of three brokers


class Cluster:
    """Nodes that are brokers and controllers both: more than half of them must live for anything to go on.

    Nodes are numbered from 1, as Kafka numbers them here.
    """

    def __init__(
        self, folder: Path, *, nodes: int = 3, heap_mb: int = 256, properties: Mapping[str, str] | None = None
    ) -> None:
        ports: list[int] = []
        for _ in range(2 * nodes):
            ports.append(free_port(but=ports))
        cluster_id, controllers = new_cluster_id(), ports[nodes:]
        self.nodes = {
            node: EmbeddedBroker(
                folder / f"node-{node}",
                port=ports[node - 1],
                heap_mb=heap_mb,
                properties=properties,
                seat=Seat(cluster_id, node, controllers),
            )
            for node in range(1, nodes + 1)
        }
        self.bootstrap_servers = ",".join(broker.bootstrap_servers for broker in self.nodes.values())

    def start(self) -> None:
        """Return once every node answers. Those that were killed or stopped are started with `nodes[n].start()`."""
        try:
            for broker in self.nodes.values():
                broker.launch()
            for broker in self.nodes.values():
                broker.wait_until_it_answers()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """In order, but for the last ones: without most of the others a controller cannot leave in order."""
        for broker in list(self.nodes.values())[: (len(self.nodes) + 1) // 2 - 1]:
            broker.stop()
        self.kill()

    def kill(self) -> None:
        for broker in self.nodes.values():
            broker.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def settings(self, settings: Settings) -> Settings:
        """These settings here, with topics that go on while one node is down."""
        return msgspec.structs.replace(
            settings,
            bootstrap_servers=self.bootstrap_servers,
            replication_factor=REPLICAS,
            min_insync_replicas=MIN_INSYNC,
        )

    async def leader(self, topic: str, partition: int) -> int:
        """The node that leads it now; -1: none does."""
        return int((await self._described(topic, partition))["leader"])

    async def until_in_sync(self, topic: str, partition: int, replicas: int = REPLICAS, *, secs: float = 60) -> None:
        """Wait until so many replicas of it are in sync: a node that is back has then caught up."""
        async with asyncio.timeout(secs):
            while True:
                if len((await self._described(topic, partition))["isr"]) >= replicas:
                    return
                await asyncio.sleep(0.1)

    async def _described(self, topic: str, partition: int) -> Mapping[str, Any]:
        async with topics.admin_of(self.bootstrap_servers) as admin:
            (described,) = await admin.describe_topics([topic])
        (found,) = (one for one in described["partitions"] if one["partition"] == partition)
        return dict(found)
