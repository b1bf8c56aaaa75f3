"""What this project overrides or reaches for inside Faust, mode and aiokafka, with the signatures it was written
against.

Checked at start: a version that moved one of these would lose events without an error.
"""

from __future__ import annotations

import inspect
import re
from importlib.metadata import version

import aiokafka
import faust
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.producer.sender import Sender
from faust.assignor.partition_assignor import PartitionAssignor
from faust.tables.manager import TableManager
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
    (driver.Consumer, "seek_to_committed"): "(self)",
    (BaseConsumer, "commit"): "(self, topics=None, start_new_transaction=True)",
    (BaseConsumer, "on_partitions_revoked"): "(self, revoked)",
    (BaseConsumer, "resume_partitions"): "(self, tps)",
    (BaseConsumer, "resume_flow"): "(self)",
    (BaseConsumer, "stop_flow"): "(self)",
    (BaseConsumer, "on_buffer_drop"): "(self, tp)",
    (BaseConsumer, "_get_active_partitions"): "(self)",
    (faust.Schema, "compile"): (
        "(self, app, *, on_key_decode_error='_noop_decode_error', on_value_decode_error='_noop_decode_error', "
        "default_propagate=False)"
    ),
    (faust.App, "on_stop"): "(self)",
    (faust.App, "crash"): "(self, reason)",
    (faust.Worker, "on_init_dependencies"): "(self)",
    (faust.Worker, "stop_and_shutdown"): "(self)",
    # Without tables of Faust's, it waits for whoever hears `App.on_rebalance_complete` before it resumes the sources.
    (Recovery, "_resume_streams"): "(self, generation_id=0)",
    (TableManager, "on_start"): "(self)",
    (TableManager, "_update_channels"): "(self)",
    (Recovery, "on_rebalance"): "(self, assigned, revoked, newly_assigned, generation_id=0)",
    (PartitionAssignor, "assigned_standbys"): "(self)",
    (aiokafka.AIOKafkaProducer, "create_batch"): "(self)",
    (aiokafka.AIOKafkaProducer, "send_batch"): "(self, batch, topic, *, partition)",
    (aiokafka.AIOKafkaProducer, "send_offsets_to_transaction"): "(self, offsets, group_id)",
    (aiokafka.AIOKafkaProducer, "begin_transaction"): "(self)",
    (aiokafka.AIOKafkaProducer, "commit_transaction"): "(self)",
    (aiokafka.AIOKafkaProducer, "abort_transaction"): "(self)",
    (GroupCoordinator, "request_rejoin"): "(self)",
    (BatchBuilder, "append"): "(self, *, timestamp, key, value, headers=[])",
    (BatchBuilder, "close"): "(self)",
    (GroupCoordinator, "check_errors"): "(self)",
    (PartitionRecords, "_consumer_record"): "(self, tp, record)",
    (TopicPartitionState, "consumed_to"): "(self, position)",
    (SubscriptionState, "fetch_context"): "(self)",
}
# What is read or set of their objects, by where it is first set.
_ATTRIBUTES: dict[type, tuple[str, ...]] = {
    aiokafka.AIOKafkaConsumer: (
        "_fetch_max_wait_ms",
        "_fetch_min_bytes",
        "_isolation_level",
        "_subscription",
        "_coordinator",
    ),
    aiokafka.AIOKafkaProducer: ("_sender",),
    Sender: ("sender_task",),
    BatchBuilder: ("_builder", "_relative_offset"),
    TableManager: ("changelog_topics",),
    TopicPartitionState: ("lso",),
    faust.Worker: ("_signal_stop_future",),
    driver.AIOKafkaConsumerThread: ("_consumer",),
    BaseConsumer: (
        "_active_partitions",
        "_buffered_partitions",
        "_committed_offset",
        "_paused_partitions",
        "flow_active",
    ),
}


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
    for owner, names in _ATTRIBUTES.items():
        source = inspect.getsource(owner)
        wrong += [
            f"{owner.__module__}.{owner.__qualname__}: no {name}"
            for name in names
            if not hasattr(owner, name) and not re.search(rf"\bself\.{name}\b", source)
        ]
    if wrong:
        raise SettingsError("the installed Faust is not the one that this version overrides:\n  " + "\n  ".join(wrong))


def _signature(owner: type, name: str) -> str:
    method = getattr(owner, name, None)
    if method is None:
        return "nothing of this name"
    signature = inspect.signature(method)
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty, default=_shown(parameter.default))
        for parameter in signature.parameters.values()
    ]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def _shown(default: object) -> object:
    return default.__name__ if inspect.isfunction(default) else default  # its address is another in each process
