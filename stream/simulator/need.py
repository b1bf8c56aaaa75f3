"""What a shopper is after: from the first search to an order, or to giving up."""

from __future__ import annotations

from stream.simulator.catalogue import Item

_RESOLVE_MAX = 2.5  # standard deviations of readiness; above, a view more changes nothing
_SHORTLIST = 4


class Need:
    """A category, a price and a brand, and how near it is to being met."""

    __slots__ = ("brand", "category", "narrow", "price_level", "resolve", "shortlist")

    def __init__(self, category: int, price_level: float, brand: str, resolve: float) -> None:
        self.category, self.price_level, self.brand = category, price_level, brand
        self.resolve = min(_RESOLVE_MAX, resolve)  # what it adds to the readiness to buy; grows with what suits
        self.narrow = 0  # how narrowly it is searched for: 0 to 2
        self.shortlist: list[Item] = []

    def suits(self, item: Item) -> bool:
        """Whether it is about what was meant."""
        return abs(item.price_level - self.price_level) < (0.8 if item.brand == self.brand else 0.4)

    def found(self, item: Item) -> None:
        """Something that suits was looked at."""
        self.grow(0.12)
        self.narrow = min(2, self.narrow + 1)
        if item not in self.shortlist:
            self.shortlist.append(item)
            del self.shortlist[:-_SHORTLIST]

    def grow(self, resolve: float) -> None:
        """Come nearer to buying."""
        self.resolve = min(_RESOLVE_MAX, self.resolve + resolve)
