"""Shops -> runs: everything is read once, grouped by user in bounded memory, and what was read is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream import structured
from stream.admission import MIX, repeats_of
from stream.errors import SettingsError
from stream.rows import RAW_EVENT
from stream.settings import Settings
from stream.table import raw_events
from stream.training import fraud_labels
from stream.training.fraud_labels import FraudLabels, Kinds
from stream.training.merged import Merged, merged
from stream.training.reading import Progress, Reading, moment, unseen
from stream.training.runs import MEMORY_BYTES, Columns, Runs
from stream.training.sources import BESIDE, Shop
from stream.training.user_blocks import UserBlocks

# Entries that are grouped at once. 64 MiB are 0.9 million events.
BLOCK_BYTES = 64 << 20

# An event on its way: its user, and the columns of runs. Numbers, so that it can lie in a file.
_ENTRY = np.dtype([("user", "u8"), ("shop", "u2"), ("order_ms", "i8"), ("raw", RAW_EVENT), ("beside", BESIDE)])
_SHOPS_MAX = 1 << 16
# Of a worker that is not told otherwise.
SEQUENCE_EVENTS, EXPIRY_MS = Settings().sequence_events, Settings().user_expiry_ms


class Gathered(NamedTuple):
    """What there is to learn from, and how it was come by."""

    runs: Runs
    readings: Sequence[Reading]  # of each shop


@dataclass(frozen=True, slots=True)
class Where:
    """Where large intermediate arrays go, and from which size on."""

    folder: Path | None = None  # of temporary files; None: that of the system
    block_bytes: int = BLOCK_BYTES
    memory_bytes: int = MEMORY_BYTES


def gather(
    shops: Sequence[Shop],
    *,
    fraud: Path | None = None,
    where: Where = Where(),
    progress: Progress = unseen,
) -> Gathered:
    """The runs of all users of these shops.

    `fraud` is a file of labels by event id. Raises SettingsError for a shop without an event, or of whose records more
    are refused than give one, unless it says that it may be so.
    """
    if not 0 < len(shops) <= _SHOPS_MAX:
        raise SettingsError(f"expected 1 to {_SHOPS_MAX} shops to learn from, got {len(shops)}")
    kinds = Kinds()
    listed = fraud_labels.load(fraud, kinds) if fraud else None
    blocks = UserBlocks(_ENTRY, folder=where.folder, block_bytes=where.block_bytes)
    readings = []
    for place, shop in enumerate(shops):
        reading = Reading(shop.name)
        for part in merged(shop, kinds, reading, _looking(progress, len(blocks), place, len(shops))):
            blocks.add(_entries(part, place, listed))
            progress("reading", len(blocks), None if part.share is None else (place + part.share) / len(shops))
        problem = reading.why_not(ignore_refused=shop.ignore_refused)
        if problem:
            raise SettingsError(f"{problem}; nothing was trained")
        reading.end_ms = shop.end_ms(reading.last_ms)
        readings.append(reading)
    return Gathered(_grouped(blocks, readings, kinds, where, progress), readings)


def _looking(progress: Progress, before: int, place: int, shops: int) -> Callable[[int], None]:
    return lambda events: progress("looking", before + events, place / shops if place else None)


def _entries(part: Merged, shop: int, listed: FraudLabels | None) -> NDArray[np.void]:
    entries = np.empty(len(part.events), _ENTRY)
    entries["shop"] = shop
    # The seed parts the users of shops who have the same id; the first shop's hashes are those of the ids alone.
    entries["user"] = [xxh3_64_intdigest(key, shop) for key in part.events.key.tolist()]
    entries["order_ms"] = part.events["order_ms"]
    entries["raw"] = raw_events(part.events)
    entries["beside"] = part.beside
    if listed is not None:
        listed.judge(part.events["event_hash"], entries["beside"]["fraud"], entries["beside"]["kind"])
    return entries


def _grouped(blocks: UserBlocks, readings: Sequence[Reading], kinds: Kinds, where: Where, progress: Progress) -> Runs:
    users: list[NDArray[np.uint64]] = []
    counts: list[NDArray[np.int64]] = []
    shops: list[NDArray[np.uint16]] = []
    total, done = len(blocks), 0
    columns = Columns(total, folder=where.folder, memory_bytes=where.memory_bytes)
    for entries in blocks.groups():
        done += len(entries)
        kept, repeat = _repeats(entries, readings)
        beside, starts = kept["beside"], _begun(kept)
        columns.append(
            {
                "raw": np.ascontiguousarray(kept["raw"]),
                "session": beside["session"],
                "fraud": beside["fraud"],
                "kind": beside["kind"],
                "repeat": repeat,
            }
        )
        users.append(kept["user"][starts])
        shops.append(kept["shop"][starts])
        counts.append(np.diff(np.append(starts, len(kept))))
        progress("grouping", done, done / total)
    shop, user = np.concatenate(shops), np.concatenate(users)
    _, first = np.unique(user, return_index=True)
    for reading, number in zip(readings, np.bincount(shop[first], minlength=len(readings)).tolist(), strict=True):
        reading.users = number
        reading.finish()
    return Runs(
        **columns.finish(),
        counts=np.concatenate(counts),
        user=user,
        end_ms=np.array([reading.end_ms for reading in readings], np.int64)[shop],
        kinds=kinds.names(),
    )


def _repeats(entries: NDArray[np.void], readings: Sequence[Reading]) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
    """(the events that serving would apply, which of them have an id that came before).

    It passes over one whose id is that of one of the user's last events; what was sent again later than that, it
    applies again. Two files that overlap are no sending twice: what both have is read from the one that has it first.
    """
    _, first, place = np.unique(
        entries["user"] * MIX + entries["raw"]["event_hash"], return_index=True, return_inverse=True
    )
    first = first[place]
    repeat = first != np.arange(len(entries))
    overlapping = entries["beside"]["file"] != entries["beside"]["file"][first]
    # What is known of an event is known of its repeats.
    for name in ("fraud", "kind"):
        entries["beside"][name][repeat] = entries["beside"][name][first[repeat]]
    passed_over = _passed_over(entries, repeat & ~overlapping, ~overlapping)
    for which, column in ((overlapping, "dropped"), (repeat & ~overlapping, "repeated")):
        for shop, number in enumerate(np.bincount(entries["shop"][which], minlength=len(readings)).tolist()):
            setattr(readings[shop], column, getattr(readings[shop], column) + number)
    kept = ~(overlapping | passed_over)
    return structured.take(entries, kept), repeat[kept]


def _passed_over(entries: NDArray[np.void], repeat: NDArray[np.bool_], there: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[N] of entries by user, the repeats that serving passes over: of what is `there`, in the order of each user."""
    passed_over = np.zeros(len(entries), np.bool_)
    starts = _starts(entries["user"])
    of_user = np.split(np.arange(len(entries)), starts[1:]) if len(entries) else []
    for user in np.unique(np.searchsorted(starts, np.flatnonzero(repeat), side="right") - 1).tolist():
        theirs = of_user[user][there[of_user[user]]]
        passed_over[theirs] = repeats_of(entries["raw"]["event_hash"][theirs].tolist(), (), SEQUENCE_EVENTS)
    return passed_over


