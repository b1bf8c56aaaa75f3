"""What the demo remembers of each user: the last events in facts, and what can be said of all of them. Bounded."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator

import msgspec

_FACTS_PER_USER = 24  # the longest visits of simulated shoppers but a few; a burst is counted up to it
_FACTS = 200_000  # of all users together, some 60 MB; beyond it, whoever was quiet longest is forgotten
_PLACES = 4  # devices, countries and places of a user; of one with more, nothing is said of them
_CATEGORIES = 512  # of all users together; with more, nothing is said of first times

WHEREABOUTS = ("device", "country", "place")
_Known = tuple[str, ...] | None  # None: too many to be kept

Decimal = float | str | None  # data layers write decimals as strings too


class _Line(msgspec.Struct, gc=False):
    item_id: str | None = None
    item_category: str | None = None


class _Record(msgspec.Struct, gc=False):
    """The fields of a source record that can be put into words."""

    event_id: str
    event_name: str
    item_id: str | None = None
    item_category: str | None = None
    price: Decimal = None
    search_term: str | None = None
    value: Decimal = None
    currency: str | None = None
    device_id: str | None = None
    country: str | None = None
    location_id: str | None = None
    items: list[_Line] | None = None


class Fact(msgspec.Struct, gc=False):
    """One event, with the score that it got."""

    name: str
    item: str | None
    category: str | None
    term: str | None
    price: float | None  # or an order's value
    currency: str | None
    device: str | None
    country: str | None
    place: str | None
    time_ms: int = 0  # event time, as scored
    soon: float = 0.0  # the probability of a purchase within the first horizon, after it


_decode = msgspec.json.Decoder(_Record).decode


def read(value: bytes) -> tuple[str, Fact] | None:
    """Event id and facts of a source record; None if it is none that could be scored and found again."""
    try:
        record = _decode(value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    line = record.items[0] if record.items else _Line()
    is_order = record.event_name in ("purchase", "refund")
    return record.event_id, Fact(
        name=sys.intern(record.event_name),
        item=_kept_once(line.item_id if is_order else record.item_id),
        category=_kept_once(line.item_category if is_order else record.item_category),
        term=_kept_once(record.search_term),
        price=_number(record.value if is_order else record.price),
        currency=_kept_once(record.currency),
        device=_kept_once(record.device_id),
        country=_kept_once(record.country),
        place=_kept_once(record.location_id),
    )


def _kept_once(text: str | None) -> str | None:
    return sys.intern(text) if text else None


def _number(decimal: Decimal) -> float | None:
    try:
        number = float(decimal) if decimal is not None else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number > 0 else None


class History:
    """A user's events so far, in the order in which they were scored."""

    __slots__ = ("_categories", "_known", "bought_ms", "count", "day", "facts", "last_ms", "seen", "user")

    def __init__(self, user: str) -> None:
        self.user = user
        self.facts: list[Fact] = []  # the last ones, newest last
        self.count = 0  # also of those no longer among the facts
        self.seen = 0  # the worker's number of the last one
        self.last_ms = 0  # the latest event time
        self.day = 0.0  # probability within the last horizon, after the last event
        self.bought_ms: tuple[int, ...] = ()  # event times of the last purchases
        self._categories = 0  # a bit for each that was seen
        self._known: tuple[_Known, ...] = ((),) * len(WHEREABOUTS)

    def has_met(self, category_bit: int) -> bool:
        return bool(self._categories & category_bit)

    def is_new(self, whereabout: str, value: str | None) -> bool:
        """Whether it was never seen, where another was; with more of them than are kept, none is new."""
        known = self._known[WHEREABOUTS.index(whereabout)] or ()
        return value is not None and known != () and value not in known

    @property
    def has_bought(self) -> bool:
        """Whether their last event is a purchase."""
        return self.facts[-1].name == "purchase"

    @property
    def chance(self) -> float:
        """The last probability of a purchase; of those who have bought, the last one before."""
        return self.facts[-2 if self.has_bought and len(self.facts) > 1 else -1].soon

    def add(self, fact: Fact, category_bit: int) -> None:
        self.facts.append(fact)
        if len(self.facts) > _FACTS_PER_USER:
            del self.facts[0]
        self.count += 1
        self.last_ms = max(self.last_ms, fact.time_ms)
        self._categories |= category_bit
        if fact.name == "purchase":
            self.bought_ms = (*self.bought_ms[-3:], fact.time_ms)  # a few: they are asked about the last hour
        for i, value in enumerate((fact.device, fact.country, fact.place)):
            known = self._known[i]
            if value is not None and known is not None and value not in known:
                more = (*known, value) if len(known) < _PLACES else None
                self._known = (*self._known[:i], more, *self._known[i + 1 :])


class Histories:
    """The history of each user, of at most so many facts: the users who were quiet longest are forgotten first."""

    def __init__(self, facts: int = _FACTS) -> None:
        self._limit = facts
        self._facts = 0
        self._of: dict[str, History] = {}  # whoever was scored last is last
        self._bits: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._of)

    def newest_first(self) -> Iterator[History]:
        return reversed(self._of.values())

    def get(self, user: str) -> History | None:
        return self._of.get(user)

    def before(self, user: str, events_seen: int) -> History:
        """The history to which the user's event of that number is added: a new one if the event before is missing."""
        history = self._of.get(user)
        return history if history is not None and history.seen == events_seen - 1 else History(user)

    def add(self, history: History, fact: Fact, events_seen: int) -> None:
        """The next event of a history that `before` gave."""
        last = self._of.pop(history.user, None)
        self._facts -= 0 if last is None else len(last.facts)
        self._of[history.user] = history
        history.add(fact, self.category_bit(fact.category))
        history.seen = events_seen
        self._facts += len(history.facts)
        while self._facts > self._limit:
            self._facts -= len(self._of.pop(next(iter(self._of))).facts)

    def category_bit(self, category: str | None) -> int:
        """The bit of a category; 0 for none, and for one too many."""
        if category is None:
            return 0
        if category not in self._bits and len(self._bits) < _CATEGORIES:
            self._bits[category] = 1 << len(self._bits)
        return self._bits.get(category, 0)
