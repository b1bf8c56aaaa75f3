"""A process that begins anew: the same one, with nothing of before but the number of its beginning."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import accumulate
from pathlib import Path

import pytest

from stream.anew import Beginning

_LIFE = """
import json, logging, os, socket, sys, threading
from stream import anew
from stream.errors import PassingError
logging.basicConfig(format="%(message)s", stream=sys.stdout)
beginning = anew.Beginning.of_this_process()
files = len(os.listdir("/proc/self/fd"))
told = (os.getpid(), beginning.number, beginning.fruitless, files, sys.argv[1:], sys.stdin.readline())
print(json.dumps(told))
listening = socket.create_server(("127.0.0.1", 0))
file = open(sys.argv[1], "ab")
if beginning.number < int(sys.argv[2]):
    how = lambda: anew.begin(beginning.next(fruitful=beginning.number == 1), PassingError("no broker"))
    if beginning.number == 0:  # from a thread, while the first one waits
        threading.Thread(target=how).start()
        threading.Event().wait(30)
    how()
"""


def _live(tmp_path: Path, times: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", _LIFE, str(tmp_path / "held"), str(times)]
    return subprocess.run(command, input="a line\n", capture_output=True, text=True, check=False, timeout=120)


def test_it_keeps_its_pid_and_arguments_and_nothing_that_was_open(tmp_path: Path) -> None:
    done = _live(tmp_path, 3)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1::2] == ["no broker; beginning anew, what was not committed is done again"] * 3
    pids, numbers, fruitless, files, arguments, read = zip(*map(json.loads, lines[::2]), strict=True)
    assert len(set(pids)) == 1
    assert (numbers, fruitless) == ((0, 1, 2, 3), (0, 1, 0, 1))
    assert len(set(files)) == 1
    assert all(of_one == [str(tmp_path / "held"), "3"] for of_one in arguments)
    assert read == ("a line\n", "", "", "")  # what was read of its input stays read


def test_ten_times_in_a_row_in_vain_are_the_last(tmp_path: Path) -> None:
    beginning = Beginning()
    for _ in range(9):
        beginning = beginning.next(fruitful=False)
        assert not beginning.hopeless
    assert beginning.next(fruitful=False).hopeless
    assert not beginning.next(fruitful=True).next(fruitful=False).hopeless
    assert beginning.number == 9


def test_pauses_grow_to_half_a_minute_and_are_none_after_something_was_done() -> None:
    beginnings = list(accumulate(range(9), lambda beginning, _: beginning.next(fruitful=False), initial=Beginning()))
    assert [beginning.pause_secs for beginning in beginnings] == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert beginnings[-1].next(fruitful=True).pause_secs == 0.0


def test_what_another_process_left_in_the_environment_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_BEHAVIOUR_STREAM_BEGINNING", f"{os.getpid() + 1}:4:2")
    assert Beginning.of_this_process() == Beginning()
    monkeypatch.setenv("_BEHAVIOUR_STREAM_BEGINNING", f"{os.getpid()}:4:2")
    assert Beginning.of_this_process() == Beginning(4, 2)
