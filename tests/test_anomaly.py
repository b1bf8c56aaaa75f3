"""Nats of surprise to a share of normal traffic."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import model_file
from stream.anomaly import TAIL_FROM, NormalTraffic, fit
from tests.shop import NORMAL

NATS = st.floats(0, 1e6, allow_subnormal=False)


@st.composite
def _traffic(draw: st.DrawFn) -> NormalTraffic:
    quantiles = draw(st.lists(st.floats(0, 50).map(lambda q: round(q, 6)), min_size=2, max_size=40))
    return NormalTraffic(
        quantiles=tuple(sorted(quantiles)),
        tail_scale=draw(st.floats(1e-3, 50)),
        tail_shape=draw(st.floats(0.05, 5)),
    )


@given(_traffic(), st.lists(NATS, min_size=1, max_size=30))
def test_a_percentile_is_within_0_and_1_and_never_falls(traffic: NormalTraffic, nats: list[float]) -> None:
    column = np.array(sorted([*nats, 0.0, *traffic.quantiles, math.inf]))
    percentile = traffic.percentile(column)
    assert percentile.dtype == np.float64
    assert (percentile >= 0).all()
    assert (percentile <= 1).all()
    # Linear interpolation may be a rounding too high at the right end of a piece.
    assert (np.diff(percentile) >= -1e-15).all()


@given(_traffic())
def test_body_and_tail_meet_where_the_tail_begins(traffic: NormalTraffic) -> None:
    begin = traffic.quantiles[-1]
    at, after = traffic.percentile(np.array([begin, np.nextafter(begin, math.inf)]))
    assert at == pytest.approx(TAIL_FROM, abs=1e-12)
    assert after == pytest.approx(TAIL_FROM, abs=1e-9)


def _samples(name: str) -> Any:
    rng = np.random.default_rng(1)
    return {
        "exponential": rng.exponential(3.0, 40_000),
        "gamma": rng.gamma(4.0, 1.5, 40_000),
        "normal": np.abs(rng.normal(8.0, 2.0, 40_000)),
        "heavy": rng.lognormal(1.5, 0.6, 40_000),
    }[name]


@pytest.mark.parametrize("name", ["exponential", "gamma", "normal", "heavy"])
def test_the_tail_rises_strictly_up_to_60_nats(name: str) -> None:
    traffic = fit(_samples(name))
    tail = np.arange(traffic.quantiles[-1], 60.0, 0.01)
    percentile = traffic.percentile(tail)
    assert len(tail) > 1000
    assert (np.diff(percentile) > 0).all()
    assert percentile[-1] < 1


@pytest.mark.parametrize("name", model_file.shipped())
def test_the_tail_of_a_shipped_model_rises_strictly_up_to_60_nats(name: str) -> None:
    traffic = model_file.load(name).card.normal_traffic
    percentile = traffic.percentile(np.arange(traffic.quantiles[-1], 60.0, 0.01))
    assert (np.diff(percentile) > 0).all()
    assert percentile[-1] < 1


@pytest.mark.parametrize("name", ["exponential", "gamma", "normal", "heavy"])
def test_normal_traffic_is_about_uniform_in_what_was_fitted_to_it(name: str) -> None:
    nats = _samples(name)
    percentile = np.sort(fit(nats).percentile(nats))
    assert np.abs(percentile - np.arange(len(nats)) / len(nats)).max() < 0.003
    for share in (0.01, 0.003, 0.001):  # and so in the tail, to a quarter
        assert (percentile > 1 - share).mean() == pytest.approx(share, rel=0.25)


def test_the_same_holds_for_traffic_it_was_not_fitted_to() -> None:
    rng = np.random.default_rng(2)
    percentile = fit(rng.exponential(3.0, 40_000)).percentile(rng.exponential(3.0, 40_000))
    assert np.abs(np.sort(percentile) - np.linspace(0, 1, 40_000)).max() < 0.02
    assert (percentile > 0.999).mean() == pytest.approx(0.001, rel=0.5)


def test_normal_traffic_survives_its_card() -> None:
    assert msgspec.json.decode(msgspec.json.encode(NORMAL), type=NormalTraffic) == NORMAL


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quantiles": ()}, "at least 2 quantiles"),
        ({"quantiles": (1.0,)}, "at least 2 quantiles"),
        ({"quantiles": (1.0, 3.0, 2.0)}, "ascending"),
        ({"tail_scale": 0.0}, "tail scale and shape above 0, got 0.0 and 0.5"),
        ({"tail_scale": -1.0}, "got -1.0"),
        ({"tail_scale": math.nan}, "got nan"),
        ({"tail_shape": 0.0}, "got 2.0 and 0.0"),
        ({"tail_shape": math.nan}, "got 2.0 and nan"),
        ({"quantiles": (math.nan, 1.0)}, "ascending"),
    ],
)
def test_normal_traffic_refuses_what_is_no_distribution(change: dict[str, Any], words: str) -> None:
    values: dict[str, Any] = {"quantiles": (1.0, 2.0), "tail_scale": 2.0, "tail_shape": 0.5}
    NormalTraffic(**values)
    with pytest.raises(ValueError, match=words):
        NormalTraffic(**(values | change))


@pytest.mark.parametrize(
    "nats",
    [
        pytest.param(np.linspace(0, 9, 50), id="too few: one event in the tail"),
        pytest.param(np.r_[np.zeros(990), np.full(10, 3.0)], id="a tail of one value"),
    ],
)
def test_a_tail_without_spread_is_fitted_or_refused_in_words(nats: Any) -> None:
    try:
        traffic = fit(nats)
    except ValueError:
        return
    assert traffic.percentile(np.array([60.0]))[0] < 1
