"""What is usual in the training part is what a plain computation over all of it gives."""

import numpy as np
import pytest

from stream.training import normalisation
from stream.training.normalisation import learn
from tests.training.shops import DAY_MS, HOUR_MS, START_MS, gathered, shop_event, simulated


def test_scale_is_that_of_the_gaps_after_a_first_event_and_of_the_prices_there_are() -> None:
    of = simulated()
    found = learn(of)
    time_s, owner = of.raw["time_ms"] / 1000, of.owner
    gaps = np.log1p(np.diff(time_s)[owner[1:] == owner[:-1]])
    prices = np.log1p(of.raw["price"][~np.isnan(of.raw["price"])].astype(np.float64))
    assert 0 < len(prices) < len(of)
    expected = (gaps.mean(), gaps.std(), prices.mean(), prices.std())
    assert tuple(found) == pytest.approx(expected, abs=1e-5)


def test_who_comes_late_by_their_own_clock_has_no_gap_below_none() -> None:
    late = shop_event("ann", "view_item", START_MS)._replace(sent_ms=START_MS + 2 * HOUR_MS)
    first = shop_event("ann", "view_item", START_MS + HOUR_MS)
    found = learn(gathered([first, late], end_ms=START_MS + DAY_MS).runs)
    assert (found.gap_mean, found.gap_std) == (0.0, 1.0)


def test_what_never_differs_is_left_as_it_is_and_what_there_is_none_of_too() -> None:
    same = [shop_event("ann", "view_item", START_MS + n * 1000, price=10) for n in range(5)]
    assert learn(gathered(same).runs) == pytest.approx((np.log(2), 1.0, np.log(11), 1.0), abs=1e-6)
    assert tuple(learn(gathered([shop_event("ann", "search", START_MS)]).runs)) == (0.0, 1.0, 0.0, 1.0)


def test_scale_learned_in_parts_is_that_of_the_whole_and_loses_no_digits_to_the_size_of_its_numbers() -> None:
    moments = normalisation._Moments()
    values = 1e9 + np.random.default_rng(0).normal(0.0, 1e-2, 10_000)
    for part in np.split(values, [1, 7, 7, 5000]):
        moments.add(part)
    mean, spread = moments.told()
    assert mean == pytest.approx(values.mean(), abs=1e-5)
    assert spread == pytest.approx(values.std(), rel=1e-3)


def test_of_what_may_be_missing_the_share_that_is_is_told() -> None:
    events = [
        shop_event("ann", "view_item", START_MS, item_id="i", item_category="c", price=3.5),
        shop_event("ann", "view_item", START_MS + 1, item_id="i"),
        shop_event("bob", "search", START_MS + 2, country="DE"),
        shop_event("bob", "search", START_MS + 3, device_id="d"),
    ]
    told = normalisation.missing(gathered(events).runs)
    assert told == {"item": 0.5, "category": 0.75, "price": 0.75, "device": 0.75, "country": 0.75, "place": 1.0}
