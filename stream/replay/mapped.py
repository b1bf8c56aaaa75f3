"""Rows of a table -> events, by a map of columns and words. A row is an event; every bought item's is a purchase."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import msgspec

from stream.replay.fields import UnfitError, amount, checked_id, count, text_of, user_id
from stream.replay.rows import TOPICS, LeftOut, Made, Outcome, Row, Table, Unfit, raw_text, shown
from stream.replay.shop_map import ShopMap
from stream.replay.times import BadTimeError, Period, TimeParser, zone_of
from stream.shop_event import Role, ShopEvent

Adapt = Callable[[Sequence[Any]], Sequence[Any]]
_Check = Callable[[str], Any] | None
_Field = tuple[str, int, _Check]  # its name, where its text stands, and what is made of that; None: it is the text

_ENVELOPE = ("session_id", "device_id", "ip_hash", "country", "location_id")
_OF_TOPIC: dict[Role, tuple[str, ...]] = {
    "clicks": ("item_id", "item_category", "price", "currency", "quantity"),
    "searches": ("search_term", "results_count"),
    "purchases": ("transaction_id", "value", "currency", "payment_type", "payment_id"),
}
_OF_ITEM = ("item_id", "item_category", "price", "quantity")

_VERDICTS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}

# Not orjson: each bytes object that it makes and that is kept holds 4 kB of memory (measured), this one's 180 bytes.
_encode = msgspec.json.Encoder().encode


class MappedRows:
    """What a map makes of a table.

    `whole_ids`: users and items are whole numbers in this format, so that swapped columns show. `adapt` changes the
    values of a row beforehand. `period`: times outside of it are no times of this format. `ids`: what the event ids of
    rows without one begin with, instead of the map's name.
    """

    def __init__(
        self,
        table: Table,
        shop_map: ShopMap,
        *,
        whole_ids: bool = False,
        adapt: Adapt | None = None,
        period: Period | None = None,
        ids: str | None = None,
    ) -> None:
        self.format, self.kind = shop_map.name, table.kind
        self._table, self._map, self._whole_ids, self._adapt, self._period = table, shop_map, whole_ids, adapt, period
        self._sources = shop_map.columns.sources()
        # A column a field, in the order of the fields; then what stands in where it has no value
        self.wanted = [names[0] for names in self._sources.values()]
        self._others: list[tuple[int, range]] = []
        for place, names in enumerate(self._sources.values()):
            if len(names) > 1:
                self._others.append((place, range(len(self.wanted), len(self.wanted) + len(names) - 1)))
                self.wanted += names[1:]
        self._labels = range(len(self.wanted), len(self.wanted))
        if shop_map.labels is not None:
            self.wanted += filter(None, (shop_map.labels.fraud, shop_map.labels.kind))
            self._labels = range(self._labels.start, len(self.wanted))
        self._prefix = f"{shop_map.name if ids is None else ids}-"
        self._notes: list[str] = []

    def outcomes(self) -> Iterator[tuple[Row, Outcome]]:
        """Every row, in the order of the file, with what becomes of it."""
        times = self._parser()
        make = self._maker(times)
        for row in self._table.rows(self.wanted):
            yield row, row.fields if isinstance(row.fields, Unfit) else make(row)
        self._notes = times.notes()

    def notes(self) -> list[str]:
        """What the user should know of the pass that was made last."""
        return self._notes

    def _parser(self) -> TimeParser:
        # A column that holds times by its type is read as what it is, whatever the map's format is
        typed = set(self._sources["event_time"]) <= self._table.timestamps
        zone = zone_of(self._map.time_zone) if self._map.time_zone else None
        return TimeParser("rfc3339" if typed else self._map.time_format, zone, self._period)

    def _maker(self, parse: TimeParser) -> Callable[[Row], Outcome]:
        words, ignored, every = self._map.words, set(self._map.ignore), self._map.every_event
        whole, texts, prefix, labels = self._whole_ids, self._texts(), self._prefix, self._labels
        place = {field: i for i, field in enumerate(self._sources)}
        name_at, time_at, user_at, id_at = (
            place.get(field, -1) for field in ("event_name", "event_time", "user_id", "event_id")
        )

        def chosen(names: Sequence[str], *, signed: bool = False) -> list[_Field]:
            return [(name, place[name], self._check(name, signed)) for name in names if name in place]

        envelope, of_item = chosen(_ENVELOPE), chosen(_OF_ITEM)
        of_name = {name: envelope + chosen(_OF_TOPIC[topic], signed=name == "refund") for name, topic in TOPICS.items()}

        def made(row: Row) -> Outcome:
            values = texts(row.fields)
            word = every or values[name_at] or ""
            name = word if every else words.get(word)
            if name is None:
                return LeftOut(word) if word in ignored else _unknown(word, words)
            user = user_id(values[user_at], whole=whole)
            time_ms = parse(values[time_at] or "")
            event_id = (id_at >= 0 and checked_id("event_id", values[id_at] or "")) or f"{prefix}{row.number}"
            event = {"event_id": event_id, "event_name": name, "event_time": time_ms, "user_id": user}
            _fill(event, of_name[name], values)
            topic = TOPICS[name]
            if topic == "purchases":
                event.setdefault("transaction_id", event_id)  # rows do not say what was one order
                item: dict[str, Any] = {}
                _fill(item, of_item, values)
                if item:
                    event["items"] = [item]
            label = _label(event_id, *values[labels.start : labels.stop]) if labels else None
            return Made(name, ShopEvent(topic, user.encode(), _encode(event), time_ms, label))

        def make(row: Row) -> Outcome:
            try:
                return made(row)
            except UnfitError as error:
                return error.unfit
            except BadTimeError as error:
                return Unfit(error.reason, str(error))
            except UnicodeEncodeError:  # a lone surrogate, which stands for a byte
                return Unfit("not_utf8", f"expected UTF-8, got {shown(raw_text(row))}")

        return make

    def _texts(self) -> Callable[[Any], Sequence[str | None]]:
        """What makes of a row's values the text of each field; None or "" where it has none."""
        if self._adapt is not None:
            return self._adapt
        if self._table.is_text and not self._others:
            return _as_they_are
        others, is_text, names, labels = self._others, self._table.is_text, self.wanted, self._labels

        def texts(values: Sequence[Any]) -> list[str | None]:
            found = list(values)
            if not is_text:
                for place in labels:  # the only fields that JSON may say true of
                    if isinstance(found[place], bool):
                        found[place] = str(found[place])
                found = [text_of(name, v) for name, v in zip(names, found, strict=True)]
            for place, stand_ins in others:
                if not found[place]:
                    found[place] = next((found[other] for other in stand_ins if found[other]), None)
            return found

        return texts

    def _check(self, field: str, signed: bool) -> _Check:
        if field in ("price", "value"):
            check = partial(amount, field, signed=signed)
            comma = self._map.csv.decimal_comma and self.kind == "CSV"
            return (lambda text: check(_with_point(field, text))) if comma else check
        if field in ("quantity", "results_count"):
            return count
        if field == "item_id" and self._whole_ids:
            return partial(checked_id, field, whole=True)
        return None


def _as_they_are(values: Any) -> Sequence[str | None]:
    return values  # type: ignore[no-any-return]


def _fill(into: dict[str, Any], wanted: Sequence[_Field], values: Sequence[str | None]) -> None:
    for field, place, check in wanted:
        text = values[place]
        if text:
            into[field] = text if check is None else check(text)


def _label(event_id: str, fraud: str | None, kind: str | None = None) -> bytes | None:
    """As the simulator writes them; None where nobody knows."""
    if not fraud:
        return None
    verdict = _VERDICTS.get(fraud.lower())
    if verdict is None:
        raise UnfitError("bad_label", f"fraud: expected 1, 0, true, false or nothing, got {shown(fraud)}")
    return _encode({"event_id": event_id, "fraud": verdict and (kind or True)})


def _unknown(word: str, words: Any) -> Unfit:
    return Unfit("unknown_event", f"event_name: expected one of {', '.join(words)}, got {shown(word)}")


def _with_point(field: str, text: str) -> str:
    if "." in text:  # of thousands or of decimals: either guess may be wrong by a factor of 1,000
        raise UnfitError("bad_price", f"{field}: expected an amount such as 19,90, without a point, got {shown(text)}")
    return text.replace(",", ".")
