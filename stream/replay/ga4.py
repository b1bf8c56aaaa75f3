"""Google Analytics 4's events as JSON lines: as the source topics hold them, and as BigQuery exports them.

What the topics hold goes out byte for byte. The export's schema: https://support.google.com/analytics/answer/7029846
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stream.decode import TIME_MAX_MS, amount_of, event_time_ms
from stream.events import PRICE_MAX
from stream.replay.fields import UnfitError, amount, checked_id, count, text_of, user_id
from stream.replay.json_table import JsonTable, not_json
from stream.replay.rows import TOPICS, LeftOut, Made, Outcome, Row, Unfit, shown
from stream.replay.times import BadTimeError, TimeParser
from stream.shop_event import Role, ShopEvent

_NOT_SET = "(not set)"  # what the export writes for a value that was not there
_SEARCHES = {"view_search_results": "search"}  # what a page measures by itself is the same as the recommended event
_MONEY: Mapping[Role, str] = {"clicks": "price", "purchases": "value"}  # what decoding reads
_INT64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class _Item(msgspec.Struct, gc=False):
    item_id: str | _INT64 | None = None
    item_category: str | None = None
    price: Any = None
    quantity: Any = None


class _Line(msgspec.Struct, gc=False):
    """What the topics hold; the types are those that decoding takes."""

    event_name: str
    user_id: str | None = None
    event_id: str | msgspec.UnsetType | None = msgspec.UNSET
    event_time: int | str | msgspec.UnsetType | None = msgspec.UNSET
    event_timestamp: int | str | msgspec.UnsetType | None = msgspec.UNSET
    item_id: str | _INT64 | None = None
    item_category: str | None = None
    search_term: str | None = None
    price: Any = None
    value: Any = None
    items: list[_Item] | None = None


class _Value(msgspec.Struct, gc=False):
    string_value: str | None = None
    int_value: int | str | None = None
    float_value: Any = None
    double_value: Any = None


class _Parameter(msgspec.Struct, gc=False):
    key: str
    value: _Value


class _Order(msgspec.Struct, gc=False):
    transaction_id: str | None = None
    purchase_revenue: Any = None
    refund_value: Any = None


class _Geo(msgspec.Struct, gc=False):
    country: str | None = None


class _Exported(msgspec.Struct, gc=False):
    """What BigQuery exports. Whole numbers are text there."""

    event_name: str
    event_timestamp: int | str
    user_id: str | None = None
    user_pseudo_id: str | None = None
    event_params: list[_Parameter] = []
    ecommerce: _Order | None = None
    items: list[_Item] = []
    geo: _Geo | None = None


# Not orjson, for the reason that `mapped` gives.
_encode = msgspec.json.Encoder().encode
_decode_line = msgspec.json.Decoder(_Line, float_hook=str).decode
_decode_exported = msgspec.json.Decoder(_Exported, float_hook=str).decode


class Ga4Rows:
    """What a file of Google Analytics 4's events gives; the two shapes may be mixed."""

    format = "ga4"
    kind = JsonTable.kind

    def __init__(self, table: JsonTable, *, ids: str | None = None) -> None:
        """`ids`: what the event ids of lines without one begin with, instead of the format's name."""
        self._table, self._ids = table, ids or self.format
        self._parse_us = TimeParser("us", None)

    def outcomes(self) -> Iterator[tuple[Row, Outcome]]:
        """Every line, in the order of the file, with what becomes of it."""
        for number, line, text in self._table.lines():
            if isinstance(text, Unfit):
                yield Row(number, line, text, ""), text
                continue
            outcome = self._outcome(text, number)
            raw = text.decode(errors="backslashreplace") if type(outcome) is Unfit else ""
            yield Row(number, line, (), raw), outcome

    def notes(self) -> list[str]:
        """Nothing: times bear their zone here."""
        return []

    def _outcome(self, text: bytes, number: int) -> Outcome:
        try:
            return self._made(text, number)
        except msgspec.ValidationError as error:
            return Unfit("schema", str(error).replace("`", ""))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return not_json(text, error)
        except UnfitError as error:
            return error.unfit
        except BadTimeError as error:
            return Unfit(error.reason, str(error))

    def _made(self, text: bytes, number: int) -> Outcome:
        line = _decode_line(text)
        name = _SEARCHES.get(line.event_name, line.event_name)
        if name not in TOPICS:
            return LeftOut(line.event_name)
        if line.event_time is msgspec.UNSET and line.event_timestamp is not msgspec.UNSET:
            return self._exported(_decode_exported(text), name, number)
        if not text.isascii():
            text.decode()  # what is not read here goes out too
        return self._as_it_is(line, name, text, number)

    def _as_it_is(self, line: _Line, name: str, text: bytes, number: int) -> Outcome:
        if line.event_time is msgspec.UNSET or line.event_time is None:
            raise UnfitError("bad_time", "event_time: expected RFC 3339 with a zone or milliseconds, got none")
        if line.event_id is msgspec.UNSET:
            text = b'{"event_id":"%b-%d",%b' % (self._ids.encode(), number, text[1:])
        elif not line.event_id:
            raise UnfitError("missing_event_id", "event_id: expected an id, or no event_id at all, got an empty one")
        else:
            checked_id("event_id", line.event_id)
        if name != line.event_name:
            raise UnfitError(
                "unknown_event", f"event_name: expected {name}, which the topics hold, got {line.event_name}"
            )
        user = user_id(line.user_id or "")
        topic = TOPICS[name]
        field = _MONEY.get(topic)
        money = getattr(line, field) if field else None
        if field and money is not None and amount_of(text_of(field, money)) > PRICE_MAX:
            raise UnfitError("bad_price", f"{field}: expected an amount up to {PRICE_MAX:g}, got {shown(money)}")
        time_ms = event_time_ms(line.event_time)
        if not 0 <= time_ms <= TIME_MAX_MS:
            expected = "expected RFC 3339 with a zone (2026-01-31T12:00:00.000Z) or ms since 1970"
            raise UnfitError("bad_time", f"event_time: {expected}, got {shown(line.event_time)}")
        return Made(name, ShopEvent(topic, user.encode(), text, time_ms))

    def _exported(self, line: _Exported, name: str, number: int) -> Outcome:
        parameters = {parameter.key: _value(parameter.value) for parameter in line.event_params}
        user = user_id(_text(line.user_id) or _text(line.user_pseudo_id))
        time_ms = self._parse_us(str(line.event_timestamp))
        event_id = checked_id("event_id", _text(parameters.get("event_id"))) or f"{self._ids}-{number}"
        event: dict[str, Any] = {
            "event_id": event_id,
            "event_name": name,
            "event_time": time_ms,
            "user_id": user,
            "session_id": _text(parameters.get("ga_session_id")),
            "device_id": _text(line.user_pseudo_id),
            "country": _text(line.geo and line.geo.country),
        }
        topic = TOPICS[name]
        if topic == "searches":
            event["search_term"] = _text(parameters.get("search_term"))
        elif topic == "purchases":
            event |= _order(line, name, parameters, event_id)
        elif name == "view_item_list" and line.items:  # it shows many items, most often of one category
            event["item_category"] = _text(line.items[0].item_category)
        elif name != "view_cart" and line.items:
            event |= _facts(line.items[0]) | {"currency": _text(parameters.get("currency"))}
        return Made(name, ShopEvent(topic, user.encode(), _encode(_present(event)), time_ms))


def _order(line: _Exported, name: str, parameters: dict[str, Any], event_id: str) -> dict[str, Any]:
    order = line.ecommerce or _Order()
    money = order.refund_value if name == "refund" else order.purchase_revenue
    value = _text(money) or _text(parameters.get("value"))
    return {
        "transaction_id": _text(order.transaction_id) or _text(parameters.get("transaction_id")) or event_id,
        "value": value and amount("value", value, signed=name == "refund"),
        "currency": _text(parameters.get("currency")),
        "items": [_present(_facts(item)) for item in line.items],
    }


def _facts(item: _Item) -> dict[str, Any]:
    price = _text(item.price)
    return {
        "item_id": _text(item.item_id),
        "item_category": _text(item.item_category),
        "price": price and amount("price", price),
        "quantity": count(_text(item.quantity)),
    }


def _value(value: _Value) -> Any:
    """The one of a parameter's values that is set."""
    for candidate in (value.string_value, value.int_value, value.double_value, value.float_value):
        if candidate is not None:
            return candidate
    return None


def _text(value: Any) -> str:
    text = text_of("value", value)
    return "" if text == _NOT_SET else text


def _present(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value not in ("", [])}
