"""Files of plain token sequences -> `TokenSequences`.

    Parquet, CSV   a column `sequence`: tokens apart by spaces, or a list; a column `label`, if there is one
    JSON lines     objects with the same names
    text           a sequence a line, as DeepLog's hdfs_train; its label is that of the file, or in a file beside it

Plain or gzip. What cannot be read is an error that names file and line: a figure on what is left would say nothing.
"""

from __future__ import annotations

import csv
import json
from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import isnan
from pathlib import Path
from typing import Any

import numpy as np

from stream.errors import SettingsError
from stream.evaluation.token_sequences import FIRST, TokenSequences, Vocabulary
from stream.replay.files import LINE_MAX, CutShortError, kind_of, text_lines

SEQUENCE, LABEL = "sequence", "label"
_DELIMITERS = (",", "\t", ";")
# As log data sets write it; Loghub: Success and Fail, and "-" for a line without an alert.
_SPELLINGS = {
    False: {"0", "0.0", "false", "no", "normal", "benign", "success", "-"},
    True: {"1", "1.0", "true", "yes", "anomaly", "anomalous", "abnormal", "fail", "failure"},
}
_LABEL_OF = {word: label for label, words in _SPELLINGS.items() for word in words}
_EXPECTED_LABEL = "expected a label that is 0 or normal, 1 or anomalous"

# (line from 1, sequence, label) as they stand in the file; NO_LABEL: it has no such column
_Rows = Iterator[tuple[int, Any, Any]]
_NO_LABEL = object()


def read(path: Path, *, label: bool | None = None, labels: Path | None = None) -> TokenSequences:
    """The sequences of a file, under a vocabulary of their own, in the order of its words' first coming.

    `label`: of all of them, whatever the file says. `labels`: a file with a label a line, in the order of the
    sequences. Raises SettingsError for what cannot be read.
    """
    codes: dict[str, int] = {}
    tokens = array("q")
    counts: list[int] = []
    found: list[Any] = []
    for line, sequence, its_label in _rows(path):
        words = _words(sequence)
        if not words:
            raise SettingsError(f"{path}:{line}: expected a sequence of 1 token or more, got {_shown(sequence)}")
        tokens.extend(codes.setdefault(word, FIRST + len(codes)) for word in words)
        counts.append(len(words))
        if label is None and labels is None and its_label is not _NO_LABEL:
            found.append(_label(path, line, its_label))
    if not counts:
        raise SettingsError(f"{path}: expected sequences, got none")
    if label is not None:
        found = [label] * len(counts)
    elif labels is not None:
        found = _labels(labels, len(counts), path)
    marked = np.array(found, np.bool_) if found else None
    return TokenSequences(np.array(tokens, np.int64), np.array(counts, np.int64), marked, Vocabulary(tuple(codes)))


def _rows(path: Path) -> _Rows:
    kind = kind_of(path)
    if kind == "Parquet":
        return _parquet(path)
    if kind == "JSON lines":
        return _json(path)
    header = next((text.strip() for text in _lines(path) if text.strip()), "")
    for delimiter in _DELIMITERS:
        columns = _fields(header, delimiter)
        if SEQUENCE in columns:
            return _csv(path, delimiter, columns)
    if {".csv", ".tsv"} & {suffix.lower() for suffix in path.suffixes}:
        raise _no_column(path, _fields(header, "\t" if "\t" in header else ","))
    return ((line, text, _NO_LABEL) for line, text in enumerate(_lines(path), 1) if text.strip())


def _parquet(path: Path) -> _Rows:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise SettingsError(f"{path}: reading Parquet needs pyarrow: pip install 'behaviour-stream[parquet]'") from None
    try:
        with pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            if SEQUENCE not in names:
                raise _no_column(path, names)
            read = 0
            for batch in file.iter_batches(columns=[SEQUENCE, *([LABEL] if LABEL in names else [])]):
                sequences = batch.column(SEQUENCE).to_pylist()
                labels = batch.column(LABEL).to_pylist() if LABEL in names else [_NO_LABEL] * len(sequences)
                for line, row in enumerate(zip(sequences, labels, strict=True), read + 1):
                    yield line, *row
                read += len(sequences)
    except (OSError, pa.ArrowInvalid) as error:
        raise SettingsError(f"{path}: expected a Parquet file, got: {error}") from None


