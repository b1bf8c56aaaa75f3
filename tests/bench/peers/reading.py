"""A record of a source topic -> the facts of one event: `stream.decode` for one event at a time."""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from typing import Any, NamedTuple

import msgspec
from xxhash import xxh3_64_intdigest

from stream.decode import amount_of, event_time_ms
from stream.events import ACTIONS, CLICK_NAMES, PRICE_MAX, PURCHASE_NAMES, SEARCH_NAMES
from tests.bench.peers.exported import Bounds


class Record(NamedTuple):
    """A record of a source topic."""

    source: int  # 0: clicks, 1: searches, 2: purchases
    partition: int
    offset: int
    timestamp: int  # ms
    key: bytes
    value: bytes


class Facts(NamedTuple):
    """What the job needs to know of an event."""

    user_id: str
    event_id: str
    action: int
    time_ms: int
    time_bounded: bool  # its own time was not believed
    item: int  # hash, 0: none
    category: int
    price: float  # NaN: none
    whereabouts: tuple[int, int, int]  # hashes of device, country, place


class _Event(msgspec.Struct, gc=False):
    user_id: str
    event_id: str
    event_name: str
    event_time: int | str
    device_id: Any = None
    country: Any = None
    location_id: Any = None


class _Item(msgspec.Struct, gc=False):
    item_id: str | int | None = None
    item_category: str | None = None


class _Click(_Event, gc=False):
    item_id: str | int | None = None
    item_category: str | None = None
    price: float | str | None = None


class _Search(_Event, gc=False):
    search_term: str | None = None


class _Purchase(_Event, gc=False):
    value: float | str | None = None
    items: list[_Item] | None = None


_Product = tuple[int, int, float | str | None]  # item, category, price


def _clicked(event: _Click) -> _Product:
    return _hash32(event.item_id), _hash32(event.item_category), event.price


def _searched(event: _Search) -> _Product:
    return _hash32(event.search_term and event.search_term.casefold()), 0, None


def _purchased(event: _Purchase) -> _Product:
    first = event.items[0] if event.items else _Item()
    return _hash32(first.item_id), _hash32(first.item_category), event.value


_DECODERS: tuple[Callable[[bytes], Any], ...] = tuple(
    msgspec.json.Decoder(kind).decode for kind in (_Click, _Search, _Purchase)
)
_PRODUCTS: tuple[Callable[[Any], _Product], ...] = (_clicked, _searched, _purchased)
_CODES = tuple({name: ACTIONS.index(name) for name in names} for names in (CLICK_NAMES, SEARCH_NAMES, PURCHASE_NAMES))


def facts(record: Record, bounds: Bounds) -> Facts | None:
    """None: the record is no event."""
    source = record.source
    try:
        event = _DECODERS[source](record.value)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    action = _CODES[source].get(event.event_name)
    if action is None or not event.event_id or not event.user_id or event.user_id.encode() != record.key:
        return None
    time_ms, record_ms = event.event_time, record.timestamp
    if type(time_ms) is not int:
        time_ms = event_time_ms(time_ms)
    if time_ms < 0:
        return None
    item, category, price = _PRODUCTS[source](event)
    if price is None:
        price = nan
    elif type(price) is not float or price < 0:
        price = amount_of(price)
    if price > PRICE_MAX:
        return None
    bounded = not record_ms - bounds.max_behind_ms <= time_ms <= record_ms + bounds.max_ahead_ms
    return Facts(
        event.user_id,
        event.event_id,
        action,
        record_ms if bounded else time_ms,
        bounded,
        item,
        category,
        price,
        (_hash16(event.device_id), _hash16(event.country), _hash16(event.location_id)),
    )


def _hash32(text: str | int | None) -> int:
    if text is None or text == "":
        return 0
    return xxh3_64_intdigest(str(text).encode()) & 0xFFFF_FFFF or 1


def _hash16(value: Any) -> int:
    """0 for none, else of 65,535: it is only compared with the few that one user had before."""
    if type(value) is int:
        value = str(value)
    return xxh3_64_intdigest(value.encode()) % 0xFFFF + 1 if type(value) is str and value else 0
