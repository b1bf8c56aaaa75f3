"""Where a source goes on, by the row of its partition and by what the broker has now."""

from __future__ import annotations

import pytest

from stream.merge import Position
from stream.rows import PartitionRow, SourceTopic
from stream.standing import SourceNow, Standing, stand

KNOWN = SourceTopic("a", 3)


def _stand(was: int, now: SourceNow, *, known: SourceTopic | None = KNOWN) -> Standing:
    topics = {} if known is None else {1: known}
    return stand(PartitionRow(positions={1: Position(was, 77)}, topics=topics), 1, now)


@pytest.mark.parametrize("row", [None, PartitionRow(positions={0: Position(9)})])
def test_a_source_never_read_begins_with_what_is_there_and_has_lost_nothing(row: PartitionRow | None) -> None:
    at = stand(row, 1, SourceNow("a", 5, 20, None))
    assert (at.position, at.topic) == (Position(5), SourceTopic("a", 0))
    assert at.committed == (at.position, at.topic)  # nothing has moved, so nothing is to be written
    assert (at.lost, at.said, at.doubted) == (0, "", "")


def test_the_same_topic_is_read_on_where_its_row_stands() -> None:
    at = _stand(12, SourceNow("a", 5, 20, 12))
    assert (at.position, at.topic) == (Position(12, 77), KNOWN)
    assert (at.lost, at.said, at.doubted) == (0, "", "")


def test_at_its_start_and_at_its_end_nothing_is_lost_or_cut() -> None:
    for offset in (5, 20):
        at = _stand(offset, SourceNow("a", 5, 20, offset))
        assert (at.position, at.topic, at.lost, at.said) == (Position(offset, 77), KNOWN, 0, "")


@pytest.mark.parametrize("end", [0, 12, 500])  # also where it has more records than the former was read of
def test_another_topic_of_the_same_name_is_the_next_generation_and_read_from_its_start(end: int) -> None:
    at = _stand(12, SourceNow("b", 0, end, None))
    assert (at.position, at.topic, at.lost) == (Position(0), SourceTopic("b", 4), 0)
    assert at.committed == (Position(12, 77), KNOWN)  # so this is written, even if nothing comes
    gone = "was deleted and made anew: what it had from offset 12 on is gone, uncounted"
    assert at.said == f"{gone}; reading it from 0, as generation 4"


def test_what_another_topic_has_lost_already_is_counted() -> None:
    at = _stand(12, SourceNow("b", 7, 30, None))
    assert (at.position, at.topic, at.lost) == (Position(7), SourceTopic("b", 4), 7)
    assert at.said.endswith("as generation 4; 7 records, offsets 0 to 6, were deleted before they were read")


def test_what_retention_deleted_before_it_was_read_is_counted_and_told_from_to() -> None:
    at = _stand(12, SourceNow("a", 15, 20, 12))
    assert (at.position, at.topic, at.lost) == (Position(15, 77), KNOWN, 3)
    assert at.said == "lost some to its retention; 3 records, offsets 12 to 14, were deleted before they were read"
    assert at.committed[0] == Position(12, 77)


def test_a_log_that_was_cut_goes_on_from_its_end_as_the_next_generation() -> None:
    at = _stand(12, SourceNow("a", 0, 9, 12))
    assert (at.position, at.topic, at.lost) == (Position(9, 77), SourceTopic("a", 4), 0)
    assert "was read up to offset 12, and now ends at 9" in at.said


@pytest.mark.parametrize("known", [None, SourceTopic("", 0)])
def test_a_row_that_does_not_know_its_topic_takes_it_for_the_same_unless_it_ends_too_early(
    known: SourceTopic | None,
) -> None:
    at = _stand(12, SourceNow("b", 0, 12, 12), known=known)
    assert (at.position, at.topic, at.said) == (Position(12, 77), SourceTopic("b", 0), "")
    assert at.committed[1] != at.topic  # what it was is to be written down
    at = _stand(12, SourceNow("b", 0, 11, 12), known=known)
    assert (at.position, at.topic) == (Position(0), SourceTopic("b", 1))
    assert "deleted and made anew" in at.said


def test_a_broker_that_tells_no_ids_is_believed_by_its_offsets() -> None:
    at = _stand(12, SourceNow("", 0, 12, 12))
    assert (at.position, at.topic, at.said) == (Position(12, 77), KNOWN, "")
    assert _stand(12, SourceNow("", 0, 11, 12)).topic == SourceTopic("", 4)


@pytest.mark.parametrize(
    ("committed", "its"), [(None, "no offset"), (0, "no offset"), (40, "offset 40"), (3, "offset 3")]
)
def test_offsets_of_the_group_that_were_deleted_or_set_are_said_and_not_followed(
    committed: int | None, its: str
) -> None:
    at = _stand(12, SourceNow("a", 0, 50, committed))
    assert (at.position, at.lost, at.said) == (Position(12, 77), 0, "")
    assert at.doubted == f"has {its} committed by its group; its rows stand at 12, and go on from there"
