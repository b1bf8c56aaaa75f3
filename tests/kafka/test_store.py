"""The local copy: all or nothing, one owner, and made anew where it cannot be read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from stream.errors import SettingsError, StateError
from stream.kafka.store import RowStore
from stream.merge import Position
from stream.rows import PARTITION_KEY, PartitionRow

USERS = [f"user-{i}".encode() for i in range(3000)]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RowStore]:
    store = RowStore(tmp_path / "state")
    yield store
    store.close()


def test_what_is_written_is_fetched_by_partition_and_in_the_order_asked(store: RowStore) -> None:
    store.own([0, 2])
    store.write(0, [(b"a", b"row a"), (b"b", b"\x00\xff" * 500), ("é🛒".encode(), b"")], 5)
    store.write(2, [(b"a", b"another a")], 9)
    assert store.fetch(0, [b"b", b"never", b"a", "é🛒".encode(), b"a"]) == [
        b"\x00\xff" * 500, None, b"row a", b"", b"row a",
    ]  # fmt: skip
    assert store.fetch(2, [b"a", b"b"]) == [b"another a", None]
    assert store.fetch(0, []) == []


def test_a_row_is_overwritten_and_deleted(store: RowStore) -> None:
    store.own([0])
    store.write(0, [(b"a", b"1"), (b"b", b"1")], 1)
    store.write(0, [(b"a", b"2"), (b"b", None), (b"never", None), (b"c", b"1"), (b"c", b"2"), (b"c", None)], 2)
    assert store.fetch(0, [b"a", b"b", b"never", b"c"]) == [b"2", None, None, None]


def test_the_changelog_offset_goes_with_the_rows(store: RowStore) -> None:
    store.own([0, 1])
    assert (store.changelog_offset(0), store.changelog_offset(1)) == (None, None)
    store.write(0, [(b"a", b"1")], 0)
    assert (store.changelog_offset(0), store.changelog_offset(1)) == (0, None)
    store.write(0, [], 2**40)
    assert store.changelog_offset(0) == 2**40


def test_a_write_that_fails_midway_changes_nothing(store: RowStore) -> None:
    def rows() -> Iterator[tuple[bytes, bytes]]:
        yield b"a", b"2"
        raise RuntimeError("midway")

    store.own([0])
    store.write(0, [(b"a", b"1")], 1)
    with pytest.raises(RuntimeError):
        store.write(0, rows(), 2)
    assert (store.fetch(0, [b"a"]), store.changelog_offset(0)) == ([b"1"], 1)


def test_a_partition_has_a_row_of_its_own(store: RowStore) -> None:
    store.own([0])
    assert store.partition_row(0) is None
    row = PartitionRow(positions={0: Position(7, 123), 2: Position(0)})
    store.write(0, [(PARTITION_KEY, row.to_bytes())], 3)
    assert store.partition_row(0) == row
    store.write(0, [(PARTITION_KEY, b"rubbish")], 4)
    with pytest.raises(StateError, match=r"^partition 0: row of a partition: "):
        store.partition_row(0)


def test_a_scan_walks_the_users_in_the_order_of_keys_in_slices(store: RowStore) -> None:
    store.own([0, 1])
    row = PartitionRow(positions={0: Position(7, 123)}).to_bytes()
    store.write(0, [(PARTITION_KEY, row), (b"b", b"2"), ("🛒".encode(), b"4"), (b"a", b"1"), (b"ba", b"3")], 9)
    store.write(0, [(b"b", b"two"), (b"gone", b"1")], 10)
    store.write(0, [(b"gone", None)], 11)
    users = [(b"a", b"1"), (b"b", b"two"), (b"ba", b"3"), ("🛒".encode(), b"4")]
    assert store.scan(0, None, 10) == users
    assert store.scan(0, b"b", 10) == users[2:]
    assert store.scan(0, b"b\0", 1) == users[2:3]  # of a key without a row
    assert store.scan(0, users[-1][0], 10) == store.scan(1, None, 10) == []
    for n in (1, 2, 3):
        walked: list[tuple[bytes, bytes]] = []
        while piece := store.scan(0, walked[-1][0] if walked else None, n):
            assert len(piece) <= n
            walked += piece
        assert walked == users


def test_a_walk_meets_every_row_that_stays_while_others_come_and_go(store: RowStore) -> None:
    store.own([0])
    store.write(0, [(user, b"row") for user in USERS], 1)
    met: list[bytes] = []
    for turn in range(len(USERS)):
        store.write(0, [(b"user-1-%d" % turn, b"new"), (b"user-1-%d" % (turn - 1), None)], turn)
        if not (piece := store.scan(0, met[-1] if met else None, 100)):
            break
        met += [key for key, _ in piece]
    assert [key for key in met if not key.startswith(b"user-1-")] == sorted(USERS)


@pytest.mark.parametrize("key", [USERS[0], USERS[1234], min(USERS), max(USERS)])
def test_nothing_of_a_deleted_row_is_on_the_disk_after_compacting(store: RowStore, tmp_path: Path, key: bytes) -> None:
    secret = b"what nobody must read again"
    store.own([0])
    store.write(0, [(user, os.urandom(300)) for user in USERS], 3000)
    store.write(0, [(key, secret)], 3001)
    store._open[0].flush()
    assert _files_with(secret, tmp_path / "state")
    store.write(0, [(key, None)], 3002)
    store.compact(0, [key])
    assert _files_with(secret, tmp_path / "state") == []
    longer = [user for user in USERS if user.startswith(key) and user != key]
    assert _files_with(key, tmp_path / "state", but=longer) == []
    assert _files_with(key.hex().encode(), tmp_path / "state") == []
    assert store.fetch(0, [key, USERS[7]])[0] is None
    assert store.changelog_offset(0) == 3002
    assert len(store.scan(0, None, 5000)) == len(USERS) - 1


@pytest.mark.parametrize("n", [2, 8, 9, 500])
def test_nothing_of_many_deleted_rows_is_on_the_disk_after_compacting(store: RowStore, tmp_path: Path, n: int) -> None:
    store.own([0])
    # Keys so long that they are nowhere by chance: there is half a megabyte of what is drawn at random.
    erased = {b"<erased %d>" % i: b"secret of %d." % i for i in range(n)}
    store.write(0, [(user, os.urandom(100)) for user in USERS] + list(erased.items()), 1)
    store._open[0].flush()
    store.write(0, [(user, None) for user in erased], 2)
    store.compact(0, erased.keys())
    for word in (b"secret of", b"<erased"):
        assert _files_with(word, tmp_path / "state") == []
    assert len(store.scan(0, None, 5000)) == len(USERS)


def test_compacting_a_row_that_is_alive_keeps_its_latest_bytes_alone(store: RowStore, tmp_path: Path) -> None:
    store.own([0])
    store.write(0, [(user, b"former bytes") for user in USERS[:10]], 1)
    store._open[0].flush()
    store.write(0, [(user, b"latter bytes") for user in USERS[:10]], 2)
    for user in USERS[:10]:
        store.compact(0, [user])
    assert _files_with(b"former bytes", tmp_path / "state") == []
    assert store.scan(0, None, 20) == [(user, b"latter bytes") for user in sorted(USERS[:10])]


def _files_with(what: bytes, folder: Path, *, but: Iterable[bytes] = ()) -> list[str]:
    """The files in which these bytes are; other strings with them in it do not count."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            try:
                inside = path.read_bytes()
            except FileNotFoundError:  # RocksDB has replaced it
                continue
            for other in but:
                inside = inside.replace(other, b"")
            if what in inside:
                found.append(path.name)
    return found


