"""Events as bytes, field by field, and what may stand in them that is unusual or no JSON at all."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from stream.events import ACTIONS, CLICKS, PURCHASES, SEARCHES
from tests.shop import START_MS

FIELDS = (
    "user_id", "event_id", "event_name", "event_time", "device_id", "country", "location_id", "item_id",
    "item_category", "price", "search_term", "value", "items", "other",
)  # fmt: skip
ACTION_NAMES = ACTIONS
_EVENT_NAME = {CLICKS: b'"add_to_cart"', SEARCHES: b'"search"', PURCHASES: b'"purchase"'}
_ENVELOPE = {"user_id": b'"u1"', "event_id": b'"e-1"', "event_time": b"%d" % START_MS}
_SHOWN = {
    CLICKS: {"item_id": b'"sku-1"', "item_category": b'"shoes"', "price": b"19.90"},
    SEARCHES: {"search_term": b'"Red Shoes"'},
    PURCHASES: {"value": b'"30.00"', "items": b'[{"item_id":"sku-1","item_category":"shoes","n":2},{"item_id":7}]'},
}
_WHERE = {"device_id": b'"d-1"', "country": b'"DE"', "location_id": b"1004"}


def event(source: int, without: str | None = None, /, **fields: bytes) -> bytes:
    """With these fields, each as the JSON text that stands there, in the place of the usual ones or after them."""
    texts = {**_ENVELOPE, "event_name": _EVENT_NAME[source], **_SHOWN[source], **_WHERE, **fields}
    if without is not None:
        texts.pop(without, None)
    return b"{" + b",".join(b'"%b":%b' % (name.encode(), text) for name, text in texts.items()) + b"}"


def usual(source: int) -> Sequence[bytes]:
    """What shops send."""
    envelope = {**_ENVELOPE, "event_name": _EVENT_NAME[source]}
    return (
        event(source),
        event(source, event_time=b'"2026-09-21T14:13:20.123Z"', session=b'{"id":"a\\"b","n":[1,-2.5,true,null]}'),
        event(source, event_time=b'"2026-09-21T14:13:20Z"', items=b"[]", item_id=b"42", price=b"5", value=b"null"),
        event(source, user_id=b'"u1"', event_id='"é-🛒"'.encode(), country=b"null", item_category=b'""', items=b"[{}]"),
        json.dumps({name: json.loads(text) for name, text in envelope.items()}).encode(),
    )


def mutations(value: bytes) -> Iterator[bytes]:
    """The value with one byte changed, lost, added or doubled; at every place."""
    for at in range(len(value)):
        yield value[:at] + value[at + 1 :]
        yield value[:at] + value[at : at + 1] + value[at:]
        for byte in _BYTES:
            yield value[:at] + byte + value[at:]
            yield value[:at] + byte + value[at + 1 :]
        for bit in range(8):
            yield value[:at] + bytes([value[at] ^ 1 << bit]) + value[at + 1 :]
        yield value[:at]


_BYTES = [bytes([byte]) for byte in b'"\\{}[],: \n\x00\x1f\x7f\x80\xc3\xff0-+.eEunt']

TIME_FORMS = (
    "%Y-%m-%dT%H:%M:%S.{ms}Z", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S.{us}Z", "%Y-%m-%dT%H:%M:%S.{us}Z",
    "%Y-%m-%dt%H:%M:%S.{ms}z", "%Y-%m-%d %H:%M:%S.{ms}Z", "%Y-%m-%dT%H:%M:%S.{ms}+00:00", "%Y-%m-%dT%H:%M:%S.{ms}",
    "%Y-%m-%dT%H:%M:%S.{ms}-00:00", "%Y%m%dT%H%M%SZ", "%Y-%m-%dT%H:%M:%S,{ms}Z", "{epoch}",
)  # fmt: skip


def spelt(time_ms: int, form: str) -> bytes:
    """A time as JSON."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    text = f"{moment.year:04d}" + moment.strftime(form[2:]) if form.startswith("%Y") else form
    return b'"%b"' % text.format(ms=f"{time_ms % 1000:03d}", us=f"{time_ms % 1000:03d}999", epoch=time_ms).encode()


