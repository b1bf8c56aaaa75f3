"""`python -m tests.bench.sizing [--users 500000] [--json]`: the constants of `behaviour-stream size` that no other
benchmark gives.

What a user in memory takes, what the network takes an event by its size, how many bytes records have, how many bytes a
group's assignment, and how many transactions a second a broker ends. The broker is one of its own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import click
import msgspec
import numpy as np
import psutil  # type: ignore[import-untyped]
import torch
from aiokafka import TopicPartition
from aiokafka.coordinator.protocol import ConsumerProtocolMemberMetadata
from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor

from stream import model_file, rows
from stream.assembly import assemble
from stream.core_speed import run_core, simulated_polls, this_machine
from stream.events import EVENT
from stream.kafka import topics
from stream.kafka.batches import Batches
from stream.kafka.embedded import EmbeddedBroker
from stream.kafka.fenced_producer import FencedProducer
from stream.kafka.store import RowStore
from stream.model import BehaviourModel, Sizes
from stream.model_file import LoadedModel
from stream.settings import Settings, load
from stream.sizing.demands import multiply_adds
from stream.table import Table
from tests.bench.filling import START_MS, plausible_rows, sizes_of, user

_STEP = 4_096
_SEATS = 65_536
_EVENTS = 40_000
_TURNS = 3
_NETWORKS = ((32, 1), (64, 1), (128, 1), (128, 2), (256, 1))
_GROUPS = ((8, 16), (32, 64), (64, 128))
# Of one partition. The pause is what leaves time to merge files.
_STORE_USERS, _STORE_PUTS, _STORE_PAUSE_SECS = 400_000, 400, 0.03
_TRANSACTION_PARTITIONS, _TRANSACTION_SECS, _TRANSACTION_ROWS = 16, 10.0, 8


@click.command()
@click.option("--users", type=click.IntRange(100_000), default=500_000, help="In memory. [500000]")
@click.option("--json", "as_json", is_flag=True)
def main(users: int, as_json: bool) -> None:
    """Measure all of them."""
    settings = load({"memory_max_users": users}, environ={})
    found = {
        "memory": _memory(settings, users),
        "network": _network(settings),
        "records": _records(settings),
        "store": _store(settings),
        "assignment": [{"workers": w, "partitions": p, "bytes": _group_bytes(settings, w, p)} for w, p in _GROUPS],
    }
    with tempfile.TemporaryDirectory(prefix="behaviour-stream-sizing-") as name, EmbeddedBroker(Path(name)) as broker:
        own = {"bootstrap_servers": broker.bootstrap_servers, "partitions": _TRANSACTION_PARTITIONS}
        found["transactions"] = asyncio.run(_transactions(load(own, environ={})))
    found["machine"] = this_machine()
    click.echo(json.dumps(found) if as_json else json.dumps(found, indent=1))


def _memory(settings: Settings, users: int) -> dict[str, float]:
    """Resident bytes that a user in memory takes beside the bytes of their row: keys, index, what Python adds; and what
    it takes to seat one in another's place, without the read of their row."""
    loaded, rng = model_file.load(settings.model), np.random.default_rng(1)
    sizes = sizes_of(settings)
    values = rows.to_bytes(plausible_rows(rng, _STEP, sizes, loaded.hash64))

    def seat(room: int, first: int, end: int, table: Table | None = None) -> Table:
        if table is None:
            of_room = msgspec.structs.replace(settings, memory_max_users=room)
            table = assemble(of_room, loaded, torch.device("cpu"), lambda partition, keys: values[: len(keys)]).table
        for n in range(first, end, _STEP):
            keys = np.array([user(k) for k in range(n, min(end, n + _STEP))], object)
            table.slots(np.zeros(len(keys), np.int32), keys)
        return table

    table = seat(users, 0, 1)  # what is there once is not counted
    gc.collect()
    before = _resident()  # first: what another table had left behind would be taken again
    seat(users, 1, users, table)
    gc.collect()
    taken, row = (_resident() - before) / users, rows.row_dtype(sizes).itemsize
    full = seat(_SEATS, 0, 2 * _SEATS)
    began = time.process_time()
    seat(_SEATS, 2 * _SEATS, 2 * _SEATS + users, full)
    seated = (time.process_time() - began) / users * 1e6
    return {
        "users": users,
        "bytes_per_user": round(taken, 1),
        "row_bytes": row,
        "beside_the_row": round(taken - row, 1),
        "seated_microseconds": round(seated, 2),
    }


