"""How each peer in Python is set, with the reason: as its own experts would set it for a backlog on two cores.

What is the same for all: at least once, commits each second (the service's checkpoints: 3 s), state in the peer's own
store with its own changelog, from the oldest record on, acknowledged by all replicas (of one broker), nothing
compressed (the service compresses nothing either), no metrics, no web server, warnings alone in the log; the step
compiled for one user, and on one thread of ONNX Runtime for many. A process per core is how all four are scaled:
`SYSTEM:2` measures two.
"""

from __future__ import annotations

from typing import Any

COMMIT_SECS = 1.0

FAUST: dict[str, Any] = {
    "store": "rocksdb://",
    "autodiscover": False,
    "web_enabled": False,
    "topic_disable_leader": True,  # a topic of its own that nothing here needs
    "broker_commit_interval": COMMIT_SECS,
    "broker_commit_every": 1_000_000,  # by time alone; Faust's 10,000 would commit several times a second
    "broker_check_crcs": False,  # on one machine; 2 us a record
    "broker_max_poll_records": 2_000,  # a poll costs a turn between two threads
    "consumer_max_fetch_size": 4 << 20,
    "consumer_auto_offset_reset": "earliest",
    "stream_buffer_maxsize": 16_384,  # Faust's 4,096 pauses and resumes the fetching again and again
    "stream_wait_empty": False,
    "producer_linger": 0.05,  # so that batches fill
    "producer_max_batch_size": 256 << 10,  # Faust's 16 KiB hold 25 records
    "producer_acks": -1,
    "table_cleanup_interval": 3_600.0,
    "table_key_index_size": 1_000_000,  # all users; it is looked into with each write
}
FAUST_LOOP = "uvloop"  # what Faust's manual recommends
FAUST_TABLE: dict[str, Any] = {"block_cache_size": 128 << 20, "write_buffer_size": 64 << 20}
FAUST_TAKE = 1_000  # events at once: of more, the step is no faster per event
FAUST_TAKE_SECS = 0.05

QUIX: dict[str, Any] = {
    "auto_offset_reset": "earliest",
    "commit_interval": COMMIT_SECS,
    "processing_guarantee": "at-least-once",
    "loglevel": "WARNING",
    "consumer_extra_config": {
        "fetch.min.bytes": 64 << 10,
        "fetch.wait.max.ms": 50,
        "queued.min.messages": 100_000,  # prefetched by librdkafka's own thread
        "queued.max.messages.kbytes": 256 << 10,
        "check.crcs": False,
    },
    "producer_extra_config": {
        "linger.ms": 50,
        "batch.size": 1 << 20,
        "batch.num.messages": 10_000,
        "queue.buffering.max.messages": 500_000,
        "queue.buffering.max.kbytes": 512 << 10,
        "acks": "all",
    },
}
QUIX_STORE: dict[str, Any] = {"block_cache_size": 128 << 20, "write_buffer_size": 64 << 20, "use_fsync": False}

BYTEWAX_EPOCH_SECS = COMMIT_SECS  # a snapshot of what changed goes to the recovery store at the end of each epoch
BYTEWAX_BATCH = 1_000  # records of a poll: of 8,000 all twelve topic partitions come out in one lump of 96,000
BYTEWAX_RECOVERY_PARTITIONS = 1  # files of its recovery store for each process
BYTEWAX_CONSUMER: dict[str, str] = {
    "auto.offset.reset": "earliest",
    "enable.auto.commit": "false",
    "fetch.min.bytes": str(64 << 10),
    "fetch.wait.max.ms": "50",
    "queued.min.messages": "100000",
    "check.crcs": "false",
}
BYTEWAX_PRODUCER: dict[str, str] = {
    "linger.ms": "50",
    "batch.size": str(1 << 20),
    "batch.num.messages": "10000",
    "queue.buffering.max.messages": "500000",
    "acks": "all",
    "partitioner": "murmur2",  # Kafka's own, so that a score lies in its event's partition number
}
