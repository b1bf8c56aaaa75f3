"""Events in words."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from stream.commands.demo_history import Fact
from stream.commands.score_lines import readable

SECOND_MS, MINUTE_MS, _HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
_UNITS = ((DAY_MS, "day"), (_HOUR_MS, "hour"), (MINUTE_MS, "minute"), (SECOND_MS, "second"))

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
ABOUT_MONEY = {"purchase", "refund"}


def duration(ms: float) -> str:
    """`0.4 seconds`, `40 seconds`, `1 minute`, `9 days`: the largest unit that fills."""
    if ms < 2 * SECOND_MS:
        return f"{ms / 1000:.1f} seconds"
    for unit_ms, name in _UNITS:
        if ms >= unit_ms:
            n = int(ms // unit_ms)
            return f"{n} {name}{'s' if n > 1 else ''}"
    raise AssertionError


def short(ms: float) -> str:
    """`40 s`, `4 min`, `3 h`, `9 d`."""
    for unit_ms, name in ((DAY_MS, "d"), (_HOUR_MS, "h"), (MINUTE_MS, "min")):
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
    if fact.name in ABOUT_MONEY:
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
