"""`behaviour-stream worker` as a child process, which never outlives this one: of the demo and the benchmark."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections import deque
from pathlib import Path
from typing import Self

from stream.errors import BehaviourStreamError
from stream.processes import dying_with_parent
from stream.settings import Settings, in_force

# Torch and Faust take seconds to import: it does so while the broker starts, and a line lets it go on to be
# `behaviour-stream worker`. Where it begins anew, that is the end of its input.
_PROGRAM = (
    "import sys, stream.worker; from stream import warming; warming.main(); sys.stdin.readline(); "
    "from stream.cli import main; main()"
)
_STOP_SECS = 10.0  # it commits and stops in about one; what it stored is thrown away anyway
_TAIL_LINES = 15  # a message and the first frames below it


class WorkerProcess:
    """A process from `with` to its end, a worker from `begin` to `stop`. `log_path` takes all that it says."""

    def __init__(self, settings: Settings, log_path: Path) -> None:
        # Every setting as a flag: what the environment says is in these already, and must not differ in the child.
        flags = [f"--{name.replace('_', '-')}={value}" for name, value in in_force(settings).items()]
        self._command = [sys.executable, "-c", _PROGRAM, "worker", *flags]
        self._log_path = log_path

    def __enter__(self) -> Self:
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                dying_with_parent(self._command),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,  # ctrl-C reaches the parent alone, which stops its worker before the broker
            )
        return self

    @property
    def pid(self) -> int:
        return self._process.pid

    def begin(self) -> None:
        """The broker and the topics are there: score."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as line:  # if it has ended, `check` says so
            line.write(b"\n")

    def check(self) -> None:
        """Raise, with the end of its log, if it has ended."""
        if (code := self._process.poll()) is not None:
            raise self.failed(f"the worker ended with code {code}")

    def failed(self, how: str) -> BehaviourStreamError:
        with self._log_path.open(errors="replace") as log:
            tail = "".join(f"\n  {line.rstrip()}" for line in deque(log, _TAIL_LINES))
        return BehaviourStreamError(f"{how}; the end of {self._log_path}:{tail}")

    def stop(self) -> None:
        """End it in order, by force after 10 s. Nothing if it has ended."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECS)
        except subprocess.TimeoutExpired:
            pass
        finally:  # after a second ctrl-C too
            self._process.kill()
            self._process.wait()

    def kill(self) -> None:
        """SIGKILL, without waiting for its end, as a signal handler must not. Nothing if it has ended."""
        self._process.kill()

    def __exit__(self, *error: object) -> None:
        self.stop()
