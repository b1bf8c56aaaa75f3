"""The map of a shop's own columns and words to Google Analytics 4's: what `--map` reads, and formats are made of."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from stream.errors import SettingsError
from stream.replay.rows import TOPICS
from stream.replay.times import UNITS, zone_of

_SOME_TIME = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC)  # no two of its parts are the same number

# A column (in JSON and in structs of Parquet a dotted path), or several: the first that has a value
Source = Annotated[str, Meta(min_length=1)] | Annotated[tuple[str, ...], Meta(min_length=1)]


class Columns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Field of an event -> the column that it is read from. What is not named here is not sent."""

    user_id: Source
    event_time: Source
    event_name: Source | None = None
    event_id: Source | None = None
    session_id: Source | None = None
    device_id: Source | None = None
    ip_hash: Source | None = None
    country: Source | None = None
    location_id: Source | None = None
    item_id: Source | None = None
    item_category: Source | None = None
    price: Source | None = None
    quantity: Source | None = None
    search_term: Source | None = None
    results_count: Source | None = None
    transaction_id: Source | None = None
    value: Source | None = None
    currency: Source | None = None
    payment_type: Source | None = None
    payment_id: Source | None = None

    def sources(self) -> dict[str, tuple[str, ...]]:
        """Field -> its columns, of every field that is named."""
        named = {field: getattr(self, field) for field in self.__struct_fields__}
        return {
            field: (source,) if isinstance(source, str) else source
            for field, source in named.items()
            if source is not None
        }


class LabelColumns(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a recording says what was fraud. Labels are for training, and part of no event."""

    fraud: Annotated[str, Meta(min_length=1)]  # a column of 1 and 0, or true and false; empty: nobody knows
    kind: Annotated[str, Meta(min_length=1)] | None = None  # a column that names the kind of fraud, where it is one


class CsvLayout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a CSV file is written."""

    delimiter: Annotated[str, Meta(min_length=1, max_length=1)] = ","
    columns: Annotated[tuple[str, ...], Meta(min_length=1)] | None = None  # where it has no header
    decimal_comma: bool = False


class ShopMap(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file's columns, words and times."""

    columns: Columns
    name: Annotated[str, Meta(min_length=1, max_length=100)] = "map"  # event ids without a column: <name>-<row>
    events: dict[str, str] | None = None  # the shop's words -> GA4's; None: they are GA4's already
    ignore: tuple[str, ...] = ()  # words that are left out, and counted
    every_event: str | None = None  # where all rows are of one kind and no column says so, as in an export of orders
    time_format: str = "rfc3339"
    time_zone: str | None = None  # of times that carry none
    csv: CsvLayout = CsvLayout()
    labels: LabelColumns | None = None

    @property
    def words(self) -> Mapping[str, str]:
        """Word -> GA4's name."""
        return {name: name for name in TOPICS} if self.events is None else self.events


def load_map(path: Path) -> ShopMap:
    """Read a map from TOML; one without a name has the file's.

    SettingsError names the file, the key, what was expected and what came.
    """
    try:
        shop_map = msgspec.convert({"name": path.stem[:100]} | msgspec.toml.decode(path.read_bytes()), ShopMap)
    except OSError as error:
        raise SettingsError(f"{path}: expected a file of TOML, got: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: expected TOML in UTF-8, got bytes that are none") from None
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: {_with_key(str(error))}") from None
    except msgspec.DecodeError as error:
        raise SettingsError(f"{path}: expected TOML, got: {error}") from None
    problem = next(_problems(shop_map), None)
    if problem:
        raise SettingsError(f"{path}: {problem}")
    return shop_map


def _with_key(words: str) -> str:
    """msgspec's message with the key as TOML has it, in front."""
    words, _, key = words.replace("`", "").partition(" - at $")
    key = key.removeprefix(".").replace("[...]", " (a value of it)")
    return f"{key}: {words}" if key else words


def _problems(shop_map: ShopMap) -> Iterator[str]:
    if (shop_map.columns.event_name is None) == (shop_map.every_event is None):
        yield (
            "columns.event_name: expected the column that tells views from purchases, or every_event instead, got "
            f"{'both' if shop_map.every_event else 'neither'}"
        )
    if shop_map.every_event is not None and shop_map.every_event not in TOPICS:
        yield f"every_event: {_expected_name(shop_map.every_event)}"
    for word, name in (shop_map.events or {}).items():
        if name not in TOPICS:
            yield f'events."{word}": {_expected_name(name)}'
        if word in shop_map.ignore:
            yield f'ignore: expected words without an event, got "{word}", which [events] makes {name}'
    if shop_map.time_zone is not None:
        try:
            zone_of(shop_map.time_zone)
        except ValueError as error:
            yield f"time_zone: {error}"
    yield from _time_problems(shop_map.time_format, shop_map.time_zone)
    names = shop_map.csv.columns or ()
    for name in names:
        if names.count(name) > 1:
            yield f"csv.columns: expected each name once, got {name!r} {names.count(name)} times"
    if shop_map.csv.delimiter in '"\r\n':
        yield f"csv.delimiter: expected a character between fields, got {shop_map.csv.delimiter!r}"


def _time_problems(time_format: str, time_zone: str | None) -> Iterator[str]:
    if time_format in UNITS or time_format == "rfc3339":
        return
    expected = f"expected rfc3339, {', '.join(UNITS)} or a strptime format such as '%d.%m.%Y %H:%M:%S'"
    try:
        again = datetime.strptime(_SOME_TIME.strftime(time_format), time_format)
    except ValueError as error:
        yield f"time_format: {expected}, got {time_format!r}: {error}"
        return
    except re.error:  # a name of a group twice
        yield f"time_format: {expected}, with no part twice, got {time_format!r}"
        return
    if again.date() != _SOME_TIME.date():
        yield f"time_format: {expected}, with year, month and day, got {time_format!r}"
    if "%z" not in time_format and time_zone is None:
        yield f"time_zone: expected a zone such as 'Europe/Berlin' or 'UTC', since {time_format!r} has none, got none"


def _expected_name(name: str) -> str:
    close = difflib.get_close_matches(name, TOPICS, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"expected one of {', '.join(TOPICS)}, got {name!r}{hint}"
