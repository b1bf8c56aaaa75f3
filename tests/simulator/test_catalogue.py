from collections import Counter
from random import Random

import msgspec
import orjson
import pytest

from stream.simulator import scenario
from stream.simulator.catalogue import Catalogue

NUMBERS = scenario.load().catalogue


@pytest.fixture
def catalogue() -> Catalogue:
    return Catalogue(Random(4), NUMBERS)


def popularity(catalogue: Catalogue) -> list[float]:
    return [after - before for s in catalogue.shelves for before, after in zip([0.0, *s.sums], s.sums, strict=False)]


def correlation(one: list[float], other: list[float]) -> float:
    """Spearman's, of ranks."""
    ranks = []
    for values in (one, other):
        order = sorted(range(len(values)), key=values.__getitem__)
        ranks.append({place: rank for rank, place in enumerate(order)})
    n = len(one)
    return 1 - 6 * sum((ranks[0][i] - ranks[1][i]) ** 2 for i in range(n)) / (n * (n * n - 1))


def test_popularity_drifts_a_little_in_a_day_and_a_lot_in_a_month(catalogue: Catalogue) -> None:
    catalogue.at(0)
    first = popularity(catalogue)
    catalogue.at(1)
    next_day = popularity(catalogue)
    catalogue.at(30)
    next_month = popularity(catalogue)
    assert 0.75 < correlation(first, next_day) < 1
    assert correlation(first, next_month) < correlation(first, next_day) - 0.1


def test_the_shares_of_what_is_out_of_stock_and_on_promotion_stay_as_asked_for(catalogue: Catalogue) -> None:
    items = [item for shelf in catalogue.shelves for item in shelf.items]
    out, promoted = [], []
    for day in range(60):
        catalogue.at(day)
        out.append(sum(not item.in_stock for item in items) / len(items))
        promoted.append(sum(item.discount > 0 for item in items) / len(items))
    assert 0.7 < sum(out) / len(out) / NUMBERS.stock_out_share < 1.4
    assert 0.7 < sum(promoted) / len(promoted) / NUMBERS.promotion_share < 1.4


def test_what_is_out_of_stock_is_not_listed_and_comes_back(catalogue: Catalogue) -> None:
    rng = Random(1)
    shelf = catalogue.shelves[0]
    were_out = {item.number for item in shelf.items if not item.in_stock}
    drawn = {shelf.draw(rng).number for _ in range(20_000)}
    assert not drawn & were_out
    catalogue.at(0)
    catalogue.at(40)
    assert {item.number for item in shelf.items if item.in_stock} & were_out


def test_a_promotion_cuts_the_price_says_so_and_makes_popular(catalogue: Catalogue) -> None:
    promoted = catalogue.promoted()
    assert promoted
    for item in promoted:
        facts = orjson.loads("{" + f"{item.facts[0]}1}}"[1:])
        assert facts["price"] == pytest.approx(max(1.0, item.full_cents * (1 - item.discount) / 100), abs=0.011)
        assert facts["discount"] == pytest.approx(item.full_cents / 100 - facts["price"], abs=0.001)
    plain = msgspec.structs.replace(NUMBERS, promotion_share=0.0)
    assert not Catalogue(Random(4), plain).promoted()


def test_prices_have_levels_by_category_and_brands_are_sold_in_some_categories_only(catalogue: Catalogue) -> None:
    medians = sorted(sorted(i.full_cents for i in shelf.items)[len(shelf.items) // 2] for shelf in catalogue.shelves)
    assert medians[-1] > 5 * medians[0]
    brands = Counter(item.brand for shelf in catalogue.shelves for item in shelf.items)
    assert len(brands) <= NUMBERS.brands
    assert all(len({item.brand for item in shelf.items}) <= 8 for shelf in catalogue.shelves)


def test_days_pass_once_each_whoever_asks(catalogue: Catalogue) -> None:
    other = Catalogue(Random(4), NUMBERS)
    for day in range(10):
        catalogue.at(day)
        catalogue.at(day)
    other.at(0)
    other.at(9)
    assert popularity(catalogue) == popularity(other)
