"""Parquet, a batch of rows at a time, as text: whole numbers, decimals and times in the digits that were stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stream.errors import SettingsError
from stream.replay.files import Kind
from stream.replay.rows import Row

_BATCH_ROWS = 16_384  # turned into Python values at a time; a row of five takes about 0.5 kB


class ParquetTable:
    """A Parquet file; a column inside a struct is named by its dotted path."""

    kind: Kind = "Parquet"
    is_text = True

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError:
            raise SettingsError(
                f"{path}: reading Parquet needs pyarrow: pip install 'behaviour-stream[parquet]'"
            ) from None
        self._path = path
        try:
            schema = pq.read_schema(path)
        except (OSError, pa.ArrowInvalid) as error:
            raise SettingsError(f"{path}: expected a Parquet file, got: {error}") from None
        leaves = [(".".join(way), way, kind) for way, kind in _leaves(schema)]
        self._ways = {name: way for name, way, _ in leaves}
        self.columns: Sequence[str] = [name for name, _, _ in leaves]
        self.timestamps = frozenset(name for name, _, kind in leaves if pa.types.is_timestamp(kind))

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        number = 0
        try:
            with pq.ParquetFile(self._path) as file:
                for batch in file.iter_batches(_BATCH_ROWS, columns=sorted({self._ways[name][0] for name in wanted})):
                    columns = {}
                    for name in dict.fromkeys(wanted):
                        first, *rest = self._ways[name]
                        values = batch.column(first)
                        for part in rest:
                            values = pc.struct_field(values, part)
                        try:
                            columns[name] = _texts(values)
                        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
                            raise SettingsError(
                                f"{self._path}: expected text, numbers or times in the column {name}, got {values.type}"
                            ) from None
                    for fields in zip(*(columns[name] for name in wanted), strict=True):
                        yield Row(number, number + 1, fields, "")
                        number += 1
        except (OSError, pa.ArrowInvalid, KeyError) as error:  # KeyError: two structs of one name
            raise SettingsError(f"{self._path}: expected Parquet after row {number}, got: {error}") from None


def _texts(values: Any) -> list[str | None]:
    """An array as text; bytes that are no UTF-8 become lone surrogates, as in CSV."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    try:
        return pc.cast(values, pa.string()).to_pylist()  # type: ignore[no-any-return]
    except (pa.ArrowInvalid, UnicodeDecodeError):
        found = pc.cast(values, pa.binary()).to_pylist()
        return [value if value is None else value.decode(errors="surrogateescape") for value in found]


def _leaves(fields: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """The way to every column, from the struct that it is in, if it is, and its type."""
    import pyarrow as pa

    for field in fields:
        way = (*above, field.name)
        if pa.types.is_struct(field.type):
            yield from _leaves([field.type.field(i) for i in range(field.type.num_fields)], way)
        else:
            yield way, field.type
