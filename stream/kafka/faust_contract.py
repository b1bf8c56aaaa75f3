"""What this project overrides or reaches for inside Faust, mode and aiokafka, with the signatures it was written
against.

Checked at start: a version that moved one of these would lose events without an error.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version

import aiokafka
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.consumer.subscription_state import TopicPartitionState
from faust.tables.base import Collection
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer as BaseConsumer
from faust.transport.drivers import aiokafka as driver

from stream.errors import SettingsError

VERSIONS = {"faust-streaming": "0.15.3", "mode-streaming": "0.7.1", "aiokafka": "0.14.0"}

_SIGNATURES: dict[tuple[type, str], str] = {
    (driver.AIOKafkaConsumerThread, "_create_worker_consumer"): "(self, transport)",
    (driver.AIOKafkaConsumerThread, "_fetch_records"): (
        "(self, consumer, active_partitions, timeout=None, max_records=None)"
    ),
    (driver.AIOKafkaConsumerThread, "getmany"): "(self, active_partitions, timeout)",
    (driver.Consumer, "_getmany"): "(self, active_partitions, timeout)",
    (driver.Consumer, "_new_consumer_thread"): "(self)",
    (BaseConsumer, "getmany"): "(self, timeout)",
    (BaseConsumer, "_wait_next_records"): "(self, timeout)",
    (BaseConsumer, "perform_seek"): "(self)",
    (driver.Consumer, "seek_wait"): "(self, partitions)",
    (driver.Consumer, "seek_to_committed"): "(self)",
    (driver.AIOKafkaConsumerThread, "seek_to_beginning"): "(self, *partitions)",
    (BaseConsumer, "commit"): "(self, topics=None, start_new_transaction=True)",
    (BaseConsumer, "on_partitions_revoked"): "(self, revoked)",
    (BaseConsumer, "resume_partitions"): "(self, tps)",
    (BaseConsumer, "resume_flow"): "(self)",
    (BaseConsumer, "stop_flow"): "(self)",
    (BaseConsumer, "on_buffer_drop"): "(self, tp)",
    (BaseConsumer, "_get_active_partitions"): "(self)",
    (BaseConsumer, "_is_changelog_tp"): "(self, tp)",
    (Recovery, "need_recovery"): "(self)",
    (Recovery, "flush_buffers"): "(self)",
    (Recovery, "_set_recovery_ended"): "(self)",
    (Recovery, "on_rebalance"): "(self, assigned, revoked, newly_assigned, generation_id=0)",
    (Collection, "on_start"): "(self)",
    (Collection, "on_rebalance"): "(self, assigned, revoked, newly_assigned, generation_id=0)",
    (Collection, "persisted_offset"): "(self, tp)",
    (Collection, "need_active_standby_for"): "(self, tp)",
    (Collection, "apply_changelog_batch"): "(self, batch)",
    (Collection, "on_recovery_completed"): "(self, active_tps, standby_tps)",
    (Collection, "reset_state"): "(self)",
    (aiokafka.AIOKafkaProducer, "create_batch"): "(self)",
    (aiokafka.AIOKafkaProducer, "send_batch"): "(self, batch, topic, *, partition)",
    (aiokafka.AIOKafkaProducer, "send_offsets_to_transaction"): "(self, offsets, group_id)",
    (PartitionRecords, "_consumer_record"): "(self, tp, record)",
    (TopicPartitionState, "consumed_to"): "(self, position)",
}
_CONSUMER_ATTRIBUTES = ("_fetch_max_wait_ms", "_fetch_min_bytes", "_isolation_level", "_subscription")


def check() -> None:
    """Raise SettingsError, listing every difference, unless all is as this project was written against."""
    wrong = [
        f"{name}: expected version {expected}, got {version(name)}"
        for name, expected in VERSIONS.items()
        if version(name) != expected
    ]
    for (owner, name), expected in _SIGNATURES.items():
        found = _signature(owner, name)
        if found != expected:
            wrong.append(f"{owner.__module__}.{owner.__qualname__}.{name}: expected {expected}, got {found}")
    source = inspect.getsource(aiokafka.AIOKafkaConsumer)
    wrong += [f"aiokafka.AIOKafkaConsumer: no {name}" for name in _CONSUMER_ATTRIBUTES if f"self.{name}" not in source]
    if wrong:
        raise SettingsError("the installed Faust is not the one that this version overrides:\n  " + "\n  ".join(wrong))


def _signature(owner: type, name: str) -> str:
    method = getattr(owner, name, None)
    if method is None:
        return "nothing of this name"
    signature = inspect.signature(method)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))
