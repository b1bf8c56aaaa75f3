"""Raw events and what their user did before, to the model's input and to what came, in the words of its heads."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise, permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.events import ACTIONS, PRICE_MAX
from stream.features import (
    ACTION,
    CATEGORY,
    CATEGORY_BUCKETS,
    CONTEXT,
    FIRST_PRICE_EDGES,
    GAP,
    GAP_EDGES_S,
    ITEM,
    ITEM_BUCKETS,
    NOTHING,
    PART_CLASSES,
    PARTS,
    PRICE,
    PRICE_EDGES,
    REAL,
    RECENT,
    RHYTHM,
    RHYTHM_EDGES,
    Past,
    Seen,
    build,
)
from stream.habits import SCALES_S
from stream.rows import COUNT_BUCKETS, KNOWN_PLACES, NOT_HELD_MS, RAW_EVENT, WHEREABOUTS
from stream.sequences import Packing, pack
from tests.reference_features import LATEST_PRICES, reference
from tests.shop import START_MS, STATISTICS

_TIME_MAX_MS = 253_402_300_799_999
NONE, OTHER = 0, RECENT + 1  # classes of an item or category
OF_OWN, OF_ALL = 1, 1 + len(PRICE_EDGES) + 1  # where the classes of a price begin: beside the user's own, or beside all


def _raw(n: int = 1, **columns: Any) -> NDArray[np.void]:
    """n raw events, a second apart, those of a shop with nothing to say but where told."""
    raw = np.zeros(n, RAW_EVENT)
    raw["time_ms"], raw["price"], raw["action"] = START_MS + 1000 * np.arange(n), math.nan, 1
    for name, column in columns.items():
        raw[name] = column
    return raw


def _timed(times_s: Sequence[float], **columns: Any) -> NDArray[np.void]:
    return _raw(len(times_s), time_ms=[START_MS + round(1000 * s) for s in times_s], **columns)


def _past(users: Sequence[NDArray[np.void]], memory: NDArray[np.void] | None = None) -> Past:
    """What is to be known of users whose events so far were these; `memory` as an earlier call left it."""
    past = Past.none(len(users))
    for i, events in enumerate(users):
        kept = events[-RECENT:]
        past.recent[i, RECENT - len(kept) :] = kept
        past.events_seen[i] = len(events)
        past.last_time_ms[i] = max(events["time_ms"], default=-1)
    return past if memory is None else Past(past.recent, memory.copy(), past.events_seen, past.last_time_ms)


def _one(raw: NDArray[np.void], past: Past | None = None) -> Seen:
    """Events of one user, in order."""
    return build(raw, pack(np.zeros(len(raw), np.int64)), past or Past.none(1), STATISTICS)


def _real(seen: Seen, name: str) -> list[float]:
    return [float(value) for value in seen.features.real[:, REAL.index(name)]]


def _classes(seen: Seen, part: int) -> list[int]:
    return [int(value) for value in seen.classes[:, part]]


# Gaps


def test_a_gap_at_an_edge_belongs_to_the_class_above_it() -> None:
    for shift_ms, above in ((-1, 0), (0, 1)):
        for place, edge_s in enumerate(GAP_EDGES_S):
            seen = _one(_timed([0, edge_s + shift_ms / 1000]))
            assert _classes(seen, GAP) == [NOTHING, place + above]


def test_events_of_the_same_millisecond_are_class_0_and_the_longest_gap_is_the_last_class() -> None:
    assert _classes(_one(_timed([0, 0])), GAP) == [NOTHING, 0]
    assert _classes(_one(_raw(2, time_ms=[0, _TIME_MAX_MS])), GAP) == [NOTHING, PART_CLASSES[GAP] - 1]


def test_gaps_are_logarithms_in_standard_deviations_and_a_first_event_has_none() -> None:
    seen = _one(_timed([0, 0.5, 3600.5]))
    expected = [(math.log(1 + s) - STATISTICS.gap_mean) / STATISTICS.gap_std for s in (0.5, 3600)]
    assert _real(seen, "gap") == pytest.approx([0.0, *expected], rel=1e-6)
    assert _real(seen, "first") == [1.0, 0.0, 0.0]


def test_the_gap_is_to_the_latest_event_and_that_of_a_late_one_is_0() -> None:
    seen = _one(_timed([0, 100, 40, 103]))
    assert _classes(seen, GAP) == [NOTHING, 7, 0, 2]  # 60 to 120 s; late; 2 to 4 s after the second event
    assert (seen.high_ms - START_MS).tolist() == [-1 - START_MS, 0, 100_000, 100_000]


# Rhythm


def test_before_three_gaps_and_where_one_of_them_is_negative_there_is_no_rhythm() -> None:
    assert _classes(_one(_timed([0, 1, 2])), RHYTHM) == [NOTHING] * 3
    late = _one(_timed([0, 100, 40, 103, 110, 117, 124]))
    assert _classes(late, RHYTHM)[2:5] == [NOTHING] * 3
    assert _classes(late, RHYTHM)[6] == 0
    assert _real(late, "rhythm")[:5] == [0.0] * 5


@pytest.mark.parametrize("gap_s", [0, 0.001, 2, 90, 1_000_000])
def test_a_machines_rhythm_is_class_0_whatever_its_pace(gap_s: float) -> None:
    seen = _one(_timed([0, gap_s, 2 * gap_s, 3 * gap_s, 4 * gap_s]))
    assert _classes(seen, RHYTHM) == [NOTHING, NOTHING, NOTHING, 0, 0]
    assert _real(seen, "rhythm") == pytest.approx([0, 0, 0, 1, 1])


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_rhythm_is_told_by_the_longest_and_the_shortest_of_three_gaps_wherever_they_are(
    order: tuple[int, int, int],
) -> None:
    inside = [*(RHYTHM_EDGES * 0.9), RHYTHM_EDGES[-1] * 2]
    for place, log_ratio in enumerate(inside):
        # Gaps so long that a twentieth of a second more on both changes nothing.
        gaps = np.array([1e6, 1e6 * math.exp(log_ratio / 2), 1e6 * math.exp(log_ratio)])[list(order)]
        seen = _one(_timed([0, *np.cumsum(gaps)]))
        assert _classes(seen, RHYTHM)[3] == place
        assert _real(seen, "rhythm")[3] == pytest.approx(math.exp(-log_ratio / 0.5), rel=1e-3, abs=1e-9)


def test_no_rhythm_is_found_with_an_event_that_its_row_never_held() -> None:
    held = _past([_timed([0, 1, 2])])
    held.recent["time_ms"][0, -3] = NOT_HELD_MS
    assert _classes(_one(_timed([3, 4]), held), RHYTHM) == [NOTHING, 0]


# Prices


def test_a_missing_price_is_class_0_and_is_told_from_a_price_of_0() -> None:
    seen = _one(_raw(2, price=[math.nan, 0.0]))
    expected = (0.0 - STATISTICS.price_mean) / STATISTICS.price_std
    assert _classes(seen, PRICE) == [NONE, OF_ALL + int(np.searchsorted(FIRST_PRICE_EDGES, expected, side="right"))]
    assert _real(seen, "no_price") == [1.0, 0.0]
    assert _real(seen, "price") == pytest.approx([0.0, expected])


def test_a_price_is_a_logarithm_in_standard_deviations() -> None:
    seen = _one(_raw(2, price=[9.0, 99.0]))
    expected = [(math.log(1 + p) - STATISTICS.price_mean) / STATISTICS.price_std for p in (9, 99)]
    assert _real(seen, "price") == pytest.approx(expected, rel=1e-6)


def _price_at(log_price: float) -> float:
    return math.expm1(log_price)


def test_a_users_first_price_is_set_against_those_of_all() -> None:
    edges = [STATISTICS.price_mean + edge * STATISTICS.price_std for edge in FIRST_PRICE_EDGES]
    for shift, above in ((-1e-3, 0), (1e-3, 1)):
        for place, edge in enumerate(edges):
            seen = _one(_raw(price=max(_price_at(edge + shift), 0.0)))
            if edge > 0:
                assert _classes(seen, PRICE) == [OF_ALL + place + above]
    assert _classes(_one(_raw(price=PRICE_MAX)), PRICE) == [PART_CLASSES[PRICE] - 1]


def test_a_users_next_price_is_set_against_their_usual_one() -> None:
    for shift, above in ((-1e-3, 0), (1e-3, 1)):
        for place, edge in enumerate(PRICE_EDGES):
            seen = _one(_raw(2, price=[_price_at(8.0), _price_at(8.0 + edge + shift)]))
            assert _classes(seen, PRICE)[1] == OF_OWN + place + above
            assert _real(seen, "price_step") == pytest.approx([0.0, np.clip(edge + shift, -5, 5)], abs=1e-5)


def test_the_same_price_again_is_the_class_in_the_middle() -> None:
    (middle,) = np.flatnonzero(np.diff(np.sign(PRICE_EDGES)) > 0)
    for price in (0.0, 0.01, 19.9, PRICE_MAX):
        seen = _one(_raw(3, price=[price, math.nan, price]))
        assert _classes(seen, PRICE)[1:] == [NONE, OF_OWN + 1 + middle]
        assert _real(seen, "price_step") == pytest.approx([0.0, 0.0, 0.0], abs=1e-5)


def test_a_price_step_is_bounded_for_the_model_and_not_for_its_class() -> None:
    seen = _one(_raw(3, price=[1.0, PRICE_MAX, 1.0]))
    assert _real(seen, "price_step")[1:] == [5.0, -5.0]
    assert _classes(seen, PRICE)[1:] == [OF_OWN + len(PRICE_EDGES), OF_OWN]


def test_usual_prices_are_mean_and_spread_of_the_logarithms_so_far_and_then_of_about_the_last_ones() -> None:
    logs = np.random.default_rng(0).normal(3, 1, 200)
    seen = _one(_raw(len(logs), price=np.expm1(logs)))
    for n in (1, 2, 10, LATEST_PRICES):
        assert _real(seen, "price_spread")[n] == pytest.approx(logs[:n].std(), abs=1e-4)
        assert _real(seen, "price_step")[n] == pytest.approx(np.clip(logs[n] - logs[:n].mean(), -5, 5), abs=1e-4)
    settled = _one(_raw(500, price=[10.0] * 250 + [1000.0] * 250))
    assert _real(settled, "price_step")[-1] == pytest.approx(0, abs=0.01)
    assert _real(settled, "price_spread")[-1] < 0.2
    assert _real(settled, "price_spread")[260] > 1


# Items and categories


@pytest.mark.parametrize(("name", "part"), [("item", ITEM), ("category", CATEGORY)])
def test_what_an_event_shares_with_those_before_is_told_by_how_long_ago(name: str, part: int) -> None:
    seen = _one(_raw(6, **{name: [5, 5, 6, 0, 5, 7]}))
    assert _classes(seen, part) == [OTHER, 1, OTHER, NONE, 3, OTHER]
    shared = [[k for k in range(1, RECENT + 1) if _real(seen, f"same_{name}_{k}")[n]] for n in range(6)]
    assert shared == [[], [1], [], [], [3, 4], []]
    other, other_part = ("category", CATEGORY) if name == "item" else ("item", ITEM)
    assert _classes(seen, other_part) == [NONE] * 6
    assert not any(_real(seen, f"same_{other}_{k}")[n] for k in range(1, RECENT + 1) for n in range(6))


@pytest.mark.parametrize(("name", "part"), [("item", ITEM), ("category", CATEGORY)])
def test_what_was_longer_ago_than_is_looked_at_is_another(name: str, part: int) -> None:
    for ago in (RECENT, RECENT + 1):
        column = [9, *range(100, 100 + ago - 1), 9]
        for cut in range(ago + 1):  # also where some of it is past
            raw = _raw(len(column), **{name: column})
            seen = _one(raw[cut:], _past([raw[:cut]]))
            assert _classes(seen, part)[-1] == (RECENT if ago == RECENT else OTHER)


def test_a_category_is_never_in_the_bucket_of_none() -> None:
    hashes = np.array([0, 1, CATEGORY_BUCKETS - 1, CATEGORY_BUCKETS, 2**32 - 1], np.uint32)
    features = _one(_raw(len(hashes), category=hashes)).features
    assert features.category[0] == 0
    assert (features.category[1:] > 0).all()


# Whereabouts


@pytest.mark.parametrize(("bit", "name"), list(enumerate(WHEREABOUTS)))
def test_a_whereabout_is_new_where_another_was_known_before(bit: int, name: str) -> None:
    seen = _one(_raw(6, **{name: [0, 7, 7, 0, 8, 7]}))
    assert _classes(seen, CONTEXT) == [NOTHING, 0, 0, 0, 1 << bit, 0]  # neither the first that is known nor none is new
    assert _real(seen, f"new_{name}") == [0, 0, 0, 0, 1, 0]
    for other in set(WHEREABOUTS) - {name}:
        assert not any(_real(seen, f"new_{other}"))


def test_all_that_is_new_at_once_is_one_class() -> None:
    names = {name: [1, 2] for name in WHEREABOUTS}
    assert _classes(_one(_raw(2, **names)), CONTEXT) == [NOTHING, 2 ** len(WHEREABOUTS) - 1]


def test_of_whereabouts_those_used_last_are_known() -> None:
    known = list(range(1, KNOWN_PLACES + 1))
    # 1 is used again before another comes, so that 2 is forgotten for it.
    seen = _one(_raw(KNOWN_PLACES + 4, device=[*known, 1, 99, 1, 2]))
    assert _real(seen, "new_device") == [0, *[1] * (KNOWN_PLACES - 1), 0, 1, 0, 1]
    assert seen.memory["known"][0, 0].tolist() == [2, 1, 99, KNOWN_PLACES]


# Counts


def _count(seen: Seen, scale_s: float, action: int) -> list[float]:
    return [math.expm1(value) for value in _real(seen, f"count_{scale_s:g}s_{action}")]


@pytest.mark.parametrize("scale_s", SCALES_S)
def test_an_action_counts_one_at_once_and_1_over_e_after_a_scales_time(scale_s: float) -> None:
    seen = _one(_timed([0, scale_s, 2 * scale_s], action=[3, 5, 3]))
    assert _count(seen, scale_s, 3) == pytest.approx([1, math.exp(-1), 1 + math.exp(-2)], abs=1e-5)
    assert _count(seen, scale_s, 5) == pytest.approx([0, 1, math.exp(-1)], abs=1e-5)
    assert _count(seen, scale_s, 4) == [0, 0, 0]


def test_a_late_event_is_counted_and_makes_nothing_fade() -> None:
    seen = _one(_timed([0, 100, 40], action=3))
    faded = math.exp(-100 / SCALES_S[0])
    assert _count(seen, SCALES_S[0], 3) == pytest.approx([1, 1 + faded, 2 + faded], abs=1e-5)


def test_there_is_a_count_for_every_action_of_a_shop() -> None:
    assert len(ACTIONS) <= COUNT_BUCKETS
    seen = _one(_raw(2, action=[COUNT_BUCKETS + 2, 2], time_ms=START_MS))  # another vocabulary may have more
    assert _count(seen, SCALES_S[0], 2) == pytest.approx([1, 2], abs=1e-5)


# The rest


@pytest.mark.parametrize(("hour", "sine", "cosine"), [(0, 0, 1), (6, 1, 0), (12, 0, -1), (18, -1, 0)])
def test_the_hour_is_a_place_on_a_circle(hour: int, sine: float, cosine: float) -> None:
    seen = _one(_raw(time_ms=20_000 * 86_400_000 + hour * 3_600_000))
    assert _real(seen, "hour_sin") == pytest.approx([sine], abs=1e-6)
    assert _real(seen, "hour_cos") == pytest.approx([cosine], abs=1e-6)


def test_a_users_first_event_says_so_and_is_a_surprise_by_no_gap_no_rhythm_and_no_context() -> None:
    seen = _one(_raw(item=7, category=8, price=9.0, device=1, country=2, place=3, action=4))
    classes = dict(zip(PARTS, seen.classes[0].tolist(), strict=True))
    of_price = OF_ALL + int(np.searchsorted(FIRST_PRICE_EDGES, _real(seen, "price")[0], side="right"))
    assert classes == {
        "action": 4, "item": OTHER, "category": OTHER, "gap": NOTHING, "rhythm": NOTHING, "price": of_price,
        "context": NOTHING,
    }  # fmt: skip
    assert _real(seen, "first") == [1.0]
    for name in ("gap", "price_step", "price_spread", "rhythm", *(f"new_{name}" for name in WHEREABOUTS)):
        assert _real(seen, name) == [0.0], name


@pytest.mark.parametrize("users", [0, 3])
def test_no_events_have_no_features_and_change_no_memory(users: int) -> None:
    empty = pack(np.zeros(0, np.int64))
    none = np.zeros(users, np.int64)
    packing = Packing(np.arange(users), none, empty.batch_sizes, empty.arrival, empty.user, empty.rank, empty.before)
    past = _past([_timed([0, 1], price=5.0, device=3)] * users)
    seen = build(_raw(0), packing, past, STATISTICS)
    assert seen.features.real.shape == (0, len(REAL))
    assert seen.classes.shape == (0, len(PARTS))
    assert seen.memory.tobytes() == past.memory.tobytes()


_RAW = st.fixed_dictionaries(
    {
        # Mostly gaps of a human or a machine, also backwards; sometimes anything.
        "step_ms": st.sampled_from([0, 1, 50, 1000, 60_000, 86_400_000, -1, -5000]) | st.integers(-(10**9), 10**9),
        "item": st.integers(0, 3) | st.integers(0, 2**32 - 1),
        "category": st.integers(0, 2) | st.integers(0, 2**32 - 1),
        "price": st.sampled_from([math.nan, 0.0, 10.0, 11.0, PRICE_MAX]) | st.floats(0, PRICE_MAX, width=32),
        "device": st.integers(0, 6) | st.integers(0, 2**16 - 1),
        "country": st.integers(0, 2),
        "place": st.integers(0, 7),
        "action": st.integers(0, len(ACTIONS) - 1) | st.integers(0, 255),
    }
)
_EVENTS = st.lists(st.tuples(st.integers(0, 3), _RAW), min_size=1, max_size=40)
_Drawn = list[tuple[int, Mapping[str, Any]]]


def _of(drawn: _Drawn) -> tuple[NDArray[np.int64], NDArray[np.void]]:
    """(user, raw) of events in the order of arrival."""
    raw = _raw(len(drawn), **{k: [event[k] for _, event in drawn] for k in drawn[0][1] if k != "step_ms"})
    raw["time_ms"] = np.clip(START_MS + np.cumsum([event["step_ms"] for _, event in drawn]), 0, _TIME_MAX_MS)
    return np.array([user for user, _ in drawn]), raw


class _Users:
    """Users whose events come in batches; what they leave is kept as a table does."""

    def __init__(self) -> None:
        self.events: dict[int, NDArray[np.void]] = {}
        self.memory: dict[int, NDArray[np.void]] = {}

    def see(self, user: NDArray[np.int64], raw: NDArray[np.void]) -> dict[str, NDArray[Any]]:
        """[n] what `build` says of the events, in the order of arrival."""
        packing = pack(user)
        users = packing.users.tolist()
        nothing, blank = _raw(0), Past.none(1).memory
        memory = np.concatenate([self.memory.get(u, blank) for u in users])
        past = _past([self.events.get(u, nothing) for u in users], memory)
        before = (raw.tobytes(), past.recent.tobytes(), past.memory.tobytes())
        seen = build(raw[packing.arrival], packing, past, STATISTICS)
        assert before == (raw.tobytes(), past.recent.tobytes(), past.memory.tobytes())  # nothing given was changed
        for place, u in enumerate(users):
            self.memory[u] = seen.memory[place : place + 1]
            self.events[u] = np.concatenate([self.events.get(u, nothing), raw[user == u]])
        columns = {**seen.features._asdict(), "classes": seen.classes, "high_ms": seen.high_ms}
        return {name: packing.to_arrival(column) for name, column in columns.items()}


@given(_EVENTS)
def test_every_raw_event_has_finite_features_and_classes_that_exist(drawn: _Drawn) -> None:
    user, raw = _of(drawn)
    users = _Users()
    seen = users.see(user, raw)
    assert seen["real"].dtype == np.float32
    assert np.isfinite(seen["real"]).all()
    expected = np.array([256, *PART_CLASSES[1:]])
    assert ((seen["classes"] >= NOTHING) & (seen["classes"] < expected)).all()
    assert ((seen["item"] >= 0) & (seen["item"] < ITEM_BUCKETS)).all()
    assert ((seen["category"] >= 0) & (seen["category"] < CATEGORY_BUCKETS)).all()
    assert seen["action"].tolist() == raw["action"].tolist() == seen["classes"][:, ACTION].tolist()
    assert {seen[name].dtype for name in ("action", "item", "category", "classes")} == {np.dtype(np.int64)}
    for memory in users.memory.values():
        assert all(np.isfinite(memory[name]).all() for name in ("counts", "prices", "price_mean", "price_variance"))


@settings(max_examples=200)
@given(_EVENTS)
@example([(0, {"step_ms": 1000, "item": n % 5, "category": n % 2, "price": 2.0 ** (n % 7), "device": n % 6,
               "country": 1, "place": 0, "action": n % 13}) for n in range(60)])  # fmt: skip
def test_features_and_classes_are_those_of_the_obvious_way_of_computing_them(drawn: _Drawn) -> None:
    user, raw = _of(drawn)
    seen = _Users().see(user, raw)
    for u in set(user.tolist()):
        mine = user == u
        for expected, real, classes in zip(
            reference(raw[mine], STATISTICS), seen["real"][mine], seen["classes"][mine], strict=True
        ):
            assert list(expected.real) == list(REAL)
            found = dict(zip(REAL, real.tolist(), strict=True))
            assert found == pytest.approx(expected.real, rel=1e-4, abs=2e-3)
            came = dict(zip(PARTS, classes.tolist(), strict=True))
            assert all(came[part] in expected.classes[part] for part in PARTS), (came, expected.classes)


@settings(max_examples=200)
@given(_EVENTS, st.lists(st.integers(1, 39), max_size=6))
def test_cutting_a_run_anywhere_gives_the_same_features_and_memory_bit_for_bit(drawn: _Drawn, cuts: list[int]) -> None:
    user, raw = _of(drawn)
    whole, cut = _Users(), _Users()
    expected = whole.see(user, raw)
    edges = sorted({0, len(raw), *(c for c in cuts if c < len(raw))})
    pieces = [cut.see(user[a:b], raw[a:b]) for a, b in pairwise(edges)]
    for name, column in expected.items():
        assert np.concatenate([piece[name] for piece in pieces]).tobytes() == column.tobytes(), name
    assert {u: m.tobytes() for u, m in cut.memory.items()} == {u: m.tobytes() for u, m in whole.memory.items()}


@given(_EVENTS, _EVENTS, st.integers(0, 40))
def test_nothing_after_an_event_changes_it_and_no_other_user(drawn: _Drawn, others: _Drawn, until: int) -> None:
    user, raw = _of(drawn)
    expected = _Users().see(user, raw)
    other_user, other_raw = _of([*drawn[:until], *others])
    found = _Users().see(other_user, other_raw)
    until = min(until, len(drawn))
    for name, column in expected.items():
        assert found[name][:until].tobytes() == column[:until].tobytes(), name
    alone = _Users().see(user[user == user[0]], raw[user == user[0]])
    for name, column in expected.items():
        assert alone[name].tobytes() == column[user == user[0]].tobytes(), name


def test_a_user_with_many_events_in_one_batch_has_the_features_of_one_who_came_bit_by_bit() -> None:
    rng = np.random.default_rng(0)
    n = 5_000
    user = np.where(np.arange(n) % 10 == 0, np.arange(n), 7)
    raw = _raw(
        n,
        time_ms=START_MS + np.cumsum(rng.exponential(30_000, n)).astype(np.int64),
        item=rng.integers(0, 50, n),
        price=rng.lognormal(3, 1, n),
        device=rng.integers(0, 8, n),
        action=rng.integers(1, 13, n),
    )
    at_once, in_pieces = _Users(), _Users()
    expected = at_once.see(user, raw)
    pieces = [in_pieces.see(user[a : a + 617], raw[a : a + 617]) for a in range(0, n, 617)]
    for name, column in expected.items():
        assert np.concatenate([piece[name] for piece in pieces]).tobytes() == column.tobytes(), name
    assert at_once.memory[7].tobytes() == in_pieces.memory[7].tobytes()
