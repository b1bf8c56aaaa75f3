"""Who and what a trial is judged by: never by what it learned from."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest

from stream.errors import SettingsError
from stream.scorer import Scores
from stream.training import judging, scoring
from stream.training.trainer import new_model
from stream.tuning.gain import gain
from stream.tuning.judging import Judged, Part, by_time, by_users, calibrated, judge, user_losses
from tests.training.shops import HOUR_MS, START_MS
from tests.tuning.learning import RECIPE, SIZES, runs, task

SPLIT_MS = START_MS + 20 * HOUR_MS


def scores_of(part: Part) -> Scores:
    return scoring.score(new_model(SIZES, part.learns.targets, seed=1), part.held.statistics, part.held.runs)


def mean_of_columns(parts: list[Part], judged: Judged) -> list[float]:
    """[C] of what `user_losses` says: their mean is the objective."""
    nats, rows = user_losses([scores_of(part) for part in parts], parts, judged, SIZES.horizons)
    means: list[float] = (nats.sum(axis=0) / rows.sum(axis=0)).tolist()
    return means


def test_every_user_is_held_out_once_and_learned_from_elsewhere() -> None:
    parts = by_users(task())
    assert len(parts) == 2
    everybody = set(runs().user.tolist())
    held = [set(part.held.runs.user.tolist()) for part in parts]
    assert held[0] | held[1] == everybody and not held[0] & held[1]
    for part, users in zip(parts, held, strict=True):
        assert set(part.learns.runs.user.tolist()) == everybody - users
        assert part.held.statistics == part.learns.statistics


def test_of_many_events_one_share_of_the_users_is_held_out() -> None:
    parts = by_users(task(msgspec.structs.replace(RECIPE, fold_events=10)))
    assert len(parts) == 1
    assert not set(parts[0].held.runs.user.tolist()) & set(parts[0].learns.runs.user.tolist())


def test_by_time_nothing_from_then_on_is_learned_and_nothing_before_is_judged() -> None:
    (part,) = by_time(task(), SPLIT_MS)
    learns, held = part.learns, part.held
    assert learns.runs.raw["time_ms"].max() < SPLIT_MS
    late = learns.runs.raw["time_ms"][:, None] + 1000 * np.array(SIZES.horizons_secs) >= SPLIT_MS
    assert late.any() and not (learns.targets.known[:, :2] & late).any()
    assert len(held.runs) == len(runs())  # what came before is what is carried
    before = held.runs.raw["time_ms"] < SPLIT_MS
    assert before.any() and not held.targets.known[before].any()
    assert held.targets.normal is not None and not held.targets.normal[before].any()
    assert held.targets.known[~before].any()


@pytest.mark.parametrize("hours", [-5, 5_000])
def test_a_time_before_or_after_all_events_is_refused_with_how_many_there_are(hours: int) -> None:
    with pytest.raises(SettingsError, match=r"--split-time: expected events before and after 20\d\d-.*, got"):
        by_time(task(), START_MS + hours * HOUR_MS)


def test_nobody_to_judge_by_is_refused() -> None:
    few = replace(task(), runs=runs().of_users(np.arange(len(runs().counts)) == 0))
    with pytest.raises(SettingsError, match="expected users to learn from and users to judge by, got 1 in all"):
        by_users(few)


def test_the_objective_is_the_mean_log_loss_of_the_horizons() -> None:
    parts = by_users(task())
    scores = [scores_of(part) for part in parts]
    judged = judge(scores, parts, RECIPE, SIZES.horizons)
    assert judged.heads.keys() == {"30m", "24h", "session"}
    assert judged.objective == pytest.approx(np.mean([head.log_loss for head in judged.heads.values()]), abs=1e-6)
    nats, rows = user_losses(scores, parts, judged, SIZES.horizons)
    means = nats.sum(axis=0) / rows.sum(axis=0)
    assert means.tolist() == pytest.approx([head.log_loss for head in judged.heads.values()], abs=1e-5)
    assert len(nats) == len(runs().counts)


def test_where_what_comes_next_alone_is_learned_its_nats_are_the_objective() -> None:
    parts = by_users(task())
    alone = msgspec.structs.replace(RECIPE, intent_weight=0.0)
    judged = judge([scores_of(part) for part in parts], parts, alone, SIZES.horizons)
    assert judged.objective == pytest.approx(judged.nats, abs=1e-5) and judged.nats > 1
    assert mean_of_columns(parts, judged) == [pytest.approx(judged.objective)]


def test_where_no_head_has_both_classes_surprise_is_the_objective_and_what_users_cost() -> None:
    parts = by_users(task())
    for part in parts:
        part.held.targets.bought[:] = False
    judged = judge([scores_of(part) for part in parts], parts, RECIPE, SIZES.horizons)
    assert not judged.heads and not judged.by_heads
    assert mean_of_columns(parts, judged) == [pytest.approx(judged.objective)]


def test_by_time_users_cost_what_came_from_then_on() -> None:
    parts = by_time(task(), SPLIT_MS)
    alone = msgspec.structs.replace(RECIPE, intent_weight=0.0)
    judged = judge([scores_of(part) for part in parts], parts, alone, SIZES.horizons)
    assert mean_of_columns(parts, judged) == [pytest.approx(judged.objective)]


def test_a_head_of_one_class_is_no_part_of_the_objective_nor_of_what_users_cost() -> None:
    parts = by_users(task())
    for part in parts:
        part.held.targets.bought[:, 1] = False
    judged = judge([scores_of(part) for part in parts], parts, RECIPE, SIZES.horizons)
    assert list(judged.heads) == ["30m", "session"]
    columns = mean_of_columns(parts, judged)
    assert len(columns) == 2 and np.mean(columns) == pytest.approx(judged.objective, abs=1e-5)


def test_a_fraud_head_that_is_judged_is_a_part_of_what_users_cost() -> None:
    sizes = msgspec.structs.replace(SIZES, fraud=True)
    told = replace(runs(), fraud=(np.arange(len(runs())) % 3 == 0).astype(np.int8))
    parts = by_users(replace(task(), runs=told, sizes=sizes))
    scores = [
        scoring.score(new_model(sizes, part.learns.targets, seed=1), part.held.statistics, part.held.runs)
        for part in parts
    ]
    judged = judge(scores, parts, RECIPE, sizes.horizons)
    assert list(judged.heads) == ["30m", "24h", "session", "fraud"]
    nats, rows = user_losses(scores, parts, judged, sizes.horizons)
    columns = nats.sum(axis=0) / rows.sum(axis=0)
    assert columns.tolist() == pytest.approx([head.log_loss for head in judged.heads.values()], abs=1e-5)
    assert columns.mean() == pytest.approx(judged.objective, abs=1e-5)


def test_a_gain_is_the_difference_of_the_mean_losses_with_an_interval_around_it() -> None:
    rng = np.random.default_rng(1)
    rows = rng.integers(1, 20, (200, 2)).astype(float)
    default = rows * rng.gamma(2, 0.2, (200, 2))
    best = default - rows * rng.normal(0.05, 0.1, (200, 2))
    found = gain(default, best, rows)
    assert found is not None
    expected = ((best - default).sum(axis=0) / rows.sum(axis=0)).mean()
    assert found.mid == pytest.approx(expected)
    assert found.low < found.mid < found.high < 0
    same = gain(default, default, rows)
    assert same is not None and (same.low, same.mid, same.high) == (0, 0, 0)
    assert gain(default, best, np.zeros((200, 2))) is None


def test_a_model_is_judged_as_it_is_once_calibrated() -> None:
    parts = by_users(task())
    sure = [s._replace(intent=s.intent**4 / (s.intent**4 + (1 - s.intent) ** 4)) for s in map(scores_of, parts)]
    plain, later = (judge(s, parts, RECIPE, SIZES.horizons) for s in (sure, calibrated(sure, parts)))
    for name, head in later.heads.items():
        assert head.log_loss < plain.heads[name].log_loss
    assert later.cost[0] < plain.cost[0]
    assert later.cost[0] == pytest.approx(
        judging.calibrated_cost(sure, [part.held.targets for part in parts], RECIPE)[0], rel=1e-6
    )
