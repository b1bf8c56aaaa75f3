"""What is known of fraud: the words of labels as numbers, and a file of labels, to be joined to events by their id.

A line of the file is a JSON object with `event_id` and `fraud`: a kind ("card_testing") or true for fraud, false or
null for none, as a label of the simulator or of a map's [labels] says it. Where a file has any line that says "none",
an event without a line is unknown; else, as in the simulator's own files, it lists all fraud, and the rest was none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream.errors import SettingsError
from stream.replay.json_table import JsonTable
from stream.replay.rows import Unfit, shown

UNKNOWN, NO, YES = -1, 0, 1

_KINDS_MAX = 255  # codes are of one byte; what comes after them shares the last

Verdicts = NDArray[np.int8]
Codes = NDArray[np.uint8]


class Kinds:
    """Kinds of fraud by their codes, from 1 in the order in which they are first met; 0 is none, or not told."""

    def __init__(self) -> None:
        self._codes: dict[str, int] = {}

    def code(self, kind: str) -> int:
        return self._codes.setdefault(kind, min(len(self._codes) + 1, _KINDS_MAX))

    def names(self) -> tuple[str, ...]:
        """The kind of each code; of code 0 it is empty."""
        return ("", *list(self._codes)[:_KINDS_MAX])


class _Label(msgspec.Struct, gc=False):
    fraud: str | bool | int | None = None


_decode = msgspec.json.Decoder(_Label).decode


def verdict(label: bytes, kinds: Kinds) -> tuple[int, int]:
    """(fraud, code of the kind) of a label beside an event. Raises msgspec.DecodeError for what is none."""
    return _judged(_decode(label).fraud, kinds)


def _judged(fraud: Any, kinds: Kinds) -> tuple[int, int]:
    if isinstance(fraud, str) and fraud:
        return YES, kinds.code(fraud)
    return (YES if fraud else NO), 0


@dataclasses.dataclass(frozen=True, slots=True)
class FraudLabels:
    """M labels by the hash of their event's id."""

    event_hash: NDArray[np.uint64]  # [M] ascending
    fraud: Verdicts  # [M]
    kind: Codes  # [M]
    unlisted: int  # the verdict on events that have no line

    def judge(self, event_hash: NDArray[np.uint64], fraud: Verdicts, kind: Codes) -> None:
        """Write the verdicts on N events into `fraud` and `kind`; what their shop says of unlisted ones stays."""
        fraud[fraud == UNKNOWN] = self.unlisted
        if len(self.event_hash):
            place = np.minimum(np.searchsorted(self.event_hash, event_hash), len(self.event_hash) - 1)
            listed = self.event_hash[place] == event_hash
            fraud[listed], kind[listed] = self.fraud[place[listed]], self.kind[place[listed]]


def load(path: Path, kinds: Kinds) -> FraudLabels:
    """Read a file of labels. Of several lines about one event the last is believed.

    Raises SettingsError with file and line for what is no label, since the rest would be trained on as if it were all.
    """
    if not path.is_file():
        raise SettingsError(f"{path}: expected a file of labels, got {'a folder' if path.is_dir() else 'none'}")
    hashes: list[int] = []
    verdicts: list[tuple[int, int]] = []
    for row in JsonTable(path).rows(["event_id", "fraud"]):
        if isinstance(row.fields, Unfit):
            raise _no_label(path, row.line, row.fields.error)
        if not _is_label(row.fields, row.raw):
            raise _no_label(
                path,
                row.line,
                f"expected a label with event_id and fraud (a kind, true or false), got {shown(row.raw)}",
            )
        event_id, fraud = row.fields
        hashes.append(xxh3_64_intdigest(event_id.encode()))
        verdicts.append(_judged(fraud, kinds))
    event_hash = np.array(hashes, np.uint64)
    found = np.array(verdicts, np.int16).reshape(-1, 2)
    # The last of each: the first of the reversed
    event_hash, last = np.unique(event_hash[::-1], return_index=True)
    fraud_of = found[::-1][last, 0].astype(np.int8)
    return FraudLabels(
        event_hash,
        fraud_of,
        found[::-1][last, 1].astype(np.uint8),
        UNKNOWN if (fraud_of == NO).any() else NO,
    )


def _is_label(fields: Sequence[Any], raw: str) -> bool:
    event_id, fraud = fields
    if not isinstance(event_id, str) or not event_id:
        return False
    if fraud is None:
        return '"fraud"' in raw  # null is a verdict, a line without the word is none
    return isinstance(fraud, str | bool) or fraud in (0, 1)


def _no_label(path: Path, line: int, words: str) -> SettingsError:
    return SettingsError(f"{path}:{line}: {words}; nothing was trained")
