"""Labels: strictly of what comes later, and masked where nobody can know yet."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from stream.events import ACTIONS
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from stream.training import labels
from stream.training.gathering import SEQUENCE_EVENTS
from stream.training.labels import Labels, SessionLabels
from stream.training.runs import Runs
from tests.training.shops import DAY_MS, HOUR_MS, MINUTE_MS, SMALL, START_MS, gathered, happened, runs_of, shop_event

NORMAL = scenario.honest_and_orderly(scenario.load())
HORIZONS_SECS = (1800, 86400)
PURCHASE = ACTIONS.index("purchase")
HALF_HOUR, DAY = range(len(HORIZONS_SECS))


def labels_of(events: Sequence[tuple[str, str, int]], *, end: int = 10 * DAY_MS) -> Labels:
    """Of (user, name, ms after the start); users come in the order of their hashes, a user's events in theirs."""
    return labels.within(runs_of(events, end=end), HORIZONS_SECS)


def in_session(*events: tuple[str, int, str], end: int = DAY_MS) -> SessionLabels:
    """Of ann's (name, minutes after the start, session id)."""
    sent = [
        shop_event("ann", name, START_MS + after * MINUTE_MS, **({"session_id": session} if session else {}))
        for name, after, session in events
    ]
    return labels.in_session(gathered(sent, end_ms=START_MS + end).runs)


@pytest.fixture(scope="module")
def week() -> Runs:
    """A week of 200 shoppers, about 4,000 events."""
    end_ms = START_MS + 7 * DAY_MS
    return gathered(simulate(NORMAL, seed=3, users=200, start_ms=START_MS, end_ms=end_ms), end_ms=end_ms).runs


