"""Small, sharp strangeness in the events of a normal user: what an anomaly score must show. Pure.

Each function takes a user's events as the simulator or a recording has them, and a seed, and returns them with one
thing made strange, and the place of the first event by which it can be told. What comes before that place is as it was,
byte for byte. A user whose events leave no room for it raises ValueError.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from random import Random
from statistics import median
from typing import Any

import orjson

from stream.decode import event_time_ms
from stream.shop_event import ShopEvent
from stream.simulator.visit import rfc3339

RHYTHM_MS = 2_000
FACTOR = 30  # of the user's usual value
# Of the simulated shop: new to the user, not to everybody
_COUNTRIES = ("DE", "FR", "NL", "AT", "ES", "IT", "BE", "IE")
_BRANCHES = [f"branch-{number:02d}" for number in range(60)]
_TOWARDS_AN_ORDER = {"add_to_cart", "view_cart", "begin_checkout", "add_payment_info", "purchase"}
_EARLIER_MIN = 10  # events of the user before a strange one, where it is strange by what is usual for them


@dataclasses.dataclass(frozen=True, slots=True)
class Sharp:
    """A user's events by event time, one of them strange."""

    events: list[ShopEvent]
    strange: int  # its place; of something that goes on, that of the first by which it can be told


def payment_first(events: Sequence[ShopEvent], seed: int) -> Sharp:
    """The very first event is a payment: there was no item, no cart and no checkout to pay for."""
    rng, own = Random(seed), _by_time(events)
    first = _facts(own[0])
    kept = ("user_id", "session_id", "device_id", "ip_hash", "country", "location_id")
    facts: dict[str, Any] = {name: first[name] for name in kept if name in first}
    facts |= {"event_name": "add_payment_info", "payment_type": "card", "payment_id": rng.randbytes(8).hex()}
    time_ms = _time_ms(own[0]) - rng.randint(4_000, 40_000)
    return Sharp([_event(own[0], _named(rng, facts), time_ms, topic="clicks"), *own], 0)


