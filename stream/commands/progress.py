"""How far a load is, and what it came to."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import click
import orjson

_LINE_SECS = 5.0  # between lines of progress where they cannot overwrite each other


def progress_shown(limit: int | None, asked: bool | None) -> Callable[[int], None] | None:
    """What shows how far it is, of at most `limit` events; not asked for: at a terminal only."""
    return _Progress(limit) if (sys.stderr.isatty() if asked is None else asked) else None


def say_done(verb: str, events: int, seconds: float, *, why: str = "", as_json: bool = False) -> None:
    """The line that a load ends with; as JSON, an object with `events` and `seconds`."""
    if as_json:
        click.echo(orjson.dumps({"events": events, "seconds": round(seconds, 3)}))
        return
    text = f"{verb} {events:,} events in {seconds:.1f} s, {events / max(seconds, 1e-3):,.0f} a second"
    click.echo(f"{text}; {why}" if why else text)


class _Progress:
    """How many events so far, on standard error: over itself at a terminal, a line now and then elsewhere."""

    def __init__(self, limit: int | None) -> None:
        self._of = f" of {limit:,}" if limit else ""
        self._at_terminal = sys.stderr.isatty()
        self._begun = time.monotonic()
        self._said = 0.0

    def __call__(self, events: int) -> None:
        elapsed = time.monotonic() - self._begun
        if self._at_terminal:
            click.echo(f"\r{events:,}{self._of} events, {elapsed:.0f} s\x1b[K", err=True, nl=False)
        elif elapsed - self._said >= _LINE_SECS:
            click.echo(f"{events:,}{self._of} events, {elapsed:.0f} s", err=True)
            self._said = elapsed
