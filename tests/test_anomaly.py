"""Nats of surprise to a share of normal traffic, and what many somewhat unusual events add up to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream import anomaly, model_file, sequences
from stream.anomaly import EVEN, SHARP, STRAIN_WEIGHTS, TAIL_FROM, Distribution, NormalTraffic, distribution, strained
from stream.features import ACTION, CONTEXT, GAP, PARTS, PRICE, RHYTHM
from stream.rows import MEMORY
from stream.sequences import Packing
from tests.shop import (
    MODEL,
    NORMAL,
    by_offset,
    forget_strain,
    pipeline,
    random_events,
    score_all,
    small_model,
    stored_rows,
)

Doubles = NDArray[np.float64]

NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)
USUAL = np.array(NORMAL.part_means, np.float32) * np.float32(anomaly.USUAL)  # an event that surprises as events do
IN_STRAIN, NOT_IN_STRAIN = (ACTION, PRICE, CONTEXT), (1, 2, GAP)


@st.composite
def _distributions(draw: st.DrawFn) -> Distribution:
    quantiles = draw(st.lists(st.floats(-50, 50).map(lambda q: round(q, 6)), min_size=2, max_size=40))
    return Distribution(
        quantiles=tuple(sorted(quantiles)),
        tail_scale=draw(st.floats(1e-3, 50)),
        tail_shape=draw(st.floats(0.05, 5)),
    )


@given(_distributions(), st.lists(NUMBERS, min_size=1, max_size=30))
def test_a_share_is_within_0_and_1_and_never_falls(normal: Distribution, numbers: list[float]) -> None:
    column = np.array(sorted([*numbers, 0.0, *normal.quantiles, -math.inf, math.inf]))
    below = normal.below(column)
    assert below.dtype == np.float64
    assert (below >= 0).all()
    assert (below <= 1).all()
    # Linear interpolation may be a rounding too high at the right end of a piece.
    assert (np.diff(below) >= -1e-15).all()


@given(_distributions())
def test_body_and_tail_meet_where_the_tail_begins(normal: Distribution) -> None:
    begin = normal.quantiles[-1]
    at, after = normal.below(np.array([begin, np.nextafter(begin, math.inf)]))
    assert at == pytest.approx(TAIL_FROM, abs=1e-12)
    assert after == pytest.approx(TAIL_FROM, abs=1e-9)


@given(_distributions(), st.lists(NUMBERS, min_size=1, max_size=30))
def test_a_rarity_is_that_of_the_share_that_has_more(normal: Distribution, numbers: list[float]) -> None:
    column = np.array(sorted(numbers))
    rarity = normal.rarity(column)
    np.testing.assert_allclose(np.exp(-rarity), 1 - normal.below(column), atol=1e-12)
    assert np.isfinite(rarity).all()
    assert (np.diff(rarity)[column[:-1] >= normal.quantiles[-1]] >= -1e-12).all()


def _samples(name: str) -> Doubles:
    rng = np.random.default_rng(1)
    samples: dict[str, Doubles] = {
        "exponential": rng.exponential(3.0, 40_000),
        "gamma": rng.gamma(4.0, 1.5, 40_000),
        "normal": rng.normal(-1.0, 2.0, 40_000),
        "heavy": rng.lognormal(1.5, 0.6, 40_000),
    }
    return samples[name]


@pytest.mark.parametrize("name", ["exponential", "gamma", "normal", "heavy"])
def test_the_tail_rises_strictly_up_to_60_nats(name: str) -> None:
    normal = distribution(_samples(name))
    tail = np.arange(normal.quantiles[-1], 60.0, 0.01)
    below = normal.below(tail)
    assert len(tail) > 1000
    assert (np.diff(below) > 0).all()
    assert below[-1] < 1


@pytest.mark.parametrize("name", model_file.shipped())
def test_the_tails_of_a_shipped_model_rise_strictly_up_to_60_nats(name: str) -> None:
    traffic = model_file.load(name).card.normal_traffic
    for normal in (*traffic.parts, traffic.sharp, traffic.strain, traffic.rarity):
        below = normal.below(np.arange(normal.quantiles[-1], 60.0, 0.01))
        assert (np.diff(below) > 0).all()
        assert below[-1] < 1


@pytest.mark.parametrize("name", ["exponential", "gamma", "normal", "heavy"])
def test_the_shares_of_what_was_fitted_to_are_about_uniform(name: str) -> None:
    numbers = _samples(name)
    below = np.sort(distribution(numbers).below(numbers))
    assert np.abs(below - np.arange(len(numbers)) / len(numbers)).max() < 0.003
    for share in (0.01, 0.003, 0.001):  # and so in the tail, to a quarter
        assert (below > 1 - share).mean() == pytest.approx(share, rel=0.25)


def test_the_same_holds_for_numbers_that_it_was_not_fitted_to() -> None:
    rng = np.random.default_rng(2)
    below = distribution(rng.exponential(3.0, 40_000)).below(rng.exponential(3.0, 40_000))
    assert np.abs(np.sort(below) - np.linspace(0, 1, 40_000)).max() < 0.02
    assert (below > 0.999).mean() == pytest.approx(0.001, rel=0.5)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quantiles": ()}, "at least 2 quantiles"),
        ({"quantiles": (1.0,)}, "at least 2 quantiles"),
        ({"quantiles": (1.0, 3.0, 2.0)}, "ascending"),
        ({"tail_scale": 0.0}, "tail scale and shape above 0, got 0.0 and 0.5"),
        ({"tail_scale": -1.0}, "got -1.0"),
        ({"tail_scale": math.nan}, "got nan"),
        ({"tail_shape": 0.0}, "got 2.0 and 0.0"),
        ({"tail_shape": math.nan}, "got 2.0 and nan"),
        ({"quantiles": (math.nan, 1.0)}, "ascending"),
    ],
)
def test_what_is_no_distribution_is_refused(change: dict[str, Any], words: str) -> None:
    values: dict[str, Any] = {"quantiles": (1.0, 2.0), "tail_scale": 2.0, "tail_shape": 0.5}
    Distribution(**values)
    with pytest.raises(ValueError, match=words):
        Distribution(**(values | change))


@pytest.mark.parametrize(
    "means", [(), (1.0,) * (len(PARTS) - 1), (-0.1,) * len(PARTS), (math.nan,) * len(PARTS)], ids=len
)
def test_means_that_are_not_those_of_the_parts_are_refused(means: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=f"expected {len(PARTS)} means of 0 or more"):
        msgspec.convert(msgspec.to_builtins(NORMAL) | {"part_means": means}, NormalTraffic)


def test_normal_traffic_survives_its_card() -> None:
    assert msgspec.json.decode(msgspec.json.encode(NORMAL), type=NormalTraffic) == NORMAL


@pytest.mark.parametrize("kept", [0, 19])
def test_what_is_usual_in_too_few_events_is_refused_in_words(kept: int) -> None:
    nats, packing = _run([USUAL] * 300)
    with pytest.raises(ValueError, match=f"expected 20 normal events or more, to tell what is not, got {kept}"):
        anomaly.fit(nats, packing, kept=np.arange(300) < kept)


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param(np.linspace(0, 9, 20), id="just enough"),
        pytest.param(np.r_[np.zeros(990), np.full(10, 3.0)], id="a tail of one value"),
        pytest.param(np.zeros(1000), id="one value"),
    ],
)
def test_events_that_are_much_alike_leave_room_for_what_is_stranger(numbers: Doubles) -> None:
    of = distribution(numbers)
    told = of.below(numbers.max() + np.arange(0.0, 40.0, 0.5))
    assert (np.diff(told) > 0).all()
    assert told[-1] < 1


# Strain


def _run(events: Sequence[NDArray[np.float32]]) -> tuple[NDArray[np.float32], Packing]:
    """One user's events, each with its nats [PARTS]."""
    return np.stack(events), sequences.pack(np.zeros(len(events), np.int64))


