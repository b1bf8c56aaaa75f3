"""A changelog as workers leave it: rows of the shipped model's layout, in transactions of the partitions' producers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from aiokafka import AIOKafkaProducer, TopicPartition

from stream import model_file, rows
from stream.kafka.batches import BATCH_BYTES, Batches
from stream.merge import Position
from stream.rows import PARTITION_KEY, PartitionRow, Rows, Sizes
from stream.settings import Settings

START_MS = 1_700_000_000_000
# Rows of a transaction: a checkpoint of a busy partition.
_CHECKPOINT_ROWS = 10_000
_OFFSETS_END = 10_000_000


def sizes_of(settings: Settings) -> Sizes:
    """The layout of rows that a worker of these settings writes."""
    sizes = model_file.load(settings.model).card.sizes
    return Sizes(settings.sequence_events, sizes.parts, sizes.layers, sizes.hidden)


def user(number: int) -> bytes:
    return b"user-%08d" % number


def partition_of(number: int, settings: Settings) -> int:
    """Where the rows of a user are here: not by the hash of the key, as events are, which nobody looks at."""
    return number % settings.partitions


def plausible_rows(rng: np.random.Generator, n: int, sizes: Sizes, model: int) -> Rows:
    """n rows about as hard to compress as real ones: of 1 to 16 events and more, with their times, hashes, prices."""
    made = rows.new_rows(n, sizes)
    seen = rng.geometric(0.08, n)
    made["model"], made["events_seen"] = model, seen
    made["last_time_ms"] = START_MS + rng.integers(0, 7 * 86_400_000, n)
    made["offsets"] = rng.integers(0, _OFFSETS_END, (n, 3))
    shape = (n, sizes.sequence)
    held = np.arange(sizes.sequence) < seen[:, None]
    catalogue, categories = rng.integers(1, 2**32, 20_000), rng.integers(1, 2**32, 128)
    columns = {
        "time_ms": made["last_time_ms"][:, None] - rng.integers(0, 86_400_000, shape),
        "event_hash": rng.integers(0, 2**63, shape),
        "item": catalogue[rng.integers(0, len(catalogue), shape)],
        "category": categories[rng.integers(0, len(categories), shape)],
        "price": np.round(rng.lognormal(3, 1, shape), 2),
        "action": rng.integers(0, 13, shape),
    } | {name: np.broadcast_to(rng.integers(1, 2**16, (n, 1)), shape) for name in rows.WHEREABOUTS}
    for name, values in columns.items():
        made["raw"][name][held] = values[held]
    memory = made["memory"]
    memory["counts"] = (rng.random(memory["counts"].shape) < 0.3) * rng.exponential(1, memory["counts"].shape)
    for name in ("prices", "price_mean", "price_variance", "strain", "strain_weight"):
        memory[name] = rng.exponential(1, n)
    memory["known"][..., 0] = rng.integers(1, 2**16, memory["known"].shape[:-1])
    made["carry"] = np.tanh(rng.normal(0, 0.7, made["carry"].shape))
    return made


async def fill_changelog(settings: Settings, users: int, say: Callable[[str], None]) -> int:
    """Write a row of each user to the changelog -> bytes of their values."""
    written, began = 0, time.monotonic()
    for partition in range(settings.partitions):
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.bootstrap_servers,
            transactional_id=f"{settings.app_id}-p{partition}",
            acks="all",
            max_batch_size=BATCH_BYTES,
        )
        async with producer:
            await producer.partitions_for(settings.changelog_topic)
            for checkpoint in _checkpoints(settings, users, partition):
                batches = Batches(producer, START_MS)
                for key, row in checkpoint:
                    batches.append(key, row)
                    written += len(row)
                async with producer.transaction():
                    sent = [
                        await producer.send_batch(batch, settings.changelog_topic, partition=partition)
                        for batch in batches.close()
                    ]
                    for future in sent:
                        await future
                    offsets = {TopicPartition(topic, partition): 0 for topic in settings.source_topics}
                    await producer.send_offsets_to_transaction(offsets, settings.app_id)
    say(f"{users:,} rows, {written / 1e9:.2f} GB, written in {time.monotonic() - began:.0f} s")
    return written


def _checkpoints(settings: Settings, users: int, partition: int) -> Iterator[list[tuple[bytes, bytes]]]:
    rng = np.random.default_rng(partition)
    sizes, model = sizes_of(settings), model_file.load(settings.model).hash64
    here = rng.permutation(np.arange(partition, users, settings.partitions))  # not in the order of keys
    positions = PartitionRow(positions={source: Position(0) for source in range(len(settings.source_topics))})
    for first in range(0, len(here), _CHECKPOINT_ROWS):
        numbers = here[first : first + _CHECKPOINT_ROWS].tolist()
        made = plausible_rows(rng, len(numbers), sizes, model)
        made["offsets"] = rows.NO_OFFSET  # none of the events that come now is in them
        yield [
            (PARTITION_KEY, positions.to_bytes()),
            *zip(map(user, numbers), rows.to_bytes(made), strict=True),
        ]
