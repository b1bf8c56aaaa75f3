"""Shop events -> columns: who did what when, user by user. Pure: no file, no clock."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Iterable, Sequence
from math import nan

import msgspec
import numpy as np

from stream.decode import event_time_ms
from stream.evaluation.behaviour import NONE, Behaviour, renumber
from stream.events import ACTIONS, PURCHASE_NAMES
from stream.shop_event import ShopEvent

_Id = str | int | None
_CODES = {name: code for code, name in enumerate(ACTIONS) if code}


class _Line(msgspec.Struct, gc=False):
    item_id: _Id = None
    item_category: str | None = None
    price: float | str | None = None


class _Event(msgspec.Struct, gc=False):
    user_id: str
    event_id: str
    event_name: str
    event_time: int | str
    session_id: _Id = None
    item_id: _Id = None
    item_category: str | None = None
    price: float | str | None = None
    value: float | str | None = None
    items: list[_Line] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Reading:
    """What a stream held: its behaviour, and what of it is not in there."""

    behaviour: Behaviour
    unreadable: int  # records that are no events of a shop: no JSON, a field of another type, an unknown name
    repeated: int  # events whose id had come before: sent twice, counted once


def read(events: Iterable[ShopEvent]) -> Reading:
    """Read a stream in any order. About 2 us an event; an unreadable record is counted, and passed over."""
    decode = msgspec.json.Decoder(_Event).decode
    users, sessions, items, categories = Codes(), Codes(), Codes(), Codes()
    numbers, prices = array("q"), array("d")  # a row after the other: one call an event is the fastest way
    unreadable = 0
    for event in events:
        try:
            e = decode(event.value)
            name = _CODES[e.event_name]
            time_ms = event_time_ms(e.event_time)
            lines: Sequence[_Line | _Event] = (e.items if e.event_name in PURCHASE_NAMES else None) or [e]
            amounts = [
                nan if (p := e.value if line.price is None else line.price) is None else float(p) for line in lines
            ]
        except (msgspec.DecodeError, KeyError, ValueError):
            time_ms = -1
        if time_ms < 0:
            unreadable += 1
            continue
        for number, line in enumerate(lines):
            numbers.extend(
                (
                    users[e.user_id],
                    time_ms,
                    NONE if e.session_id is None else sessions[e.user_id, e.session_id],
                    name,
                    NONE if line.item_id is None else items[line.item_id],
                    NONE if line.item_category is None else categories[line.item_category],
                    event.label is not None,
                    hash(e.event_id) + number,
                )
            )
        prices.extend(amounts)
    user, time_ms_, session, name_, item, category, labelled, ids = np.ascontiguousarray(
        np.array(numbers).reshape(-1, 8).T
    )
    _, first = np.unique(ids, return_index=True)
    first.sort()
    order = first[np.lexsort((time_ms_[first], user[first]))]
    return Reading(
        Behaviour(
            user=renumber(user[order]),
            time_ms=time_ms_[order],
            session=session[order],
            name=name_[order],
            item=item[order],
            category=category[order],
            price=np.array(prices)[order],
            labelled=labelled[order] > 0,
        ),
        unreadable=unreadable,
        repeated=len(user) - len(first),
    )


class Codes(dict[object, int]):
    """Values -> 0, 1, ... in the order in which they are first asked for."""

    def __missing__(self, key: object) -> int:
        code = self[key] = len(self)
        return code
