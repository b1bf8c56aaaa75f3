"""The theory of growth, and what is told of runs in turns."""

from __future__ import annotations

import itertools
from collections import Counter

import msgspec
import pytest

from stream import deferred
from stream.shop_event import ShopEvent
from tests.bench.bot import beside_a_bot
from tests.bench.growth import theory
from tests.bench.growth.kinds import KINDS, parsed_values
from tests.bench.growth.result import in_turns
from tests.bench.growth.theory import Costs, Crowd, Shape

_COSTS = Costs(
    event_us=20.0,
    lstm_us=5.0,
    quarter_us=10.0,
    alone_us=60.0,
    row_us_per_kb=10.0,
    rows_per_event=0.2,
    worker_cpu_us=24.0,
    broker_cpu_us=6.0,
)
_BASE = Shape(hidden=64, layers=1, sequence=16, width=40, parts=2)


def test_the_base_case_is_once_the_base_case() -> None:
    assert theory.of_shape(_COSTS, _BASE, _BASE) == 1
    assert theory.of_workers(_COSTS, 1, 8) == 1
    assert theory.of_a_hot_user(_COSTS, 0) == 1
    crowd = Crowd(users=1_000, exponent=1.1)
    assert theory.of_users(_COSTS, crowd, crowd, in_memory=2_000, read_us=9, row_kb=1.4, interval_secs=3) == 1


def test_the_network_is_4_h_by_h_and_its_input_in_each_layer() -> None:
    assert _BASE.multiplications == 4 * 64 * (64 + 40)
    assert msgspec.structs.replace(_BASE, layers=3).multiplications == 4 * 64 * (64 + 40) + 2 * 4 * 64 * 128


def test_twice_the_network_costs_twice_its_share_beside_longer_rows() -> None:
    no_rows = msgspec.structs.replace(_COSTS, rows_per_event=0.0)
    twice = Shape(hidden=64, layers=1, sequence=16, width=40 + 64 + 40, parts=2)

    assert twice.multiplications == 2 * _BASE.multiplications
    assert theory.of_shape(no_rows, _BASE, twice) == pytest.approx(20 / 25)
    assert theory.of_shape(_COSTS, _BASE, msgspec.structs.replace(_BASE, hidden=128)) < theory.of_shape(
        no_rows, _BASE, msgspec.structs.replace(_BASE, hidden=128)
    )


def test_a_longer_sequence_costs_what_its_bytes_do() -> None:
    longer = msgspec.structs.replace(_BASE, sequence=116)
    more_kb = longer.row_kb - _BASE.row_kb

    assert more_kb == pytest.approx(3.7, rel=0.1)  # of 100 events
    assert theory.of_shape(_COSTS, _BASE, longer) == pytest.approx(20 / (20 + 0.2 * 10 * more_kb))


def test_workers_are_as_many_times_as_fast_until_the_processors_are_full() -> None:
    assert [theory.of_workers(_COSTS, n, 4) for n in (1, 2, 3, 4)] == pytest.approx([1, 2, 4 * 20 / 30, 4 * 20 / 30])


def test_a_hot_user_costs_steps_up_to_a_quarter_and_is_alone_with_the_rest() -> None:
    assert theory.of_a_hot_user(_COSTS, 0.125) == pytest.approx(20 / 25)
    assert theory.of_a_hot_user(_COSTS, 0.25) == pytest.approx(20 / 30)
    assert theory.of_a_hot_user(_COSTS, 0.250001) == pytest.approx(20 / 30, rel=1e-4)
    # Half of the events are others', with a sixth beside them; a third goes alone
    assert theory.of_a_hot_user(_COSTS, 0.5) == pytest.approx(20 / (20 + 10 * 2 / 3 + 60 / 3))
    assert theory.of_a_hot_user(_COSTS, 1.0) == pytest.approx(20 / 80)


def test_the_fair_share_is_that_of_the_code() -> None:
    assert deferred.share(64, 8_192) == theory.FAIR_SHARE * 8_192


def test_users_beyond_memory_pay_a_read_and_rarer_users_more_rows() -> None:
    base, many = Crowd(users=1_000, exponent=1.1), Crowd(users=100_000, exponent=1.1)
    free_rows = msgspec.structs.replace(_COSTS, row_us_per_kb=0.0)

    def share(costs: Costs, in_memory: int) -> float:
        return theory.of_users(costs, base, many, in_memory=in_memory, read_us=10.0, row_kb=1.4, interval_secs=3)

    assert share(free_rows, 100_000) == 1
    assert share(free_rows, 10_000) == pytest.approx(20 / (20 + 10 * many.share_beyond(10_000)))
    assert share(_COSTS, 100_000) < 1
    assert 0 < many.share_beyond(10_000) < 0.2
    assert many.distinct(1) == pytest.approx(1, rel=0.05)
    assert many.distinct(1e12) == pytest.approx(100_000)
    assert base.distinct(500) < many.distinct(500) < 500


def test_a_value_is_told_as_a_share_of_the_base_case_beside_it() -> None:
    values, base, shares = in_turns([100, 90, 120, 50, 80])

    assert (values, base, shares) == ([90, 50], [100, 120, 80], [pytest.approx(0.818, abs=1e-3), 0.5])


def test_values_are_of_a_kind() -> None:
    assert parsed_values("hidden=32,512") == ("hidden", (32.0, 512.0))
    assert "hot" in KINDS
    for text in ("depth=3", "hot=1.5", "hidden=-1", "hidden=", "hidden"):
        with pytest.raises(ValueError, match=r"expected|convert"):
            parsed_values(text)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.75])
def test_a_bot_has_its_share_of_all_events(share: float) -> None:
    shop = (ShopEvent("clicks", b"user-%d" % n, b"{}", n) for n in itertools.count())

    events = list(itertools.islice(beside_a_bot(shop, share), 10_000))

    assert Counter(event.key for event in events)[b"bot"] == pytest.approx(10_000 * share, abs=4)
    assert len({event.value for event in events if event.key == b"bot"}) == pytest.approx(10_000 * share, abs=4)
