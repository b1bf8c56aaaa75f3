"""Until when something can lie on a topic, by the topic's settings."""

from __future__ import annotations

import pytest

from stream.traces.lasting import of_deletion, of_older_rows, of_record

DAY_MS, LATE_MS = 86_400_000, 600_000
NOW_MS = 1_790_000_000_000
UNBOUNDED = str(2**63 - 1)


def _stream(**changes: str) -> dict[str, str]:
    of_a_topic = {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS), "segment.ms": str(DAY_MS)}
    return of_a_topic | {name.replace("_", "."): value for name, value in changes.items()}


def _changelog(**changes: str) -> dict[str, str]:
    of_it = {"cleanup.policy": "compact", "max.compaction.lag.ms": str(DAY_MS), "delete.retention.ms": str(2 * DAY_MS)}
    return of_it | {name.replace("_", "."): value for name, value in changes.items()}


def test_a_record_lasts_until_the_last_of_its_segment_is_past_the_retention() -> None:
    lasting = of_record(_stream(), NOW_MS)
    assert lasting.until_ms == NOW_MS + 8 * DAY_MS + LATE_MS
    assert lasting.why == "by retention.ms (7 d) after segment.ms (1 d)"


@pytest.mark.parametrize("policy", ["compact,delete", "delete,compact"])
def test_a_topic_that_is_compacted_too_is_no_less_deleted(policy: str) -> None:
    assert of_record(_stream(cleanup_policy=policy), NOW_MS) == of_record(_stream(), NOW_MS)


def test_what_is_kept_for_ever_never_goes_and_that_is_said() -> None:
    for_ever = of_record(_stream(retention_ms="-1"), NOW_MS)
    assert (for_ever.until_ms, for_ever.why[:6]) == (None, "never:")
    compacted = of_record(_stream(cleanup_policy="compact"), NOW_MS)
    assert (compacted.until_ms, compacted.why[:6]) == (None, "never:")


def test_older_rows_go_when_they_must_be_compacted_and_the_deletion_after_it_has_been_kept() -> None:
    assert of_older_rows(_changelog(), NOW_MS).until_ms == NOW_MS + DAY_MS + LATE_MS
    assert of_deletion(_changelog(), NOW_MS).until_ms == NOW_MS + 4 * DAY_MS + 2 * LATE_MS


def test_without_a_bound_on_compaction_no_time_can_be_told() -> None:
    configs = _changelog(max_compaction_lag_ms=UNBOUNDED)
    for lasting in (of_older_rows(configs, NOW_MS), of_deletion(configs, NOW_MS)):
        assert lasting.until_ms is None
        assert "max.compaction.lag.ms is not set" in lasting.why


@pytest.mark.parametrize(
    ("ms", "words"), [(1, "1 ms"), (1_500, "1,500 ms"), (90_000, "90 s"), (120_000, "2 min"), (DAY_MS * 1.5, "36 h")]
)
def test_durations_are_told_in_their_largest_whole_unit(ms: float, words: str) -> None:
    assert f"by retention.ms ({words})" in of_record(_stream(retention_ms=str(int(ms))), NOW_MS).why
