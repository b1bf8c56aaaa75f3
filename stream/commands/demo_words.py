"""Events, and why they are strange, in words. All that is said is computed from the user's events before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from statistics import median

import orjson

from stream.commands.demo_history import Fact, History
from stream.commands.score_lines import readable

_SECOND_MS, _MINUTE_MS, _HOUR_MS, _DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
_UNITS = ((_DAY_MS, "day"), (_HOUR_MS, "hour"), (_MINUTE_MS, "minute"), (_SECOND_MS, "second"))

_VISIT_MS = 30 * _MINUTE_MS  # Google Analytics' own end of a session
_AWAY_MS = 3 * _DAY_MS  # an absence worth a word
_AT_ONCE_MS = 5 * _SECOND_MS  # nobody pays for what they have looked at for less
_BURST_EVENTS = 10  # within a minute
_PRICES_LEAST, _PRICE_RATIO = 3, 3.0  # so many prices make a habit, and so many times it is worth a word
_NATS_LEAST = 1.0  # a part of the surprise below it explains nothing
_REASONS = 2

_VERBS = {
    "view_item_list": "listed",
    "select_item": "clicked",
    "view_item": "viewed",
    "add_to_wishlist": "wished for",
    "add_to_cart": "added",
    "remove_from_cart": "removed",
    "view_cart": "opened the cart",
    "begin_checkout": "began checkout",
    "add_payment_info": "gave payment details",
    "search": "searched",
    "purchase": "bought",
    "refund": "was refunded",
}
_CART = {"add_to_cart": " to the cart", "remove_from_cart": " from the cart"}
_ABOUT_AN_ITEM = {"select_item", "view_item", "add_to_wishlist", "add_to_cart", "remove_from_cart"}
_ABOUT_MONEY = {"purchase", "refund"}
_NEEDS_A_CART = {"begin_checkout", "add_payment_info", "purchase"}


def duration(ms: float) -> str:
    """`0.4 seconds`, `40 seconds`, `1 minute`, `9 days`: the largest unit that fills."""
    if ms < 2 * _SECOND_MS:
        return f"{ms / 1000:.1f} seconds"
    for unit_ms, name in _UNITS:
        if ms >= unit_ms:
            n = int(ms // unit_ms)
            return f"{n} {name}{'s' if n > 1 else ''}"
    raise AssertionError


def short(ms: float) -> str:
    """`40 s`, `4 min`, `3 h`, `9 d`."""
    for unit_ms, name in ((_DAY_MS, "d"), (_HOUR_MS, "h"), (_MINUTE_MS, "min")):
        if ms >= unit_ms:
            return f"{ms // unit_ms:.0f} {name}"
    return f"{max(ms, 0) // 1000:.0f} s"


def money(amount: float | None, currency: str | None) -> str:
    return "" if amount is None else f"{amount:,.2f}{f' {readable(currency, 3)}' if currency else ''}"


def what(fact: Fact, *, again: bool = False) -> str:
    """An event in words; `again`: of an item that was named just before."""
    verb = _VERBS.get(fact.name) or readable(fact.name, 20)
    if fact.name == "search":
        return f"{verb} '{readable(fact.term or '', 30)}'"
    if fact.name in _ABOUT_MONEY:
        return f"{verb} {money(fact.price, fact.currency)}".rstrip()
    if fact.name not in _ABOUT_AN_ITEM:
        return f"{verb} {readable(fact.category, 20)}" if fact.name == "view_item_list" and fact.category else verb
    return f"{verb} {'it' if again else _item(fact)}{_CART.get(fact.name, '')}"


def doing(facts: Sequence[Fact], newest: int = 8) -> str:
    """The last events, newest first: `added sku-0412 boots 89.90 to the cart < viewed it < searched 'black boots'`."""
    said: list[str] = []
    times: list[int] = []
    named: str | None = None
    for fact in reversed(facts[-newest:]):
        text = what(fact, again=fact.item is not None and fact.item == named)
        if fact.name in _ABOUT_AN_ITEM:
            named = fact.item
        if said and said[-1] == text:
            times[-1] += 1
            continue
        said.append(text)
        times.append(1)
    return " ← ".join(f"{text} {n} times" if n > 1 else text for text, n in zip(said, times, strict=True))


def why(fact: Fact, history: History, parts: Mapping[str, float], *, known: bool, first_time_in: bool) -> str:
    """Why an event is strange, given the user's events before it and the parts of its surprise in nats.

    `known`: `history` holds every event that the user had before, so that "never" and "first" may be said;
    `first_time_in`: none of them was in its category.
    """
    rules = {
        "action": lambda: _of_action(fact, history, known),
        "category": lambda: _of_category(fact, history, known and first_time_in),
        "gap": lambda: _of_gap(fact, history),
        "price": lambda: _of_price(fact, history),
    }
    reasons: list[str] = []
    by_size = sorted(parts, key=lambda part: -parts[part])
    for part in by_size:
        if part in rules and parts[part] >= _NATS_LEAST:
            reasons += islice(rules[part](), 1)
    if known and fact.device is not None and history.has_device and not history.knows_device(fact.device):
        reasons.insert(1, "from a device never seen for this user")
    return "; ".join(reasons[:_REASONS]) or _plainly(by_size[0], fact, history)


def fraud(label: bytes | None) -> str:
    """`card testing`: the kind that a label names; empty without one."""
    try:
        kind = orjson.loads(label)["fraud"] if label else ""
    except (ValueError, KeyError, TypeError):
        return ""
    return readable(str(kind), 30).replace("_", " ").replace("-", " ")


def _item(fact: Fact) -> str:
    words = (readable(fact.item or "an item", 20), readable(fact.category or "", 20), money(fact.price, None))
    return " ".join(word for word in words if word)


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


def _of_category(fact: Fact, history: History, first_time: bool) -> Iterator[str]:
    if first_time and fact.category is not None and history.count:
        yield f"first time in category {readable(fact.category, 20)}"


def _of_gap(fact: Fact, history: History) -> Iterator[str]:
    facts = history.facts
    if not facts or fact.time_ms < history.last_ms:
        return
    burst = 1 + sum(fact.time_ms - f.time_ms < _MINUTE_MS for f in facts)
    if burst >= _BURST_EVENTS:
        yield f"{burst}{' or more' if burst > len(facts) < history.count else ''} events in a minute"
    away_ms = fact.time_ms - history.last_ms
    if away_ms >= _AWAY_MS:
        yield f"after {duration(away_ms)} away"
    if away_ms < 2 * _SECOND_MS:
        yield f"only {duration(away_ms)} after the event before"


def _of_price(fact: Fact, history: History) -> Iterator[str]:
    prices = [f.price for f in history.facts if f.price is not None and f.name not in _ABOUT_MONEY]
    if fact.price is None or len(prices) < _PRICES_LEAST:
        return
    usual = median(prices)
    subject = "an order worth" if fact.name in _ABOUT_MONEY else "price"
    if fact.price >= _PRICE_RATIO * usual:
        yield f"{subject} {fact.price / usual:.0f} times what they usually look at"
    elif fact.price * _PRICE_RATIO <= usual:
        yield f"{subject} 1/{usual / fact.price:.0f} of what they usually look at"


def _plainly(part: str, fact: Fact, history: History) -> str:
    """Where no rule applies: the part of the surprise that was largest."""
    last = history.facts[-1] if history.facts else None
    told = {
        "action": "an unexpected beginning" if last is None else f"an unexpected step after: {what(last)}",
        "category": f"an unexpected category: {readable(fact.category or 'none', 20)}",
        "price": f"an unexpected price: {money(fact.price, fact.currency) or 'none'}",
    }
    if part == "gap" and last is not None and fact.time_ms >= last.time_ms:
        return f"an unexpected moment: {duration(fact.time_ms - last.time_ms)} after the event before"
    return told.get(part, f"unexpected: mostly its {readable(part, 20)}")


def _visit(fact: Fact, facts: Sequence[Fact]) -> list[Fact]:
    """The events before this one without a pause as long as ends a visit, oldest first."""
    visit: list[Fact] = []
    later_ms = fact.time_ms
    for earlier in reversed(facts):
        if later_ms - earlier.time_ms > _VISIT_MS:
            break
        visit.append(earlier)
        later_ms = min(later_ms, earlier.time_ms)
    return visit[::-1]
