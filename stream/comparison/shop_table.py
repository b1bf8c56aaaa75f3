"""Shop events -> a table of all that a fraud analyst may ask about, and the fraud that they are labelled with. Pure.

Hashed ids are taken as they come: every field that ends in `_id` or `_hash` and is not an event's own, and `country`.
"""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Iterable, Mapping
from functools import cache
from math import nan
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from stream.comparison.behaviour import Codes
from stream.decode import event_time_ms
from stream.evaluation.behaviour import NONE, Floats, Ints
from stream.events import ACTIONS, PURCHASE_NAMES
from stream.shop_event import ShopEvent

_CODES = {name: code for code, name in enumerate(ACTIONS) if code}
# What differs from event to event by itself, or is a column of its own
_NO_ID = {"event_id", "user_id", "session_id", "transaction_id", "item_id"}


@dataclasses.dataclass(frozen=True, slots=True)
class ShopTable:
    """N events of U users, one user after the other, each by event time. Codes are NONE where a field is absent."""

    user: Ints  # [N] 0 to U - 1
    time_ms: Ints  # [N] event time
    session: Ints  # [N] code
    name: Ints  # [N] index into `events.ACTIONS`
    item: Ints  # [N] code, of an order's first line
    category: Ints  # [N] code, likewise
    term: Ints  # [N] code of the search term
    price: Floats  # [N] of the item, of an order's dearest line; NaN: none
    value: Floats  # [N] of an order; NaN: none
    quantity: Floats  # [N] pieces, all lines together; NaN: none
    lines: Floats  # [N] of an order; 0 for what is none
    coupon: Ints  # [N] 1 with a coupon
    fraud: Ints  # [N] index into `kinds`; NONE: not labelled
    ids: Mapping[str, Ints]  # [N] of each id field that occurs: code
    kinds: tuple[str, ...]  # of fraud, by name

    def __len__(self) -> int:
        return len(self.user)

    def take(self, order: Ints) -> ShopTable:
        """The events at these places, in that order; users keep their numbers."""
        columns = {
            field.name: getattr(self, field.name)[order]
            for field in dataclasses.fields(self)
            if field.name not in ("ids", "kinds")
        }
        return ShopTable(**columns, ids={name: ids[order] for name, ids in self.ids.items()}, kinds=self.kinds)


def read(events: Iterable[ShopEvent]) -> ShopTable:
    """Read a stream in any order. An event that came before is passed over, as is what is no shop event."""
    users, sessions, items, categories, terms, kinds = (Codes() for _ in range(6))
    numbers, amounts = array("q"), array("d")  # a row after the other: one call an event is the fastest way
    ids: dict[str, tuple[Codes, array[int], array[int]]] = {}  # field -> codes, rows that have it, their codes
    row = 0
    seen: set[str] = set()
    for event in events:
        try:
            e = orjson.loads(event.value)
            name, event_id, user_id = _CODES[e["event_name"]], str(e["event_id"]), str(e["user_id"])
            time_ms = event_time_ms(e["event_time"])
            facts = _facts(e)
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
        if time_ms < 0 or event_id in seen:
            continue
        seen.add(event_id)
        line = e["items"][0] if e.get("items") else e
        session_id = e.get("session_id")
        numbers.extend(
            (
                users[user_id],
                time_ms,
                NONE if session_id is None else sessions[user_id, session_id],
                name,
                _code(items, line.get("item_id")),
                _code(categories, line.get("item_category")),
                _code(terms, e.get("search_term")),
                bool(e.get("coupon") or line.get("coupon")),
                NONE if event.label is None else kinds[str(orjson.loads(event.label)["fraud"])],
            )
        )
        amounts.extend(facts)
        for field, content in e.items():
            if _is_id(field) and content is not None:
                if field not in ids:
                    ids[field] = (Codes(), array("q"), array("q"))
                codes, rows, found = ids[field]
                rows.append(row)
                found.append(codes[content])
        row += 1
    user, time_ms_, session, name_, item, category, term, coupon, fraud = _columns(numbers, 9)
    price, value, quantity, lines = _columns(amounts, 4)
    table = ShopTable(
        user=user,
        time_ms=time_ms_,
        session=session,
        name=name_,
        item=item,
        category=category,
        term=term,
        price=price,
        value=value,
        quantity=quantity,
        lines=lines,
        coupon=coupon,
        fraud=fraud,
        ids={field: _scattered(rows, found, row) for field, (_, rows, found) in ids.items()},
        kinds=tuple(str(kind) for kind in kinds),
    )
    return table.take(np.lexsort((table.time_ms, table.user)))


def _facts(e: Mapping[str, Any]) -> tuple[float, float, float, float]:
    """(price, value, quantity, lines) of an event. Raises ValueError and its kin for what is no number."""
    if e["event_name"] not in PURCHASE_NAMES:
        return _number(e.get("price")), nan, _number(e.get("quantity")), 0.0
    lines = e.get("items") or []
    prices = [price for line in lines if (price := _number(line.get("price"))) == price]
    quantity = sum(1.0 if (n := line.get("quantity")) is None else float(n) for line in lines)
    return max(prices, default=nan), _number(e.get("value")), quantity or nan, float(len(lines))


def _number(value: Any) -> float:
    return nan if value is None else float(value)


@cache
def _is_id(field: str) -> bool:
    return field == "country" or (field.endswith(("_id", "_hash")) and field not in _NO_ID)


def _code(codes: Codes, value: object) -> int:
    return NONE if value is None else codes[value]


def _columns(rows: array[Any], width: int) -> NDArray[Any]:
    """[width, N] of rows that lie one after the other."""
    return np.ascontiguousarray(np.array(rows).reshape(-1, width).T)


def _scattered(rows: array[int], codes: array[int], length: int) -> Ints:
    column = np.full(length, NONE, np.int64)
    column[np.array(rows, np.int64)] = np.array(codes, np.int64)
    return column