def nested(depth: int) -> Iterator[bytes]:
    yield b"[" * depth + b"]" * depth
    yield b'{"a":' * depth + b"1" + b"}" * depth
    yield b'[{"a":' * (depth // 2) + b"[]" + b"}]" * (depth // 2)


_NUMBERS = (
    b"0", b"-0", b"-0.0", b"0.0", b"00", b"01", b"-01", b"1.", b".5", b"-", b"-.5", b"0.5", b"+1", b"1_000", b"0x10",
    b"1e5", b"1E+5", b"1e-5", b"1e", b"1e+", b"1.5e3", b"-1", b"-1.5", b"1e400", b"-1e400", b"1000000000",
    b"1000000000.0", b"1000000000.00001", b"1000000001", b"999999999.999999", b"0.1", b"0.30000000000000004",
    b"123456.789012345", b"9007199254740993", b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808",
    b"18446744073709551615", b"18446744073709551616", b"253402300799999", b"253402300800000", b"1 2", b"1a",
    *(b"9" * n for n in range(13, 24)), *(b"1" + b"0" * n for n in range(13, 24)),
    *(b"0." + b"1" * n for n in range(12, 24)), *(b"12345678." + b"9" * n for n in range(5, 14)), b"0" * 20, b"9" * 400,
)  # fmt: skip
_WORDS = (
    b"true", b"false", b"null", b"nul", b"nulll", b"tru", b"True", b"None", b"NaN", b"-NaN", b"Infinity", b"-Infinity",
    b"undefined", b"u1", b"'u1'", b"", b" ", b"n", b"t", b"f",
)  # fmt: skip
_PLAIN = (
    "", " ", "u1", "x" * 100, "e-1", "DE", "ÄÖÜ", "Straße", "İstanbul", "ﬃ", "€", "🛒", "\U0010ffff", "\uffff",
    "\ufeff",
    "\u2028", "é", "A", "Red SHOES", "search", "purchase", "add_to_cart", "none", "١٢", "\uff11\uff12", "x" * 2_000,
    "[{" * 150,
)  # fmt: skip
_QUOTED_NUMBERS = (
    b"19.90", b"-5", b"+5", b" 5", b"5 ", b"1_000", b"1e5", b"1e999", b"inf", b"-inf", b"nan", b"-0", b"01", b"1.",
    b".5", b"0", b"1000000000", b"1000000000.1", b"19,90", b"0x1", b"1790000000000", b"-1790000000000",
    b"253402300799999", b"253402300800000", b"0000000000000001", b"1.7e12", b"999999999999999", b"9999999999999999",
)  # fmt: skip
_STRINGS = (
    rb'"\n"', rb'"\t"', rb'"\/"', rb'"\""', rb'"\\"', rb'"a\b\f\n\r\t"', rb'"\u0061"', rb'"\u00e9"', rb'"\ud83d\ude00"',
    rb'"\ud83d"', rb'"\ude00"', rb'"\ud83dx"', rb'"\u12"', rb'"\u12G4"', rb'"\x"', rb'"\u0000"', rb'"\U0061"', rb'"\a"',
    rb'"\""x', rb'"u1\"', b'"u1', b'"', b'u1"', b'"u1\\', rb'"u\u0031"', rb'"search\u0000"', rb'"\u0073earch"',
    b'"\x00"', b'"\x01"', b'"\x1f"', b'"\t"', b'"\n"', b'"\x7f"', b'"\xff"', b'"\xfe\xff"', b'"\xc0\x80"',
    b'"\xc1\xbf"', b'"\x80"', b'"\xbf"', b'"\xc3"', b'"\xc3("', b'"\xe2\x82"', b'"\xe2(\xa1"', b'"\xe0\x80\x80"',
    b'"\xe0\x9f\xbf"', b'"\xed\xa0\x80"', b'"\xed\xbf\xbf"', b'"\xef\xbf\xbf"', b'"\xf0\x80\x80\x80"',
    b'"\xf0\x8f\xbf\xbf"', b'"\xf0\x9f\x9b"', b'"\xf4\x8f\xbf\xbf"', b'"\xf4\x90\x80\x80"', b'"\xf5\x80\x80\x80"',
    b'"\xf8\x88\x80\x80\x80"', b'"1234567\xc3\xa9"', b'"12345678\xff"', b'"1234567\\"8"', b'"12345678\x01"',
    b'"123456\\u0041"', b"\xff", b"\xef\xbb\xbf",
)  # fmt: skip
_NESTED = (
    b"{}", b"[]", b"[[]]", b"[{}]", b'{"a":1}', b'{"a":{}}', b"[1,2]", b"[1, 2 ,3]", b"[1,]", b"[,]", b"[,1]", b"[1 2]",
    b"[1,,2]", b'{"a":1,}', b"{,}", b'{"a" 1}', b'{"a":}', b"{a:1}", b'{"a":1 "b":2}', b"{1:2}", b'{"a":1,"a":2}',
    b"[}", b"{]", b"[", b"{", b"]", b"}", b'{"a"', b'{"a":', b'{"a":1', b"[1", b"[1,", b'["a]', b'[{"item_id":"a"}]',
    b'[{"item_id":"a"},]', b'[{"item_id":"a"} {"item_id":"b"}]', b'[{"item_id":"a"},null]', b'[null,{"item_id":"a"}]',
    b'[{"item_id":"a","item_id":"b"}]', b'[{"item_id":1.5}]', b'[{"item_id":"a"},{"item_id":true}]',
    b'[{"item_id":"a"},{"item_category":5}]', b'[{"item_id":"a"},3]', b'[[{"item_id":"a"}]]', b'{"item_id":"a"}',
    b'[{"item_id":null,"item_category":null}]', b'[ { } , { "item_id" : "a" } ]', b'[{"item\\u005fid":"a"}]',
    b'[{"item_category":"c"}]', b'[{"x":{"item_id":"b"}},{"item_id":"a"}]', b'[{"item_id":""}]',
    b"[" + b",".join([b'{"item_id":"a"}'] * 300) + b"]", rb'{"a":"\n","b\t":"\\"}', rb'{"a\u0041":1}', b'{"\xff":1}',
    b'{"":1}', b"[true,false,null,-1,0.5]", b"[truefalse]", b"[-]", b"[1.]", b"[01]",
    *(text for depth in (2, 58, 59, 60, 61, 62, 63, 64, 65, 198, 199, 200, 201, 400) for text in nested(depth)),
)  # fmt: skip
_TIMES = (
    "2026-09-21T14:13:20Z", "2026-09-21T14:13:20.1Z", "2026-09-21T14:13:20.12Z", "2026-09-21T14:13:20.123Z",
    "2026-09-21T14:13:20.1234Z", "2026-09-21T14:13:20.12345Z", "2026-09-21T14:13:20.123456Z",
    "2026-09-21T14:13:20.1234567Z", "2026-09-21T14:13:20.123456789Z", "2026-09-21T14:13:20.Z",
    "2026-09-21T14:13:20.abcZ", "2026-09-21T14:13:20.123abcZ", "2026-09-21T14:13:20,123Z", "2026-09-21t14:13:20z",
    "2026-09-21 14:13:20Z", "2026-09-21T14:13:20+02:00", "2026-09-21T14:13:20.123+02:00", "2026-09-21T14:13:20-00:00",
    "2026-09-21T14:13:20+0200", "2026-09-21T14:13:20+02", "2026-09-21T14:13:20+24:00", "2026-09-21T14:13:20",
    "2026-09-21T14:13Z", "2026-09-21T14Z", "2026-09-21", "20260921T141320Z", "2026-W39-1T14:13:20Z",
    "2026-264T14:13:20Z", "2026-09-21T24:00:00Z", "2026-09-21T23:60:00Z", "2026-06-30T23:59:60Z",
    "2026-02-29T00:00:00Z", "2024-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
    "2100-02-29T00:00:00Z", "2026-00-10T00:00:00Z", "2026-13-10T00:00:00Z", "2026-01-00T00:00:00Z",
    "2026-01-32T00:00:00Z", "2026-04-31T00:00:00Z", "1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00+01:00", "0001-01-01T00:00:00Z", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z",
    "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-01:00", "10000-01-01T00:00:00Z", "2026-9-21T14:13:20Z",
    "2026-09-21T14:13:20ZZ", "2026-09-21T14:13:20Z ", " 2026-09-21T14:13:20Z", "+2026-09-21T14:13:20Z",
    "2026-09-21T-1:13:20Z", "2026-09-21T14:13:-1Z", "\uff12026-09-21T14:13:20Z", "2026-09-21T14:13:20.12\uff13Z", "now",
    "Z", "T", "2026-09-21T14:13:20.123456", "2026/09/21T14:13:20Z", "2026-09-21T14-13-20Z",
    "2026-09-21T14:13:20.000001Z", "2026-09-21T14:13:20.999999Z",
)  # fmt: skip

# JSON values, and what looks like them.
TEXTS: Sequence[bytes] = (
    *_NUMBERS, *_WORDS, *_STRINGS, *_NESTED,
    *(b'"%b"' % text for text in (*_QUOTED_NUMBERS, *(text.encode() for text in (*_PLAIN, *_TIMES)))),
    *(b'"%b"' % (text.encode() * n) for text in "aé🛒" for n in (59, 60, 61, 64, 119, 120, 121, 240, 241, 256, 257)),
)  # fmt: skip

# Names of fields that are nearly those of an event, with their quotes.
NAMES = (
    b'"user_id"', rb'"user\u005fid"', rb'"u\u0073er_id"', b'"User_id"', b'"user_id "', b'"user_i"', b'"user_idd"',
    b'"item_id"', b'"item_category"', b'"price"', b'"value"', b'"items"', b'"search_term"', b'"event_time\x00"',
    rb'"event_time\u0000"', b'""', b'"type"', b'"\xff"', b'"\xc3\xa9"', b'"e\\n"', b"user_id", b"'user_id'", b"1",
    b"null", b'"user_id', b'"' + b"x" * 300 + b'"', b'"device_id\\/"', b'"\x1f"', b'"location_id_of_something_else"',
    b'"add_payment_info"',
)  # fmt: skip
