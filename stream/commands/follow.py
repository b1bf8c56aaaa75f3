"""Records of a topic, shown as they come."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from stream.commands import INTERRUPTED
from stream.commands.client import reading, stop_event
from stream.commands.score_lines import View

_POLL_MS = 200  # also how soon ctrl-C ends it


async def follow(
    bootstrap_servers: str, topic: str, show: Callable[[Any], None], *, from_start: bool, limit: int | None
) -> int:
    """Show records until there were `limit`, or until ctrl-C -> exit code."""
    left = limit
    async with reading(bootstrap_servers, topic, from_start=from_start) as consumer:
        stop = stop_event()
        since = "its oldest record" if from_start else "now"
        click.echo(f"{topic} at {bootstrap_servers}, from {since} on; ctrl-C ends it", err=True)
        while not stop.is_set():
            for records in (await consumer.getmany(timeout_ms=_POLL_MS, max_records=left)).values():
                for record in records:
                    show(record)
                left = None if left is None else left - len(records)
            sys.stdout.flush()
            if left == 0:
                return 0
    return INTERRUPTED


def raw(record: Any) -> None:
    """The value as it is."""
    sys.stdout.write((record.value or b"null").decode(errors="replace") + "\n")


class Table:
    """Lines under one header, cut to `width`; what is no such record is said on standard error and passed over."""

    def __init__(self, view: View, width: int | None) -> None:
        self._view, self._width = view, width
        self._has_header = False

    def __call__(self, record: Any) -> None:
        try:
            row = msgspec.json.decode(record.value or b"", type=self._view.record)
        except msgspec.DecodeError as error:
            where = f"{record.topic}[{record.partition}]@{record.offset}"
            click.echo(f"{where}: expected a {self._view.record.__name__}: {error}; passed over", err=True)
            return
        if not self._has_header:
            self._has_header = True
            self._write(self._view.header(row))
        self._write(self._view.line(row))

    def _write(self, line: str) -> None:
        sys.stdout.write(line[: self._width].rstrip() + "\n")
