"""The demo at a terminal: steps with a spinner, then the board on a screen of its own. The only module that draws."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from rich.console import Console, RenderableType
from rich.live import Live
from rich.status import Status
from rich.text import Text

from stream.commands.demo_board import board, few_words, too_small
from stream.commands.demo_scores import Scored
from stream.commands.demo_state import DemoState

_FRAME_SECS = 0.25


def terminal() -> Console | None:
    """The terminal that standard output is; None where it is none, or one that cannot draw."""
    console = Console(highlight=False)
    can_draw = sys.stdout.isatty() and not console.is_dumb_terminal and not console.options.ascii_only
    return console if can_draw else None


class Steps:
    """What is being done, beside a spinner, and how long it took."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None
        self._text, self._begun = "", 0.0

    def __call__(self, text: str) -> None:
        """The step before is done; this one begins."""
        self.done()
        self._text, self._begun = text, time.monotonic()
        self._status = self._console.status(Text(f"{text} ..."))
        self._status.start()

    def done(self) -> None:
        if self.close():
            took = time.monotonic() - self._begun
            self._console.print(Text.assemble(("✓ ", "green"), self._text, (f"  {took:.1f} s", "dim")))

    def close(self) -> bool:
        """Take the spinner away, with no word on what it was beside -> whether there was one."""
        status, self._status = self._status, None
        if status is not None:
            status.stop()
        return status is not None


class Screen:
    """The board, as large as the terminal is at the moment. `before` is called when it first opens."""

    def __init__(self, console: Console, before: Callable[[], object]) -> None:
        self._console, self._before = console, before
        self._live: Live | None = None
        self._drawn_secs = 0.0
        self._shown: RenderableType = ""

    def add(self, event: Scored) -> None:
        """All that is shown is in the state."""

    def show(self, state: DemoState, now: float, lag: int) -> None:
        if not state.count or now - self._drawn_secs < _FRAME_SECS:
            return
        self._drawn_secs = now
        if self._live is None:
            self._before()
            self._live = Live(console=self._console, screen=True, auto_refresh=False)
            self._live.start()
        self._shown = self._picture(state, now, lag)
        self._live.update(self._shown, refresh=True)

    def close(self) -> None:
        """Back to the terminal's own screen, with its cursor."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def leave_a_picture(self) -> None:
        """Print the board as it was shown last where it can be scrolled back to."""
        self._console.print(self._shown)

    def _picture(self, state: DemoState, now: float, lag: int) -> RenderableType:
        width, height = self._console.size
        if too_small(width, height):
            return few_words(state, width=width, height=height, lag=lag)
        return board(state, width=width, height=height, now=now, lag=lag)
