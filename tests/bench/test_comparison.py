"""What the comparison says, and of whom."""

from __future__ import annotations

import dataclasses
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from stream.decode import decode
from stream.events import EventBatch
from stream.parity.differences import TOLERANCE, Largest
from stream.parity.examine import Report
from tests.bench.__main__ import main
from tests.bench.peers import systems
from tests.bench.peers.checking import judged, unscored
from tests.bench.peers.result import Found, settings_of_all, table, versions
from tests.shop import BOUNDS, START_MS, click, frame


def _report(**others: Any) -> Report:
    largest = Largest(
        figure="strain", difference=1e-6, published=0.1, offline=0.1, above=0, topic="clicks", partition=0, offset=1,
        user="u", event=1,
    )  # fmt: skip
    nothing = dict.fromkeys(Report.__struct_fields__, 0)
    told: dict[str, Any] = nothing | {
        "ok": True, "tolerance": TOLERANCE, "model": "m", "model_hash": "h", "largest": [largest], "compared": 1_000,
        "users": 10, "published": 1_000, "other_models": {}, "unreadable_first": "",
    }  # fmt: skip
    return Report(**(told | others))


def test_scores_that_are_those_of_the_model_are_good() -> None:
    check = judged(_report(), 0)

    assert check.ok
    assert check.why == ""
    assert (check.largest_difference, check.figure) == (1e-6, "strain")


@pytest.mark.parametrize(
    ("wrong", "lost", "words"),
    [
        ({"ok": False}, 0, "strain differs"),
        ({"without_event": 2}, 0, "2 scores are of no event"),
        ({"unreadable": 3, "unreadable_first": "clicks[0]@1: x"}, 0, "3 records are no scores, the first: clicks"),
        ({"cut_users": 1}, 0, "1 users events are missing"),
        ({"compared": 500}, 0, "500 of 1,000 were compared"),
        ({}, 4, "4 events have no score"),
    ],
)
def test_what_makes_a_comparison_void_is_said(wrong: dict[str, Any], lost: int, words: str) -> None:
    check = judged(_report(**wrong), lost)

    assert not check.ok
    assert words in check.why


def test_an_event_is_lost_if_a_later_one_of_its_user_and_topic_is_scored_and_it_repeats_none() -> None:
    frames = [
        frame([click("a", START_MS, 0), click("b", START_MS, 1), click("a", START_MS, 2), click("a", START_MS, 3)]),
        frame([dataclasses.replace(click("b", START_MS, 1), offset=7), click("b", START_MS, 8)]),
    ]
    events = EventBatch.concat([decode(one, BOUNDS)[0] for one in frames])

    def lost(*scored: bool) -> int:
        return unscored(events, np.array(scored))

    assert lost(True, True, True, True, True, True) == 0
    assert lost(True, False, True, False, False, False) == 0  # what is missing may come later
    assert lost(False, True, False, True, True, True) == 2
    assert lost(True, True, True, True, False, True) == 0  # it repeats one that is scored
    assert lost(True, False, True, True, False, True) == 2


def test_a_system_is_named_with_how_many_there_are() -> None:
    assert systems.parsed("faust") == ("faust", 1)
    assert systems.parsed("kafka-streams-vector:2") == ("kafka-streams-vector", 2)
    for name in ("flink", "faust:0", "faust:two"):
        with pytest.raises(ValueError, match="expected one of behaviour-stream, "):
            systems.parsed(name)
    refused = CliRunner().invoke(main, ["--systems", "faust,flink"])
    assert refused.exit_code == 2
    assert "got flink" in refused.output


def test_the_table_has_each_system_beside_this_service_or_why_not() -> None:
    found = Found(
        events_per_second={"behaviour-stream": 50_000.0, "faust": 2_500.0, "kafka-streams-onnx": None},
        spread={"behaviour-stream": (49_000.0, 51_000.0), "faust": (2_400.0, 2_600.0)},
        runs={"behaviour-stream": [49_000.0, 51_000.0], "faust": [2_400.0, 2_600.0]},
        checks={},
        void={"kafka-streams-onnx": "there is no JDK"},
        machine="2 cores",
        versions=versions(),
        settings=settings_of_all(20, 2),
        events=1_000,
        model="shoppers-h64",
    )

    lines = list(table(found))

    assert "1.00" in lines[1]
    assert "2,400 .. 2,600" in lines[2]
    assert lines[2].endswith("0.05")
    assert "there is no JDK" in lines[3]
    assert msgspec.json.decode(msgspec.json.encode(found))["events_per_second"]["kafka-streams-onnx"] is None
