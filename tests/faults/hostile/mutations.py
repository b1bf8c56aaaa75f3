"""Good records made hostile, by seed. Pure: bytes in, bytes out.

What comes out is nearly always bad. Some of it is still an event (a flipped bit in an item's name): which, is for
`decode` to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import NamedTuple

import orjson


class Raw(NamedTuple):
    """A record before it has a topic and a partition."""

    key: bytes | None
    value: bytes | None


Mutation = Callable[[Random, Raw], Raw]

_MEGABYTE = 1 << 20
_NUMBERS = (b"1e308", b"-1e999", b"1" * 400, b"0." + b"0" * 400 + b"1", b"9223372036854775808", b"NaN", b"-Infinity")
_WRONG: tuple[object, ...] = (None, True, 17, -1.5, "", "tap", [], ["view_item"], {}, {"deep": {"er": [1]}})
_TIMES = ("yesterday", "2026-13-01T00:00:00Z", "2026-01-01T00:00:00", "", "1" * 40, "\u0661\u0662")
_FIELDS = ("user_id", "event_id", "event_name", "event_time", "price", "value", "items", "search_term", "item_id")
_NESTS = ((b"[", b"]"), (b'{"a":', b"}"), (b'[{"a":', b"}]"))


def _bit_flips(rng: Random, record: Raw) -> Raw:
    value = bytearray(record.value or b"\0")
    for _ in range(rng.choice((1, 1, 2, 8))):
        value[rng.randrange(len(value))] ^= 1 << rng.randrange(8)
    return record._replace(value=bytes(value))


def _truncated(rng: Random, record: Raw) -> Raw:
    value = record.value or b""
    return record._replace(value=value[: rng.randrange(max(1, len(value)))])


def _nested(rng: Random, record: Raw) -> Raw:
    """Up to thousands of levels in a field, closed or not."""
    opening, closing = rng.choice(_NESTS)
    # Between those it depends on Python's own stack whether a record is still decoded: no two readers need agree.
    depth = rng.choice((rng.randrange(10, 200), rng.randrange(1_100, 10_000)))
    inside = opening * depth + b"1" + closing * (depth if rng.random() < 0.7 else 0)
    return record._replace(value=_with_raw(record, rng.choice((*_FIELDS, "nested")), inside))


def _huge_number(rng: Random, record: Raw) -> Raw:
    field = rng.choice(("event_time", "price", "value", "item_id", "user_id"))
    return record._replace(value=_with_raw(record, field, rng.choice(_NUMBERS)))


def _wrong_type(rng: Random, record: Raw) -> Raw:
    return record._replace(value=_with_raw(record, rng.choice(_FIELDS), orjson.dumps(rng.choice(_WRONG))))


def _missing_field(rng: Random, record: Raw) -> Raw:
    fields = orjson.loads(record.value or b"{}")
    fields.pop(rng.choice(sorted(fields)), None)
    return record._replace(value=orjson.dumps(fields))


def _random_bytes(rng: Random, record: Raw) -> Raw:
    return record._replace(value=rng.randbytes(int(10 ** rng.uniform(0, 3.5))))


def _random_key(rng: Random, record: Raw) -> Raw:
    return record._replace(key=rng.randbytes(rng.randrange(64)))


def _null_value(rng: Random, record: Raw) -> Raw:
    return record._replace(value=None)


def _wrong_key(rng: Random, record: Raw) -> Raw:
    key = record.key or b""
    return record._replace(key=rng.choice((None, b"", key + b" ", key[::-1], key.upper(), b"\xff\xfe" + key)))


def _other_encoding(rng: Random, record: Raw) -> Raw:
    text = (record.value or b"").decode("utf-8", "replace")
    return record._replace(value=text.encode(rng.choice(("utf-16", "utf-16-be", "utf-32", "utf-8-sig"))))


def _not_an_object(rng: Random, record: Raw) -> Raw:
    value = record.value or b"{}"
    made = (b"[" + value + b"]", orjson.dumps(value.decode("utf-8", "replace")), b"7", b"null", value + value, b"\0")
    return record._replace(value=rng.choice(made))


def _bad_time(rng: Random, record: Raw) -> Raw:
    return record._replace(value=_with_raw(record, "event_time", orjson.dumps(rng.choice(_TIMES))))


def _long_string(rng: Random, record: Raw) -> Raw:
    """A field as long as the broker still takes a record, or a tenth of it; no two are the same."""
    size = rng.choice((_MEGABYTE - (64 << 10), _MEGABYTE // 10))
    text = rng.choice((b"x", b"\\u0000", "\N{PILE OF POO}".encode(), b"\\\\"))
    field = rng.choice(("user_id", "event_id", "item_id", "search_term", "event_name", "padding"))
    string = rng.randbytes(8).hex().encode() + text * (size // len(text))
    return record._replace(value=_with_raw(record, field, b'"' + string + b'"'))


def _endless_text(rng: Random, record: Raw) -> Raw:
    """A text that is never closed, full of brackets and of quotes that end nothing."""
    text = b"[" * rng.randrange(150, 400) + rng.choice((b'\\"', b"\\\\", b'\\\\\\"')) * rng.randrange(1, 20_000)
    return record._replace(value=b'{"user_id":"' + text)


def _lone_surrogate(rng: Random, record: Raw) -> Raw:
    return record._replace(value=_with_raw(record, rng.choice(_FIELDS), b'"\\ud800"'))


MUTATIONS: Mapping[str, Mutation] = {
    mutation.__name__.strip("_"): mutation
    for mutation in (
        _bit_flips, _truncated, _nested, _huge_number, _wrong_type, _missing_field, _random_bytes, _random_key,
        _null_value, _wrong_key, _other_encoding, _not_an_object, _bad_time, _lone_surrogate,
        _endless_text,
    )
}  # fmt: skip
_NAMES = tuple(MUTATIONS)
# One in so many: a million records must not be a terabyte.
_LONG_ONE_IN = 2_000


def mutated(rng: Random, record: Raw) -> tuple[str, Raw]:
    """(the mutation's name, a good JSON record after it)."""
    if rng.randrange(_LONG_ONE_IN) == 0:
        return "long_string", _long_string(rng, record)
    name = rng.choice(_NAMES)
    return name, MUTATIONS[name](rng, record)


def _with_raw(record: Raw, field: str, json: bytes) -> bytes:
    """The record's object with this field set to text that need not be JSON."""
    fields = orjson.loads(record.value or b"{}")
    fields.pop(field, None)
    rest = orjson.dumps(fields)[1:-1]
    return b"{" + b",".join(part for part in (rest, b'"' + field.encode() + b'":' + json) if part) + b"}"
