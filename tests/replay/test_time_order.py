"""Events by event time, however a file lies, in bounded memory."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import SettingsError
from stream.replay import open_recording, time_order
from stream.replay.tally import DistinctCount
from stream.replay.time_order import by_time
from stream.shop_event import ShopEvent

RUN_BYTES = 5_000  # some 17 events


def event(number: int, time_ms: int) -> ShopEvent:
    return ShopEvent("clicks", b"ann", b'{"event_id":"%d"}' % number, time_ms)


def silent(_: str) -> None:
    pass


def ordered(times: list[int], run_bytes: int = RUN_BYTES) -> tuple[list[ShopEvent] | None, list[ShopEvent]]:
    """What `by_time` gives, twice over, and what was read last; each pass is over events made anew."""
    passes: list[list[ShopEvent]] = []

    def read() -> Iterator[ShopEvent]:
        passes.append([])
        for number, time_ms in enumerate(times):
            passes[-1].append(event(number, time_ms))
            yield passes[-1][-1]

    found = by_time(read, folder=None, say=silent, run_bytes=run_bytes)
    assert len(passes) <= 2
    if found is None:
        return None, passes[-1]
    assert list(found) == list(found)
    return list(found), passes[-1]


@given(st.lists(st.integers(0, 40), max_size=300), st.sampled_from([500, RUN_BYTES, 1 << 30]))
def test_events_come_by_time_and_those_of_one_time_as_they_lay_in_the_file(times: list[int], run_bytes: int) -> None:
    found, read = ordered(times, run_bytes)
    assert len(read) == len(times)  # the last pass is a whole one: its counts are those of the file
    assert (read if found is None else found) == sorted(read, key=attrgetter("sent_ms"))


def test_a_long_file_in_order_is_neither_kept_nor_sorted() -> None:
    assert ordered(sorted(Random(1).choices(range(1_000), k=2_000)))[0] is None


def test_a_file_whose_last_event_alone_is_out_of_order_is_sorted() -> None:
    found, read = ordered([*range(1_000), 5])
    assert found is not None
    assert [e.sent_ms for e in found[:8]] == [0, 1, 2, 3, 4, 5, 5, 6]
    assert found[6] == read[-1]


def test_the_temporary_file_has_no_name_and_its_folder_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    times = Random(2).choices(range(1_000), k=5_000)
    found = by_time(
        lambda: (event(n, t) for n, t in enumerate(times)), folder=tmp_path, say=said.append, run_bytes=RUN_BYTES
    )
    assert found is not None
    assert [e.sent_ms for e in found] == sorted(times)
    assert list(tmp_path.iterdir()) == []
    assert str(tmp_path) in said[0]


def test_a_sort_that_grows_large_says_how_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_order, "_SAID_EVERY_BYTES", 10_000)
    said: list[str] = []
    times = Random(2).choices(range(1_000), k=5_000)
    by_time(lambda: (event(n, t) for n, t in enumerate(times)), folder=tmp_path, say=said.append, run_bytes=RUN_BYTES)
    assert sum("so far in" in line for line in said) > 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_is_one_line_that_says_where_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = Random(2).choices(range(1_000), k=5_000)
    (tmp_path / "full").write_bytes(b"")
    # A real full device in place of the temporary file: every write to it ends with ENOSPC
    monkeypatch.setattr("tempfile.mkstemp", lambda **_: (os.open("/dev/full", os.O_RDWR), str(tmp_path / "full")))
    with pytest.raises(SettingsError, match=rf"^{tmp_path}: no space left to sort in, .*nothing was sent; --temp-dir"):
        by_time(lambda: (event(n, t) for n, t in enumerate(times)), folder=tmp_path, say=silent, run_bytes=RUN_BYTES)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="expected a folder to sort in, got: No such file"):
        by_time(lambda: (event(n, -n) for n in range(99)), folder=tmp_path / "none", say=silent, run_bytes=RUN_BYTES)


def test_a_file_out_of_order_late_is_counted_once_though_it_is_read_twice(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = [f"{n % 7},2,3,{'pv' if n % 50 else 'tap'},{1_511_544_070 + n}\n" for n in range(1, 1_000)]
    path.write_text("".join([*rows, "1,2,3,buy,1511544000\n"]))
    refused: list[int] = []
    recording = open_recording(path, "taobao", refuse=lambda row, unfit: refused.append(row.line), run_bytes=50_000)
    events = list(recording)
    assert events[0].topic == "purchases"
    assert [e.sent_ms for e in events] == sorted(e.sent_ms for e in events)
    assert recording.events == len(events) == 1_000 - 19
    assert recording.tally.refused["unknown_event"].rows == 19
    assert recording.tally.earlier == 1
    assert set(refused) == set(range(50, 1_000, 50))


_PEAK = """
import resource, sys
from pathlib import Path
from stream.replay import open_recording
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
recording = open_recording(Path(sys.argv[1]), "taobao", run_bytes=int(sys.argv[2]))
assert sum(1 for _ in recording) == recording.events == 60_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_file_out_of_order_takes_the_memory_of_a_few_runs_not_of_the_file(tmp_path: Path) -> None:
    random, path = Random(4), tmp_path / "t.csv"
    path.write_text("".join(f"{n % 999},2,3,pv,{1_511_544_070 + random.randrange(600_000)}\n" for n in range(60_000)))
    ended = subprocess.run(
        [sys.executable, "-c", _PEAK, str(path), str(2 << 20)], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 12_000  # kB; 4,600 when this was written, and 22,500 with all of its events in memory


def test_users_are_counted_exactly_up_to_a_bound_and_closely_beyond_it() -> None:
    few, many = DistinctCount(1_000), DistinctCount(1_000)
    for n in range(2_000):
        few.add(b"%d" % (n % 1_000))
    assert (int(few), few.is_exact) == (1_000, True)
    for n in range(100_000):
        many.add(b"%d" % n)
    assert not many.is_exact
    assert len(many._seen) <= 1_000
    assert abs(int(many) - 100_000) < 25_000  # 1 / sqrt(500) is 4.5 %: five and a half times that
