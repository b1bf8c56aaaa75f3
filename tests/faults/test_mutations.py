"""Hostile records: by seed, and nearly all of them bad by the core's own decoding, for every reason that there is."""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import islice
from random import Random

import pytest

from stream.decode import decode
from stream.events import REASONS, Frame
from stream.shop_event import ROLES
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from tests.faults import load
from tests.faults.hostile.mutations import MUTATIONS, Raw, mutated
from tests.shop import BOUNDS, START_MS, FakeRecord

N = 4_000


@pytest.fixture(scope="module")
def good() -> list[tuple[int, Raw]]:
    events = islice(simulate(scenario.load(), seed=1, users=300, start_ms=START_MS), N)
    return [(ROLES.index(event.topic), Raw(event.key, event.value)) for event in events]


def _reasons(source: int, records: list[Raw]) -> list[str | None]:
    """Of each why it is refused; None: it is an event."""
    made = [FakeRecord(record.key, record.value, at, START_MS) for at, record in enumerate(records)]
    _, rejects = decode(Frame(source, 0, made, len(made)), BOUNDS)
    reasons = {reject.offset: reject.reason for reject in rejects}
    return [reasons.get(at) for at in range(len(records))]


def test_the_same_seed_gives_the_same_bytes(good: list[tuple[int, Raw]]) -> None:
    first, second = ([mutated(rng, raw) for _, raw in good] for rng in (Random(3), Random(3)))
    assert first == second
    assert first != [mutated(Random(4), raw) for _, raw in good]


@pytest.mark.parametrize("name", MUTATIONS)
def test_each_mutation_makes_bad_records_out_of_good_ones(name: str, good: list[tuple[int, Raw]]) -> None:
    clicks = [raw for source, raw in good if source == 0][:500]
    assert set(_reasons(0, clicks)) == {None}
    rng = Random(1)
    made = [MUTATIONS[name](rng, raw) for raw in clicks]
    assert all(one != other for one, other in zip(made, clicks, strict=True))
    bad = sum(reason is not None for reason in _reasons(0, made))
    assert bad > 0.1 * len(clicks)  # a null price, say, is none


def test_together_they_give_every_reason_and_some_events(good: list[tuple[int, Raw]]) -> None:
    rng = Random(5)
    by_source = defaultdict(list)
    for source, raw in good:
        by_source[source].append(mutated(rng, raw)[1])
    reasons = Counter(reason for source, records in by_source.items() for reason in _reasons(source, records))
    assert reasons.keys() == {None, *REASONS}
    assert 0.6 * N < N - reasons[None] < N


def test_a_long_string_comes_now_and_then_and_fits_the_brokers_limit(good: list[tuple[int, Raw]]) -> None:
    rng = Random(6)
    made = [mutated(rng, raw) for _ in range(3) for _, raw in good]
    long = [raw for name, raw in made if name == "long_string"]
    assert 1 <= len(long) <= 20
    assert 100_000 < max(len(raw.value or b"") for raw in long) < 1_048_588 - 1_000


def test_traffic_is_by_seed_and_has_its_share_of_hostile_records_and_repeats() -> None:
    first, again = (
        list(islice(load.traffic(9, users=50, start_ms=START_MS, hostile_share=0.05), 5_000)) for _ in range(2)
    )
    assert first == again
    assert 150 < sum(record.hostile for record in first) < 350
    ids = Counter(record.value for record in first if not record.hostile)
    assert sum(n - 1 for n in ids.values()) > 30
