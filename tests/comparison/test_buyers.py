"""Who buys within 6 hours, told from the past."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from stream.comparison import buyers
from stream.comparison.behaviour import read
from stream.replay import open_recording
from tests.comparison.streams import event

SHARED = Path(__file__).parents[3] / "shared" / "data"
HOUR = 3600.0


def test_a_label_is_a_purchase_of_the_same_user_strictly_later_within_six_hours() -> None:
    of = read(
        [
            event("ann", 0),  # 6 h and a second before
            event("ann", 1),  # 6 h before
            event("ann", 6 * HOUR + 1, event_id="same moment"),
            event("ann", 6 * HOUR + 1, "purchase", "x"),
            event("ann", 6 * HOUR + 2),
            event("bob", 0),  # the next in line is another user's
            event("cid", 5 * HOUR, "purchase", "x"),
        ]
    ).behaviour
    assert buyers.buys_later(of).tolist() == [False, True, False, False, False, False, False]


def test_what_is_not_watched_to_its_end_is_masked_and_training_ends_before_scoring_begins() -> None:
    of = read([event("ann", HOUR * hour) for hour in range(49)]).behaviour  # cut at 32 h
    examples = buyers.split(of, purchases_seen=True)
    assert examples.training.sum() == 27  # at 0 to 26 h: their horizons end by 32 h
    assert (~examples.training).sum() == 10  # at 33 to 42 h


def test_purchases_are_not_scored_and_enter_features_only_when_told_to() -> None:
    events = [event("ann", HOUR * hour, ("view_item", "purchase")[hour % 2], "x") for hour in range(40)]
    of = read(events).behaviour
    seen, unseen = (buyers.split(of, purchases_seen=told) for told in (True, False))
    assert len(seen.y) == len(unseen.y) == 14
    assert seen.x.shape[1] > unseen.x.shape[1]  # what is counted of purchases


def test_an_area_is_that_of_all_pairs_and_its_interval_holds_it() -> None:
    rng = np.random.default_rng(0)
    y, score, user = rng.random(300) < 0.3, rng.integers(0, 9, 300) / 9, rng.integers(0, 60, 300)
    score[y] += 0.2
    pairs = score[y][:, None] - score[~y][None, :]
    found = buyers.interval(y, score, user)
    assert found.auc == pytest.approx((pairs > 1e-12).mean() + (np.abs(pairs) <= 1e-12).mean() / 2)
    assert found.low < found.auc < found.high


def test_buyers_who_show_it_are_found_and_those_who_do_not_are_not() -> None:
    """Half of all who come fill a cart; they buy an hour later in the one shop, and anyone does in the other."""
    rng = np.random.default_rng(0)
    aucs = []
    for shown in (True, False):
        events = []
        for user in range(600):
            at, cart = rng.random() * 70 * HOUR, rng.random() < 0.5
            buys = cart if shown else rng.random() < 0.5
            events += [event(f"u{user}", at), event(f"u{user}", at + 60, "add_to_cart" if cart else "view_item", "x")]
            events += [event(f"u{user}", at + HOUR, "purchase", "x")] if buys else []
        regression = buyers.find(read(events).behaviour, purchases_seen=False).regression
        assert regression is not None
        aucs.append(regression.auc)
    assert aucs[0] > 0.7  # the first event of everyone says nothing yet
    assert aucs[1] < 0.6


def test_without_lightgbm_regression_is_left_and_without_both_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    events = [
        event(
            f"u{rng.integers(40)}", round(rng.random() * 40 * HOUR), ("view_item", "purchase")[int(k % 9 == 0)], str(k)
        )
        for k in range(900)
    ]
    of = read(events).behaviour
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    found = buyers.find(of, purchases_seen=False)
    assert found.boosting is None
    assert found.headline == found.regression
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ValueError, match=re.escape("got neither: pip install 'behaviour-stream[evaluate]'")):
        buyers.find(of, purchases_seen=False)


def test_a_stream_without_buyers_is_refused() -> None:
    with pytest.raises(ValueError, match="with and without a purchase to come to learn from, got 0 of"):
        buyers.find(read([event("a", HOUR * k) for k in range(40)]).behaviour, purchases_seen=False)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"the recordings are not here: {SHARED}")
def test_buyers_in_a_recording_are_found_about_as_well_as_in_its_reference() -> None:
    """Reference: 0.692 by regression, 0.651 by boosting, of events a quarter of which have a purchase to come."""
    pytest.importorskip("lightgbm")
    found = buyers.find(read(open_recording(SHARED / "jdata_2018_03.parquet")).behaviour, purchases_seen=False)
    assert found.boosting is not None
    assert found.regression is not None
    assert found.base_rate == pytest.approx(0.247, abs=0.02)
    assert found.regression.auc > 0.692
    assert found.boosting.auc > 0.651
