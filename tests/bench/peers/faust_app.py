"""Faust's app, its topics and its table: what both ways to use it share."""

from __future__ import annotations

import logging
import sys
from typing import Any, NamedTuple

import faust
import mode.loop

from tests.bench.peers import settings
from tests.bench.peers.peer import Peer
from tests.bench.peers.reading import Record


class FaustPeer(NamedTuple):
    """An app without an agent."""

    app: Any
    sources: Any  # one channel of all three topics
    purchase_intent: Any
    anomaly_scores: Any
    users: Any  # the table: user id -> state, bytes both


def build(peer: Peer) -> FaustPeer:
    """The app of a process, on uvloop."""
    mode.loop.use(settings.FAUST_LOOP)
    app: Any = faust.App(
        peer.app_id,
        broker=f"kafka://{peer.bootstrap_servers}",
        datadir=str(peer.own_dir),
        topic_partitions=peer.partitions,
        topic_replication_factor=1,
        key_serializer="raw",
        value_serializer="raw",
        Monitor=_Deaf,
        **settings.FAUST,
    )
    raw = {"key_type": bytes, "value_type": bytes}
    return FaustPeer(
        app,
        app.topic(*peer.sources, **raw),
        app.topic(peer.purchase_intent, **raw),
        app.topic(peer.anomaly_scores, **raw),
        app.Table("users", partitions=peer.partitions, options=dict(settings.FAUST_TABLE), **raw),
    )


def record_of(source_of: dict[str, int], message: Any) -> Record:
    """A message as the job takes it."""
    return Record(
        source_of[message.topic],
        message.partition,
        message.offset,
        int(message.timestamp * 1000.0 + 0.5),  # Faust has seconds
        message.key,
        message.value,
    )


def run(app: Any) -> None:
    """Until SIGTERM."""
    logging.disable(
        logging.INFO
    )  # else Faust and aiokafka make a line for each record and throw it away: an eighth of all
    worker = faust.Worker(app, loglevel="warning", redirect_stdouts=False)
    worker.execute_from_commandline()
    sys.exit(0)


def _nothing(self: object, *args: object, **kwargs: object) -> None:
    pass


class _Deaf(faust.Monitor):
    """Hears nothing of single events: Faust's own keeps the times of all that happens to each."""

    on_message_in = on_message_out = on_stream_event_in = on_stream_event_out = _nothing
    on_table_get = on_table_set = on_send_initiated = on_send_completed = _nothing
