"""What the shop sells: items of brands at prices, whose popularity drifts, which run out, and which are promoted.

Text of events is made once per item and day, not per event: half of what a simulated event costs is its text.
"""

from __future__ import annotations

import math
from bisect import bisect
from itertools import accumulate
from random import Random

from stream.simulator import words
from stream.simulator.scenario import Catalogue as Numbers

_BRANDS_PER_CATEGORY = 8
_TERM_STEEPNESS = 0.9
_TYPOS_PER_TERM = 3
_LOWEST_CENTS = 100
_PROMOTED = 4.0  # log of how much more popular a price cut of 100 % would make an item: 30 % off, 3.3 times


class Item:
    """A shop item as it is on one day. `facts` and `line` are JSON, each as (decimals as numbers, as strings)."""

    __slots__ = (
        "brand", "category", "cents", "discount", "drift", "facts", "full_cents", "in_stock", "line", "number",
        "price_level",
    )  # fmt: skip

    def __init__(self, number: int, category: int, brand: str, price_level: float, cents: int) -> None:
        self.number, self.category, self.brand = number, category, brand
        self.price_level = price_level  # standard deviations from the median log price of its category
        self.full_cents = self.cents = cents
        self.discount = 0.0  # a share of the full price
        self.in_stock = True
        self.drift = 0.0  # of its popularity, in standard deviations of its logarithm
        self.write()

    def write(self) -> None:
        """Make the text again, after a change of the price."""
        self.cents = max(_LOWEST_CENTS, round(self.full_cents * (1 - self.discount)))
        about = f'"item_id":"sku-{self.number:05d}","item_brand":"{self.brand}"'
        about += f',"item_category":"{words.CATEGORIES[self.category].name}"'
        facts = [f'{about},"price":{decimal(self.cents, as_text)}' for as_text in (False, True)]
        if self.discount:
            off = [decimal(self.full_cents - self.cents, as_text) for as_text in (False, True)]
            facts = [f'{fact},"discount":{amount}' for fact, amount in zip(facts, off, strict=True)]
        self.facts = [f',{fact},"quantity":' for fact in facts]
        self.line = [f'{{{fact},"quantity":' for fact in facts]


class Searches:
    """Search facts of a category in one language, as JSON, by how narrow the wish is."""

    def __init__(self, rng: Random, terms: words.Terms) -> None:
        self._levels = []
        for level, of_level in enumerate(terms):
            results = [rng.randint(20 >> 2 * level, 400 >> 2 * level) for _ in of_level]
            right = [search_facts(term, n) for term, n in zip(of_level, results, strict=True)]
            wrong = [
                [search_facts(words.typo(rng, term), rng.choice((0, 0, 0, n))) for _ in range(_TYPOS_PER_TERM)]
                for term, n in zip(of_level, results, strict=True)
            ]
            self._levels.append((zipf_sums(len(of_level), _TERM_STEEPNESS), right, wrong))

    def draw(self, rng: Random, level: int, typo_share: float) -> tuple[str, str | None]:
        """(facts of a search, and of the one that puts its typo right, if there was one)."""
        sums, right, wrong = self._levels[level]
        place = bisect(sums, rng.random())
        if rng.random() < typo_share:
            return rng.choice(wrong[place]), right[place]
        return right[place], None


class Shelf:
    """A category: its items, and how popular each is today."""

    def __init__(
        self, name: str, items: list[Item], popularity: list[float], searches: tuple[Searches, Searches]
    ) -> None:
        self.facts = f',"item_category":"{name}"'  # JSON of an event about the shelf
        self.items = items
        self.german, self.english = searches
        self._popularity = popularity  # without drift
        self.sums: list[float] = []

    def weigh(self, drift_spread: float) -> None:
        """Set `sums`: the items' probabilities, summed up."""
        weights = [
            popularity * math.exp(drift_spread * item.drift + _PROMOTED * item.discount) if item.in_stock else 0.0
            for item, popularity in zip(self.items, self._popularity, strict=True)
        ]
        total = sum(weights)
        if not total:  # all have run out: they are looked at all the same
            weights, total = self._popularity, sum(self._popularity)
        self.sums = [part / total for part in accumulate(weights)]

    def draw(self, rng: Random) -> Item:
        """An item, by its popularity of today."""
        return self.items[bisect(self.sums, rng.random(), 0, len(self.sums) - 1)]


