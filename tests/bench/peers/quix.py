"""`python -m tests.bench.peers.quix`: Quix Streams, the three topics concatenated into one stateful dataframe.

Concatenated topics are aligned by record time, as the service merges them by event time.
"""

from __future__ import annotations

from typing import Any

from quixstreams import Application, message_context
from quixstreams.models import Serializer, TopicConfig
from quixstreams.state.rocksdb import RocksDBOptions

from tests.bench.peers import settings
from tests.bench.peers.peer import flags
from tests.bench.peers.reading import Record
from tests.bench.peers.user_state import Done, Job

_STATE = b"state"
_INTENT, _ANOMALY = Done._fields.index("intent"), Done._fields.index("anomaly")


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
    config = TopicConfig(num_partitions=peer.partitions, replication_factor=1)
    purchase_intent, anomaly_scores = (
        app.topic(name, config=config, key_serializer="bytes", value_serializer=_Of(place))
        for name, place in ((peer.purchase_intent, _INTENT), (peer.anomaly_scores, _ANOMALY))
    )
    clicks, searches, purchases = (
        app.dataframe(app.topic(name, config=config, key_deserializer="bytes", value_deserializer="bytes"))
        for name in peer.sources
    )

    def score(value: bytes, key: bytes, timestamp: int, headers: Any, state: Any) -> Done | None:
        here = message_context()
        before = state.get_bytes(_STATE)
        done = job.apply(before, Record(source_of[here.topic], here.partition, here.offset, timestamp, key, value))
        if done is not None:
            state.set_bytes(_STATE, done.state)
        return done

    scored = clicks.concat(searches).concat(purchases).apply(score, stateful=True, metadata=True).filter(_is_scored)
    scored.to_topic(purchase_intent).to_topic(anomaly_scores)
    app.run()


def _is_scored(done: Done | None) -> bool:
    return done is not None


class _Of(Serializer):  # type: ignore[misc]
    """One of the records that were made: two branches of the dataframe would each have a copy of both, by pickle."""

    def __init__(self, place: int) -> None:
        self._place = place

    def __call__(self, value: Done, ctx: Any) -> bytes:
        return bytes(value[self._place])


if __name__ == "__main__":
    main()
