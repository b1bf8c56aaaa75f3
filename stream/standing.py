"""Where a partition goes on reading each source, and what became of what it had not read: its row beside what the
broker says.

A row names a source by the id that the broker gave the topic, and by a generation, which rises with every topic that is
not the one before: what users' rows know of offsets holds for one generation. The offsets that the group has committed
have no say: they were written together with the row, and can be deleted or set where rows can not.
"""

from __future__ import annotations

from typing import NamedTuple

from stream.merge import Position
from stream.rows import PartitionRow, SourceTopic


class SourceNow(NamedTuple):
    """A source's partition as the broker tells of it."""

    topic_id: str  # empty where the broker is too old to tell
    start: int  # the first offset that is still there
    end: int  # the offset of the next record
    committed: int | None  # by the group; None: nothing


class Standing(NamedTuple):
    """Where to go on."""

    position: Position
    topic: SourceTopic
    committed: tuple[Position, SourceTopic]  # what its row says; the two above where it says nothing
    lost: int = 0  # records that were deleted before they were read, as far as they can be counted
    said: str = ""  # what is to be said of it, after the name of the topic partition
    doubted: str = ""  # so is this, where nothing is lost


def stand(row: PartitionRow | None, source: int, now: SourceNow) -> Standing:
    """Where a source's partition stands, by its row (None: there is none yet) and by the broker."""
    was = row.positions.get(source) if row else None
    known = row.topics.get(source, _UNKNOWN) if row else _UNKNOWN
    same = SourceTopic(now.topic_id or known.id, known.generation)
    if was is None:
        first = Position(now.start)
        return Standing(first, same, (first, same))
    committed, both_known = (was, known), known.id and now.topic_id
    if known.id != now.topic_id if both_known else was.offset > now.end:
        next_one = SourceTopic(now.topic_id, known.generation + 1)
        gone = f"was deleted and made anew: what it had from offset {was.offset} on is gone, uncounted"
        said = f"{gone}; reading it from {now.start}, as generation {next_one.generation}{_deleted(0, now.start)}"
        return Standing(Position(now.start), next_one, committed, now.start, said)
    if was.offset > now.end:
        # Nothing of it is read again, since rows hold it; what is written from here on has offsets that they hold too.
        next_one = SourceTopic(same.id, known.generation + 1)
        cut = f"was read up to offset {was.offset}, and now ends at {now.end}: its broker has cut it"
        said = f"{cut}; going on from there, as generation {next_one.generation}"
        return Standing(Position(now.end, was.order_ms), next_one, committed, 0, said)
    if was.offset < now.start:
        said = f"lost some to its retention{_deleted(was.offset, now.start)}"
        return Standing(Position(now.start, was.order_ms), same, committed, now.start - was.offset, said)
    doubted = ""
    if (now.committed or 0) != was.offset:
        its = f"offset {now.committed}" if now.committed else "no offset"
        doubted = f"has {its} committed by its group; its rows stand at {was.offset}, and go on from there"
    return Standing(was, same, committed, doubted=doubted)


_UNKNOWN = SourceTopic("")


def _deleted(first: int, start: int) -> str:
    """Of a partition that begins at `start`, and was read up to `first`."""
    if first == start:
        return ""
    return f"; {start - first} records, offsets {first} to {start - 1}, were deleted before they were read"
