"""Hostile records among good ones, in a few thousand: each is what it is known to be, and all are accounted for."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from stream.decode import decode
from stream.events import REASONS, Frame
from stream.kafka.topics import TopicReport
from stream.settings import Settings
from tests.faults.hostile import run
from tests.faults.hostile.__main__ import DEFECTS
from tests.faults.hostile.known import GOOD, KNOWN
from tests.faults.hostile.mutations import MUTATIONS
from tests.shop import BOUNDS, START_MS, FakeRecord

HOSTILE, EVENTS = 4_000, 1_000


@pytest.mark.parametrize("name", KNOWN)
def test_decoding_agrees_with_what_is_known_by_hand(name: str) -> None:
    source, fate, make = KNOWN[name]
    raw = make(Random(1), START_MS)
    batch, rejects = decode(Frame(source, 0, [FakeRecord(raw.key, raw.value, 0, START_MS)], 1), BOUNDS)
    assert [reject.reason for reject in rejects] == ([] if fate == GOOD else [fate])
    assert len(batch) == (fate == GOOD)


def test_every_reason_is_known_by_hand() -> None:
    assert {fate for _, fate, _ in KNOWN.values()} == {GOOD, *REASONS}


async def test_every_good_record_is_scored_and_every_bad_one_a_dead_letter(
    settings: Settings, topics: list[TopicReport], tmp_path: Path
) -> None:
    events = run.shop(seed=1, users=300, start_ms=START_MS)
    made = run.records(events, hostile=HOSTILE, good=EVENTS, seed=1)
    found = await run.play(settings, made, tmp_path / "worker.log")
    assert not {name: found[name] for name in DEFECTS if found[name]}, found
    assert found["scores_repeated"] == found["dead_letters_repeated"] == 0  # there was no fault
    assert (found["good_as_sent"], found["hostile"]) == (EVENTS, HOSTILE)
    assert found["known"] > 0 < found["hostile_that_are_events"]
    assert found["by_mutation"].keys() >= MUTATIONS.keys()
    assert found["by_reason"].keys() == set(REASONS)