def _strain(*events: NDArray[np.float32]) -> Doubles:
    """The strain with each of one user's events, from none."""
    nats, packing = _run(events)
    return strained(nats, packing, np.zeros(1, MEMORY), NORMAL).strain


def _with(event: NDArray[np.float32], part: int, more: float) -> NDArray[np.float32]:
    """The event with so many nats more in one part."""
    changed = event.copy()
    changed[part] += more
    return changed


def _more(nats: float, part: int = ACTION) -> NDArray[np.float32]:
    """An event that surprises by so much more than usual in one part."""
    return _with(USUAL, part, nats)


def _random_nats(seed: int, n: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).exponential(0.7, (n, len(PARTS))).astype(np.float32)


@given(
    seed=st.integers(0, 1000),
    owners=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=8),
)
def test_strain_is_the_same_however_a_run_is_cut_into_batches(seed: int, owners: list[int], cuts: list[int]) -> None:
    owner, nats = np.array(owners), _random_nats(seed, len(owners))
    whole, whole_memory = _in_batches(nats, owner, [])
    parts, parts_memory = _in_batches(nats, owner, cuts)
    np.testing.assert_allclose(parts, whole, atol=1e-6, rtol=1e-6)
    for name in ("strain", "strain_weight"):
        np.testing.assert_allclose(parts_memory[name], whole_memory[name], atol=1e-6, rtol=1e-6)


