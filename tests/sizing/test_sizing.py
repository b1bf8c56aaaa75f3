"""What a size must hold, whatever the constants are; and one that was worked out by hand."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import msgspec
import pytest

from stream import rows
from stream.model import Sizes
from stream.settings import Settings
from stream.sizing import traffic
from stream.sizing.activity import activity
from stream.sizing.constants import Constants, facts
from stream.sizing.cost import cost
from stream.sizing.demands import Demands, multiply_adds
from stream.sizing.deployment import Deployment
from stream.sizing.limits import group_bytes
from stream.sizing.memory import disk, memory
from stream.sizing.plan import plan
from stream.sizing.sizing import Sizing, size

CONSTANTS = Constants()


def demands(**others: Any) -> Demands:
    asked: dict[str, Any] = {"events_per_second": 200_000.0, "users": 10_000_000} | others
    return Demands(**({"model": Sizes(hidden=64), "settings": Settings()} | asked))


def setting(**others: Any) -> Settings:
    return msgspec.structs.replace(Settings(), **others)


def sized(**others: Any) -> Sizing:
    return size(demands(**others), CONSTANTS)


@pytest.fixture(scope="module")
def usual() -> Sizing:
    return sized()


@pytest.mark.parametrize(
    ("model", "sequence"), [(Sizes(hidden=64), 16), (Sizes(hidden=33, layers=3), 8), (Sizes(hidden=64, cell="gru"), 64)]
)
def test_a_row_has_the_bytes_that_the_row_format_gives_it(model: Sizes, sequence: int) -> None:
    layout = rows.Sizes(sequence, model.parts, model.layers, model.hidden)
    row = rows.to_bytes(rows.new_rows(1, layout))[0]
    assert demands(model=model, settings=setting(sequence_events=sequence)).row_bytes == len(row)


def test_multiply_adds_are_those_of_the_weights_that_multiply() -> None:
    from stream.model import BehaviourModel

    for sizes in (Sizes(hidden=64), Sizes(hidden=32, layers=2, cell="gru"), Sizes(hidden=16, cell="rnn")):
        model = BehaviourModel(sizes)
        of_layers = sum(w.numel() for name, w in model.recurrent.named_parameters() if name.startswith("weight"))
        of_heads = sum(layer.weight.numel() for layer in (model.intent, model.intent_direct, model.next_event))
        assert multiply_adds(sizes) == of_layers + of_heads


def test_a_size_that_was_worked_out_by_hand() -> None:
    """10,000 users who act once in 10 s each, a checkpoint each 10 s: 1 - 1/e of them have a row in each."""
    asked = demands(
        events_per_second=1_000.0, users=10_000, law="uniform", headroom=0.0, replication_factor=2,
        settings=setting(checkpoint_interval_ms=10_000, retention_hours=1),
    )  # fmt: skip
    constants = Constants(
        decode_us=1, merge_us=1, table_us=1, features_us=1, apply_us=1, encode_us=1, network_us=1, kafka_us=3,
        network_us_per_1000_multiply_adds=1e-9, row_us=5, row_scoring_us=2, event_bytes=100, intent_bytes=200,
        anomaly_bytes=300, row_record_bytes=60, restore_rows_per_second=1_000,
    )  # fmt: skip
    found = size(asked, constants)
    rows_an_event = 1 - math.exp(-1)
    assert found.row_bytes == 1440
    assert found.deployment == Deployment(workers=1, partitions=2, brokers=2)
    assert found.cost.rows == pytest.approx(rows_an_event)
    assert found.cost.misses == 0
    assert found.cost.worker_us == pytest.approx(10 + 5 * rows_an_event)
    assert found.cost.events_per_second == pytest.approx(1e6 / found.cost.worker_us)
    assert found.traffic.changelog == pytest.approx(1_000 * rows_an_event * 1_500)
    assert found.traffic.broker_write == pytest.approx(2 * (600_000 + found.traffic.changelog))
    assert found.disk.broker_bytes == pytest.approx(2 * (1_000 * 600 * 3_600 + 10_000 * 1_500 * 2))
    assert found.rows_per_checkpoint == pytest.approx(10_000 * rows_an_event / 2)
    assert found.transactions_per_second == pytest.approx(0.2)
    assert (found.restore_worker_secs, found.restore_partition_secs) == (10, 5)


def test_twice_the_shop_takes_twice_the_workers() -> None:
    one, two = (plan(demands().times(n), CONSTANTS, activity(demands().times(n))).deployment for n in (10, 20))
    assert two.workers == pytest.approx(2 * one.workers, rel=0.05)


def test_twice_the_events_of_the_same_users_take_twice_the_workers_where_rows_cost_nothing() -> None:
    free = msgspec.structs.replace(
        CONSTANTS, row_us=1e-9, row_scoring_us=1e-9, store_read_us=1e-9, seat_us=1e-9, write_amplification=1e-9
    )
    one, two = (
        plan(asked, free, activity(asked)).deployment.workers
        for asked in (demands(events_per_second=n, law="uniform") for n in (1e6, 2e6))
    )
    assert two in {2 * one - 1, 2 * one}


def _numbers(found: Sizing) -> dict[str, float]:
    return {
        "workers": found.deployment.workers,
        "brokers": found.deployment.brokers,
        "input": found.traffic.input,
        "output": found.traffic.output,
        "changelog": found.traffic.changelog,
        "broker_write": found.traffic.broker_write,
        "transactions": found.transactions_per_second,
        "group": found.group_bytes,
        "broker_disk": found.disk.broker_bytes,
    }


@pytest.mark.parametrize("larger", [{"events_per_second": 350_000.0}, {"users": 30_000_000}])
@pytest.mark.parametrize("law", ["zipf", "uniform"])
def test_more_events_or_more_users_never_take_less(larger: dict[str, Any], law: str) -> None:
    before, after = _numbers(sized(law=law)), _numbers(sized(law=law, **larger))
    assert all(after[name] >= before[name] for name in before)
    assert after["changelog"] > before["changelog"]


@pytest.mark.parametrize(
    "costlier",
    [{"model": Sizes(hidden=256)}, {"model": Sizes(hidden=64, layers=4)}, {"headroom": 0.8}, {"cores_per_worker": 0.5}],
)
def test_what_costs_more_takes_more_workers(costlier: dict[str, Any], usual: Sizing) -> None:
    assert sized(**costlier).deployment.workers > usual.deployment.workers


def test_a_longer_interval_writes_fewer_rows_and_a_longer_sequence_larger_ones(usual: Sizing) -> None:
    assert sized(settings=setting(checkpoint_interval_ms=30_000)).traffic.changelog < usual.traffic.changelog
    assert sized(settings=setting(sequence_events=64)).traffic.changelog > usual.traffic.changelog


def test_partitions_are_a_multiple_of_workers(usual: Sizing) -> None:
    assert usual.deployment.partitions >= usual.deployment.workers
    assert usual.deployment.partitions % usual.deployment.workers == 0


def test_a_standby_keeps_every_row_once_more() -> None:
    asked = demands(settings=setting(standby_replicas=1))
    spent, deployment = cost(asked, CONSTANTS, activity(asked), 10), Deployment(10, 20, 3)
    alone = dataclasses.replace(asked, settings=Settings())
    assert disk(asked, CONSTANTS, spent, deployment).rows == 2 * disk(alone, CONSTANTS, spent, deployment).rows
    moved = traffic.of(asked, CONSTANTS, spent)
    assert moved.standby == moved.changelog


def test_memory_has_no_more_users_than_there_is_room_for_whatever_their_number() -> None:
    few, many = (
        memory(asked, CONSTANTS, cost(asked, CONSTANTS, activity(asked), 10), Deployment(10, 20, 3))
        for asked in (demands(users=n, memory_max_users=300_000) for n in (10_000_000, 1_000_000_000))
    )
    assert few.users == many.users == 300_000 * (1440 + CONSTANTS.user_bytes)


def test_rows_that_fill_half_the_memory_are_written_before_their_interval_is_over() -> None:
    settings = setting(checkpoint_interval_ms=600_000)
    asked = demands(settings=settings, memory_max_users=100_000)
    spent = cost(asked, CONSTANTS, activity(asked), 4)
    assert spent.interval_secs < 600
    assert activity(asked).distinct(spent.interval_secs) / 4 == pytest.approx(50_000, rel=1e-6)


def test_exactly_once_takes_more_of_a_worker() -> None:
    asked = demands(settings=setting(guarantee="exactly_once"))
    each = [cost(of, CONSTANTS, activity(of), 8).events_per_second for of in (demands(), asked)]
    assert each[1] / each[0] == pytest.approx(CONSTANTS.exactly_once_share)


def test_more_cores_than_an_interpreter_keeps_busy_change_nothing() -> None:
    each = [cost(of, CONSTANTS, activity(of), 8) for of in (demands(cores_per_worker=2), demands(cores_per_worker=64))]
    assert each[0].events_per_second == each[1].events_per_second


def test_what_breaks_is_in_order_and_is_passed_just_beyond_where_it_says(usual: Sizing) -> None:
    for limits in (usual.fills_first, usual.breaks_first):
        at = [limit.breaks_at_events_per_second or math.inf for limit in limits]
        assert at == sorted(at)
    (processor,) = (limit for limit in usual.fills_first if limit.name == "a worker's processor")
    assert processor.breaks_at_events_per_second is not None
    factor = processor.breaks_at_events_per_second / usual.demands.events_per_second
    for beyond in (False, True):
        asked = usual.demands.times(factor * (1.01 if beyond else 0.99))
        spent = cost(asked, CONSTANTS, activity(asked), usual.deployment.workers)
        assert (asked.events_per_second / usual.deployment.workers > spent.events_per_second) == beyond


def test_a_group_too_large_for_its_record_is_said_to_be() -> None:
    deployment = Deployment(workers=64, partitions=128, brokers=3)
    assert group_bytes(CONSTANTS, deployment) == pytest.approx(1_045_114, rel=0.03)  # as Faust's assignor made it
    huge = sized(events_per_second=3e6, users=300_000_000)
    assert huge.breaks_first[0].name == "the group's record of its members"
    assert not huge.fits
    assert huge.breaks_first[0].used > huge.breaks_first[0].limit


def test_every_constant_has_a_unit_and_says_where_it_comes_from() -> None:
    told = list(facts(CONSTANTS, frozenset({"kafka_us"})))
    assert [fact.name for fact in told] == list(Constants.__struct_fields__)
    assert all(fact.text and fact.source for fact in told)
    assert all(fact.unit for fact in told if not fact.name.endswith(("share", "amplification", "copies")))
    assert {fact.name for fact in told if fact.origin == "given"} == {"kafka_us"}
