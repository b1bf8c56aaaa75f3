"""Lessons: every event once, seen as serving sees it, whoever is beside it; and what augmentation does to them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream import rows
from stream.events import EventBatch
from stream.features import RECENT, Seen
from stream.pipeline import Pipeline
from stream.scorer import Scorer, Scores
from stream.sequences import Packing
from stream.table import Table
from stream.training import scoring
from stream.training.fraud_labels import Kinds
from stream.training.lessons import Draw, Lesson, Plan, chunks, lessons
from stream.training.merged import merged
from stream.training.reading import Reading
from stream.training.recipe import Augmentation
from stream.training.runs import Runs
from stream.training.sources import EventsShop
from tests.shop import CPU, MODEL, NORMAL, STATISTICS, no_rows, small_model
from tests.training.shops import DAY_MS, START_MS, events_of, simulated

Columns = list[NDArray[np.generic]]


def plan(of: Runs, *, lanes: int = 7, steps: int = 5) -> Plan:
    return Plan(np.random.default_rng(0).permutation(len(of.counts)), lanes, steps)


def columns_of(seen: Seen) -> Columns:
    """Of each event, all that a model sees of it."""
    return [*seen.features, seen.classes, seen.high_ms]


def put_together(of: Runs, taught: Iterable[Lesson]) -> Columns:
    """What lessons say of each event, in the order of the runs."""
    whole: Columns = []
    for lesson in taught:
        columns = columns_of(lesson.seen)
        whole = whole or [np.zeros((len(of), *column.shape[1:]), column.dtype) for column in columns]
        for there, here in zip(whole, columns, strict=True):
            there[lesson.events] = here
    return whole


@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=20),
    lanes=st.integers(1, 30),
    steps=st.integers(1, 50),
    seed=st.integers(0, 100),
)
def test_every_event_comes_once_and_each_users_in_their_order(
    counts: list[int], lanes: int, steps: int, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(len(counts))
    found = list(chunks(np.array(counts), Plan(order, lanes, steps)))
    events = np.concatenate([chunk.events for chunk in found])
    assert sorted(events.tolist()) == list(range(sum(counts)))
    user = np.repeat(np.arange(len(counts)), counts)
    for place in range(len(counts)):
        assert (np.diff(events[user[events] == place]) == 1).all()
    in_lane: dict[int, int] = {}
    begun: list[int] = []
    for chunk in found:
        assert np.bincount(chunk.lane).max() <= steps
        for lane in np.unique(chunk.lane).tolist():
            users = set(user[chunk.events[chunk.lane == lane]].tolist())
            assert len(users) == 1  # nobody's carry goes on with another
            (now,) = users
            # A lane changes its user where it is told to, and nowhere else
            assert (lane in chunk.fresh) == (in_lane.get(lane) != now)
            in_lane[lane] = now
        begun += [in_lane[lane] for lane in chunk.fresh.tolist()]
    assert begun == order.tolist()


def test_lanes_are_filled_as_long_as_anybody_waits() -> None:
    of = simulated()
    found = list(chunks(of.counts, plan(of)))
    waiting = len(of.counts)
    for chunk in found:
        waiting -= len(chunk.fresh)
        if waiting:
            assert len(np.unique(chunk.lane)) == 7


@cache
def as_serving_sees_it() -> tuple[Columns, NDArray[np.float32]]:
    """(all that the model sees of each event of `simulated`, surprise) by the pipeline, in the order of the runs."""
    of, heard = simulated(), _Listening()
    table = Table(rows.Sizes(RECENT, 2, 1, 8), model=MODEL, device=CPU, fetch_rows=no_rows)
    pipeline = Pipeline(table, heard, STATISTICS, NORMAL, max_steps=3)
    shop = EventsShop("shop", events_of(60, 7, 3, True), end_ms=START_MS + 7 * DAY_MS)
    events = EventBatch.concat([part.events for part in merged(shop, Kinds(), Reading(shop.name), lambda n: None)])
    waiting, start = EventBatch.concat([]), 0
    place = {int(name): i for i, name in enumerate(of.raw["event_hash"])}
    assert len(place) == len(of) == len(events)
    whole: Columns = []
    surprise = np.zeros((len(of), len(NORMAL.part_means)), np.float32)
    rng = np.random.default_rng(1)
    while start < len(events) or len(waiting):
        end = start + int(rng.integers(1, 300))
        outcome = pipeline.apply(EventBatch.concat([b for b in (waiting, events.take(slice(start, end))) if len(b)]))
        scored, waiting, start = outcome.scored, outcome.deferred, end
        packing, columns = heard.packing, columns_of(heard.seen)
        whole = whole or [np.zeros((len(of), *column.shape[1:]), column.dtype) for column in columns]
        to = [place[int(name)] for name in scored.events["event_hash"]]
        for there, here in zip(whole, columns, strict=True):
            there[to] = packing.to_arrival(here)
        surprise[to] = scored.surprise_parts
    return whole, surprise


class _Listening(Scorer):
    """A scorer that remembers what it was last given."""

    def __init__(self) -> None:
        super().__init__(small_model(), CPU)

    def score(self, seen: Seen, packing: Packing, carry: torch.Tensor) -> tuple[Scores, torch.Tensor]:
        self.seen, self.packing = seen, packing
        return super().score(seen, packing, carry)


@pytest.mark.parametrize(("lanes", "steps"), [(1, 1000), (3, 1), (7, 5), (64, 16)])
def test_whatever_lanes_and_steps_each_event_is_seen_as_serving_sees_it_bit_for_bit(lanes: int, steps: int) -> None:
    of = simulated()
    found = put_together(of, lessons(of, plan(of, lanes=lanes, steps=steps), STATISTICS))
    for here, there in zip(found, as_serving_sees_it()[0], strict=True):
        assert here.dtype == there.dtype
        assert here.tobytes() == there.tobytes()


def test_with_the_carry_passed_on_each_event_is_scored_as_serving_scores_it() -> None:
    found = scoring.score(small_model(), STATISTICS, simulated())
    np.testing.assert_allclose(found.surprise, as_serving_sees_it()[1], atol=1e-4)


def test_what_was_seen_of_a_user_does_not_depend_on_who_else_is_there() -> None:
    of = simulated()
    some = np.arange(len(of.counts)) % 3 == 0
    alone, events = of.of_users(some), np.repeat(some, of.counts)
    here = put_together(alone, lessons(alone, plan(alone), STATISTICS))
    there = put_together(of, lessons(of, plan(of), STATISTICS))
    for one, other in zip(here, there, strict=True):
        assert one.tobytes() == other[events].tobytes()


# Augmentation


def drawn(of: Runs, **how: float) -> list[Lesson]:
    return list(lessons(of, plan(of), STATISTICS, Draw(Augmentation(**how), (1, 2))))


def test_one_seed_draws_the_same_and_another_does_not() -> None:
    of, how = simulated(), Augmentation(event_dropout=0.3, time_stretch=0.2, crop=0.5)
    one, again, other = (
        [column for lesson in lessons(of, plan(of), STATISTICS, Draw(how, seed)) for column in columns_of(lesson.seen)]
        for seed in ((1, 2), (1, 2), (1, 3))
    )
    assert [c.tobytes() for c in one] == [c.tobytes() for c in again]
    assert [c.tobytes() for c in one] != [c.tobytes() for c in other]


def test_a_dropped_event_is_as_if_it_had_never_come() -> None:
    of = simulated()
    found = drawn(of, event_dropout=0.4)
    came = np.concatenate([lesson.events for lesson in found])
    assert len(set(came.tolist())) == len(came)
    assert len(came) == pytest.approx(0.6 * len(of), rel=0.1)
    kept = np.zeros(len(of), np.bool_)
    kept[came] = True
    without = of.select(kept)
    here = put_together(of, found)
    there = put_together(without, lessons(without, plan(without), STATISTICS))
    for one, other in zip(here, there, strict=True):
        assert one[kept].tobytes() == other.tobytes()


def test_however_many_events_are_dropped_no_lesson_is_empty() -> None:
    of = simulated(users=10)
    how = Draw(Augmentation(event_dropout=0.99), (1,))
    found = list(lessons(of, plan(of, lanes=1, steps=2), STATISTICS, how))
    assert len(found) > 20
    assert all(len(lesson.events) for lesson in found)


def test_a_user_who_is_cropped_begins_somewhere_in_the_middle_and_goes_on_to_the_end() -> None:
    of = simulated()
    found = drawn(of, crop=0.5)
    came = np.zeros(len(of), np.bool_)
    came[np.concatenate([lesson.events for lesson in found])] = True
    left = np.add.reduceat(came, np.cumsum(of.counts) - of.counts)
    assert (left >= 1).all()
    cropped = left < of.counts
    assert 0.25 < cropped.mean() < 0.65  # half of them, but for those of one event, and who begins with the first
    for start, count, has in zip(np.cumsum(of.counts) - of.counts, of.counts, left, strict=True):
        assert not came[start : start + count - has].any()
        assert came[start + count - has : start + count].all()
    without = of.select(came)
    here = put_together(of, found)
    there = put_together(without, lessons(without, plan(without), STATISTICS))
    for one, other in zip(here, there, strict=True):
        assert one[came].tobytes() == other.tobytes()


def test_stretching_multiplies_a_users_gaps_by_one_number_and_leaves_their_order() -> None:
    of = simulated()
    found = drawn(of, time_stretch=0.5)
    assert sorted(np.concatenate([lesson.events for lesson in found]).tolist()) == list(range(len(of)))
    gap = put_together(of, found)[3][:, 0].astype(np.float64)  # of REAL the first: a log gap in standard deviations
    plain = put_together(of, lessons(of, plan(of), STATISTICS))[3][:, 0].astype(np.float64)
    gap_s, plain_s = (np.expm1(column * STATISTICS.gap_std + STATISTICS.gap_mean) for column in (gap, plain))
    ratios = []
    for place in range(len(of.counts)):
        own = (of.owner == place) & (plain_s > 30)
        own[np.searchsorted(of.owner, place)] = False  # a first event has no gap
        if own.sum() > 2:
            ratio = gap_s[own] / plain_s[own]
            np.testing.assert_allclose(ratio, np.median(ratio), rtol=1e-2)
            ratios.append(float(np.median(ratio)))
    assert len(ratios) > 15
    assert np.log(ratios).std() == pytest.approx(0.5, rel=0.5)


def test_without_augmentation_nothing_is_drawn() -> None:
    of = simulated()
    here = put_together(of, drawn(of))
    there = put_together(of, lessons(of, plan(of), STATISTICS))
    assert [one.tobytes() for one in here] == [other.tobytes() for other in there]
