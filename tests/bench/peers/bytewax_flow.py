"""`python -m tests.bench.peers.bytewax_flow`: Bytewax, a Kafka source per topic, a stateful operator, a Kafka sink.

All around the operator is done by the batch. What it has for a user is their state's bytes, which a snapshot writes to
the recovery store as they are. Both score topics share one sink, which waits for the broker once a batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from bytewax import operators as op
from bytewax._bytewax import cli_main
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.recovery import RecoveryConfig, init_db_dir

from tests.bench.peers import settings
from tests.bench.peers.peer import Peer, flags
from tests.bench.peers.reading import Record
from tests.bench.peers.user_state import Job

_Keyed = tuple[str, Any]


def main() -> None:
    """Until SIGTERM."""
    peer = flags()
    together = [f"127.0.0.1:{port}" for port in peer.ports]
    cli_main(
        _flow(peer),
        process_id=peer.process if len(together) > 1 else None,
        addresses=together if len(together) > 1 else None,
        epoch_interval=timedelta(seconds=settings.BYTEWAX_EPOCH_SECS),
        recovery_config=RecoveryConfig(str(_recovery(peer))),
    )


def _recovery(peer: Peer) -> Path:
    """The folder of the recovery store, which all processes share; the first one makes it."""
    folder, made = peer.state_dir / "recovery", peer.state_dir / "made"
    if peer.process == 0:
        folder.mkdir()
        init_db_dir(folder, settings.BYTEWAX_RECOVERY_PARTITIONS * max(1, len(peer.ports)))
        made.touch()
    while not made.exists():
        time.sleep(0.05)
    return folder


def _flow(peer: Peer) -> Dataflow:
    brokers = [peer.bootstrap_servers]
    job = Job.of(peer.model, peer.sources)
    flow = Dataflow(peer.app_id)
    read = [
        op.flat_map_batch(
            f"records-{topic}",
            op.input(
                f"read-{topic}",
                flow,
                KafkaSource(brokers, [topic], add_config=settings.BYTEWAX_CONSUMER, batch_size=settings.BYTEWAX_BATCH),
            ),
            _records(source),
        )
        for source, topic in enumerate(peer.sources)
    ]
    scored = op.stateful_batch("users", op.merge("all", *read), _users(job, peer))
    op.output(
        "write", op.flat_map_batch("unkeyed", scored, _unkeyed), KafkaSink(brokers, None, settings.BYTEWAX_PRODUCER)
    )
    return flow


def _records(source: int) -> Callable[[list[Any]], list[_Keyed]]:
    def records(messages: list[Any]) -> list[_Keyed]:
        return [
            (m.key.decode(), Record(source, m.partition, m.offset, m.timestamp[1], m.key, m.value)) for m in messages
        ]

    return records


def _unkeyed(scored: list[_Keyed]) -> list[KafkaSinkMessage[bytes, bytes]]:
    return [message for _, message in scored]


def _users(job: Job, peer: Peer) -> Callable[[bytes | None], StatefulBatchLogic[Record, Any, bytes]]:
    apply, intents, anomalies = job.apply, peer.purchase_intent, peer.anomaly_scores

    class User(StatefulBatchLogic[Record, KafkaSinkMessage[bytes, bytes], bytes | None]):  # type: ignore[misc]
        """What is kept of one."""

        __slots__ = ("_state",)

        def __init__(self, state: bytes | None) -> None:
            self._state = state

        def on_batch(self, values: list[Record]) -> tuple[list[KafkaSinkMessage[bytes, bytes]], bool]:
            """Their events, in their order."""
            scored = []
            for record in values:
                done = apply(self._state, record)
                if done is not None:
                    self._state = done.state
                    scored.append(KafkaSinkMessage(record.key, done.intent, intents))
                    scored.append(KafkaSinkMessage(record.key, done.anomaly, anomalies))
            return scored, False

        def snapshot(self) -> bytes | None:
            """For the recovery store; bytes do not change."""
            return self._state

    return User


if __name__ == "__main__":
    main()