def test_all_is_there_again_after_a_restart(tmp_path: Path) -> None:
    for round_ in range(3):
        store = RowStore(tmp_path)
        store.own([4])
        assert store.changelog_offset(4) == (round_ or None)
        assert store.fetch(4, [b"a"]) == [b"%d" % round_ if round_ else None]
        store.write(4, [(b"a", b"%d" % (round_ + 1))], round_ + 1)
        store.close()


def test_what_is_not_owned_is_a_state_error(store: RowStore) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.fetch(1, [b"a"]),
        lambda: store.partition_row(1),
        lambda: store.changelog_offset(1),
        lambda: store.write(1, [], 0),
    ]
    store.own([0])
    for call in calls:
        with pytest.raises(StateError, match=r"partition 1: .* this worker does not own it"):
            call()
    store.own([1])
    for call in calls:
        call()
    with pytest.raises(StateError, match="partition 0"):
        store.fetch(0, [b"a"])


def test_owning_again_keeps_what_is_open_and_lets_go_of_the_rest(store: RowStore, tmp_path: Path) -> None:
    other = RowStore(tmp_path / "state")
    store.own([0, 1])
    store.write(0, [(b"a", b"1")], 1)
    store.own([0])
    store.own([0])
    assert store.fetch(0, [b"a"]) == [b"1"]
    other.own([1])  # free for whoever comes
    other.close()
    store.close()
    other.own([0])
    assert other.fetch(0, [b"a"]) == [b"1"]
    other.close()


