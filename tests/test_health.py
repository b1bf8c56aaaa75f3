from __future__ import annotations

import pytest

from stream.health import Health


def test_before_anything_scores_it_is_unhealthy_and_tells_what_is_waited_for() -> None:
    health = Health()
    assert health() == (False, {})
    patience = health.patience()
    patience.waits("no broker")
    assert health() == (False, {"waiting_for": "no broker, 0 s so far"})


def test_then_the_scoring_tells_and_what_is_waited_for_is_added(caplog: pytest.LogCaptureFixture) -> None:
    health = Health()
    health.scores(lambda: (True, {"lag_records": 3}))
    one, other = health.patience(), health.patience()
    assert health() == (True, {"lag_records": 3})
    one.waits("no broker")
    other.waits("no room")
    assert health() == (True, {"lag_records": 3, "waiting_for": "no broker, 0 s so far; no room, 0 s so far"})
    one.over("it answers")
    assert health()[1]["waiting_for"] == "no room, 0 s so far"
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3
