"""Records whose fate is known without decoding them: written by hand, as the README says what an event is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import orjson

from stream.events import CLICKS, PURCHASES, SEARCHES
from tests.faults.hostile.mutations import Raw

GOOD = "good"


def _event(rng: Random, time_ms: int, **fields: Any) -> Raw:
    """A click that is right, but for `fields`; a field of ... is left out."""
    user = f"known-{rng.randrange(1000)}"
    event = {"user_id": user, "event_id": rng.randbytes(8).hex(), "event_name": "view_item", "event_time": time_ms}
    event |= fields
    return Raw(user.encode(), orjson.dumps({name: value for name, value in event.items() if value is not ...}))


def _search(rng: Random, time_ms: int, **fields: Any) -> Raw:
    return _event(rng, time_ms, event_name="search", **fields)


def _purchase(rng: Random, time_ms: int, **fields: Any) -> Raw:
    return _event(rng, time_ms, **({"event_name": "purchase"} | fields))


def _in_text(raw: Raw, old: bytes, new: bytes) -> Raw:
    return raw._replace(value=(raw.value or b"").replace(old, new))


Made = Callable[[Random, int], Raw]

# name -> (source, what becomes of it: GOOD or a reason, how it is made)
KNOWN: Mapping[str, tuple[int, str, Made]] = {
    "plain click": (CLICKS, GOOD, _event),
    "plain search": (SEARCHES, GOOD, lambda r, t: _search(r, t, search_term="schuhe")),
    "plain purchase": (PURCHASES, GOOD, lambda r, t: _purchase(r, t, value=12.5)),
    "decimal as a string": (CLICKS, GOOD, lambda r, t: _event(r, t, price="12.50")),
    "time as RFC 3339": (CLICKS, GOOD, lambda r, t: _event(r, t, event_time="2026-01-31T12:00:00.000Z")),
    "time that is not believed": (CLICKS, GOOD, lambda r, t: _event(r, t, event_time=253_402_300_799_000)),
    "unknown fields": (CLICKS, GOOD, lambda r, t: _event(r, t, colour="red", nested={"a": [1, {"b": None}]})),
    "item id as a number": (CLICKS, GOOD, lambda r, t: _event(r, t, item_id=4711)),
    "device of a wrong type": (CLICKS, GOOD, lambda r, t: _event(r, t, device_id={"os": "x"}, country=[1])),
    "refund below zero": (PURCHASES, GOOD, lambda r, t: _purchase(r, t, event_name="refund", value=-12.5)),
    "purchase of nothing": (PURCHASES, GOOD, lambda r, t: _purchase(r, t, items=[])),
    "emoji": (SEARCHES, GOOD, lambda r, t: _search(r, t, search_term="\N{PILE OF POO}" * 50)),
    "long padding": (CLICKS, GOOD, lambda r, t: _event(r, t, padding="x" * 5_000)),
    "empty value": (CLICKS, "not_json", lambda r, t: Raw(b"known", b"")),
    "one brace": (CLICKS, "not_json", lambda r, t: Raw(b"known", b"{")),
    "comma-separated": (CLICKS, "not_json", lambda r, t: Raw(b"known", b"view_item,known,1790000000000")),
    "not UTF-8": (CLICKS, "not_json", lambda r, t: _in_text(_event(r, t), b"view_item", b"view\xff\xfeitem")),
    "NaN": (CLICKS, "not_json", lambda r, t: _in_text(_event(r, t, price=1), b'"price":1', b'"price":NaN')),
    "endless nesting": (CLICKS, "not_json", lambda r, t: Raw(b"known", b'{"a":' + b"[" * 5_000)),
    "null value": (SEARCHES, "null_value", lambda r, t: Raw(b"known", None)),
    "a list": (CLICKS, "schema", lambda r, t: Raw(b"known", b'["view_item","known"]')),
    "JSON null": (PURCHASES, "schema", lambda r, t: Raw(b"known", b"null")),
    "no user": (CLICKS, "schema", lambda r, t: _event(r, t, user_id=...)),
    "empty user": (CLICKS, "schema", lambda r, t: _event(r, t, user_id="")),
    "user of 257 characters": (CLICKS, "schema", lambda r, t: _event(r, t, user_id="u" * 257)),
    "no event id": (SEARCHES, "schema", lambda r, t: _search(r, t, event_id=...)),
    "no time": (CLICKS, "schema", lambda r, t: _event(r, t, event_time=...)),
    "time before 1970": (CLICKS, "schema", lambda r, t: _event(r, t, event_time=-1)),
    "time as a float": (CLICKS, "schema", lambda r, t: _event(r, t, event_time=t + 0.5)),
    "price as an object": (CLICKS, "schema", lambda r, t: _event(r, t, price={"amount": 1})),
    "items as a string": (PURCHASES, "schema", lambda r, t: _purchase(r, t, items="shoes")),
    "unknown name": (CLICKS, "unknown_event", lambda r, t: _event(r, t, event_name="tap")),
    "a click among searches": (SEARCHES, "unknown_event", _event),
    "another's key": (CLICKS, "key_mismatch", lambda r, t: _event(r, t)._replace(key=b"other")),
    "no key": (CLICKS, "key_mismatch", lambda r, t: _event(r, t)._replace(key=None)),
    "price of 1e308": (CLICKS, "bad_price", lambda r, t: _event(r, t, price=1e308)),
    "price in words": (CLICKS, "bad_price", lambda r, t: _event(r, t, price="much")),
    "time in words": (CLICKS, "bad_time", lambda r, t: _event(r, t, event_time="yesterday")),
    "time without a zone": (CLICKS, "bad_time", lambda r, t: _event(r, t, event_time="2026-01-31T12:00:00")),
}
