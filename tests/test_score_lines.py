"""Scores as lines of a table, whatever horizons a model has and whatever part of the surprise is largest."""

from __future__ import annotations

from typing import Any

import pytest

from stream.commands.demo_lines import Lines
from stream.commands.demo_scores import Scored
from stream.commands.demo_state import DemoState
from stream.commands.score_lines import VIEWS, timed, within
from stream.encode import AnomalyScore, PurchaseIntent, SurpriseParts
from stream.features import PARTS
from stream.model import Sizes
from tests.demo_events import NOTHING, START_MS, fact

ABOUT: dict[str, Any] = {
    "schema_version": 1, "id": "clicks-0-0-abc", "event_id": "e", "user_id": "a user whose id would not fit",
    "event_time_ms": START_MS, "scored_time_ms": 0, "events_seen": 123_456, "model": "m", "model_hash": "abc",
    "late": False, "time_bounded": False, "carry_rebuilt": False,
}  # fmt: skip
HORIZONS = Sizes(hidden=8).horizons


def intent(*horizons: str) -> PurchaseIntent:
    return PurchaseIntent(**ABOUT, purchase_intent={name: 0.125 * (n + 1) for n, name in enumerate(horizons)})


def anomaly(**parts: float) -> AnomalyScore:
    return AnomalyScore(
        **ABOUT, anomaly=0.5, surprise=1.0, strain=0.0, surprise_parts=SurpriseParts(**(NOTHING | parts))
    )


@pytest.mark.parametrize("horizons", [HORIZONS, ("30m",), ("session",)])
def test_probabilities_stand_under_their_horizons_within_80_columns(horizons: tuple[str, ...]) -> None:
    view, score = VIEWS["purchase-intent"], intent(*horizons)
    header, line = view.header(score), view.line(score)
    assert header.split()[-len(horizons) :][-1] == horizons[-1]
    assert len(header) == len(line) <= 80
    for name, p in score.purchase_intent.items():
        end = header.index(f" {within(name)}") + len(f" {within(name)}")
        assert line[:end].endswith(f"{p:.4f}")


@pytest.mark.parametrize("part", PARTS)
def test_an_anomaly_names_the_part_of_the_surprise_that_was_largest(part: str) -> None:
    view, score = VIEWS["anomaly-scores"], anomaly(**{"gap": 0.5, part: 3.0})
    assert view.line(score).split()[-1] == part
    assert len(view.line(score)) <= 80


def test_the_session_is_no_time_and_stands_for_one_where_there_is_none() -> None:
    assert list(timed(dict.fromkeys(HORIZONS, 0.5))) == ["30m", "24h"]
    assert list(timed({"session": 0.5})) == ["session"]
    assert [within(name) for name in HORIZONS] == ["in 30m", "in 24h", "session"]


def test_a_line_of_the_demo_fits_into_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines.add(Scored(fact("view_item", item_id="sku-1"), None, 0.0, intent(*HORIZONS), anomaly()))
    lines.show(DemoState(0.0), 1.0, 0)
    *_, header, line = capsys.readouterr().out.splitlines()
    assert len(header) == len(line) <= 80
    assert "in 24h" in header and "session" not in header
