"""The input of an evaluation."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from stream.evaluation.behaviour import NONE
from stream.evaluation.scored import behaviour, behaviour_of
from tests.evaluation.shop import HOUR_MS, PURCHASE, REFUND, START_MS, VIEW, raw_events, shop


def test_columns_that_do_not_fit_are_refused_by_name() -> None:
    of = shop(4)
    with pytest.raises(ValueError, match=rf"expected bought of shape \({len(of)}, 2\), got \({len(of)}, 1\)"):
        dataclasses.replace(of, bought=of.bought[:, :1])
    with pytest.raises(ValueError, match="user by user"):
        dataclasses.replace(of, user=of.user[::-1])


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1])
def test_a_score_that_is_no_probability_is_refused_where_it_is_evaluated(bad: float) -> None:
    of = shop(4)
    elsewhere, there = of.intent.copy(), of.intent.copy()
    elsewhere[~of.evaluated] = bad
    assert len(dataclasses.replace(of, intent=elsewhere)) == len(of)
    there[np.flatnonzero(of.evaluated)[0], 1] = bad
    with pytest.raises(ValueError, match="expected intent from 0 to 1"):
        dataclasses.replace(of, intent=there)


def test_purchases_and_refunds_are_not_learned_from() -> None:
    of = shop(6)
    of.raw["action"][0] = REFUND
    assert of.learnable.sum() == (of.training & ~np.isin(of.raw["action"], [PURCHASE, REFUND])).sum()
    assert not of.learnable[0]


def test_codes_of_behaviour_are_dense_and_a_session_is_one_users() -> None:
    of = shop(4)
    of = dataclasses.replace(of, session=np.where(of.user == 3, 0, 7).astype(np.uint64))
    of.raw["item"][:2] = 0, 4_000_000_000
    found = behaviour(of)
    assert sorted(set(found.session.tolist())) == [NONE, 0, 1, 2]
    assert found.item[0] == NONE
    assert found.item.max() + 1 == len(np.unique(of.raw["item"])) - 1
    assert found.users == 4


def test_where_no_session_is_named_pauses_part_them() -> None:
    times = START_MS + np.array([0, HOUR_MS // 4, 2 * HOUR_MS])
    raw = raw_events(times, np.full(3, VIEW))
    assert behaviour_of(raw, np.zeros(3, np.int64), np.zeros(3, np.uint64)).session.tolist() == [0, 0, 1]