def _in_batches(nats: NDArray[np.float32], owner: NDArray[np.int64], cuts: list[int]) -> tuple[Doubles, Any]:
    memory, strain = np.zeros(6, MEMORY), np.empty(len(owner))
    edges = sorted({0, *(min(cut, len(owner)) for cut in cuts), len(owner)})
    for start, end in pairwise(edges):
        packing = sequences.pack(owner[start:end])
        found = strained(nats[start:end][packing.arrival], packing, memory[packing.users], NORMAL)
        strain[start:end] = packing.to_arrival(found.strain)
        memory[packing.users] = found.memory
    return strain, memory


def test_strain_is_that_of_a_plain_loop_over_a_users_events() -> None:
    nats = _random_nats(3, 300)
    total, weight, expected = 0.0, 0.0, []
    for event in nats.astype(np.float64):
        total = 0.98 * total + float((STRAIN_WEIGHTS * (event - USUAL)).sum()) + 0.5 * max(event[RHYTHM] - EVEN, 0.0)
        weight = 0.98**2 * weight + 1
        expected.append(total / math.sqrt(weight + 1))
    np.testing.assert_allclose(_strain(*nats), expected, atol=1e-4)
    assert np.ptp(expected) > 2


def test_strain_leaves_all_else_that_is_remembered_alone_and_the_memory_it_was_given_too() -> None:
    memory = np.frombuffer(np.random.default_rng(0).bytes(MEMORY.itemsize), MEMORY).copy()
    memory["strain"], memory["strain_weight"] = 2.0, 3.0
    before = memory.copy()
    nats, packing = _run([_more(5.0)])
    after = strained(nats, packing, memory, NORMAL).memory.copy()
    assert memory.tobytes() == before.tobytes()
    assert after["strain"] == pytest.approx(0.98 * 2 + 5, abs=1e-5)
    assert after["strain_weight"] == pytest.approx(0.98**2 * 3 + 1, abs=1e-5)
    for name in ("strain", "strain_weight"):
        after[name] = before[name]
    assert after.tobytes() == before.tobytes()


def test_what_is_usual_strains_nothing() -> None:
    assert np.abs(_strain(*[USUAL] * 50)).max() < 1e-4


@pytest.mark.parametrize("part", IN_STRAIN)
def test_many_somewhat_unusual_events_strain_more_and_more(part: int) -> None:
    strain = _strain(*[_more(1.0, part)] * 40)
    assert (np.diff(strain) > 0).all()
    assert strain[-1] > 5 * strain[0]


