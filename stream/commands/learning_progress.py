"""How far a long piece of work is: a bar with the time left at a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stream.errors import SettingsError

if TYPE_CHECKING:
    from stream.training.trainer import Moved

_LINE_SECS = 10.0  # between lines, where none can be written over


class Bar:
    """One bar at a time, of events."""

    def __init__(self, shown: bool | None) -> None:
        self._at_terminal = sys.stderr.isatty() if shown is None else shown and sys.stderr.isatty()
        self._lines = shown is not False and not self._at_terminal
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=Console(stderr=True), transient=True,
        )  # fmt: skip
        self._task: Any = None
        self._what, self._said, self._began = "", 0.0, 0.0

    def begin(self, what: str) -> None:
        """What is done from now on."""
        self.end()
        self._what, self._said = what, time.monotonic()
        self._began = self._said
        if self._at_terminal:
            self._progress.start()
            self._task = self._progress.add_task(what, total=None, note="")

    def show(self, done: int, share: float | None, note: str = "") -> None:
        """So many events are done, so large a share of all."""
        if self._at_terminal:
            total = done / share if share else None
            self._progress.update(self._task, completed=done, total=total, note=note)
        elif self._lines and time.monotonic() - self._said > _LINE_SECS:
            self._said = time.monotonic()
            took = self._said - self._began
            left = f", {took / share - took:,.0f} s left" if share else ""
            click.echo(f"{self._what}: {done:,} events, {took:,.0f} s{left} {note}".rstrip(), err=True)

    def end(self) -> None:
        """Nothing more of it."""
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._progress.stop()
            self._task = None


@contextmanager
def reading_shown(shown: bool | None) -> Iterator[Callable[[str, int, float | None], None]]:
    """What `gather` tells."""
    bar, stage_now = Bar(shown), ""

    def progress(stage: str, events: int, share: float | None) -> None:
        nonlocal stage_now
        if stage != stage_now:
            stage_now = stage
            bar.begin(stage)
        bar.show(events, share)

    try:
        yield progress
    finally:
        bar.end()


class Watching:
    """A `Watcher`: a bar per epoch, a line per judgement, and curves for TensorBoard."""

    def __init__(self, shown: bool | None, curves: Path | None) -> None:
        self._bar, self._curves = Bar(shown), _curves(curves) if curves else None
        self._events, self._what, self._before = 0, "", 0

    def begins(self, what: str, epoch: int, events: int) -> None:
        self._events, self._what, self._before = events, what, (epoch - 1) * events
        self._bar.begin(f"epoch {epoch}, {what}")

    def moved(self, moved: Moved) -> None:
        cost = float(moved.cost.sum())
        self._bar.show(moved.events, min(1.0, moved.events / self._events), f"loss {cost:.4f}")
        if self._curves is not None:
            for name, value in zip(("intent", "next_event", "fraud"), moved.cost.tolist(), strict=True):
                self._curves.add_scalar(f"learning/{self._what}/{name}", value, self._before + moved.events)

    def judged(self, epoch: int, costs: tuple[float, ...]) -> None:
        self._bar.end()
        intent, next_event, fraud = costs
        words = f"epoch {epoch}, held out: purchases {intent:.4f}, next event {next_event:.4f}"
        click.echo(words + (f", fraud {fraud:.4f}" if fraud else ""), err=True)
        if self._curves is not None:
            for name, value in zip(("intent", "next_event", "fraud"), costs, strict=True):
                self._curves.add_scalar(f"held_out/{name}", value, epoch)
            self._curves.flush()

    def says(self, line: str) -> None:
        click.echo(line, err=True)

    def close(self) -> None:
        self._bar.end()
        if self._curves is not None:
            self._curves.close()


def _curves(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise SettingsError("--log-dir: curves need TensorBoard: pip install 'behaviour-stream[train]'") from None
    return SummaryWriter(str(folder))
