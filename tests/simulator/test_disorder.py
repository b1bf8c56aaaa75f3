import itertools
from collections import Counter
from random import Random

import msgspec
import pytest

from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.disorder import disordered
from stream.simulator.scenario import Disorder

NUMBERS = scenario.load().disorder
EVENTS = [ShopEvent("clicks", b"u", b"%d" % n, 1_000 * n) for n in range(20_000)]


def only(**shares: float) -> Disorder:
    none = msgspec.structs.replace(NUMBERS, late_share=0.0, repeated_share=0.0, swapped_share=0.0)
    return msgspec.structs.replace(none, **shares)


def event_ms(event: ShopEvent) -> int:
    return 1_000 * int(event.value)


def test_without_disorder_all_is_as_it_was() -> None:
    assert list(disordered(EVENTS, Random(1), only())) == EVENTS


@pytest.mark.parametrize("shares", [{"late_share": 0.1}, {"repeated_share": 0.1}, {"swapped_share": 0.1}])
def test_events_go_out_by_when_they_are_sent_and_none_is_lost(shares: dict[str, float]) -> None:
    sent = list(disordered(EVENTS, Random(1), only(**shares)))
    assert [event.sent_ms for event in sent] == sorted(event.sent_ms for event in sent)
    assert {event.value for event in sent} == {event.value for event in EVENTS}
    assert all(event.sent_ms >= event_ms(event) for event in sent)


def test_the_share_of_late_events_is_what_was_asked_for_and_their_median_too() -> None:
    late = sorted(
        event.sent_ms - event_ms(event)
        for event in disordered(EVENTS, Random(1), only(late_share=0.2))
        if event.sent_ms > event_ms(event)
    )
    assert 0.18 < len(late) / len(EVENTS) < 0.22
    assert 0.8 < late[len(late) // 2] / (1_000 * NUMBERS.late_secs_median) < 1.25


def test_a_repeated_event_is_the_same_bytes_again_within_moments() -> None:
    sent = list(disordered(EVENTS, Random(1), only(repeated_share=0.1)))
    counts = Counter(event.value for event in sent)
    assert set(counts.values()) == {1, 2}
    assert 0.09 < (len(sent) - len(EVENTS)) / len(EVENTS) < 0.11
    assert all(event.sent_ms - event_ms(event) <= 20_000 for event in sent)


def test_a_swapped_event_is_overtaken_by_the_next_ones_only() -> None:
    sent = list(disordered(EVENTS, Random(1), only(swapped_share=0.2)))
    overtaken = sum(one.value != two.value for one, two in zip(sent, EVENTS, strict=True))
    assert overtaken > 1_000
    places = {event.value: place for place, event in enumerate(sent)}
    assert max(abs(places[event.value] - place) for place, event in enumerate(EVENTS)) <= 3


def test_what_is_under_way_at_the_end_still_comes() -> None:
    sent = list(disordered(EVENTS[:10], Random(1), only(late_share=1.0)))
    assert len(sent) == 10


def test_it_asks_for_no_more_than_it_gives() -> None:
    """An endless stream in, an endless stream out."""
    endless = (ShopEvent("clicks", b"u", b"%d" % n, 1_000 * n) for n in itertools.count())
    sent = disordered(endless, Random(1), NUMBERS)
    assert len(list(itertools.islice(sent, 5_000))) == 5_000