def _network(settings: Settings) -> list[dict[str, float]]:
    """Microseconds of processor time an event in the core, by the size of its network, in turns: the least of each."""
    like = model_file.load(settings.model)
    torch.set_num_threads(1)
    polls = simulated_polls(settings, seed=1, users=20_000, start_ms=START_MS, events=_EVENTS)
    models = {sizes: _model(like, *sizes) for sizes in _NETWORKS}
    for model in models.values():
        run_core(settings, model, polls[:1])
    least = dict.fromkeys(_NETWORKS, float("inf"))
    for _ in range(_TURNS):
        for sizes, model in models.items():
            began = time.process_time()
            run_core(settings, model, polls)
            least[sizes] = min(least[sizes], (time.process_time() - began) / _EVENTS * 1e6)
    return [
        {
            "hidden": hidden,
            "layers": layers,
            "multiply_adds": multiply_adds(models[hidden, layers].card.sizes),
            "microseconds": round(least[hidden, layers], 2),
        }
        for hidden, layers in _NETWORKS
    ]


def _model(like: LoadedModel, hidden: int, layers: int) -> LoadedModel:
    """One that has learned nothing."""
    card = msgspec.structs.replace(like.card, sizes=Sizes(hidden=hidden, layers=layers))
    return LoadedModel(f"h{hidden}x{layers}", card, BehaviourModel(card.sizes))


def _records(settings: Settings) -> dict[str, float]:
    """Bytes of a record as a topic holds it, in batches as large as a worker's: value, key and Kafka's own."""
    loaded = model_file.load(settings.model)
    polls = simulated_polls(settings, seed=1, users=20_000, start_ms=START_MS, events=_EVENTS)
    events = sum(len(frame.records) for poll in polls for frame in poll)
    read = sum(len(batch) for poll in polls for frame in poll for batch in cast(Any, frame.records).batches)
    core = assemble(settings, loaded, torch.device("cpu"), lambda partition, keys: [None] * len(keys))
    written = {"intent": 0, "anomaly": 0}
    assert core.kernels.score_batches is not None
    scored = waiting = 0
    for poll in polls:
        for frame in poll:
            ((batch, _),) = core.kernels.decode_all([frame], core.bounds)
            outcome = core.pipeline.apply(batch).scored
            scored += len(outcome)
            waiting += len(batch) * EVENT.itemsize + int(batch["key_size"].sum()) + int(batch["id_size"].sum())
            for _, intent, anomaly in core.kernels.score_batches(core.encoder, outcome, START_MS, 512 << 10):
                written["intent"] += sum(len(run.data) for run in intent)
                written["anomaly"] += sum(len(run.data) for run in anomaly)
    found = {"event": read / events, "event_waiting": waiting / events}
    return {name: round(n, 1) for name, n in found.items()} | {
        name: round(n / scored, 1) for name, n in written.items()
    }


