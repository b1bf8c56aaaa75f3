"""How a demo ends by ctrl-C, SIGTERM or SIGHUP: in order, at any point and however often they come."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Sequence
from types import FrameType
from typing import Any, TypeVar

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_AGAIN_SECS = 0.005


class Ending:
    """Takes the signals over, for as long as there is something to clean up.

    The first one ends what runs, as ctrl-C does; what cleans up then is not interrupted again: each further signal
    calls all of `hurry`, which kill what is being waited for. The event loop's own means would not do: they give the
    signals back to the system when the loop ends, and the next one would end the process before it has cleaned up.
    """

    def __init__(self, hurry: Sequence[Callable[[], None]]) -> None:
        self._hurry = hurry
        self._come = False  # the first signal, or it would come too late
        self._raised = False  # for it, which Python drops where a weak reference's callback is what it interrupts
        self._stop: Callable[[], None] | None = None
        self._cancel: Callable[[], None] | None = None
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        signal.signal(signal.SIGALRM, lambda _, frame: self._interrupt(frame))

    def is_cleaning_up(self) -> None:
        """From here on no signal interrupts."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        self._come, self._raised = True, False

    def is_over(self) -> None:
        """All is cleaned up. A ctrl-C as late as this would only end Python in the middle of its own end."""
        for number in (*_SIGNALS, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN if number in (signal.SIGINT, signal.SIGALRM) else signal.SIG_DFL)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """`asyncio.run`; KeyboardInterrupt if a signal ended it, or had come before."""
        if self._raised:
            raise KeyboardInterrupt

        async def main() -> T:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None
            self._cancel = lambda: _call(loop, task.cancel)
            return await work

        try:
            return asyncio.run(main())
        except asyncio.CancelledError:
            raise KeyboardInterrupt from None
        finally:
            self._stop = self._cancel = None

    def stop_event(self) -> asyncio.Event:
        """Set by the first signal, which then does nothing else; the next one cancels."""
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        self._stop = lambda: _call(loop, stop.set)
        return stop

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        first, self._come = not self._come, True
        if first and self._stop is not None:
            self._stop()
        elif first or self._cancel is not None:
            self._interrupt(frame)
        else:
            for kill in self._hurry:
                kill()

    def _interrupt(self, frame: FrameType | None) -> None:
        """Interrupt what runs; an import's own code a moment later: it may hold a lock that would never be released."""
        if self._cancel is not None:
            self._cancel()
            self._cancel = None
        elif frame is not None and "importlib" in frame.f_code.co_filename:
            signal.setitimer(signal.ITIMER_REAL, _AGAIN_SECS)
        else:
            self._raised = True
            raise KeyboardInterrupt


def _call(loop: asyncio.AbstractEventLoop, what: Callable[[], object]) -> None:
    if not loop.is_closed():
        loop.call_soon_threadsafe(what)
