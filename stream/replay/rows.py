"""A row of a file, and what becomes of it: an event, a word that is left out, or a refusal. Each is a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from stream.events import CLICK_NAMES, PURCHASE_NAMES, SEARCH_NAMES
from stream.replay.files import Kind
from stream.shop_event import ROLES, Role, ShopEvent

# Google Analytics 4's names -> the topic that each goes to
TOPICS: Mapping[str, Role] = {
    name: topic
    for topic, names in zip(ROLES, (CLICK_NAMES, SEARCH_NAMES, PURCHASE_NAMES), strict=True)
    for name in names
}


class Unfit(msgspec.Struct, frozen=True, gc=False):
    """Why a row gives no event."""

    reason: str  # one of a few words, for counting
    error: str  # what was expected, and what came


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row as it stands in the file."""

    number: int  # from 0; a header is no row, and what is refused keeps its number
    line: int  # from 1; of Parquet, which has no lines, the row from 1
    fields: (
        Sequence[Any] | Unfit
    )  # the values of the columns that were asked for: str, int, bool, None, or a JSON value
    raw: str  # as it was written; of Parquet, its values


class Made(msgspec.Struct, frozen=True, gc=False):
    """An event, and its name beside it, for counting."""

    name: str
    event: ShopEvent


class LeftOut(msgspec.Struct, frozen=True, gc=False):
    """A word that is known and gives no event."""

    word: str


Outcome = Made | LeftOut | Unfit


class Table(Protocol):
    """A file that can be read from its start any number of times."""

    kind: Kind
    is_text: bool  # values are str or None; else whatever JSON holds
    timestamps: frozenset[str]  # columns that hold times by their type, whatever a format says

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """Every row, with the values of the wanted columns in that order."""


def cut_short(error: Exception) -> Unfit:
    """The last row of a compressed file that ends too early."""
    return Unfit("cut_short", f"expected more of a gzip file, got its end: {error}; what comes before is kept")


def shown(value: object) -> str:
    """For a message: a megabyte of rubbish helps nobody."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def raw_text(row: Row) -> str:
    """A row as it stands in the file, in characters that every terminal and file can take."""
    text = row.raw.rstrip("\r\n")
    if not text and not isinstance(row.fields, Unfit):
        text = ",".join("" if value is None else str(value) for value in row.fields)
    return text.encode(errors="backslashreplace").decode()
