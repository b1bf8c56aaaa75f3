"""CSV: quoted line breaks, any line end, a byte-order mark, a delimiter of its own, with a header or without."""

from __future__ import annotations

import csv
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
            return next(filter(None, csv.reader(text_lines(self._path), delimiter=self._delimiter)), [])
        except (CutShortError, csv.Error) as error:
            raise SettingsError(f"{self._path}: expected a first line of CSV, got: {error}") from None

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        taken: list[str] = []  # the lines of the row at hand

        def lines() -> Iterator[str]:
            for line in text_lines(self._path):
                taken.append(line)
                yield line

        pick = _picking([self.columns.index(name) for name in wanted])
        width, number, line = len(self.columns), 0, 1
        header = self._has_header
        # strict: a quote in a wrong place would otherwise be read as something else without a word
        reader = csv.reader(lines(), delimiter=self._delimiter, strict=True)
        while True:
            fields: Sequence[Any] | Unfit
            try:
                whole = next(reader)
            except StopIteration:
                return
            except CutShortError as error:
                yield Row(number, line, cut_short(error), "")
                return
            except csv.Error as error:
                fields = Unfit("bad_quotes", f"expected quotes that close before the field ends, got: {error}")
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


def _picking(places: list[int]) -> Any:
    return itemgetter(*places) if len(places) > 1 else lambda fields: (fields[places[0]],)


def _wrong_width(width: int, fields: list[str]) -> Unfit:
    return Unfit("wrong_columns", f"expected {width} fields, got {len(fields)}: {shown(fields)}")
