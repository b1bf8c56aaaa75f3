"""Labels of every event in the order of a model's heads: what is told, what weighs nothing, what is normal."""

import numpy as np
import pytest

from stream.model import Sizes
from stream.training import labels
from stream.training.targets import targets
from tests.training.shops import DAY_MS, HOUR_MS, START_MS, gathered, happened, simulated

SIZES = Sizes(hidden=8)
LABELLED = {"users": 100, "days": 4, "honest": False}  # 121 of 1,953 events are fraud


def test_horizons_come_in_their_order_and_the_session_last() -> None:
    of = simulated()
    found = targets(of, Sizes(hidden=8, horizons_secs=(86400, 600)))
    within, session = labels.within(of, (86400, 600)), labels.in_session(of)
    assert found.bought.tolist() == np.column_stack([within.bought, session.bought]).tolist()
    assert found.known.tolist() == np.column_stack([within.known, session.known]).tolist()
    assert found.counts[2] == labels.counts(session.bought, session.known)
    assert (found.fraud, found.fraud_known, found.normal) == (None, None, None)


def test_without_the_session_no_event_weighs_less_than_another() -> None:
    of = simulated()
    found = targets(of, Sizes(hidden=8, session=False))
    assert found.bought.shape == (len(of), 2)
    assert found.session_weight is None
    assert set(found.weight(np.arange(len(of))).ravel().tolist()) == {0.0, 1.0}


def test_what_is_not_known_weighs_nothing_and_a_session_as_much_as_another_in_all() -> None:
    of = simulated()
    found = targets(of, SIZES)
    some = np.random.default_rng(0).permutation(len(of))[:500]
    weight = found.weight(some)
    assert weight.dtype == np.float32
    assert (weight[~found.known[some]] == 0).all()
    assert (weight[found.known[some]] > 0).all()
    assert (weight[:, :2][found.known[some, :2]] == 1).all()
    assert found.session_weight is not None
    assert found.session_weight.mean() == pytest.approx(1.0, abs=1e-5)
    once = np.unique(of.session, return_inverse=True)[1]
    of_session = np.bincount(once, found.session_weight)
    assert of_session.std() < 1e-4 * of_session.mean()


def test_fraud_is_told_to_a_model_with_a_head_for_it_once_it_is_known() -> None:
    of = simulated(**LABELLED)
    at_once, later = (targets(of, Sizes(hidden=8, fraud=True), fraud_delay_ms=delay) for delay in (0, 2 * DAY_MS))
    assert at_once.fraud is not None and at_once.fraud_known is not None and later.fraud_known is not None
    assert np.count_nonzero(at_once.fraud & at_once.fraud_known) > np.count_nonzero(at_once.fraud & later.fraud_known)
    assert 0 < np.count_nonzero(later.fraud_known) < len(of)


def test_what_is_known_to_be_fraud_is_not_normal_with_or_without_a_head() -> None:
    of = simulated(**LABELLED)
    for fraud in (False, True):
        found = targets(of, Sizes(hidden=8, fraud=fraud))
        assert found.normal is not None
        assert found.normal.tolist() == (of.fraud != 1).tolist()
    # Nobody knows it yet: all of it is taken for normal
    assert targets(of, SIZES, fraud_delay_ms=9 * DAY_MS).normal is None
    half = targets(of, SIZES, fraud_delay_ms=2 * DAY_MS).normal
    assert half is not None
    assert 0 < np.count_nonzero(~half) < np.count_nonzero(of.fraud == 1)


def test_how_often_each_horizon_says_what_is_counted() -> None:
    of = gathered(happened([("ann", "view_item", 0), ("ann", "purchase", 1)]), end_ms=START_MS + HOUR_MS).runs
    assert targets(of, Sizes(hidden=8, session=False)).counts == ((1, 1, 0), (0, 0, 2))


def test_no_events_have_no_targets() -> None:
    of = simulated()
    none = of.select(np.zeros(len(of), np.bool_))
    found = targets(none, SIZES)
    assert found.bought.shape == found.known.shape == (0, 3)
    assert found.counts == ((0, 0, 0),) * 3
