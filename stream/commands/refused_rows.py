"""`replay --refused`: the rows that were refused, as they stand in the file, with where and why, a JSON object each."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import orjson

from stream.errors import SettingsError
from stream.lines import Lines
from stream.replay.rows import Row, Unfit, raw_text
from stream.replay.tally import Refuse


@contextlib.contextmanager
def writing_refused(path: Path | None, *read: Path | None) -> Iterator[Refuse | None]:
    """What writes a refused row to `path`; None without one. SettingsError if it is one of the files that are read."""
    if path is None:
        yield None
        return
    if path.exists() and any(other is not None and other.exists() and path.samefile(other) for other in read):
        raise SettingsError(f"--refused={path}: expected a file of its own, got one that is read")
    with Lines(path) as lines:
        last = -1

        def refuse(row: Row, unfit: Unfit) -> None:
            nonlocal last
            if row.number > last:  # of a file that is read twice, each row is told of twice
                last = row.number
                told = {"line": row.line, "reason": unfit.reason, "error": unfit.error, "row": raw_text(row)}
                lines.write(orjson.dumps(told))

        yield refuse
