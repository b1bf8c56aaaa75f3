"""Labels of fraud, as JSON lines in a file, joined to the events that they are about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from stream.errors import SettingsError
from stream.replay.json_table import JsonTable
from stream.replay.rows import Unfit, raw_text, shown
from stream.shop_event import ShopEvent


class _Named(msgspec.Struct, gc=False):
    event_id: str


def with_labels(events: Iterable[ShopEvent], path: Path) -> Iterator[ShopEvent]:
    """Events, each with its label in the file, by `event_id`, if there is one.

    Raises SettingsError with file and line for what is no label.
    """
    label_of = _labels(path)
    decode = msgspec.json.Decoder(_Named).decode
    for event in events:
        label = label_of.get(decode(event.value).event_id)
        yield event if label is None else event._replace(label=label)


def _labels(path: Path) -> dict[str, bytes]:
    """Event id -> the line with its label."""
    labels: dict[str, bytes] = {}
    for row in JsonTable(path).rows(["event_id", "fraud"]):
        if isinstance(row.fields, Unfit):
            raise _no_label(path, row.line, row.fields.error)
        event_id, fraud = row.fields
        if not (isinstance(event_id, str) and isinstance(fraud, str)):
            raise _no_label(path, row.line, f"expected a label with event_id and fraud, got {shown(raw_text(row))}")
        labels[event_id] = raw_text(row).encode()
    return labels


def _no_label(path: Path, line: int, words: str) -> SettingsError:
    return SettingsError(f"{path}:{line}: {words}; nothing was compared")
