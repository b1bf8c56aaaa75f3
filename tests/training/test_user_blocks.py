"""Entries by user: all of them, in the order in which they came, in pieces that fit in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from stream.errors import SettingsError
from stream.training.user_blocks import UserBlocks

ENTRY = np.dtype([("user", "u8"), ("number", "i8")])
N, USERS = 20_000, 500


def entries(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    made = np.empty(N, ENTRY)
    made["user"] = rng.integers(0, 2**64, USERS, dtype=np.uint64)[rng.integers(0, USERS, N)]
    made["number"] = np.arange(N)
    return made


def grouped(block_entries: int, of: np.ndarray, *, pieces: int = 37) -> list[np.ndarray]:
    blocks = UserBlocks(ENTRY, folder=None, block_bytes=block_entries * ENTRY.itemsize)
    for piece in np.array_split(of, pieces):
        blocks.add(piece)
    assert len(blocks) == len(of)
    return list(blocks.groups())


@pytest.mark.parametrize("block_entries", [1, 700, 3_000, N, 10 * N])
def test_every_entry_comes_once_by_user_and_a_users_in_their_order(block_entries: int) -> None:
    of = entries()
    found = np.concatenate(grouped(block_entries, of))
    assert found.tolist() == of[np.argsort(of["user"], kind="stable")].tolist()


def test_no_group_is_much_larger_than_a_block_and_none_parts_a_user() -> None:
    groups = grouped(1_000, entries())
    assert max(map(len, groups)) <= 1_000
    assert len(groups) < 2 * N / 1_000
    users = [set(group["user"].tolist()) for group in groups]
    assert sum(map(len, users)) == len(set.union(*users)) == USERS


def test_a_user_who_does_not_fit_in_a_block_is_whole_all_the_same() -> None:
    of = entries()
    of["user"][::2] = of["user"][0]
    groups = grouped(1_000, of)
    (busy,) = [group for group in groups if of["user"][0] in group["user"]]
    assert (busy["user"] == of["user"][0]).sum() >= N / 2
    assert np.concatenate(groups).tolist() == of[np.argsort(of["user"], kind="stable")].tolist()


def test_nothing_added_is_no_group() -> None:
    assert grouped(10, entries()[:0], pieces=1) == []


def test_a_full_disk_is_named_with_its_folder() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no device here that is always full")
    from stream.training import user_blocks

    with (
        open("/dev/full", "wb", buffering=0) as full,  # noqa: PTH123 - a device
        pytest.raises(SettingsError, match="/room: expected room for temporary files, got: No space left on device"),
    ):
        user_blocks.write(full, entries(), Path("/room"))
