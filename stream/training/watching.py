"""Who is told how a run goes on: a progress bar, curves, or nobody."""

from __future__ import annotations

from typing import Protocol

from stream.training.trainer import Moved


class Watcher(Protocol):
    """Told by `fit`, in this order."""

    def begins(self, what: str, epoch: int, events: int) -> None:
        """An epoch of so many events begins, or goes on; `what` says of which of the models that are trained."""

    def moved(self, moved: Moved) -> None:
        """After every update."""

    def judged(self, epoch: int, costs: tuple[float, ...]) -> None:
        """What the epoch cost those who were held out, of each of `loss.PARTS`, in weighted nats an event."""

    def says(self, line: str) -> None:
        """What is worth a line."""


class Nobody:
    """A watcher that looks away."""

    def begins(self, what: str, epoch: int, events: int) -> None:
        pass

    def moved(self, moved: Moved) -> None:
        pass

    def judged(self, epoch: int, costs: tuple[float, ...]) -> None:
        pass

    def says(self, line: str) -> None:
        pass
