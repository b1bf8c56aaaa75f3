"""What is measured of a run: laws of the window."""

from __future__ import annotations

import itertools

import pytest

from tests.bench.peers.measuring import WARM_SECS, Sample, measured

_EVENTS = 100_000


def _run(per_second: float, *, secs: float, begins: float = 5.0) -> list[Sample]:
    """A run at an even rate, from `begins` on."""
    times = [tenth / 10 for tenth in range(int(secs * 10))]
    return [Sample(t, min(_EVENTS, int(max(0.0, t - begins) * per_second))) for t in times]


@pytest.mark.parametrize("per_second", [200.0, 3_000.0, 50_000.0])
def test_the_rate_of_an_even_run_is_its_rate(per_second: float) -> None:
    rate, final = measured(_run(per_second, secs=120), _EVENTS, 20)

    assert final
    assert rate is not None
    assert rate.events_per_second == pytest.approx(per_second, rel=0.02)
    assert rate.secs <= 20.2


def test_what_comes_before_a_run_is_warm_does_not_count() -> None:
    slow = _run(10.0, secs=5.0 + WARM_SECS)
    fast = [Sample(slow[-1].secs + t / 10, slow[-1].scored + 300 * t) for t in range(1, 300)]

    rate, final = measured(slow + fast, _EVENTS, 20)

    assert final
    assert rate is not None
    assert rate.events_per_second == pytest.approx(3_000, rel=0.02)


def test_a_run_that_has_scored_nothing_or_is_cold_has_no_rate() -> None:
    assert measured(_run(100, secs=4), _EVENTS, 20) == (None, False)
    assert measured(_run(100, secs=WARM_SECS), _EVENTS, 20) == (None, False)


def test_a_run_is_not_final_before_its_seconds_are_over_or_its_events() -> None:
    samples = _run(1_000, secs=60)
    final = [measured(samples[:n], _EVENTS, 20)[1] for n in range(1, len(samples))]

    assert final == sorted(final)  # once it is, it stays so
    first = samples[final.index(True)].secs
    assert first == pytest.approx(5 + WARM_SECS + 20, abs=0.5)


def test_what_comes_after_the_window_changes_no_rate() -> None:
    samples = _run(1_000, secs=60)
    ends = next(n for n in itertools.count(1) if measured(samples[:n], _EVENTS, 20)[1])

    still = [*samples[:ends], *(Sample(samples[ends - 1].secs + t, samples[ends - 1].scored) for t in range(1, 50))]

    assert measured(samples[:ends], _EVENTS, 20) == measured(samples, _EVENTS, 20) == measured(still, _EVENTS, 20)
