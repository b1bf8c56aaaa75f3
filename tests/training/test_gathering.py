"""Shops -> runs: every event once, user by user, in the order in which serving applies them, whatever the memory."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest

from stream import sequences
from stream.errors import SettingsError
from stream.events import ACTIONS
from stream.shop_event import ShopEvent
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from stream.training import labels
from stream.training.gathering import EXPIRY_MS, SEQUENCE_EVENTS, Where, gather, told
from stream.training.runs import COLUMNS, Runs
from stream.training.sources import EventsShop, simulated
from tests.training.shops import DAY_MS, HOUR_MS, SMALL, START_MS, gathered, happened, shop_event

NORMAL, FULL = scenario.honest_and_orderly(scenario.load()), scenario.load()
TINY_BLOCKS = Where(block_bytes=1, memory_bytes=0)


def assert_same(one: Runs, other: Runs) -> None:
    assert one.kinds == other.kinds
    for name in (*COLUMNS, "counts", "user", "end_ms"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes(), name  # a price of NaN is like another


@pytest.fixture(scope="module")
def events() -> list[ShopEvent]:
    """Four days of 80 shoppers with fraud, late and repeated events."""
    return list(simulate(FULL, seed=8, users=80, start_ms=START_MS, end_ms=START_MS + 4 * DAY_MS))


@pytest.mark.parametrize("where", [SMALL, TINY_BLOCKS, Where(block_bytes=50_000), Where(memory_bytes=0)])
def test_runs_are_the_same_however_little_fits_in_memory(events: list[ShopEvent], where: Where) -> None:
    assert_same(gathered(events, where=where).runs, gathered(events).runs)


def test_runs_that_are_large_lie_in_files_and_small_ones_in_memory(events: list[ShopEvent]) -> None:
    assert isinstance(gathered(events, where=SMALL).runs.raw, np.memmap)
    assert not isinstance(gathered(events).runs.raw, np.memmap)


def test_a_folder_that_is_not_there_is_named(events: list[ShopEvent], tmp_path: object) -> None:
    where = Where(folder=tmp_path / "none", block_bytes=1)  # type: ignore[operator]
    with pytest.raises(SettingsError, match="none: expected a folder for temporary files, got: No such file"):
        gathered(events, where=where)


def test_a_users_events_of_three_topics_come_in_one_order_of_time() -> None:
    end_ms = START_MS + 7 * DAY_MS
    week = gathered(simulate(NORMAL, seed=3, users=200, start_ms=START_MS, end_ms=end_ms)).runs
    assert set(np.unique(week.raw["action"])) >= {ACTIONS.index(n) for n in ("view_item", "search", "purchase")}
    for times in np.split(week.raw["time_ms"], np.cumsum(week.counts)[:-1]):
        assert all(one <= later for one, later in pairwise(times.tolist()))


def test_events_of_one_time_go_by_topic_wherever_a_poll_ends() -> None:
    names = ["purchase", "search", "view_item"]
    sent = [
        shop_event(f"user-{n % 7}", name, START_MS + n // 5_000, event_id=f"{n}-{name}")
        for n in range(10_000)
        for name in names
    ]
    runs = gathered(sent).runs
    for start, end in pairwise([0, *np.cumsum(runs.counts).tolist()]):
        of_user = runs.raw[start:end]
        rank = np.array([names[::-1].index(ACTIONS[action]) for action in of_user["action"]])
        keys = list(zip(of_user["time_ms"].tolist(), rank.tolist(), strict=True))
        assert keys == sorted(keys)


def test_every_event_is_there_once_with_what_is_known_of_it(events: list[ShopEvent]) -> None:
    found = gathered(events)
    (reading,), runs = found.readings, found.runs
    once = {event.value: event for event in events}.values()
    assert reading.events == len(events)
    assert len(runs) == len(once)
    assert reading.users == len(runs.counts) == len({event.key for event in events})
    assert runs.counts.min() >= 1 and runs.counts.sum() == len(runs)
    assert (runs.fraud == 1).sum() >= sum(event.label is not None for event in once) > 0
    assert (runs.fraud != -1).all()
    assert (runs.kind > 0).tolist() == (runs.fraud == 1).tolist()
    assert {"", "account_takeover"} <= set(runs.kinds)
    assert len(np.unique(runs.session[runs.session != 0])) > 100
    assert (runs.user[1:] > runs.user[:-1]).all()


def test_an_event_that_is_sent_twice_is_passed_over_as_serving_does(events: list[ShopEvent]) -> None:
    found = gathered(events)
    (reading,), runs = found.readings, found.runs
    ids = {event.value for event in events}
    assert reading.repeated == len(events) - len(ids) > 0
    assert (len(runs), runs.repeat.sum(), reading.dropped) == (len(ids), 0, 0)


def test_an_event_that_is_sent_again_much_later_is_applied_again_as_serving_does() -> None:
    (first,), between = happened([("ann", "view_item", 0)]), _between()
    later = first._replace(sent_ms=START_MS + DAY_MS)
    runs = gathered([first, *between, later]).runs
    assert runs.repeat.tolist() == [*[False] * (1 + len(between)), True]
    runs = gathered([first, *between[1:], later]).runs
    assert runs.repeat.tolist() == [False] * len(between)


def test_after_a_long_silence_a_user_begins_anew_as_in_serving() -> None:
    longest_ms = EXPIRY_MS or 0
    ann = happened([("ann", "view_item", 0), ("ann", "view_item", 1), ("ann", "view_cart", longest_ms + 2)])
    bob = happened([("bob", "view_item", 2), ("bob", "view_item", longest_ms + 2)])
    runs = gathered([*ann[:2], bob[0], ann[2], bob[1]]).runs
    assert sorted(runs.counts.tolist()) == [1, 2, 2]
    assert len(np.unique(runs.user)) == 2


def _between() -> list[ShopEvent]:
    """As many events of the user's as push an earlier one out of their rolling sequence."""
    return happened([("ann", "view_cart", 1 + n) for n in range(SEQUENCE_EVENTS)])