def _begun(entries: NDArray[np.void]) -> NDArray[np.int64]:
    """Where runs begin: with each user, and where one was silent for so long that serving begins them anew."""
    starts = _starts(entries["user"])
    if EXPIRY_MS is None or not len(starts):
        return starts
    order_ms, time_ms = entries["order_ms"], entries["raw"]["time_ms"]
    may = np.maximum.reduceat(order_ms, starts) - np.minimum.reduceat(time_ms, starts) > EXPIRY_MS
    ends = np.append(starts[1:], len(entries))
    anew = []
    for start, end in zip(starts[may].tolist(), ends[may].tolist(), strict=True):  # hardly any
        last_ms = int(time_ms[start])
        for i in range(start + 1, end):
            if order_ms[i] - last_ms > EXPIRY_MS:
                anew.append(i)
                last_ms = int(time_ms[i])
            last_ms = max(last_ms, int(time_ms[i]))
    return np.sort(np.append(starts, np.array(anew, np.int64)))


def _starts(user: NDArray[np.uint64]) -> NDArray[np.int64]:
    return np.flatnonzero(np.append(True, user[1:] != user[:-1])[: len(user)])


def told(readings: Sequence[Reading]) -> list[str]:
    """What was read, a line per shop and per thing to know."""
    lines = []
    for reading in readings:
        kept = reading.events - reading.dropped
        lines.append(
            f"{reading.name}: {kept:,} events of {reading.users:,} users, {moment(reading.first_ms)} to "
            f"{moment(reading.last_ms)}"
        )
        lines += [f"{reading.name}: {number:,} refused ({reason}), the first: {reading.example[reason]}"
                  for reason, number in reading.refused.items()]  # fmt: skip
        lines += [f"{reading.name}: {note}" for note in reading.notes]
    return lines
