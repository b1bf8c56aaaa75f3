"""`python -m tests.bench.peers.quix`: Quix Streams, the three topics concatenated into one stateful dataframe.

Concatenated topics are aligned by record time, as the service merges them by event time.
"""

from __future__ import annotations

from typing import Any

from quixstreams import Application, message_context
from quixstreams.models import TopicConfig
from quixstreams.state.rocksdb import RocksDBOptions

from tests.bench.peers import settings
from tests.bench.peers.peer import flags
from tests.bench.peers.reading import Record
from tests.bench.peers.user_state import Done, Job

_STATE = b"state"


def main() -> None:
    """Until SIGTERM."""
    peer = flags()
    job, source_of = Job.of(peer.model, peer.sources), peer.source_of
    app = Application(
        broker_address=peer.bootstrap_servers,
        consumer_group=peer.app_id,
        state_dir=peer.own_dir,
        rocksdb_options=RocksDBOptions(**settings.QUIX_STORE),
        auto_create_topics=True,
        **settings.QUIX,
    )
    as_it_is = {"key_serializer": "bytes", "value_serializer": "bytes"}
    read_as_it_is = {"key_deserializer": "bytes", "value_deserializer": "bytes"}
    config = TopicConfig(num_partitions=peer.partitions, replication_factor=1)
    purchase_intent = app.topic(peer.purchase_intent, config=config, **as_it_is)
    anomaly_scores = app.topic(peer.anomaly_scores, config=config, **as_it_is)

    def score(value: bytes, key: bytes, timestamp: int, headers: Any, state: Any) -> Done | None:
        here = message_context()
        before = state.get_bytes(_STATE)
        done = job.apply(before, Record(source_of[here.topic], here.partition, here.offset, timestamp, key, value))
        if done is not None:
            state.set_bytes(_STATE, done.state)
        return done

    clicks, searches, purchases = (
        app.dataframe(app.topic(name, config=config, **read_as_it_is)) for name in peer.sources
    )
    scored = clicks.concat(searches).concat(purchases).apply(score, stateful=True, metadata=True).filter(_is_scored)
    scored.apply(_intent).to_topic(purchase_intent)
    scored.apply(_anomaly).to_topic(anomaly_scores)
    app.run()


def _is_scored(done: Done | None) -> bool:
    return done is not None


def _intent(done: Done) -> bytes:
    return done.intent


def _anomaly(done: Done) -> bytes:
    return done.anomaly


if __name__ == "__main__":
    main()
