"""What a file is by its first bytes, and its lines: plain or gzip, however long, however it ends."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Literal

from stream.errors import SettingsError

Kind = Literal["CSV", "JSON lines", "Parquet"]

# A record of Kafka holds 1 MiB by default, so a longer line is no event; it bounds what a file without line ends takes.
LINE_MAX = 1 << 20
_READ_BYTES = 1 << 18
_SNIFFED_BYTES = 1 << 16

_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
# First bytes, after a byte-order mark -> what has them; a column's name may begin as a short one does
_FOREIGN = {
    rb"PK\x03\x04": "a zip archive or a spreadsheet (export it as CSV)",
    rb"\xd0\xcf\x11\xe0": "an old spreadsheet (export it as CSV)",
    rb"BZh[1-9]": "bzip2 (unpack it, or compress with gzip)",
    rb"\xfd7zXZ": "xz (unpack it, or compress with gzip)",
    rb"\x28\xb5\x2f\xfd": "zstd (unpack it, or compress with gzip)",
    rb"\xff\xfe": "text in UTF-16 (make it UTF-8: iconv -f utf-16 -t utf-8)",
    rb"\xfe\xff": "text in UTF-16 (make it UTF-8: iconv -f utf-16 -t utf-8)",
    rb"Obj\x01": "Avro",
    rb"(?s)ORC.*\0": "ORC",
    rb"%PDF": "a PDF",
    rb"\s*\[": "a JSON array (one object a line is needed: jq -c '.[]')",
    rb"\s*<": "HTML or XML",
}


_DAMAGE = (EOFError, zlib.error, gzip.BadGzipFile)


class CutShortError(Exception):
    """Compressed bytes that end too early, or are damaged: what came before them is good."""


def kind_of(path: Path) -> Kind:
    """What the file holds, whatever its name says; SettingsError if it is nothing that can be read here."""
    start = _start(path)
    text = start.removeprefix(_BOM)
    if start.startswith(b"PAR1"):
        if is_gzip(path):
            raise SettingsError(f"{path}: expected Parquet as it is, which is compressed in itself, got it in gzip")
        return "Parquet"
    for magic, words in _FOREIGN.items():
        if re.match(magic, text):
            raise SettingsError(f"{path}: expected CSV, JSON lines or Parquet, got {words}")
    if b"\0" in start:
        raise SettingsError(f"{path}: expected CSV, JSON lines or Parquet, got binary: it begins with {start[:16]!r}")
    text = text.lstrip()
    if not text:
        raise SettingsError(f"{path}: expected rows, got an empty file")
    return "JSON lines" if text.startswith(b"{") else "CSV"


def is_gzip(path: Path) -> bool:
    """By its first bytes, not by its name."""
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def byte_lines(path: Path) -> Iterator[bytes]:
    """Lines with their ends, the first without a byte-order mark; one longer than LINE_MAX comes in pieces.

    Raises CutShortError after the last whole line of a gzip file that ends too early.
    """
    with _opened(path) as file:
        try:
            yield file.readline(LINE_MAX).removeprefix(_BOM)
            yield from iter(partial(file.readline, LINE_MAX), b"")
        except _DAMAGE as error:
            raise CutShortError(str(error)) from None


def text_lines(path: Path) -> Iterator[str]:
    """The same as text; LF, CRLF and CR end a line, and bytes that are no UTF-8 become lone surrogates."""
    with _opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="") as text:
        try:
            yield from iter(partial(text.readline, LINE_MAX), "")
        except _DAMAGE as error:
            raise CutShortError(str(error)) from None


def _start(path: Path) -> bytes:
    if not path.is_file():
        got = "a folder" if path.is_dir() else "a pipe or a device" if path.exists() else "none"
        raise SettingsError(f"{path}: expected a file, which is read more than once, got {got}")
    try:
        with _opened(path) as file:
            return file.read1(_SNIFFED_BYTES)
    except _DAMAGE as error:
        raise SettingsError(f"{path}: expected rows, got gzip without a whole line: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path}: expected a file to read, got: {error.strerror}") from None


def _opened(path: Path) -> io.BufferedReader:
    return io.BufferedReader(_Inflated(path) if is_gzip(path) else io.FileIO(path), _READ_BYTES)


class _Inflated(io.RawIOBase):
    """Bytes of a gzip file as they come: reading many at once, an early end would take those before it along."""

    def __init__(self, path: Path) -> None:
        self._file = gzip.open(path)  # noqa: SIM115 - closed by `close`

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any) -> int:
        found = self._file.read1(len(into))
        into[: len(found)] = found
        return len(found)

    def close(self) -> None:
        self._file.close()
        super().close()