class Catalogue:
    """All shelves, as they are on the day that `at` was last told."""

    def __init__(self, rng: Random, numbers: Numbers) -> None:
        self._rng, self._numbers = rng, numbers
        brands = words.brand_names(rng, numbers.brands)
        popularity = [1 / (rank + 1) ** numbers.item_steepness for rank in range(numbers.items_per_category)]
        self.shelves: list[Shelf] = []
        for number, category in enumerate(words.CATEGORIES):
            sold = rng.sample(brands, min(_BRANDS_PER_CATEGORY, len(brands)))
            items = _items(rng, numbers, number, sold)
            german, english = words.terms(rng, category, sold)
            self.shelves.append(
                Shelf(category.name, items, popularity, (Searches(rng, german), Searches(rng, english)))
            )
        self.category_sums = zipf_sums(len(words.CATEGORIES), numbers.category_steepness)
        self._items = [item for shelf in self.shelves for item in shelf.items]
        for item in self._items:
            item.drift = rng.gauss(0, 1)
            item.in_stock = rng.random() >= numbers.stock_out_share
            if rng.random() < numbers.promotion_share:
                item.discount = rng.choice(numbers.promotion_discounts)
                item.write()
        self._weigh()
        self._day: int | None = None

    def at(self, day: int) -> None:
        """Let the days pass up to this one, which is not before the last one told."""
        if self._day is None:
            self._day = day
        while self._day < day:
            self._day += 1
            self._pass_a_day()

    def any_category(self, rng: Random) -> int:
        """A category by its popularity."""
        return bisect(self.category_sums, rng.random(), 0, len(self.category_sums) - 1)

    def promoted(self) -> list[Item]:
        """What has a discount today and can be had."""
        return [item for item in self._items if item.discount and item.in_stock]

    def _pass_a_day(self) -> None:
        rng, numbers = self._rng, self._numbers
        kept = math.exp(-1 / numbers.drift_days)  # of yesterday's drift: an Ornstein-Uhlenbeck process
        new = math.sqrt(1 - kept * kept)
        runs_out = _starts(numbers.stock_out_share, numbers.stock_out_days)
        promoted = _starts(numbers.promotion_share, numbers.promotion_days)
        for item in self._items:
            item.drift = kept * item.drift + new * rng.gauss(0, 1)
            if item.in_stock:
                item.in_stock = rng.random() >= runs_out
            else:
                item.in_stock = rng.random() < 1 / numbers.stock_out_days
            if item.discount:
                if rng.random() < 1 / numbers.promotion_days:
                    item.discount = 0.0
                    item.write()
            elif rng.random() < promoted:
                item.discount = rng.choice(numbers.promotion_discounts)
                item.write()
        self._weigh()

    def _weigh(self) -> None:
        for shelf in self.shelves:
            shelf.weigh(self._numbers.drift_spread)


def _items(rng: Random, numbers: Numbers, category: int, brands: list[str]) -> list[Item]:
    typical_cents = 100 * numbers.price_median * math.exp(numbers.category_price_spread * rng.gauss(0, 1))
    items = []
    for rank in range(numbers.items_per_category):
        level = rng.gauss(0, 1)
        cents = max(_LOWEST_CENTS, round(typical_cents * math.exp(numbers.item_price_spread * level)))
        items.append(Item(category * numbers.items_per_category + rank, category, rng.choice(brands), level, cents))
    return items


def _starts(share: float, days: float) -> float:
    """Probability a day, of what is not so, to become so: then `share` of all are, `days` long in the mean."""
    return min(1.0, share / (1 - share) / days)


def zipf_sums(n: int, steepness: float) -> list[float]:
    """Probabilities of ranks, summed up."""
    sums = list(accumulate(1 / (rank + 1) ** steepness for rank in range(n)))
    return [s / sums[-1] for s in sums]


def search_facts(term: str, results: int) -> str:
    """JSON that goes on an event's text."""
    return f',"search_term":"{term}","results_count":{results}'


def decimal(cents: int, as_text: bool) -> str:
    """Money as JSON, never through a float."""
    amount = f"{cents // 100}.{cents % 100:02d}"
    return f'"{amount}"' if as_text else amount
