"""`bench --latency`, as its users run it: what it tells, not how fast this machine is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stream.settings import ENV_PREFIX


def _bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: text for name, text in os.environ.items() if not name.startswith(ENV_PREFIX)}
    return subprocess.run(
        [sys.executable, "-m", "stream.cli", "bench", "--latency", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_every_event_of_an_open_loop_load_is_told_of(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "latency.png"

    ended = _bench(
        "--rates", "half", "--events", "10000", "--seconds", "1", "--warm-up-secs", "0.5", "--json",
        "--checkpoint-interval-ms", "200", "--picture", str(picture),
    )  # fmt: skip

    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    (half,) = found["rates"]
    rate = half["rate_per_second"]
    assert half["of_peak"]
    assert rate == round(found["peak_events_per_second"] / 2)
    assert half["events"] == pytest.approx(rate, rel=0.01)  # of a second
    assert half["unscored"] < 0.02 * rate  # those that shoppers send twice
    latency_ms, behind_ms = half["latency_ms"], half["load_behind_ms"]
    assert 0 < latency_ms["p50"] <= latency_ms["p99"] <= latency_ms["p999"] <= latency_ms["max"]
    assert 0 <= behind_ms["p50"] <= behind_ms["max"]
    assert behind_ms["p50"] <= latency_ms["p50"]  # what the load was late by is in what its events waited
    assert half["curve"][-1][1] == pytest.approx(latency_ms["max"], abs=0.1)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_what_is_no_rate_or_has_no_picture_is_refused_before_anything_starts() -> None:
    assert "expected events per second above 0, or half, got 'slow'" in _bench("--rates", "slow").stderr
    ended = subprocess.run(
        [sys.executable, "-m", "stream.cli", "bench", "--picture", "latency.png"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode != 0
    assert "--picture is of --latency" in ended.stderr