def test_a_copy_of_a_partition_that_went_elsewhere_is_kept_for_a_while_and_then_taken_away(
    store: RowStore, tmp_path: Path
) -> None:
    store.own([0, 1, 2])
    for partition in (0, 1, 2):
        store.write(partition, [(b"a", b"row")], 5)
    store.own([0, 1])
    store.own([0])
    assert store.take_left() == []
    store.own([0, 2])  # it has come back
    gone = store.take_left(secs=0)
    assert [path.name.split("-")[1] for path in gone] == ["1.rocksdb"]
    assert sorted(path.name for path in (tmp_path / "state").glob("*.rocksdb")) == [
        "users-0.rocksdb",
        "users-2.rocksdb",
    ]
    assert [store.changelog_offset(p) for p in (0, 2)] == [5, 5]
    assert store.take_left() == gone  # until they are deleted
    shutil.rmtree(gone[0])
    store.own([1])
    assert store.changelog_offset(1) is None
    assert len(store.take_left(secs=0)) == 2


def test_a_copy_that_was_left_by_a_former_process_is_taken_away_too(tmp_path: Path) -> None:
    former = RowStore(tmp_path)
    former.own([3])
    former.close()
    store = RowStore(tmp_path)
    assert store.take_left(secs=0) == []
    store.own([])
    assert [path.name.split("-")[1] for path in store.take_left(secs=0)] == ["3.rocksdb"]


@pytest.mark.parametrize(("hours", "kept"), [(11, True), (13, False)])
def test_a_copy_so_old_that_its_changelog_may_have_forgotten_what_was_deleted_is_made_anew(
    store: RowStore, tmp_path: Path, caplog: pytest.LogCaptureFixture, hours: int, kept: bool
) -> None:
    store.own([0])
    store.write(0, [(b"a", b"row")], 5)
    store.close()
    path = tmp_path / "state" / "users-0.rocksdb"
    then = time.time() - hours * 3600
    for file in (*path.iterdir(), path):
        os.utime(file, (then, then))
    store.own([0])
    assert (store.changelog_offset(0), store.fetch(0, [b"a"])) == ((5, [b"row"]) if kept else (None, [None]))
    assert ("13 h old; it is made anew" in caplog.text) is not kept


def test_a_copy_is_as_old_as_its_last_use_not_as_its_last_write(store: RowStore, tmp_path: Path) -> None:
    store.own([0])
    store.write(0, [(b"a", b"row")], 5)
    store._open[0].flush()
    then = time.time() - 13 * 3600
    for file in (tmp_path / "state" / "users-0.rocksdb").iterdir():
        os.utime(file, (then, then))
    store.close()
    store.own([0])
    assert store.changelog_offset(0) == 5


