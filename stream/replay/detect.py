"""Which reader a file needs: by the format that was asked for, by a map, or by the shape that the file has."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from stream.errors import SettingsError
from stream.replay.csv_table import CsvTable
from stream.replay.files import Kind, kind_of
from stream.replay.formats import FORMATS, KNOWN, NEEDS, Format, KnownFormat
from stream.replay.ga4 import Ga4Rows
from stream.replay.json_table import JsonTable
from stream.replay.mapped import MappedRows
from stream.replay.parquet_table import ParquetTable
from stream.replay.rows import Unfit, shown
from stream.replay.shop_map import ShopMap
from stream.replay.tally import Rows

_LOOKED_AT = 100  # rows, the first of which may be half a line or none


def open_rows(
    path: Path, format_name: Format | None = None, shop_map: ShopMap | None = None, *, ids: str | None = None
) -> Rows:
    """The reader of a file; without format and map, by its shape.

    `ids`: what the event ids of rows without one begin with, for whoever reads several files; by default the name of
    the format or the map.

    Raises SettingsError naming the file, what was expected and what was found.
    """
    kind = kind_of(path)
    if shop_map is not None:
        return _mapped(path, kind, shop_map, ids)
    if kind == "JSON lines" or (format_name in (None, "ga4") and kind == "CSV" and _looks_like_ga4(JsonTable(path))):
        return _json(path, format_name, ids)
    return _known(path, kind, format_name, ids)


def _mapped(path: Path, kind: Kind, shop_map: ShopMap, ids: str | None) -> MappedRows:
    if kind == "JSON lines":
        return MappedRows(JsonTable(path), shop_map, ids=ids)
    layout = shop_map.csv
    table = CsvTable(path, delimiter=layout.delimiter, columns=layout.columns) if kind == "CSV" else ParquetTable(path)
    rows = MappedRows(table, shop_map, ids=ids)
    _check_columns(path, table.columns, rows.wanted, "the --map file")
    return rows


def _check_columns(path: Path, found: Sequence[str], wanted: Sequence[str], whose: str) -> None:
    wanted = list(dict.fromkeys(wanted))
    missing = [name for name in wanted if name not in found]
    if missing:
        raise SettingsError(
            f"{path}: expected the columns {', '.join(wanted)} of {whose}, got {_listed(found)}: "
            f"{', '.join(missing)} missing{_delimiter_hint(found)}"
        )
    for name in wanted:
        if list(found).count(name) > 1:
            raise SettingsError(f"{path}: expected one column {name}, got {list(found).count(name)} of that name")


def _json(path: Path, format_name: Format | None, ids: str | None) -> Ga4Rows:
    table = JsonTable(path)
    if format_name == "ga4" or (format_name is None and _looks_like_ga4(table)):
        return Ga4Rows(table, ids=ids)
    wanted = f"{NEEDS[format_name]} ({format_name})" if format_name else f"{NEEDS['ga4']}, or a --map file"
    raise SettingsError(f"{path}: expected {wanted}, got JSON lines, the first of which is {_first_line(table)}")


def _looks_like_ga4(table: JsonTable) -> bool:
    """By the first row that can be read."""
    for row in islice(table.rows(["event_name", "event_time", "event_timestamp"]), _LOOKED_AT):
        if not isinstance(row.fields, Unfit):
            name, *times = row.fields
            return bool(name) and times != [None, None]
    return False


def _first_line(table: JsonTable) -> str:
    line = next(table.lines(), None)
    return shown(line[2].decode(errors="backslashreplace")) if line and isinstance(line[2], bytes) else "none"


def _known(path: Path, kind: Kind, format_name: Format | None, ids: str | None) -> MappedRows:
    table: CsvTable | ParquetTable = ParquetTable(path) if kind == "Parquet" else CsvTable(path)
    for known in KNOWN:
        if known.format == (format_name or known.format) and kind in known.kinds and _fits(table, known):
            if known.shop_map.csv.columns:
                table = CsvTable(path, columns=known.shop_map.csv.columns)
            else:
                _check_columns(path, table.columns, known.columns, known.format)
            return MappedRows(table, known.shop_map, whole_ids=True, adapt=known.adapt, period=known.period, ids=ids)
    if format_name is None:
        every = "; ".join(f"{name}: {NEEDS[name]}" for name in FORMATS)
        raise SettingsError(
            f"{path}: expected a format that is known, or a --map file, got {kind} with {_listed(table.columns)}; "
            f"known are {every}{_delimiter_hint(table.columns)}"
        )
    same_kind = [known for known in KNOWN if known.format == format_name and kind in known.kinds]
    if len(same_kind) == 1 and not same_kind[0].shop_map.csv.columns:
        _check_columns(path, table.columns, same_kind[0].columns, format_name)
    raise SettingsError(
        f"{path}: expected {NEEDS[format_name]} ({format_name}), got {kind} with {_listed(table.columns)}"
    )


def _fits(table: CsvTable | ParquetTable, known: KnownFormat) -> bool:
    names = known.shop_map.csv.columns
    if names is None:
        return set(known.columns) <= set(table.columns)
    first = table.columns  # without a header, the first row
    return (
        len(first) == len(names)
        and first[names.index(known.shop_map.columns.sources()["event_name"][0])] in known.shop_map.words
    )


def _listed(columns: Sequence[str]) -> str:
    return shown(", ".join(columns)) if columns else "none"


def _delimiter_hint(columns: Sequence[str]) -> str:
    if len(columns) != 1:
        return ""
    delimiter = next((d for d in (";", "\t", "|", ",") if d in columns[0]), None)
    return f"; is the delimiter {delimiter!r}? a --map file says so as csv.delimiter" if delimiter else ""
