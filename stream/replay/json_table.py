"""JSON lines: one object a line, columns by dotted path. Decimals stay text, so that money is never a float."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.replay.files import LINE_MAX, CutShortError, Kind, byte_lines
from stream.replay.rows import Row, Unfit, cut_short, shown

_Lines = Iterator[tuple[int, int, bytes | Unfit]]


class JsonTable:
    """A file of JSON objects, one a line, plain or gzip."""

    kind: Kind = "JSON lines"
    is_text = False
    timestamps: frozenset[str] = frozenset()

    def __init__(self, path: Path) -> None:
        self._path = path

    def lines(self) -> _Lines:
        """(number of the row, number of its line, its bytes without the line's end) of every line that is not blank."""
        number, line, is_rest = 0, 0, False
        try:
            for piece in byte_lines(self._path):
                is_whole = piece.endswith(b"\n") or len(piece) < LINE_MAX
                line += not is_rest
                text = piece.strip()
                if not is_whole and not is_rest:
                    yield number, line, Unfit("too_long", f"expected a line of at most {LINE_MAX} bytes, got more")
                    number += 1
                elif text and not is_rest:
                    yield number, line, text
                    number += 1
                is_rest = not is_whole
        except CutShortError as error:
            yield number, line + 1, cut_short(error)

    def rows(self, wanted: Sequence[str]) -> Iterator[Row]:
        """A value that is not there is None."""
        decode = msgspec.json.Decoder(float_hook=str).decode
        paths = [(name, name.split(".")) for name in wanted]
        for number, line, text in self.lines():
            fields: Sequence[Any] | Unfit
            if isinstance(text, Unfit):
                yield Row(number, line, text, "")
                continue
            try:
                value = decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                fields = not_json(text, error)
            else:
                if isinstance(value, dict):
                    fields = [value[name] if name in value else _at(value, path) for name, path in paths]
                else:
                    fields = not_json(text, None)
            yield Row(number, line, fields, text.decode(errors="backslashreplace"))


def not_json(text: bytes, error: Exception | None) -> Unfit:
    """Why a line is no JSON object in UTF-8."""
    if isinstance(error, UnicodeDecodeError):
        return Unfit("not_utf8", f"expected UTF-8, got {shown(error.object[error.start : error.end])}")
    return Unfit("not_json", f"expected a JSON object, got {shown(text)}{f': {error}' if error else ''}")


def _at(value: Any, path: Sequence[str]) -> Any:
    for part in path:
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