def test_a_second_handle_on_the_same_folder_is_refused(store: RowStore, tmp_path: Path) -> None:
    store.own([0])
    store.write(0, [(b"a", b"1")], 1)
    other = RowStore(tmp_path / "state")
    with pytest.raises(SettingsError) as refused:
        other.own([0])
    path = tmp_path / "state" / "users-0.rocksdb"
    assert str(refused.value) == f"{path}: another process has it open; each worker needs a --data-dir of its own"
    assert store.fetch(0, [b"a"]) == [b"1"]


_OWN = """
import sys
import threading
import time
from pathlib import Path
from stream.errors import SettingsError
from stream.kafka.store import RowStore
try:
    RowStore(Path(sys.argv[1])).own([0])
except SettingsError as error:
    sys.exit(f"refused: {error}")
"""


def test_a_second_process_on_the_same_folder_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    def own() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", _OWN, str(tmp_path)], capture_output=True, text=True, check=False, timeout=30
        )

    store = RowStore(tmp_path)
    store.own([0])
    store.write(0, [(b"a", b"1")], 1)
    refused = own()
    assert refused.returncode == 1
    assert "refused: " in refused.stderr
    assert "another process has it open" in refused.stderr
    assert store.fetch(0, [b"a"]) == [b"1"]
    store.close()
    assert own().returncode == 0


def test_a_folder_that_cannot_be_made_is_a_settings_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SettingsError, match=r"cannot be made \(.*\); set --data-dir"):
        RowStore(tmp_path / "file").own([0])


def test_what_was_deleted_leaves_the_files_within_a_day_without_being_compacted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of standbys, say, who are told of no erasure; here the day has two seconds."""
    monkeypatch.setattr("stream.kafka.store._REWRITTEN_SECS", 2)
    store = RowStore(tmp_path)
    store.own([0])
    store.write(0, [(user, os.urandom(100)) for user in USERS] + [(b"gone", b"secret")], 1)
    store._open[0].flush()
    store.compact(0, USERS[:1])
    store.write(0, [(b"gone", None)], 2)
    store._open[0].flush()
    time.sleep(3)
    assert _files_with(b"secret", tmp_path)
    store.write(0, [(USERS[0], b"another")], 3)  # it looks at the age of its files when it writes one
    store._open[0].flush()
    deadline = time.monotonic() + 60
    while _files_with(b"secret", tmp_path):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    store.close()


def test_a_copy_that_is_being_compacted_is_closed_at_once_and_keeps_its_rows(
    store: RowStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.own([0, 1])
    rows = [(os.urandom(12), os.urandom(1_400)) for _ in range(200_000)]
    store.write(0, rows, 1)
    done: list[bool] = []
    compacting = threading.Thread(target=lambda: done.append(store.compact(0, [key for key, _ in rows])))
    compacting.start()
    while not store._compacting[0].locked():
        time.sleep(0.001)
    store.write(0, [(b"late", b"1")], 2)
    store.own([1])
    compacting.join(10.0)
    assert done == [False]
    assert store.compact(0, [b"late"]) is False  # it is not here any more
    store.own([0, 1])
    assert store.changelog_offset(0) == 2 and store.fetch(0, [b"late", rows[0][0]]) == [b"1", rows[0][1]]
    assert not caplog.records


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a store with rows in a sorted table, as after days: not only in the log of the last writes."""
    folder = tmp_path_factory.mktemp("filled")
    store = RowStore(folder)
    store.own([0])
    store.write(0, [(user, os.urandom(300)) for user in USERS], 3000)
    store._open[0].flush()
    store.close()
    return folder


def _damaged(filled: Path, folder: Path, pattern: str, damage: Callable[[bytes], bytes]) -> RowStore:
    """A store on a copy of `filled`, one file of which is not what it was."""
    shutil.copytree(filled, folder)
    (file,) = (folder / "users-0.rocksdb").glob(pattern)
    before = file.read_bytes()
    file.write_bytes(damage(before))
    assert file.read_bytes() != before
    return RowStore(folder)


def _flipped(back: int) -> Callable[[bytes], bytes]:
    """All bits of the byte `back` from the end turned over."""
    return lambda raw: raw[:-back] + bytes([raw[-back] ^ 0xFF]) + raw[len(raw) - back + 1 :]


