"""Event values as JSON lines, in files, gzipped or not -> shop events."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from stream.comparison.behaviour import epoch_ms
from stream.errors import SettingsError
from stream.events import PURCHASE_NAMES, SEARCH_NAMES
from stream.shop_event import Role, ShopEvent


def read_lines(files: Sequence[Path], labels: Path | None = None) -> Iterator[ShopEvent]:
    """The events of files, one JSON object a line, with the labels of another file by `event_id`.

    Raises SettingsError with file and line for what is no event.
    """
    label_of = {} if labels is None else {str(label["event_id"]): line for _, line, label in _objects(labels)}
    for path in files:
        for place, line, value in _objects(path):
            try:
                name, event_id, user_id = value["event_name"], str(value["event_id"]), str(value["user_id"])
                time_ms = epoch_ms(value["event_time"])
            except (KeyError, TypeError, ValueError) as error:
                raise SettingsError(
                    f"{path}:{place}: expected event_id, event_name, event_time and user_id of an event, "
                    f"got {error!r}; nothing was compared"
                ) from None
            role: Role = "purchases" if name in PURCHASE_NAMES else "searches" if name in SEARCH_NAMES else "clicks"
            yield ShopEvent(role, user_id.encode(), line, time_ms, label_of.get(event_id))


def _objects(path: Path) -> Iterator[tuple[int, bytes, dict[str, Any]]]:
    """(number, text, object) of every line that is not empty."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for place, line in enumerate(file, 1):
            if not (text := line.strip()):
                continue
            try:
                value = orjson.loads(text)
                if not isinstance(value, dict):
                    raise TypeError(f"a {type(value).__name__}")  # noqa: TRY301 - told as the one below
            except (orjson.JSONDecodeError, TypeError) as error:
                raise SettingsError(f"{path}:{place}: expected a JSON object, got {error}") from None
            yield place, text, value
