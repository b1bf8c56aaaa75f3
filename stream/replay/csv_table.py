"""CSV: quoted line breaks, any line end, a byte-order mark, a delimiter of its own, with a header or without."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from stream.errors import SettingsError
from stream.replay.files import CutShortError, Kind, text_lines
from stream.replay.rows import Row, Unfit, cut_short, shown


class CsvTable:
    """A CSV file, plain or gzip. `columns`: names of its columns where it has no header."""

    kind: Kind = "CSV"
    is_text = True
    timestamps: frozenset[str] = frozenset()

    def __init__(self, path: Path, *, delimiter: str = ",", columns: Sequence[str] | None = None) -> None:
        self._path, self._delimiter, self._has_header = path, delimiter, columns is None
        self.columns: Sequence[str] = list(columns) if columns is not None else self.first()

    def first(self) -> list[str]:
        """The fields of the first row that is not blank: the header, where there is one."""
        try:
            return next(filter(None, self._reader(text_lines(self._path))), [])
        except (CutShortError, csv.Error) as error:
            raise SettingsError(f"{self._path}: expected a first line of CSV, got: {error}") from None

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        text = text_lines(self._path)
        taken: list[str] = []  # the lines of the row at hand
        again: deque[str] = deque()  # lines that a quote out of place took along
        cut: CutShortError | None = None

        def lines() -> Iterator[str]:
            nonlocal cut
            try:
                while again or (come := next(text, "")):
                    taken.append(again.popleft() if again else come)
                    yield taken[-1]
            except CutShortError as error:
                cut = error  # told after the rows that came before it

        pick = _picking([self.columns.index(name) for name in wanted])
        width, number, line = len(self.columns), 0, 1
        header = self._has_header
        reader = self._reader(lines())
        while True:
            fields: Sequence[Any] | Unfit
            try:
                whole = next(reader)
            except StopIteration:
                if cut is not None:
                    yield Row(number, line, cut_short(cut), "")
                return
            except csv.Error as error:
                fields = _unfit(error, taken)
                again.extendleft(reversed(taken[1:]))
                del taken[1:]
                reader = self._reader(lines())
            else:
                if not whole or header:
                    header = header and not whole
                    line += len(taken)
                    taken.clear()
                    continue
                fields = pick(whole) if len(whole) == width else _wrong_width(width, whole)
            yield Row(number, line, fields, taken[0] if len(taken) == 1 else "".join(taken))
            number, line = number + 1, line + len(taken)
            taken.clear()

    def _reader(self, lines: Iterator[str]) -> Iterator[list[str]]:
        # strict: a quote in a wrong place would otherwise be read as something else without a word
        return csv.reader(lines, delimiter=self._delimiter, strict=True)


def _picking(places: list[int]) -> Any:
    return itemgetter(*places) if len(places) > 1 else lambda fields: (fields[places[0]],)


def _wrong_width(width: int, fields: list[str]) -> Unfit:
    return Unfit("wrong_columns", f"expected {width} fields, got {len(fields)}: {shown(fields)}")


def _unfit(error: csv.Error, taken: Sequence[str]) -> Unfit:
    """Why there is no row in the lines that were taken for one."""
    most, words = csv.field_size_limit(), str(error)
    if "field larger" in words:
        if len(taken) == 1:
            return Unfit("too_long", f"expected fields of at most {most} characters, got a longer one")
        words = f"none within {most} characters"
    return Unfit("bad_quotes", f"expected quotes that close before the field ends, got: {words}")