def _halved(raw: bytes) -> bytes:
    return raw[: len(raw) // 2]


def _is_made_anew(store: RowStore) -> None:
    """Empty, so that all of the changelog is replayed into it, and fit for use."""
    try:
        store.own([0])
        assert store.changelog_offset(0) is None
        assert store.fetch(0, USERS[:2]) == [None, None]
        store.write(0, [(b"a", b"1")], 1)
        assert (store.fetch(0, [b"a"]), store.changelog_offset(0)) == ([b"1"], 1)
    finally:
        store.close()


# In the index of a sorted table, which is near its end: "block checksum mismatch".
IN_THE_INDEX = 1500


@pytest.mark.parametrize(
    ("pattern", "damage"),
    [
        ("CURRENT", lambda raw: b"rubbish"),
        ("CURRENT", lambda raw: b""),
        ("MANIFEST-*", lambda raw: b"\xa5" * len(raw)),
        ("MANIFEST-*", _flipped(50)),
        ("MANIFEST-*", lambda raw: b""),
        ("*.sst", lambda raw: b"\xa5" * len(raw)),
        ("*.sst", _halved),
        ("*.sst", lambda raw: b""),
        ("*.sst", _flipped(IN_THE_INDEX)),
    ],
)
def test_a_damaged_copy_is_made_anew(
    filled: Path, tmp_path: Path, pattern: str, damage: Callable[[bytes], bytes]
) -> None:
    _is_made_anew(_damaged(filled, tmp_path / "state", pattern, damage))


def test_a_damaged_copy_is_made_anew_in_a_folder_of_any_name(filled: Path, tmp_path: Path) -> None:
    _is_made_anew(_damaged(filled, tmp_path / "padlock", "*.sst", _halved))


def test_making_anew_is_told_with_the_reason(filled: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _is_made_anew(_damaged(filled, tmp_path / "state", "CURRENT", lambda raw: b"rubbish"))
    (record,) = caplog.records
    assert record.levelname == "WARNING"  # nothing is lost: the changelog has it all
    assert "users-0.rocksdb: cannot be read (Corruption: " in record.message
    assert record.message.endswith("it is made anew from the changelog")


def test_damage_found_on_reading_is_a_state_error_and_gone_after_a_restart(filled: Path, tmp_path: Path) -> None:
    store = _damaged(filled, tmp_path / "state", "*.sst", lambda raw: b"\xa5" * 8192 + raw[8192:])
    store.own([0])
    assert store.changelog_offset(0) == 3000  # its own block is whole
    try:
        with pytest.raises(StateError, match=r"users-0\.rocksdb"):
            store.fetch(0, USERS)
    finally:
        store.close()
    _is_made_anew(RowStore(tmp_path / "state"))


_WRITE_UNTIL_KILLED = """
import sys
import threading
import time
from pathlib import Path
from stream.kafka import store
store._WRITE_BUFFER_BYTES = 1 << 20
rows = store.RowStore(Path(sys.argv[1]))
rows.own([0])
for i in range(2000):
    rows.write(0, [(b"%d" % n, b"%d-" % i + b"x" * 300) for n in range(i, i + 20)], i)
print("done", flush=True)
input()
"""


def test_a_kill_loses_the_last_writes_whole_and_no_row_of_the_offset_it_left(tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITE_UNTIL_KILLED, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with writer:
        assert writer.stdout
        assert writer.stdout.readline() == "done\n"
        writer.kill()
    store = RowStore(tmp_path)
    store.own([0])
    offset = store.changelog_offset(0)
    assert offset is not None
    assert 1000 < offset < 1999  # what had been in memory is gone, and no more than that
    rows = store.fetch(0, [b"%d" % n for n in range(2020)])
    store.close()
    wrote = [None if row is None else int(row.partition(b"-")[0]) for row in rows]
    for n, at in enumerate(wrote[: offset + 20]):
        assert at in {min(n, offset), min(n, offset + 1)}  # rows go first, so they may be one write ahead
    assert set(wrote[offset + 21 :]) == {None}
