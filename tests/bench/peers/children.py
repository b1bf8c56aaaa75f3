"""Processes of a run: they end with it, by their ids."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from stream.errors import BehaviourStreamError
from stream.processes import dying_with_parent
from tests.bench.peers.environment import ROOT

_STOP_SECS = 10.0
_TAIL_LINES = 15


class Child:
    """A process from `with` to its end; `log` takes all that it says."""

    def __init__(self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None) -> None:
        self._log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                dying_with_parent(command),
                cwd=ROOT,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # ctrl-C reaches the parent alone
            )

    def check(self) -> None:
        """Raise, with the end of its log, if it has ended."""
        if (code := self._process.poll()) is not None:
            raise BehaviourStreamError(f"it ended with code {code}:{self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        with self._log.open(errors="replace") as log:
            return "".join(f"\n  {line.rstrip()}" for line in deque(log, _TAIL_LINES))

    def stop(self) -> None:
        """End it in order, by force after 10 s."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
            self._process.wait()


@contextmanager
def children(
    commands: Sequence[Sequence[str]], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Sequence[Child]]:
    """All of them at once, each with a log of its own."""
    with ExitStack() as stack:
        started = []
        for i, command in enumerate(commands):
            child = Child(command, log.with_name(f"{log.name}-{i}.log"), environment)
            stack.callback(child.stop)
            started.append(child)
        yield started
