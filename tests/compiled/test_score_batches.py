"""Scores to the bytes of record batches: those that aiokafka makes of what the encoder writes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.compiled import score_batches as compiled
from stream.encode import ANOMALY_MOST, Encoder, Scored
from stream.features import PARTS
from stream.kafka.batches import BATCH_BYTES, Batches, PreparedBatch
from tests.producing import Maker, built
from tests.scores import ENCODER, HASH, HORIZONS, IDS, LONGEST, MODEL, NASTY, NOW_MS, TOPICS, scored_events

_BEYOND, _FILL = 4_096, 0xAA
# (partition, batches of intents, batches of anomalies)
Sent = list[tuple[int, list[bytes], list[bytes]]]


def _expected(encoder: Encoder, scored: Scored, max_bytes: int, *, transactional: bool) -> Iterator[Any]:
    maker = Maker(max_bytes, transactional=transactional)
    rows = zip(scored.events["partition"].tolist(), encoder.scores(scored, NOW_MS), strict=True)
    for partition, run in groupby(rows, itemgetter(0)):
        intents, anomalies = Batches(maker, NOW_MS), Batches(maker, NOW_MS)
        for _, (key, intent, anomaly) in run:
            intents.append(key, intent)
            anomalies.append(key, anomaly)
        yield partition, built(intents.close()), built(anomalies.close())


def _found(encoder: Encoder, scored: Scored, max_bytes: int, *, transactional: bool) -> Iterator[Any]:
    for partition, *runs in compiled.score_batches(encoder, scored, NOW_MS, max_bytes):
        yield (
            partition,
            *(built([PreparedBatch(run, NOW_MS, transactional=transactional) for run in of_kind]) for of_kind in runs),
        )


def _assert_alike(scored: Scored, encoder: Encoder = ENCODER, max_bytes: int = BATCH_BYTES) -> Sent:
    expected: Sent = []
    for transactional in (False, True):
        expected = [*_expected(encoder, scored, max_bytes, transactional=transactional)]
        assert [*_found(encoder, scored, max_bytes, transactional=transactional)] == expected
    return expected


@pytest.fixture(autouse=True)
def _nothing_beyond_its_arrays_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    fill: Any = compiled._fill

    def guarded(*arguments: Any) -> Any:
        *others, value, out, ends = arguments
        more_value = np.full(len(value) + 2 * _BEYOND, _FILL, np.uint8)
        more_out = np.full((2, out.shape[1] + _BEYOND), _FILL, np.uint8)
        batches = fill(*others, more_value[_BEYOND:-_BEYOND], more_out, ends)
        assert (more_value[:_BEYOND] == _FILL).all() and (more_value[-_BEYOND:] == _FILL).all()
        assert (more_out[:, out.shape[1] :] == _FILL).all()
        out[:] = more_out[:, : out.shape[1]]
        return batches

    monkeypatch.setattr(compiled, "_fill", guarded)


_SIZES = st.sampled_from([1, 200, 700, 1_500, 10_000, BATCH_BYTES])


@given(st.lists(st.tuples(IDS, IDS), max_size=6), st.integers(0, 2**32), _SIZES)
@example([(text, text) for text in NASTY], 0, BATCH_BYTES)
@example([(text, text) for text in LONGEST], 1, 3_000)
@example([("clicks-0-0", "%b"), ("%(", "%")], 2, BATCH_BYTES)
@example([], 3, BATCH_BYTES)
@settings(max_examples=100)
def test_batches_of_any_ids_are_aiokafkas_byte_for_byte(ids: list[tuple[str, str]], seed: int, max_bytes: int) -> None:
    sent = _assert_alike(scored_events(ids, seed), max_bytes=max_bytes)
    assert sum(len(intents) > 0 for _, intents, _ in sent) == len(sent)


@pytest.mark.parametrize("max_bytes", [61, 62, 400, 5_000, 5_001, 5_002, 5_003, 70_000])
def test_a_batch_ends_at_the_same_byte_however_many_records_it_holds(max_bytes: int) -> None:
    scored = scored_events([(f"user-{i % 50}", f"event-{i}") for i in range(400)], 4)
    scored.events["partition"][:] = 3
    ((_, intents, anomalies),) = _assert_alike(scored, max_bytes=max_bytes)
    assert all(len(batch) <= max_bytes for batch in intents + anomalies) == (max_bytes >= 5_000)
    if max_bytes < 500:  # each record alone
        assert len(intents) == len(anomalies) == 400


def test_at_every_limit_around_one_batches_size_it_is_split_as_aiokafka_splits_it() -> None:
    scored = scored_events([(f"user-{i}", f"event-{i}") for i in range(130)], 5)
    scored.events["partition"][:] = 0
    ((_, intents, anomalies),) = _assert_alike(scored, max_bytes=1 << 30)
    for whole in (len(intents[0]), len(anomalies[0])):
        for limit in range(whole - 3, whole + 4):
            _assert_alike(scored, max_bytes=limit)


def test_partitions_that_alternate_have_batches_of_their_own() -> None:
    scored = scored_events([(f"user-{i}", f"event-{i}") for i in range(300)], 6)
    for order in (np.arange(300) % 2, np.arange(300) // 100, np.sort(scored.events["partition"])):
        scored.events["partition"][:] = order
        _assert_alike(scored)


def test_events_that_share_a_text_with_others_are_written_with_their_own() -> None:
    scored = scored_events([(f"ü-{i}", f"é-{i}" * (i % 5 + 1)) for i in range(60)], 7)
    index = np.random.default_rng(0).permutation(60)[:40]
    columns = ("events_seen", "late", "carry_rebuilt", "intent", "surprise_parts", "strain", "anomaly", "fraud")
    taken = {name: getattr(scored, name)[index] for name in columns}
    _assert_alike(Scored(events=scored.events.take(index), **taken))


_FLOATS_32 = np.array(
    [0.0, -0.0, 1.0, 5e-7, 1.5e-6, 4.9e-7, 2.5e-6, 1e-45, -1e-45, 1e-38, 0.1, 0.123456789, 1 / 3, 60.0, 103.9, 1e4,
     123456.789, np.nan, np.inf, -np.inf, 16_777_216, 1e7, 0.9999995, 0.99999994, 9.9999997e-6,
     1e-5, 1.0000001e-5], np.float32
)  # fmt: skip


def test_figures_of_every_kind_in_every_place() -> None:
    n = len(_FLOATS_32)
    ids = [("u", "e")] * n
    for place in range(max(len(HORIZONS), len(PARTS))):
        intent = np.full((n, len(HORIZONS)), 0.25, np.float32)
        intent[:, place % len(HORIZONS)] = _FLOATS_32
        parts = np.full((n, len(PARTS)), 0.5, np.float32)
        parts[:, place % len(PARTS)] = _FLOATS_32
        _assert_alike(scored_events(ids, 1, intent=intent, surprise_parts=parts, fraud=_FLOATS_32))
    everywhere = np.repeat(_FLOATS_32[:, None], len(PARTS), axis=1)
    _assert_alike(scored_events(ids, 2, surprise_parts=everywhere, intent=everywhere[:, : len(HORIZONS)]))


def test_anomalies_of_every_kind() -> None:
    below = [1 - k * 2.0**-53 for k in range(1, 40)]
    anomaly = np.array(
        [0.0, -0.0, 1.0, *below, ANOMALY_MOST, 0.5, 1 / 3, 1e-15, 5e-16, 1.5e-15, 4.9e-16, 1e-300, 5e-324, -1e-16,
         -0.25, np.nan, -np.inf, 0.1 + 0.2, 0.9999999999999995, 0.1234567890123455, 1e-5, 1e-6]
    )  # fmt: skip
    _assert_alike(scored_events([("u", "e")] * len(anomaly), 3, anomaly=anomaly))


def test_strains_and_counts_of_every_kind() -> None:
    strain = np.array(
        [0.0, -0.0, -1e-9, -3.5, 1e6, 214.97502, -0.000123, 1e3, 5e-7, -5e-7, 1.5e-6, 999_999_999.999_999,
         -999_999_999.999, np.nan, np.inf, -np.inf, 5e-324, 123_456.654_321_5]
    )  # fmt: skip
    n = len(strain)
    seen = np.resize([1, 9, 10, 99, 2**31, 2**53, 2**62, 2**63 - 1], n)
    scored = scored_events([("u", "e")] * n, 4, strain=strain, events_seen=seen)
    scored.events["offset"][:] = np.resize([0, 1, 9, 10, 2**31, 2**63 - 1, 12345], n)
    scored.events["time_ms"][:] = np.resize([0, 1, 253_402_300_799_999], n)
    _assert_alike(scored)


@given(st.data(), st.integers(0, 2**32))
@settings(max_examples=200)
def test_any_figures_are_written_alike_or_not_at_all(data: st.DataObject, seed: int) -> None:
    n = data.draw(st.integers(1, 4))
    doubles = st.lists(st.floats(), min_size=n, max_size=n).map(np.array)
    singles = st.lists(st.floats(width=32), min_size=n * len(PARTS), max_size=n * len(PARTS))
    parts = np.array(data.draw(singles), np.float32).reshape(n, len(PARTS))
    anomaly, strain = data.draw(doubles), data.draw(doubles)
    scored = scored_events([("u", "e")] * n, seed, anomaly=anomaly, strain=strain, surprise_parts=parts)
    try:
        found = [*_found(ENCODER, scored, BATCH_BYTES, transactional=False)]
    except ValueError:
        return
    assert found == [*_expected(ENCODER, scored, BATCH_BYTES, transactional=False)]


@pytest.mark.parametrize("size", [0.3, 30.0, 3e3, 3e5, 3e7, 1.4e8])
def test_the_surprise_is_the_sum_of_its_parts_as_published(size: float) -> None:
    rng = np.random.default_rng(0)
    parts = (rng.random((3_000, len(PARTS))) * size).astype(np.float32)
    parts[rng.random(parts.shape) < 0.3] = -0.0
    _assert_alike(scored_events([("u", "e")] * len(parts), 0, surprise_parts=parts))


@pytest.mark.parametrize("name", ["strain", "anomaly", "intent", "surprise_parts", "fraud"])
@pytest.mark.parametrize("beside", [0.5, np.nan, np.inf])
def test_a_figure_that_is_too_large_is_said_to_be(name: str, beside: float) -> None:
    for large in (2e9, 1e30, 3e38):
        for place in range(len(PARTS)):
            parts, scored = np.full((2, len(PARTS)), beside, np.float32), scored_events([("u", "e")] * 2, 1)
            intent = np.full((2, len(HORIZONS)), beside, np.float32)
            figures: dict[str, Any] = {
                "intent": intent,
                "surprise_parts": parts,
                "fraud": np.array([beside] * 2, np.float32),
            }
            column = figures.get(name, getattr(scored, name))
            column.reshape(2, -1)[1, place % column.reshape(2, -1).shape[1]] = large
            scored = scored_events([("u", "e")] * 2, 1, **(figures | {name: column}))
            with pytest.raises(ValueError, match="expected figures of at most 15 digits"):
                [*compiled.score_batches(ENCODER, scored, NOW_MS, BATCH_BYTES)]


def test_an_anomaly_above_certainty_is_said_to_be() -> None:
    for anomaly in (np.nextafter(1, 2), 1.5, np.inf):
        scored = scored_events([("u", "e")], 1, anomaly=np.array([anomaly]))
        with pytest.raises(ValueError, match="expected figures"):
            [*compiled.score_batches(ENCODER, scored, NOW_MS, BATCH_BYTES)]


@pytest.mark.parametrize(
    "horizons", [("1m",), ("30s", "30m", "1h", "168h"), ("session",), tuple(f"{n}m" for n in range(1, 40))]
)
@pytest.mark.parametrize(
    "model", ['my "best" \\ model', "modèle-🛒", "50%off", "100%", "a%%b", "%b", "\x00", "x" * 300]
)
def test_any_name_of_a_model_and_any_number_of_horizons(model: str, horizons: tuple[str, ...]) -> None:
    intent = np.random.default_rng(0).random((5, len(horizons))).astype(np.float32)
    encoder = Encoder(topics=TOPICS, model=model, model_hash=HASH, horizons=horizons)
    _assert_alike(scored_events([("a", "1")] * 5, 1, intent=intent), encoder)


@pytest.mark.parametrize("generation", [0, 1, 2**32 - 1])
def test_the_longest_record_has_room(generation: int) -> None:
    n = 3
    encoder = Encoder(topics=["t" * 249] * 3, model="m", model_hash=HASH, horizons=HORIZONS[:1])
    encoder.own(2**31 - 1, [generation] * 4)
    longest = -123_456_789.654_321
    scored = scored_events(
        [("\x00" * 256, "\x1f" * 256)] * n,
        1,
        intent=np.full((n, 1), 0.123457, np.float32),
        surprise_parts=np.full((n, len(PARTS)), 131_071.984_375, np.float32),
        strain=np.full(n, longest),
        anomaly=np.full(n, -0.123_456_789_012_345),
        fraud=np.full(n, -131_071.984_375, np.float32),
        events_seen=np.full(n, 2**63 - 1),
        late=np.zeros(n, np.bool_),
        carry_rebuilt=np.zeros(n, np.bool_),
    )
    scored.events["offset"][:] = 2**63 - 1
    scored.events["partition"][:] = 2**31 - 1
    scored.events["time_ms"][:] = 253_402_300_799_999
    scored.events["time_bounded"][:] = False
    _assert_alike(scored, encoder)


def test_topics_that_were_made_anew_are_named_so() -> None:
    encoder = Encoder(topics=TOPICS, model=MODEL, model_hash=HASH, horizons=HORIZONS)
    encoder.own(0, [2, 0, 7, 0])
    scored = scored_events([(f"u{i}", "e") for i in range(40)], 8)
    _assert_alike(scored, encoder)
    encoder.use("other", "0" * 12, HORIZONS)
    _assert_alike(scored, encoder)