def test_what_is_known_of_an_event_is_known_of_its_repeats() -> None:
    (one,), between = happened([("ann", "view_item", 0)]), _between()
    labelled = one._replace(label=b'{"fraud":"scraper"}')
    runs = gathered([labelled, *between, one._replace(sent_ms=START_MS + DAY_MS)]).runs
    assert sorted(zip(runs.repeat.tolist(), runs.fraud.tolist(), runs.kind.tolist(), strict=True)) == [
        *[(False, 0, 0)] * len(between),
        (False, 1, 1),
        (True, 1, 1),
    ]


def test_a_column_that_is_no_id_of_events_is_told() -> None:
    same = [shop_event("ann", "view_item", START_MS + n, event_id="same") for n in range(10)]
    (reading,) = gathered(same).readings
    assert "9 of 10 events have an id that came before: is it an id of events?" in " ".join(reading.notes)


def test_an_event_that_serving_would_refuse_is_not_learned_from_and_told_with_its_place() -> None:
    good = happened([("ann", "view_item", 0), ("ann", "view_item", 9)])
    tap = ShopEvent("clicks", b"ann", shop_event("ann", "tap", 5).value, START_MS + 5)
    found = gathered([good[0], tap, good[1]])
    assert len(found.runs) == 2
    assert found.readings[0].refused == {"unknown_event": 1}
    (refused,) = [line for line in told(found.readings) if "refused" in line]
    assert "1 refused (unknown_event), the first: clicks[0]@1: expected one of view_item_list" in refused


def test_where_more_is_refused_than_gives_an_event_nothing_is_learned() -> None:
    taps = [ShopEvent("clicks", b"ann", shop_event("ann", "tap", n).value, n) for n in range(2)]
    with pytest.raises(
        SettingsError, match=r"shop 0: 2 of 3 records are refused, most \(2\) as clicks\[0\]@0: expected"
    ):
        gathered([*taps, *happened([("ann", "view_item", 0)])])


def test_a_shop_without_an_event_is_named() -> None:
    with pytest.raises(SettingsError, match="shop 1: expected events, got none; nothing was trained"):
        gathered(happened([("ann", "view_item", 0)]), [])


def test_what_lies_beside_an_event_stays_beside_it_where_others_are_refused() -> None:
    sent = []
    for n in range(200):
        event = shop_event("ann", "tap" if n % 3 == 1 else "view_item", START_MS + n, session_id=f"s{n}")
        sent.append(event._replace(label=b'{"fraud":"kind"}' if n % 2 else None))
    runs = gathered(sent).runs
    kept = [n for n in range(200) if n % 3 != 1]
    assert runs.fraud.tolist() == [n % 2 for n in kept]
    assert len(np.unique(runs.session)) == len(kept)


@pytest.mark.parametrize("session", [None, "", [1], {"a": 1}, True])
def test_what_is_no_session_id_is_none(session: object) -> None:
    runs = gathered([shop_event("ann", "view_item", START_MS, session_id=session)]).runs
    assert runs.session.tolist() == [0]


