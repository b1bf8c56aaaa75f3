"""The Python peers' job for one event gives what the service's pipeline gives."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from stream import model_file
from stream.assembly import assemble
from stream.decode import decode
from stream.events import EventBatch
from stream.model_file import LoadedModel
from stream.parity.differences import TOLERANCE
from stream.settings import Settings
from stream.shop_event import ROLES
from stream.shop_frames import ShopFrames
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.bench.peers.export import described
from tests.bench.peers.exported import Arrays, Exported, Floats
from tests.bench.peers.reading import Record
from tests.bench.peers.take import apply_all
from tests.bench.peers.user_state import Done, Job

_SETTINGS = Settings()
_EVENTS, _START_MS = 2_000, 1_790_000_000_000


class _ModelStep:
    """The step by the model itself."""

    def __init__(self, loaded: LoadedModel, arrays: Arrays) -> None:
        self._model, self._arrays = loaded.model, arrays

    def one(self) -> None:
        arrays = self._arrays
        arrays.intent[:], arrays.nats[:], arrays.h_out[:], arrays.c_out[:] = self.many(1)

    @torch.inference_mode()
    def many(self, n: int) -> tuple[Floats, Floats, Floats, Floats]:
        action, real, classes, h, c = map(torch.from_numpy, self._arrays.inputs(n).values())
        x = self._model.embed(action, action, action, real)
        out, carry = self._model.advance(x, torch.tensor([n]), torch.stack([h, c], dim=1)[:, :, None])
        intent, nats = torch.sigmoid(self._model.heads(out, x).intent), self._model.surprise(h, classes)
        return intent.numpy(), nats.numpy(), carry[:, 0, 0].numpy(), carry[:, 1, 0].numpy()


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """For one user a second thread only costs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return model_file.load(_SETTINGS.model)


@pytest.fixture(scope="module")
def records() -> Sequence[Record]:
    """As a peer reads them, one partition of each topic, in the order in which they are applied."""
    shop = simulate(scenario.load(), seed=5, users=60, start_ms=_START_MS)
    frames, made = ShopFrames(), []
    for event in itertools.islice(shop, _EVENTS):
        [frame] = frames.append([event])
        [record] = frame.records
        assert record.key is not None
        assert record.value is not None
        made.append(Record(ROLES.index(event.topic), 0, record.offset, record.timestamp, record.key, record.value))
    return made


@pytest.fixture(scope="module")
def wanted(loaded: LoadedModel, records: Sequence[Record]) -> list[tuple[Any, Any]]:
    """Both score records of each event, by the service's pipeline."""
    core = assemble(_SETTINGS, loaded, torch.device("cpu"), lambda partition, keys: [None] * len(keys))
    frames, events, made = ShopFrames(), [], []
    shop = simulate(scenario.load(), seed=5, users=60, start_ms=_START_MS)
    for event in itertools.islice(shop, _EVENTS):
        batch, rejects = decode(frames.append([event])[0], core.bounds)
        assert not rejects
        events.append(batch)
    for at in range(0, len(records), 64):
        outcome = core.pipeline.apply(EventBatch.concat(events[at : at + 64]))
        assert not len(outcome.deferred)
        made += [(_read(intent), _read(anomaly)) for _, intent, anomaly in core.encoder.scores(outcome.scored, 0)]
    return made


def test_one_at_a_time_every_record_is_the_pipelines(
    loaded: LoadedModel, records: Sequence[Record], wanted: list[tuple[Any, Any]]
) -> None:
    job = _job(loaded, 1)
    states: dict[bytes, bytes] = {}
    made = []
    for record in records:
        done = job.apply(states.get(record.key), record)
        if done is not None:
            states[record.key] = done.state
            made.append(done)

    _same(made, wanted)
    assert {len(state) for state in states.values()} == {1_440}


def test_taken_together_every_record_is_the_pipelines(
    loaded: LoadedModel, records: Sequence[Record], wanted: list[tuple[Any, Any]]
) -> None:
    job = _job(loaded, 100)
    states: dict[bytes, bytes] = {}
    made: dict[str, Done] = {}
    for at in range(0, len(records), 100):
        for _, done in apply_all(job, records[at : at + 100], states.get, states.__setitem__):
            made[_read(done.intent)["id"]] = done

    _same([made[intent["id"]] for intent, _ in wanted], wanted)
    assert len(made) == len(wanted)


def test_a_record_that_is_no_event_has_no_scores(loaded: LoadedModel, records: Sequence[Record]) -> None:
    job, good = _job(loaded, 1), next(record for record in records if b"view_item" in record.value)
    for bad in (
        good._replace(value=b"{"),
        good._replace(key=b"another"),
        good._replace(value=good.value.replace(b"view_item", b"see_item")),
        good._replace(source=1),
    ):
        assert job.apply(None, bad) is None
    assert job.apply(None, good) is not None


def _job(loaded: LoadedModel, n: int) -> Job:
    exported = msgspec.convert(described(loaded), Exported, strict=False)
    return Job(exported, _SETTINGS.source_topics, lambda arrays: _ModelStep(loaded, arrays), n)


def _read(record: bytes) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(record)
    return told


def _same(made: Sequence[Done], wanted: Sequence[tuple[Any, Any]]) -> None:
    assert len(made) == len(wanted)
    for done, (intent, anomaly) in zip(made, wanted, strict=True):
        _alike(_read(done.intent), intent)
        _alike(_read(done.anomaly), anomaly)


def _alike(made: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert made.keys() == wanted.keys()
    for name, value in wanted.items():
        if isinstance(value, dict):
            _alike(made[name], value)
        elif isinstance(value, float):
            assert np.isclose(made[name], value, rtol=0, atol=TOLERANCE), (name, made, wanted)
        elif name != "scored_time_ms":
            assert made[name] == value, (name, made, wanted)