def _json(path: Path) -> _Rows:
    for line, text in enumerate(_lines(path), 1):
        if not text.strip():
            continue
        try:
            row = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{path}:{line}: expected a JSON object, got: {error}") from None
        if not isinstance(row, dict) or SEQUENCE not in row:
            names = list(row) if isinstance(row, dict) else [_shown(row)]
            raise _no_column(path, names, line)
        yield line, row[SEQUENCE], row.get(LABEL, _NO_LABEL)


def _csv(path: Path, delimiter: str, columns: Sequence[str]) -> _Rows:
    at, label_at = columns.index(SEQUENCE), columns.index(LABEL) if LABEL in columns else None
    with _long_fields():
        reader = csv.reader(_lines(path), delimiter=delimiter, strict=True)
        rows, line = [], 1
        try:
            for fields in reader:
                if fields:
                    rows.append((line, fields))
                line = reader.line_num + 1
        except csv.Error as error:
            raise SettingsError(f"{path}:{line}: expected a row of CSV, got: {error}") from None
    for line, fields in rows[1:]:
        if len(fields) != len(columns):
            raise SettingsError(f"{path}:{line}: expected {len(columns)} fields, got {len(fields)}")
        yield line, fields[at], _NO_LABEL if label_at is None else fields[label_at]


@contextmanager
def _long_fields() -> Iterator[None]:
    """Python's CSV takes fields of 131,072 characters, less than 100,000 tokens; it can only be told so for all."""
    usual = csv.field_size_limit(1 << 30)
    try:
        yield
    finally:
        csv.field_size_limit(usual)


def _fields(header: str, delimiter: str) -> list[str]:
    return [name.strip().strip('"').lower() for name in header.split(delimiter)]


def _lines(path: Path) -> Iterator[str]:
    """Whole lines, however long."""
    begun: list[str] = []
    try:
        for piece in text_lines(path):
            begun.append(piece)
            if piece[-1:] in "\r\n" or len(piece) < LINE_MAX:
                yield "".join(begun)
                begun.clear()
    except CutShortError as error:
        raise SettingsError(f"{path}: expected a whole gzip file, got: {error}") from None
    if begun:
        yield "".join(begun)


def _words(sequence: Any) -> list[str]:
    """The tokens of a sequence as text; none of what is no sequence. Numbers in a list are those of a text."""
    if isinstance(sequence, str):
        text = sequence.strip()
        if text.startswith("[") and text.endswith("]"):  # a list in a text, as Loghub writes it: [E5,E22,E5]
            return [word.strip(" '\"") for word in text[1:-1].split(",") if word.strip()]
        return text.split()
    if not isinstance(sequence, list):
        return []
    words = [str(word) for word in sequence if isinstance(word, str | int) and not isinstance(word, bool)]
    return words if len(words) == len(sequence) and all(words) else []


def _label(path: Path, line: int, label: Any) -> bool:
    word = str(label).strip().lower()
    is_nan = isinstance(label, float) and isnan(label)
    if label is None or is_nan or word not in _LABEL_OF:
        raise SettingsError(f"{path}:{line}: {_EXPECTED_LABEL}, got {_shown(label)}")
    return _LABEL_OF[word]


def _labels(path: Path, wanted: int, of: Path) -> list[bool]:
    """A label a line, as many as there are sequences."""
    kind_of(path)  # says what a file is that holds no lines
    labels = [_label(path, line, text.strip()) for line, text in enumerate(_lines(path), 1) if text.strip()]
    if len(labels) != wanted:
        raise SettingsError(f"{path}: expected {wanted:,} labels, one for each sequence of {of}, got {len(labels):,}")
    return labels


def _no_column(path: Path, columns: Sequence[str], line: int | None = None) -> SettingsError:
    where = path if line is None else f"{path}:{line}"
    return SettingsError(f"{where}: expected a column {SEQUENCE!r}, got {', '.join(map(str, columns)) or 'none'}")


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
