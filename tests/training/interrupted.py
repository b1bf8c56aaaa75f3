"""A run that ends by itself where a test wants it to."""

from __future__ import annotations

from pathlib import Path

from stream.training.keeping import Folder, State


class StoppedError(Exception):
    """What ends a run in a test."""


class Interrupted(Folder):
    """Ends the run after so many states were saved."""

    def __init__(self, path: Path, saves: int) -> None:
        super().__init__(path)
        self._left = saves

    def save(self, name: str, state: State) -> None:
        super().save(name, state)
        self._left -= 1
        if self._left == 0:
            raise StoppedError