def test_a_session_id_that_is_no_text_at_all_is_none_as_serving_never_looks_at_it() -> None:
    event = shop_event("ann", "view_item", START_MS, session_id="cafe")
    runs = gathered([event._replace(value=event.value.replace(b"cafe", b"caf\xe9"))]).runs
    assert runs.session.tolist() == [0]


def test_a_session_id_is_the_same_as_a_number_and_as_text() -> None:
    runs = gathered([shop_event("ann", "view_item", START_MS + n, session_id=s) for n, s in enumerate((7, "7"))]).runs
    assert runs.session[0] == runs.session[1] != 0


def test_progress_says_how_much_was_read_and_how_far_it_is() -> None:
    said: list[tuple[str, int, float | None]] = []
    shops = [simulated(NORMAL, seed=n, users=300, start_ms=START_MS, end_ms=START_MS + 4 * DAY_MS) for n in (1, 2)]
    found = gather(shops, progress=lambda *what: said.append(what))
    reading = [(events, share) for stage, events, share in said if stage == "reading"]
    assert reading == sorted(reading, key=lambda pair: pair[0])
    assert reading[-1][0] == len(found.runs)
    assert all(share is not None and 0 < share <= 1 for _, share in reading)
    assert said[-1] == ("grouping", len(found.runs), 1.0)


def test_what_had_happened_before_a_time_is_what_was_sent_before_it() -> None:
    end_ms, cut_ms = START_MS + 6 * DAY_MS, START_MS + 3 * DAY_MS
    events = list(simulate(NORMAL, seed=3, users=100, start_ms=START_MS, end_ms=end_ms))
    whole = gathered(events, end_ms=end_ms).runs
    early = gathered([event for event in events if event.sent_ms < cut_ms], end_ms=cut_ms).runs
    assert 0 < len(early) < len(whole)
    assert_same(whole.before(cut_ms), early)
    assert_same(gathered(events, end_ms=end_ms, where=SMALL).runs.before(cut_ms), early)


def test_runs_of_some_users_are_those_of_their_events_alone() -> None:
    events = list(simulate(NORMAL, seed=3, users=100, start_ms=START_MS, end_ms=START_MS + 3 * DAY_MS))
    whole = gathered(events).runs
    chosen = np.arange(len(whole.counts)) % 3 == 0
    part = whole.of_users(chosen)
    assert part.user.tolist() == whole.user[chosen].tolist()
    assert part.counts.tolist() == whole.counts[chosen].tolist()
    assert part.raw.tobytes() == whole.raw[np.repeat(chosen, whole.counts)].tobytes()


def test_runs_one_after_the_other_keep_their_kinds_of_fraud(events: list[ShopEvent]) -> None:
    one = gathered(events).runs
    label = b'{"event_id":"-","fraud":"of another shop"}'
    other = gathered([event._replace(label=label) for event in happened([("ann", "view_item", 0)])]).runs
    both = Runs.concat([other, one])
    assert len(both) == 1 + len(one)
    assert [both.kinds[code] for code in both.kind] == ["of another shop", *(one.kinds[code] for code in one.kind)]


def test_a_user_of_100_000_events_is_no_trouble() -> None:
    sent = [shop_event("ann", "purchase" if n % 1000 == 0 else "view_item", START_MS + n * 997) for n in range(100_000)]
    began = time.process_time()
    runs = gathered(sent).runs
    found = labels.within(runs, (1800, 86400)), labels.in_session(runs)
    packing = sequences.pack(runs.owner)
    assert time.process_time() - began < 20.0  # CPU seconds; 0.9 to 2.1: by the square it would be minutes
    assert runs.counts.tolist() == [100_000] == packing.counts.tolist()
    assert found[0].bought[:, 0].mean() > 0.9
    assert found[1].weight.sum() == pytest.approx(1.0, rel=1e-3)


def test_two_shops_are_read_one_after_the_other_with_an_end_each() -> None:
    early = EventsShop("early", happened([("ann", "view_item", 0)]), end_ms=START_MS + HOUR_MS)
    late = EventsShop("late", happened([("ann", "view_item", 5)]))
    found = gather([early, late])
    assert sorted(found.runs.end_ms.tolist()) == [START_MS + 6, START_MS + HOUR_MS]
    assert [line.split(":")[0] for line in told(found.readings)] == ["early", "late"]
