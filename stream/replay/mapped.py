"""Rows of a table -> events, by a map of columns and words. A row is an event; every bought item's is a purchase."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import orjson

from stream.replay import fields
from stream.replay.fields import UnfitError, text_of
from stream.replay.rows import TOPICS, LeftOut, Made, Outcome, Row, Table, Unfit, shown
from stream.replay.shop_map import ShopMap
from stream.replay.times import BadTimeError, Period, TimeParser, zone_of
from stream.shop_event import Role, ShopEvent

Adapt = Callable[[Sequence[Any]], Sequence[Any]]
_Check = Callable[[str], Any]
_Field = tuple[str, tuple[int, ...], _Check]  # its name, where its value stands, what makes it of the text

_ENVELOPE = ("session_id", "device_id", "ip_hash", "country", "location_id")
_OF_TOPIC: dict[Role, tuple[str, ...]] = {
    "clicks": ("item_id", "item_category", "price", "currency", "quantity"),
    "searches": ("search_term", "results_count"),
    "purchases": ("transaction_id", "value", "currency", "payment_type", "payment_id"),
}
_OF_ITEM = ("item_id", "item_category", "price", "quantity")


class MappedRows:
    """What a map makes of a table.

    `whole_ids`: users and items are whole numbers in this format, so that swapped columns show. `adapt` changes the
    values of a row beforehand. `period`: times outside of it are no times of this format.
    """

    def __init__(
        self,
        table: Table,
        shop_map: ShopMap,
        format_name: str,
        *,
        whole_ids: bool = False,
        adapt: Adapt | None = None,
        period: Period | None = None,
    ) -> None:
        self.format, self.kind = format_name, table.kind
        self._table, self._map, self._whole_ids, self._adapt, self._period = table, shop_map, whole_ids, adapt, period
        self._sources = {
            field: (source,) if isinstance(source, str) else source
            for field in shop_map.columns.__struct_fields__
            if (source := getattr(shop_map.columns, field)) is not None
        }
        self.wanted = list(dict.fromkeys(name for names in self._sources.values() for name in names))
        self._times = self._parser()

    def outcomes(self) -> Iterator[tuple[Row, Outcome]]:
        """Every row, in the order of the file, with what becomes of it."""
        self._times = self._parser()
        make = self._maker()
        for row in self._table.rows(self.wanted):
            yield row, row.fields if isinstance(row.fields, Unfit) else make(row)

    def notes(self) -> list[str]:
        """What the user should know of the pass that was made last."""
        return self._times.notes()

    def _parser(self) -> TimeParser:
        # A column that holds times by its type is read as what it is, whatever the map's format is
        typed = set(self._sources["event_time"]) <= self._table.timestamps
        zone = zone_of(self._map.time_zone) if self._map.time_zone else None
        return TimeParser("rfc3339" if typed else self._map.time_format, zone, self._period)

    def _maker(self) -> Callable[[Row], Outcome]:
        words, ignored, every = self._map.words, set(self._map.ignore), self._map.every_event
        place = {name: i for i, name in enumerate(self.wanted)}
        places = {field: tuple(place[name] for name in names) for field, names in self._sources.items()}
        whole, adapt, parse = self._whole_ids, self._adapt, self._times
        prefix = f"{self._map.name}-"
        name_at, time_at, user_at, id_at = (
            places.get(field, ()) for field in ("event_name", "event_time", "user_id", "event_id")
        )

        def chosen(names: Sequence[str], *, signed: bool = False) -> list[_Field]:
            return [(name, places[name], self._check(name, signed)) for name in names if name in places]

        envelope = chosen(_ENVELOPE)
        of_topic = {
            name: envelope + chosen(_OF_TOPIC[topic], signed=name == "refund") for name, topic in TOPICS.items()
        }
        of_item = chosen(_OF_ITEM)

        def make(row: Row) -> Outcome:
            try:
                values = row.fields if adapt is None else adapt(row.fields)
                word = every or _first(values, name_at, "event_name")
                name = word if every else words.get(word)
                if name is None:
                    return LeftOut(word) if word in ignored else _unknown(word, words)
                user = fields.user_id(_first(values, user_at, "user_id"), whole=whole)
                time_ms = parse(_first(values, time_at, "event_time"))
                event_id = fields.checked_id("event_id", _first(values, id_at, "event_id")) or f"{prefix}{row.number}"
                event = {"event_id": event_id, "event_name": name, "event_time": time_ms, "user_id": user}
                _fill(event, of_topic[name], values)
                topic = TOPICS[name]
                if topic == "purchases":
                    event.setdefault("transaction_id", event_id)  # rows do not say what was one order
                    item: dict[str, Any] = {}
                    _fill(item, of_item, values)
                    if item:
                        event["items"] = [item]
                return Made(name, ShopEvent(topic, user.encode(), orjson.dumps(event), time_ms))
            except UnfitError as error:
                return error.unfit
            except BadTimeError as error:
                return Unfit(error.reason, str(error))
            except (TypeError, UnicodeEncodeError):  # a lone surrogate, which stands for a byte
                return Unfit("not_utf8", f"expected UTF-8, got {shown([v for v in values if not _is_utf8(v)])}")

        return make

    def _check(self, field: str, signed: bool) -> _Check:
        if field in ("price", "value"):
            check: _Check = partial(fields.amount, field, signed=signed)
            return (lambda text: check(_with_point(text))) if self._map.csv.decimal_comma else check
        if field in ("quantity", "results_count"):
            return fields.count
        if field == "item_id" and self._whole_ids:
            return partial(fields.checked_id, field, whole=True)
        return str


def _first(values: Sequence[Any], places: Sequence[int], field: str) -> str:
    """The text of the first column that has one, or ""."""
    for place in places:
        value = values[place]
        text = value if type(value) is str else text_of(field, value)
        if text:
            return text
    return ""


def _fill(into: dict[str, Any], wanted: Sequence[_Field], values: Sequence[Any]) -> None:
    for field, places, check in wanted:
        text = _first(values, places, field)
        if text:
            into[field] = check(text)


def _unknown(word: str, words: Any) -> Unfit:
    return Unfit("unknown_event", f"event_name: expected one of {', '.join(words)}, got {shown(word)}")


def _with_point(text: str) -> str:
    return text if "." in text else text.replace(",", ".")


def _is_utf8(value: Any) -> bool:
    return not (isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value))