def test_a_purchase_within_the_horizon_is_a_yes_and_a_millisecond_beyond_it_is_none() -> None:
    at = 1_000
    exactly = labels_of([("ann", "view_item", at), ("ann", "purchase", at + HOUR_MS // 2)])
    beyond = labels_of([("ann", "view_item", at), ("ann", "purchase", at + HOUR_MS // 2 + 1)])
    assert exactly.bought[0].tolist() == [True, True]
    assert beyond.bought[0].tolist() == [False, True]


def test_a_purchase_at_the_very_time_of_an_event_is_not_to_come_for_it() -> None:
    found = labels_of([("ann", "view_item", 5), ("ann", "purchase", 5)])
    assert not found.bought.any()
    assert found.known.all()


def test_of_two_purchases_at_one_time_neither_is_later_than_the_other() -> None:
    same = [shop_event("ann", "purchase", START_MS, event_id=event_id) for event_id in ("one", "other")]
    assert not labels.within(gathered(same, end_ms=START_MS + 9 * DAY_MS).runs, HORIZONS_SECS).bought.any()


def test_a_purchase_says_nothing_of_itself_but_of_those_before_it() -> None:
    found = labels_of([("ann", "purchase", 0), ("ann", "purchase", HOUR_MS), ("ann", "view_cart", 2 * HOUR_MS)])
    assert found.bought[:, DAY].tolist() == [True, False, False]


def test_neither_another_users_purchase_nor_a_refund_is_a_yes() -> None:
    found = labels_of(
        [
            ("ann", "view_item", 0),
            ("cid", "view_item", 0),
            ("bob", "purchase", 1),
            ("ann", "refund", 2),
            ("cid", "purchase", 9 * DAY_MS),
        ]
    )
    assert not found.bought.any()


def test_the_same_user_id_in_another_shop_is_another_user() -> None:
    one, other = happened([("ann", "view_item", 0)]), happened([("ann", "purchase", 1)])
    runs = gathered(one, other, end_ms=START_MS + DAY_MS).runs
    assert runs.counts.tolist() == [1, 1]
    assert not labels.within(runs, HORIZONS_SECS).bought.any()


def test_a_purchase_that_comes_again_even_under_a_later_time_is_no_purchase_to_come() -> None:
    order, again = (shop_event("ann", "purchase", START_MS + after, event_id="order") for after in (0, 5_000))
    views = [shop_event("ann", "view_item", START_MS + 1_000 + n) for n in range(SEQUENCE_EVENTS)]
    runs = gathered([order, *views, again], end_ms=START_MS + 9 * DAY_MS).runs
    assert np.flatnonzero(runs.repeat).tolist() == [len(views) + 1]
    assert not labels.within(runs, HORIZONS_SECS).bought.any()


def test_a_late_purchase_counts_by_its_own_time_and_not_by_when_it_came() -> None:
    order = shop_event("ann", "purchase", START_MS + HOUR_MS)._replace(sent_ms=START_MS + 5 * HOUR_MS)
    views = happened([("ann", "view_item", 0), ("ann", "view_item", 2 * HOUR_MS)])
    runs = gathered([*views, *happened([("ann", "purchase", 4 * HOUR_MS)]), order], end_ms=START_MS + 9 * DAY_MS).runs
    found = labels.within(runs, (3600, 2 * 3600))
    by_time = dict(zip(runs.raw["time_ms"].tolist(), found.bought.tolist(), strict=True))
    assert by_time == {
        START_MS: [True, True],
        START_MS + HOUR_MS: [False, False],
        START_MS + 2 * HOUR_MS: [False, True],
        START_MS + 4 * HOUR_MS: [False, False],
    }


def test_labels_are_those_of_a_plain_loop_over_each_users_future(week: Runs) -> None:
    found = labels.within(week, HORIZONS_SECS)
    expected: list[list[bool]] = []
    for start, count in zip(np.cumsum(week.counts) - week.counts, week.counts, strict=True):
        times = week.raw["time_ms"][start : start + count].tolist()
        actions = week.raw["action"][start : start + count].tolist()
        bought_ms = [time for time, action in zip(times, actions, strict=True) if ACTIONS[action] == "purchase"]
        expected += [[any(t < b <= t + 1000 * h for b in bought_ms) for h in HORIZONS_SECS] for t in times]
    assert found.bought.any(axis=0).all()
    assert found.bought.tolist() == expected


def test_labels_of_blocks_are_those_of_the_whole(week: Runs) -> None:
    whole = labels.within(week, HORIZONS_SECS), labels.in_session(week), labels.fraud(week, delay_ms=DAY_MS)
    parts = [
        (labels.within(block, HORIZONS_SECS), labels.in_session(block), labels.fraud(block, delay_ms=DAY_MS))
        for _, block in week.blocks(50)
    ]
    assert len(parts) > 20
    for number, columns in enumerate(whole):
        for place, column in enumerate(columns):
            joined = np.concatenate([np.asarray(part[number][place]) for part in parts])
            np.testing.assert_array_equal(column, joined)


def test_an_event_whose_horizon_runs_past_the_end_is_masked_and_not_counted_as_no() -> None:
    found = labels_of([("ann", "view_item", 0), ("ann", "view_cart", HOUR_MS)], end=HOUR_MS // 2 + 1)
    assert found.known[0].tolist() == [True, False]
    assert found.known[1].tolist() == [False, False]


def test_a_horizon_that_is_cut_off_stays_masked_where_a_purchase_was_seen_early() -> None:
    found = labels_of([("ann", "view_item", 0), ("ann", "purchase", 1)], end=DAY_MS)
    assert found.bought[0, DAY]
    assert not found.known[0, DAY]


def test_each_shop_was_watched_up_to_an_end_of_its_own() -> None:
    early, late = (
        happened([("ann", "view_item", 0)]),
        happened([("ann", "view_item", 0), ("ann", "view_item", HOUR_MS)]),
    )
    runs = gathered(early, late).runs  # each up to its last event
    known = labels.within(runs, HORIZONS_SECS).known[:, HALF_HOUR]
    assert sorted(known.tolist() for known in np.split(known, np.cumsum(runs.counts)[:-1])) == [[False], [True, False]]


def test_a_time_in_the_year_9999_takes_no_other_label_along() -> None:
    events = happened([(f"user-{n}", "view_item", 0) for n in range(200)])
    events += happened([(f"user-{n}", "purchase", MINUTE_MS) for n in range(200)])
    far = 253_402_300_799_000
    runs = gathered([*events, shop_event("odd", "view_item", far)], end_ms=far + 1).runs
    found = labels.within(runs, HORIZONS_SECS)
    assert found.bought[:, HALF_HOUR].sum() == 200
    assert found.known.sum(axis=0).tolist() == [400, 400]


def test_a_session_of_one_id_is_told_of_its_later_purchase_and_each_weighs_one_in_all() -> None:
    found = in_session(
        ("view_item", 0, "a"),
        ("view_item", 1, "b"),
        ("purchase", 2, "a"),
        ("view_item", 3, "a"),
        ("view_item", 50, "a"),
    )
    assert found.bought.tolist() == [True, False, False, False, False]
    assert found.known.all()
    assert found.weight.tolist() == [0.25, 1.0, 0.25, 0.25, 0.25]


def test_without_an_id_a_session_ends_with_a_pause_of_more_than_half_an_hour() -> None:
    found = in_session(("view_item", 0, ""), ("view_item", 30, ""), ("view_item", 61, ""), ("purchase", 62, ""))
    assert found.bought.tolist() == [False, False, True, False]
    assert found.weight.tolist() == [0.5] * 4


def test_an_order_that_the_backend_sends_without_a_session_is_of_the_session_before_it() -> None:
    found = in_session(("view_item", 0, "a"), ("purchase", 5, ""), ("view_item", 6, "a"), ("purchase", 99, ""))
    assert found.bought.tolist() == [True, False, False, False]
    assert found.weight.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 1.0])


def test_the_same_session_id_of_two_users_is_two_sessions() -> None:
    events = [
        shop_event("ann", "view_item", START_MS, session_id="s"),
        shop_event("bob", "purchase", START_MS + 1, session_id="s"),
    ]
    found = labels.in_session(gathered(events, end_ms=START_MS + DAY_MS).runs)
    assert not found.bought.any()
    assert found.weight.tolist() == [1.0, 1.0]


def test_a_session_is_over_half_an_hour_after_its_last_event_and_not_known_before() -> None:
    events = (("view_item", 0, "a"), ("purchase", 10, "a"), ("view_item", 20, "b"))
    assert in_session(*events, end=40 * MINUTE_MS).known.tolist() == [False, False, False]
    assert in_session(*events, end=40 * MINUTE_MS + 1).known.tolist() == [True, True, False]
    assert in_session(*events, end=50 * MINUTE_MS + 1).known.tolist() == [True, True, True]


def test_a_late_event_begins_no_session() -> None:
    late = shop_event("ann", "view_item", START_MS)._replace(sent_ms=START_MS + 2 * HOUR_MS)
    views = happened([("ann", "view_item", 2 * HOUR_MS - 1)])
    after = happened([("ann", "view_item", 2 * HOUR_MS + MINUTE_MS)])
    runs = gathered([*views, late, *after], end_ms=START_MS + DAY_MS).runs
    assert labels.in_session(runs).weight.tolist() == pytest.approx([1 / 3] * 3)


def test_sessions_are_those_of_a_plain_loop_over_each_users_events(week: Runs) -> None:
    some = np.random.default_rng(1).random(len(week)) < 0.5
    runs = dataclasses.replace(week, session=np.where(some, week.session, 0).astype(np.uint64))
    found = labels.in_session(runs)
    end_ms = START_MS + 7 * DAY_MS
    place = 0
    for count in runs.counts.tolist():
        sessions: dict[object, list[int]] = {}
        high_ms, session = -1, object()
        for event in range(place, place + count):
            time_ms, named = int(runs.raw["time_ms"][event]), int(runs.session[event])
            if named or high_ms < 0 or time_ms - high_ms > 30 * MINUTE_MS:
                session = named or object()
            sessions.setdefault(session, []).append(event)
            high_ms = max(high_ms, time_ms)
        for events in sessions.values():
            times = runs.raw["time_ms"][events]
            bought_ms = [t for t, action in zip(times, runs.raw["action"][events], strict=True) if action == PURCHASE]
            assert found.bought[events].tolist() == [any(t < b for b in bought_ms) for t in times]
            assert found.known[events].tolist() == [bool(times.max() + 30 * MINUTE_MS < end_ms)] * len(events)
            assert found.weight[events].sum() == pytest.approx(1.0)
        place += count
    assert 0 < found.bought[found.known].mean() < 1


def test_fraud_is_known_only_when_its_delay_has_passed() -> None:
    events = [
        event._replace(label=b'{"event_id":"-","fraud":"scraper"}') if event.sent_ms == START_MS else event
        for event in happened(
            [("ann", "view_item", 0), ("ann", "view_item", HOUR_MS), ("ann", "view_item", 2 * HOUR_MS)]
        )
    ]
    runs = gathered(events, end_ms=START_MS + 7 * DAY_MS + HOUR_MS + 1).runs
    found = labels.fraud(runs, delay_ms=7 * DAY_MS)
    assert found.fraud.tolist() == [True, False, False]
    assert found.known.tolist() == [True, True, False]
    assert labels.fraud(runs.before(START_MS + HOUR_MS), delay_ms=7 * DAY_MS).known.tolist() == [False]
    assert runs.kinds[runs.kind[0]] == "scraper"


def test_who_never_buys_is_said_in_words_and_is_no_error() -> None:
    runs = runs_of([("ann", "view_item", 0), ("bob", "view_item", 1)], end=2 * DAY_MS)
    found = labels.within(runs, HORIZONS_SECS)
    counts = labels.counts(found.bought[:, DAY], found.known[:, DAY])
    assert counts == (0, 2, 0)
    assert labels.nothing_to_tell(counts, "buys within 24h") == (
        "buys within 24h: no for all 2 events of which it is known: nothing to tell apart"
    )


def test_a_horizon_that_nothing_was_watched_for_is_said_in_words() -> None:
    runs = runs_of([("ann", "view_item", 0), ("ann", "purchase", 1)], end=HOUR_MS)
    found = labels.within(runs, HORIZONS_SECS)
    day, half_hour = (labels.counts(found.bought[:, k], found.known[:, k]) for k in (DAY, HALF_HOUR))
    assert day == (0, 0, 2)
    assert "not known of any of 2 events" in (labels.nothing_to_tell(day, "buys within 24h") or "")
    assert half_hour == (1, 1, 0)
    assert labels.nothing_to_tell(half_hour, "buys within 30m") is None


def test_labels_of_runs_in_files_are_those_of_runs_in_memory() -> None:
    events = list(simulate(NORMAL, seed=4, users=60, start_ms=START_MS, end_ms=START_MS + 3 * DAY_MS))
    in_files, in_memory = gathered(events, where=SMALL).runs, gathered(events).runs
    for one, other in zip(labels.within(in_memory, HORIZONS_SECS), labels.within(in_files, HORIZONS_SECS), strict=True):
        np.testing.assert_array_equal(one, other)
