"""Why an event is strange, in words: all that is said is computed from the user's events before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice, pairwise, takewhile
from statistics import median

from stream.commands.demo_history import WHEREABOUTS, Fact, History
from stream.commands.demo_words import ABOUT_MONEY, DAY_MS, MINUTE_MS, SECOND_MS, duration, money, what
from stream.commands.score_lines import readable

VISIT_MS = 30 * MINUTE_MS  # Google Analytics' own end of a session
_AWAY_MS = 3 * DAY_MS  # an absence worth a word
_AT_ONCE_MS = 5 * SECOND_MS  # nobody pays for what they have looked at for less
_BURST_EVENTS = 10  # within a minute
_SAME_IN_A_ROW, _NEW_IN_A_ROW = 5, 10  # events on one item, or on as many items, before it is worth a word
_EVEN, _EVEN_MS = 0.05, 50  # gaps that differ by less are the same: no human keeps such time
_PRICES_LEAST, _PRICE_RATIO = 3, 3.0  # so many prices make a habit, and so many times it is worth a word
_NATS_LEAST = 1.0  # a part of the surprise below it explains nothing
_REASONS = 2

_NEEDS_A_CART = {"begin_checkout", "add_payment_info", "purchase"}


def why(fact: Fact, history: History, parts: Mapping[str, float], *, known: bool, first_time_in: bool) -> str:
    """Why an event is strange, given the user's events before it and the parts of its surprise in nats.

    `known`: `history` holds every event that the user had before, so that "never" and "first" may be said;
    `first_time_in`: none of them was in its category.
    """
    rules = {
        "action": lambda: _of_action(fact, history, known),
        "item": lambda: _of_item(fact, history),
        "category": lambda: _of_category(fact, history, known and first_time_in),
        "gap": lambda: _of_gap(fact, history),
        "rhythm": lambda: _of_rhythm(fact, history),
        "price": lambda: _of_price(fact, history),
        "context": lambda: _of_context(fact, history, known),
    }
    reasons: list[str] = []
    by_size = sorted(parts, key=lambda part: -parts[part])
    for part in by_size:
        if part in rules and parts[part] >= _NATS_LEAST:
            reasons += islice(rules[part](), 1)
    reasons[1:1] = (reason for reason in _of_context(fact, history, known) if reason not in reasons)
    return "; ".join(reasons[:_REASONS]) or _plainly(by_size[0], fact, history)


def _of_action(fact: Fact, history: History, known: bool) -> Iterator[str]:
    facts = history.facts
    all_of_them = known and history.count == len(facts)
    visit = _visit(fact, facts)
    # What is not in `visit` may have been before it, unless all of the user's events are at hand.
    when = "" if all_of_them else " in this visit"
    seen = facts if all_of_them else visit
    whole = all_of_them or len(visit) < len(facts)  # the visit begins within the facts
    if fact.name == "purchase":
        viewed = [f for f in visit if f.name == "view_item" and f.item == fact.item]
        if viewed and fact.item is not None and 0 <= fact.time_ms - viewed[-1].time_ms < _AT_ONCE_MS:
            yield f"a purchase {duration(fact.time_ms - viewed[-1].time_ms)} after its item was viewed"
        if whole and not any(f.name == "begin_checkout" for f in seen):
            yield f"a purchase without a checkout{when}"
    if fact.name == "add_to_cart" and fact.item is not None and whole:
        viewed = [f for f in seen if f.item == fact.item and f.name in ("view_item", "select_item")]
        if not viewed:
            yield f"added to the cart without a view of it{when}"
    if fact.name in _NEEDS_A_CART and all_of_them and not any(f.name == "add_to_cart" for f in facts):
        yield "nothing was ever added to the cart"
    if known and not history.count and fact.name not in ("search", "view_item_list", "view_item"):
        yield f"the first that is known of the user: {what(fact)}"
    if fact.name == "refund":
        yield "a refund"


def _of_item(fact: Fact, history: History) -> Iterator[str]:
    if fact.item is None:
        return
    facts = history.facts
    same = 1 + sum(1 for _ in takewhile(lambda f: f.item == fact.item, reversed(facts)))
    if same >= _SAME_IN_A_ROW:
        yield f"{same}{_or_more(same, history)} events in a row on the same item"
    items = [f.item for f in _visit(fact, facts) if f.item is not None]
    different = 1 + len(items)
    if different >= _NEW_IN_A_ROW and len({*items, fact.item}) == different:
        yield f"{different}{_or_more(different, history)} items in this visit, none of them twice"


def _of_category(fact: Fact, history: History, first_time: bool) -> Iterator[str]:
    if first_time and fact.category is not None and history.count:
        yield f"first time in category {readable(fact.category, 20)}"


def _of_gap(fact: Fact, history: History) -> Iterator[str]:
    facts = history.facts
    if not facts or fact.time_ms < history.last_ms:
        return
    burst = 1 + sum(fact.time_ms - f.time_ms < MINUTE_MS for f in facts)
    if burst >= _BURST_EVENTS:
        yield f"{burst}{_or_more(burst, history)} events in a minute"
    away_ms = fact.time_ms - history.last_ms
    if away_ms >= _AWAY_MS:
        yield f"after {duration(away_ms)} away"
    if away_ms < 2 * SECOND_MS:
        yield f"only {duration(away_ms)} after the event before"


def _of_rhythm(fact: Fact, history: History) -> Iterator[str]:
    times_ms = [*(f.time_ms for f in history.facts), fact.time_ms]
    gaps_ms = [later - earlier for earlier, later in pairwise(times_ms)][::-1]
    if not gaps_ms or gaps_ms[0] < 0:
        return
    even_ms = max(_EVEN * gaps_ms[0], _EVEN_MS)
    even = sum(1 for _ in takewhile(lambda gap_ms: abs(gap_ms - gaps_ms[0]) <= even_ms, gaps_ms))
    if even >= 2:
        events = even + 1
        yield f"{events}{_or_more(events, history)} events, each {duration(gaps_ms[0])} after the one before"


def _of_price(fact: Fact, history: History) -> Iterator[str]:
    prices = [f.price for f in history.facts if f.price is not None and f.name not in ABOUT_MONEY]
    if fact.price is None or len(prices) < _PRICES_LEAST:
        return
    usual = median(prices)
    subject = "an order worth" if fact.name in ABOUT_MONEY else "price"
    if fact.price >= _PRICE_RATIO * usual:
        yield f"{subject} {fact.price / usual:.0f} times what they usually look at"
    elif fact.price * _PRICE_RATIO <= usual:
        yield f"{subject} 1/{usual / fact.price:.0f} of what they usually look at"


def _of_context(fact: Fact, history: History, known: bool) -> Iterator[str]:
    new = [name for name in WHEREABOUTS if history.is_new(name, getattr(fact, name))]
    if known and new:
        yield f"from a {' and a '.join(new)} never seen for this user"


def _or_more(counted: int, history: History) -> str:
    """Where all that is remembered was counted, and there was more."""
    return " or more" if counted > len(history.facts) < history.count else ""


def _plainly(part: str, fact: Fact, history: History) -> str:
    """Where no rule applies: the part of the surprise that was largest."""
    last = history.facts[-1] if history.facts else None
    told = {
        "action": "an unexpected beginning" if last is None else f"an unexpected step after: {what(last)}",
        "item": f"an unexpected item: {readable(fact.item or 'none', 20)}",
        "category": f"an unexpected category: {readable(fact.category or 'none', 20)}",
        "context": "an unexpected device, country or place",
        "price": f"an unexpected price: {money(fact.price, fact.currency) or 'none'}",
    }
    if part == "gap" and last is not None and fact.time_ms >= last.time_ms:
        return f"an unexpected moment: {duration(fact.time_ms - last.time_ms)} after the event before"
    if part == "rhythm" and last is not None and fact.time_ms >= last.time_ms:
        return f"an unexpected rhythm: {duration(fact.time_ms - last.time_ms)} after the event before"
    return told.get(part, f"unexpected: mostly its {readable(part, 20)}")


def _visit(fact: Fact, facts: Sequence[Fact]) -> list[Fact]:
    """The events before this one without a pause as long as ends a visit, oldest first."""
    visit: list[Fact] = []
    later_ms = fact.time_ms
    for earlier in reversed(facts):
        if later_ms - earlier.time_ms > VISIT_MS:
            break
        visit.append(earlier)
        later_ms = min(later_ms, earlier.time_ms)
    return visit[::-1]