def _store(settings: Settings) -> dict[str, float]:
    """What RocksDB writes, and has on disk, of a byte of a row, where rows are put again and again as by checkpoints:
    over the later half."""
    rng = np.random.default_rng(1)
    values = rows.to_bytes(plausible_rows(rng, _STEP, sizes_of(settings), 1))
    with tempfile.TemporaryDirectory(prefix="behaviour-stream-sizing-") as name:
        store = RowStore(Path(name))
        store.own([0])
        half = 0
        for n in range(_STORE_PUTS):
            numbers = rng.integers(0, _STORE_USERS, _STEP).tolist()
            store.write(0, ((user(number), values[number % _STEP]) for number in numbers), n)
            if n == _STORE_PUTS // 2:
                half = _written()
            time.sleep(_STORE_PAUSE_SECS)
        written, put = _written() - half, _STORE_PUTS // 2 * _STEP * len(values[0])
        on_disk = sum(path.stat().st_size for path in Path(name).rglob("*.sst"))
        store.close()
    return {
        "written_of_a_byte_put": round(written / put, 2),
        "on_disk_of_a_byte": round(on_disk / (_STORE_USERS * len(values[0])), 2),
    }


def _group_bytes(settings: Settings, workers: int, partitions: int) -> int:
    """Bytes that a group's coordinator keeps of its members, in one record: what each said as it joined again, and
    what it was assigned."""
    read, changelog = settings.read_topics, settings.changelog_topic
    cluster = SimpleNamespace(partitions_for_topic=lambda topic: set(range(partitions)))
    said: dict[str, ConsumerProtocolMemberMetadata] = {}
    assigned: Mapping[str, Any] = {}
    assignors = {f"faust-0.15.3-{'0' * 35}{n}": _assignor(f"worker-{n:04}", changelog) for n in range(workers)}
    for _ in range(2):  # the first time nobody has anything to say of before
        said = {member: assignor.metadata({*read, changelog}) for member, assignor in assignors.items()}
        assigned = assignors[next(iter(assignors))].assign(cast(Any, cluster), cast(Any, said))
        for member, assignment in assigned.items():
            metadata = ClientMetadata.loads(PartitionAssignor._decompress(assignment.user_data))
            of_it = assignors[member]
            of_it._assignment = metadata.assignment
            of_it.changelog_distribution = metadata.changelog_distribution
            of_it.external_topic_distribution = metadata.external_topic_distribution
            of_it._topic_groups = dict(metadata.topic_groups)
    return sum(len(said[member].encode()) + len(assigned[member].encode()) for member in assignors)


def _assignor(host: str, changelog: str) -> PartitionAssignor:
    app = SimpleNamespace(
        tables=SimpleNamespace(changelog_topics={changelog}, data={}),
        conf=SimpleNamespace(canonical_url=f"http://{host}.behaviour-stream.svc:6066"),
        tracer=None,
        sensors=None,
    )
    assignor = PartitionAssignor(cast(Any, app))
    assignor._assign = assignor._perform_assignment  # type: ignore[method-assign]
    return assignor


async def _transactions(settings: Settings) -> dict[str, float]:
    """Transactions a second, each of a few rows and of the offsets of three topics, as checkpoints are."""
    await topics.ensure(settings)
    stop_at = time.monotonic() + _TRANSACTION_SECS
    ended = 0

    async def commit(partition: int) -> None:
        nonlocal ended
        producer = FencedProducer(settings, partition)
        await producer.start([settings.changelog_topic])
        while time.monotonic() < stop_at:
            batches = Batches(producer, START_MS)
            for n in range(_TRANSACTION_ROWS):
                batches.append(user(n), b"r" * 1440)
            offsets = {TopicPartition(topic, partition): 1 for topic in settings.source_topics}
            await producer.commit([], settings.changelog_topic, batches.close(), offsets)
            ended += 1
        await producer.stop()

    await asyncio.gather(*(commit(partition) for partition in range(settings.partitions)))
    return {"partitions": settings.partitions, "per_second": round(ended / _TRANSACTION_SECS, 1)}


def _written() -> int:
    """Bytes that this process had the disk write, sooner or later."""
    return int(psutil.Process().io_counters().write_bytes)


def _resident() -> int:
    return int(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    sys.exit(main())
