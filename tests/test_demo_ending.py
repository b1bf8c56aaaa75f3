"""A signal interrupts what runs, but never the code of an import, which may hold a lock that would stay taken."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Iterator
from types import FrameType, SimpleNamespace
from typing import cast

import pytest

from stream.commands.demo_ending import Ending

IMPORTING = cast(FrameType, SimpleNamespace(f_code=SimpleNamespace(co_filename="<frozen importlib._bootstrap>")))


@pytest.fixture
def ending() -> Iterator[Ending]:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    made = Ending([])
    yield made
    made.is_cleaning_up()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_import_is_interrupted_a_moment_later(ending: Ending) -> None:
    ending._on_signal(signal.SIGINT, IMPORTING)  # raises nothing
    with pytest.raises(KeyboardInterrupt):
        time.sleep(10)


def test_what_python_drops_is_raised_before_anything_else_is_run(
    ending: Ending, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Dropping:
        def __del__(self) -> None:
            ending._on_signal(signal.SIGINT, None)

    monkeypatch.setattr("sys.unraisablehook", lambda _: None)
    Dropping()
    work = asyncio.sleep(0)
    with pytest.raises(KeyboardInterrupt):
        ending.run(work)
    work.close()


def test_while_it_cleans_up_nothing_is_interrupted(ending: Ending) -> None:
    ending._on_signal(signal.SIGINT, IMPORTING)
    ending.is_cleaning_up()
    time.sleep(0.05)
    ending._on_signal(signal.SIGINT, None)
    assert ending.run(_answer()) == 1


async def _answer() -> int:
    return 1
