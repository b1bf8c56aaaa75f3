"""Simulated events into a file: shown, ended by their limits or by ctrl-C, and summed up in a line."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from pathlib import Path

from stream.commands import INTERRUPTED
from stream.commands.client import END_SIGNALS
from stream.commands.progress import progress_shown, say_done
from stream.errors import SettingsError
from stream.shop_event import ShopEvent
from stream.simulator import files


def run(
    events: Iterable[ShopEvent],
    out: Path,
    labels: Path | None,
    *,
    limit: int | None,
    seconds: float | None,
    progress: bool | None,
    as_json: bool,
) -> int:
    """Write it and say so -> exit code. What is written when it is interrupted is whole lines."""
    if labels is not None and labels.resolve() == out.resolve():
        raise SettingsError(f"--labels-out={labels}: expected a file of its own, got that of the events")
    begun, interrupted = time.monotonic(), False
    show = progress_shown(limit, progress)

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True

    def go_on(written: int) -> bool:
        if show is not None:
            show(written)
        return not interrupted and (seconds is None or time.monotonic() - begun < seconds)

    for number in END_SIGNALS:
        signal.signal(number, interrupt)
    written = files.write(events, out, labels, go_on)
    say_done("wrote", written, time.monotonic() - begun, as_json=as_json)
    return INTERRUPTED if interrupted else 0