@pytest.mark.parametrize("part", NOT_IN_STRAIN)
def test_items_categories_and_gaps_strain_nothing(part: int) -> None:
    assert np.abs(_strain(*[_more(9.0, part)] * 10)).max() < 1e-4


def test_a_rhythm_strains_only_where_it_is_too_even() -> None:
    uneven, even = USUAL.copy(), USUAL.copy()
    uneven[RHYTHM], even[RHYTHM] = EVEN, EVEN + 4
    assert np.abs(_strain(*[uneven] * 10)).max() < 1e-4
    strain = _strain(*[even] * 10)
    assert (np.diff(strain) > 0).all()
    assert strain[0] == pytest.approx(0.5 * 4 / math.sqrt(2), abs=1e-4)


def test_less_surprise_than_usual_relieves() -> None:
    calm = USUAL.copy()
    calm[list(IN_STRAIN)] = 0.0
    strain = _strain(*[_more(1.0)] * 10, *[calm] * 10)
    assert (np.diff(strain[:10]) > 0).all()
    assert (np.diff(strain[9:]) < 0).all()


def test_strain_fades_with_usual_events_to_a_half_in_about_35() -> None:
    after = _strain(*[_more(2.0)] * 100, *[USUAL] * 200)[99:]
    assert (np.diff(after) < 0).all()
    nats, packing = _run([USUAL] * 35)
    memory = np.zeros(1, MEMORY)
    memory["strain"], memory["strain_weight"] = 100.0, 1 / (1 - 0.98**2)
    assert strained(nats, packing, memory, NORMAL).memory["strain"][0] == pytest.approx(50.0, abs=1.0)


# Both together


def _normal_traffic() -> tuple[NDArray[np.float32], Packing, NormalTraffic]:
    """What 400 users of 100 events each surprise by, and what is usual in it."""
    nats, packing = _random_nats(5, 40_000), sequences.pack(np.repeat(np.arange(400), 100))
    return nats, packing, anomaly.fit(nats, packing)


def _usual_event() -> tuple[NormalTraffic, NDArray[np.float32]]:
    """Normal traffic, and the nats of an event that strains nothing in it."""
    _, _, normal = _normal_traffic()
    return normal, np.array(normal.part_means, np.float32) * np.float32(anomaly.USUAL)


def _anomaly(nats: NDArray[np.float32], packing: Packing, normal: NormalTraffic) -> Doubles:
    strain = strained(nats, packing, np.zeros(len(packing.users), MEMORY), normal).strain
    return normal.anomaly(nats, strain)


def test_the_anomaly_of_what_was_fitted_to_is_about_uniform() -> None:
    nats, packing, normal = _normal_traffic()
    np.testing.assert_allclose(normal.part_means, nats.mean(axis=0), atol=1e-4)
    found = np.sort(_anomaly(nats, packing, normal))
    assert np.abs(found - np.arange(len(found)) / len(found)).max() < 0.005
    assert (found > 0.99).mean() == pytest.approx(0.01, rel=0.1)
    # Further out it rather says less: no tail is taken to be as light as this one is, by `_SHAPE_LEAST`.
    assert 0.0004 < (found > 0.999).mean() < 0.0015


def test_of_some_events_alone_what_is_usual_is_fitted_to_these() -> None:
    nats, packing, normal = _normal_traffic()
    odd = packing.user % 10 == 0
    strange = np.where(odd[:, None], nats + 5, nats).astype(np.float32)
    assert anomaly.fit(strange, packing, kept=~odd).part_means == pytest.approx(normal.part_means, abs=0.02)
    assert (_anomaly(strange, packing, anomaly.fit(strange, packing, kept=~odd))[odd] > 0.999).mean() > 0.9
    assert (_anomaly(strange, packing, anomaly.fit(strange, packing))[odd] > 0.999).mean() < 0.1