def purchase_without_checkout(events: Sequence[ShopEvent], seed: int) -> Sharp:
    """An item is looked at, and is bought: no cart, no checkout and no payment in this visit."""
    rng, own = Random(seed), _by_time(events)
    facts = [_facts(event) for event in own]
    fit, bound = [], set()  # bound: sessions that have begun to buy
    for place, value in enumerate(facts):
        if value["event_name"] in _TOWARDS_AN_ORDER:
            bound.add(value.get("session_id"))
        following_ms = _time_ms(own[place + 1]) - _time_ms(own[place]) if place + 1 < len(own) else 60_000
        if value["event_name"] == "view_item" and value.get("session_id") not in bound and following_ms > 10_000:
            fit.append((place, following_ms))
    place, following_ms = _choice(rng, fit, "a view of an item in a visit without a cart")
    seen = facts[place]
    lines = {name: seen[name] for name in ("item_id", "item_category", "price", "quantity") if name in seen}
    order = {name: value for name, value in seen.items() if name not in lines and name != "item_brand"}
    order |= {
        "event_name": "purchase",
        "transaction_id": f"T-{rng.getrandbits(48):012x}",
        "value": seen["price"],
        "payment_type": "card",
        "payment_id": rng.randbytes(8).hex(),
        "items": [lines | {"quantity": 1}],
    }
    time_ms = _time_ms(own[place]) + min(rng.randint(4_000, 40_000), following_ms // 2)
    bought = _event(own[place], _named(rng, order), time_ms, topic="purchases")
    return Sharp([*own[: place + 1], bought, *own[place + 1 :]], place + 1)


def machine_rhythm(events: Sequence[ShopEvent], seed: int, *, jitter: float = 0.0, count: int = 30) -> Sharp:
    """From some event on `count` events come every 2.000 s, each gap up to `jitter` of that longer or shorter.

    What they are about is the user's own, as they did it in one or more visits; it is one visit now. What comes after
    them is later by as much as they now take longer.
    """
    rng, own = Random(seed), _by_time(events)
    begin = _choice(rng, range(1, len(own) - count + 1), f"more than {count} events")
    at_begin = _facts(own[begin])
    visit = {name: at_begin.get(name) for name in ("session_id", "device_id", "ip_hash", "country", "location_id")}
    time_ms, made = _time_ms(own[begin]), [own[begin]]
    for event in own[begin + 1 : begin + count]:
        time_ms += round(RHYTHM_MS * (1 + jitter * rng.uniform(-1, 1)))
        facts = {name: value for name, value in (_facts(event) | visit).items() if value is not None}
        made.append(_event(event, facts, time_ms))
    later_ms = max(0, time_ms - _time_ms(own[begin + count - 1]))
    rest = [_event(event, _facts(event), _time_ms(event) + later_ms) for event in own[begin + count :]]
    return Sharp([*own[:begin], *made, *rest], begin + 1)


def dear_order(events: Sequence[ShopEvent], seed: int, *, factor: float = FACTOR) -> Sharp:
    """An order of `factor` times the median of the user's orders before it."""
    rng, own = Random(seed), _by_time(events)
    fit = [place for place, event in enumerate(own) if _facts(event)["event_name"] == "purchase"][1:]
    place = _choice(rng, fit, "two orders or more")
    before = [_facts(event) for event in own[:place]]
    usual = median(float(facts["value"]) for facts in before if facts["event_name"] == "purchase")
    facts = _facts(own[place])
    ratio = factor * usual / float(facts["value"])
    lines = [line | {"price": _times(line["price"], ratio)} for line in facts["items"]]
    dear = facts | {"value": _times(facts["value"], ratio), "items": lines}
    return Sharp([*own[:place], _event(own[place], dear, _time_ms(own[place])), *own[place + 1 :]], place)


def dear_item(events: Sequence[ShopEvent], seed: int, *, factor: float = FACTOR) -> Sharp:
    """A click on an item of `factor` times the median price of the items that the user clicked before."""
    rng, own = Random(seed), _by_time(events)
    prices = [_facts(event).get("price") for event in own]
    fit = [place for place, price in enumerate(prices) if price is not None and place >= _EARLIER_MIN]
    place = _choice(rng, fit, f"a click on an item after {_EARLIER_MIN} events")
    earlier = [float(price) for price in prices[:place] if price is not None]
    if not earlier:
        raise ValueError("sharp: expected clicks on items before the last one, got none")
    facts = _facts(own[place])
    dear = facts | {"price": _times(facts["price"], factor * median(earlier) / float(facts["price"]))}
    return Sharp([*own[:place], _event(own[place], dear, _time_ms(own[place])), *own[place + 1 :]], place)


def new_whereabouts(events: Sequence[ShopEvent], seed: int) -> Sharp:
    """A visit of a user known for three visits and more, from a device, a network, a country and a place new to them.

    Each of these is usual in the shop; they do what the user did.
    """
    rng, own = Random(seed), _by_time(events)
    facts = [_facts(event) for event in own]
    begins: dict[str, int] = {}  # session -> the place of its first event
    for place, value in enumerate(facts):
        if "session_id" in value:
            begins.setdefault(value["session_id"], place)
    fit = [session for session, place in list(begins.items())[3:] if place >= _EARLIER_MIN]
    session = _choice(rng, fit, f"a fourth visit or later, after {_EARLIER_MIN} events")
    where = {
        "device_id": rng.randbytes(8).hex(),
        "ip_hash": rng.randbytes(8).hex(),
        "country": _new(rng, _COUNTRIES, facts, "country"),
        "location_id": _new(rng, _BRANCHES, facts, "location_id"),
    }
    moved = [
        _event(event, value | where, _time_ms(event)) if value.get("session_id") == session else event
        for event, value in zip(own, facts, strict=True)
    ]
    return Sharp(moved, begins[session])


def _new(rng: Random, choices: Sequence[str], facts: Sequence[dict[str, Any]], name: str) -> str:
    known = {value.get(name) for value in facts}
    return str(_choice(rng, [choice for choice in choices if choice not in known], f"a {name} that is not the user's"))


def _choice(rng: Random, fit: Sequence[Any], expected: str) -> Any:
    if not fit:
        raise ValueError(f"sharp: expected {expected} among the user's events, got none")
    return rng.choice(fit)


def _by_time(events: Sequence[ShopEvent]) -> list[ShopEvent]:
    """A user's events by event time, each once, and each sent when it happened."""
    users = {event.key for event in events}
    if len(users) != 1:
        raise ValueError(f"sharp: expected the events of one user, got those of {len(users)}")
    once = {event.value: event for event in events}
    return sorted((event._replace(sent_ms=_time_ms(event)) for event in once.values()), key=_time_ms)


def _event(like: ShopEvent, facts: dict[str, Any], time_ms: int, *, topic: Any = None) -> ShopEvent:
    """An event of these facts at a time, written as its user's page writes times."""
    as_text = isinstance(_facts(like)["event_time"], str)
    value = facts | {"event_time": rfc3339(time_ms) if as_text else time_ms}
    return ShopEvent(topic or like.topic, like.key, orjson.dumps(value), time_ms, like.label)


def _named(rng: Random, facts: dict[str, Any]) -> dict[str, Any]:
    """With an id of its own."""
    return {"event_id": rng.randbytes(16).hex()} | {name: v for name, v in facts.items() if name != "event_id"}


def _facts(event: ShopEvent) -> dict[str, Any]:
    facts: dict[str, Any] = orjson.loads(event.value)
    return facts


def _time_ms(event: ShopEvent) -> int:
    time = _facts(event)["event_time"]
    return time if isinstance(time, int) else event_time_ms(time)


def _times(amount: float | str, factor: float) -> float | str:
    """An amount of money, written as it was."""
    product = round(float(amount) * factor, 2)
    return f"{product:.2f}" if isinstance(amount, str) else product