@pytest.mark.parametrize("part", SHARP)
def test_an_event_that_is_impossible_in_one_part_counts(part: int) -> None:
    normal, usual = _usual_event()
    nats, packing = _run([usual, usual, _with(usual, part, 40.0), usual])
    found = _anomaly(nats, packing, normal)
    assert found[2] > 0.999
    assert max(found[0], found[1]) < 0.9


@pytest.mark.parametrize("part", NOT_IN_STRAIN)
def test_a_part_that_often_surprises_says_nothing_alone(part: int) -> None:
    normal, usual = _usual_event()
    odd, plain = (_anomaly(*_run([usual, event]), normal)[1] for event in (_with(usual, part, 40.0), usual))
    assert odd == pytest.approx(plain)


def test_how_sharp_an_event_is_says_its_rarest_part() -> None:
    nats, _, normal = _normal_traffic()
    expected = [
        max(of.rarity(np.array([event[part]], float))[0] for part, of in zip(SHARP, normal.parts, strict=True))
        for event in nats[:50]
    ]
    np.testing.assert_allclose(normal.sharpness(nats[:50]), expected)


def test_many_somewhat_unusual_events_count_where_none_of_them_would() -> None:
    normal, usual = _usual_event()
    found = _anomaly(*_run([_with(usual, ACTION, 0.7)] * 40), normal)
    assert found[0] < 0.95
    assert found[-1] > 0.999
    assert (np.diff(found) >= 0).all()


def test_a_single_event_must_be_seven_times_as_rare_as_a_strain_to_count_as_much() -> None:
    normal = _normal_traffic()[2]
    calm, sharp = np.zeros((1, len(PARTS)), np.float32), np.zeros((1, len(PARTS)), np.float32)
    rarity = normal.parts[0].rarity(np.array([0.0, 30.0]))
    wanted = float(_number_at(normal.sharp, 1 - 0.02 / 7)[0])
    assert rarity[0] < wanted < rarity[1]
    grid = np.linspace(0.0, 30.0, 1_000_000)
    sharp[0, ACTION] = grid[np.searchsorted(normal.parts[0].rarity(grid), wanted)]
    by_strain = normal.anomaly(calm, _number_at(normal.strain, 0.98))
    by_surprise = normal.anomaly(sharp, np.array([normal.strain.quantiles[0]]))
    assert by_surprise == pytest.approx(by_strain, abs=1e-4)
    assert by_strain > 0.9


def _number_at(of: Distribution, share: float) -> Doubles:
    """[1] what a share of normal traffic is below."""
    grid = np.linspace(of.quantiles[0], of.quantiles[-1] + 60 * of.tail_scale, 1_000_000)
    return grid[[np.searchsorted(of.below(grid), share)]]


def test_a_carry_that_is_made_again_begins_the_strain_anew() -> None:
    events, later = random_events(5, n=80, users=4), random_events(6, n=30, users=4, first_offset=80)
    old, old_table = pipeline(small_model(0), sequence=100)
    score_all(old, events)
    stored = stored_rows(old_table)
    moved, _ = pipeline(
        small_model(1),
        model_hash=MODEL + 1,
        sequence=100,
        fetch_rows=lambda p, keys: [stored.get((p, key)) for key in keys],
    )
    found = by_offset(score_all(moved, later))
    assert found["carry_rebuilt"].sum() == len(stored)

    always, table = pipeline(small_model(1), model_hash=MODEL + 1, sequence=100)
    score_all(always, events)
    forget_strain(table, 0, [key for _, key in stored])
    np.testing.assert_allclose(found["strain"], by_offset(score_all(always, later))["strain"], atol=1e-5)
    kept, _ = pipeline(small_model(0), sequence=100, fetch_rows=lambda p, keys: [stored.get((p, key)) for key in keys])
    # The same model goes on with the strain that there was.
    assert by_offset(score_all(kept, later))["strain"][0] > found["strain"][0] + 1
