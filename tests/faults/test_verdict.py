"""Each counter counts: made-up topics with one thing wrong."""

from __future__ import annotations

import numpy as np
import pytest

from stream.rows import HEADER
from tests.faults import verdict
from tests.faults.verdict import Event, Expected, Found, Score, Tally, Where

CLICK, SEARCH, OTHER, BAD = Where(0, 0, 5), Where(1, 0, 2), Where(0, 0, 6), Where(0, 0, 7)
USERS = {CLICK: b"ann", SEARCH: b"ann", OTHER: b"bob"}


def _event(where: Where, key: bytes, *, event_id: str | None = None, time_ms: int = 0) -> Event:
    return Event(where, key, event_id or str(where), time_ms)


def _row(events_seen: int) -> bytes:
    row = np.zeros(1, HEADER)
    row["events_seen"] = events_seen
    return row.tobytes()


INTENTS = {CLICK: (0.1, 0.2), SEARCH: (0.3, 0.4), OTHER: (0.5, 0.6)}
ANOMALIES = {CLICK: (0.7, 1.0), SEARCH: (0.8, 2.0), OTHER: (0.9, 3.0)}
SEEN = {CLICK: 1, SEARCH: 2, OTHER: 1}
ROWS = {b"ann": _row(2), b"bob": _row(1)}
EXPECTED = Expected(
    {where: _event(where, key) for where, key in USERS.items()}, (INTENTS, ANOMALIES), SEEN, ROWS, {BAD: "schema"}
)
SCORES = tuple([Score(where, SEEN[where], of[where]) for where in USERS] for of in (INTENTS, ANOMALIES))
FOUND = Found((SCORES[0], SCORES[1]), ROWS, [(BAD, "schema")])


def _same(found: bytes, expected: bytes) -> bool:
    return found == expected


def _judged(found: Found, expected: Expected = EXPECTED) -> Tally:
    return verdict.tally(verdict.judge(expected, found, _same))


def _with_intents(*more: Score) -> Found:
    return FOUND._replace(scores=([*SCORES[0], *more], SCORES[1]))


def test_where_all_is_as_expected_nothing_is_counted() -> None:
    assert _judged(FOUND) == Tally()


@pytest.mark.parametrize("topic", [0, 1])
def test_an_event_without_one_of_its_scores_is_lost(topic: int) -> None:
    scores = [list(SCORES[0]), list(SCORES[1])]
    del scores[topic][1]
    assert _judged(FOUND._replace(scores=(scores[0], scores[1]))) == Tally(lost=1)


def test_an_event_without_any_score_and_without_its_place_in_the_row_is_lost_once() -> None:
    fewer = tuple([score for score in scores if score.where != SEARCH] for scores in SCORES)
    found = FOUND._replace(scores=(fewer[0], fewer[1]), rows={**ROWS, b"ann": _row(1)})
    assert _judged(found) == Tally(lost=1, rows_differ=1)


def test_events_that_a_row_has_not_counted_are_lost() -> None:
    assert _judged(FOUND._replace(rows={**ROWS, b"ann": _row(0)})) == Tally(lost=2, rows_differ=1)
    assert _judged(FOUND._replace(rows={b"ann": ROWS[b"ann"]})) == Tally(lost=1, rows_differ=1)


def test_a_row_that_nobody_should_have_differs() -> None:
    assert _judged(FOUND._replace(rows={**ROWS, b"eve": _row(1)})) == Tally(rows_differ=1)


def test_an_event_counted_twice_is_a_row_that_differs() -> None:
    assert _judged(FOUND._replace(rows={**ROWS, b"bob": _row(2)})) == Tally(rows_differ=1)


def test_a_repeated_score_is_counted_by_record() -> None:
    again = SCORES[0][0]
    assert _judged(_with_intents(again, again)) == Tally(repeated=2)


def test_rounding_makes_no_difference_between_repeats() -> None:
    near = SCORES[0][0]._replace(figures=(0.1, 0.2 + 0.9e-5))
    assert _judged(_with_intents(near)) == Tally(repeated=1)


def test_a_repeated_score_that_differs_is_counted_and_needs_an_explanation() -> None:
    apart = SCORES[0][2]._replace(figures=(0.5, 0.6 + 1.2e-5))  # bob has events of one topic only
    assert _judged(_with_intents(apart)) == Tally(repeated=1, repeated_different=1, repeated_unexplained=1)


def test_events_of_two_topics_within_moments_explain_what_differs_from_then_on() -> None:
    times = {CLICK: 100_000, SEARCH: 100_000 + verdict.MOMENTS_MS, OTHER: 0}
    for shift, unexplained in ((0, 0), (1, 1)):
        events = {w: _event(w, key, time_ms=times[w] + shift * (w == SEARCH)) for w, key in USERS.items()}
        apart = SCORES[0][1]._replace(figures=(0.3, 0.4 + 2e-5))
        tally = _judged(_with_intents(apart), EXPECTED._replace(events=events))
        assert tally == Tally(repeated=1, repeated_different=1, repeated_unexplained=unexplained)


def test_what_came_before_the_two_topics_met_is_not_explained_by_it() -> None:
    earlier = Where(0, 0, 1)
    times = {earlier: 0, CLICK: 100_000, SEARCH: 100_001}
    events = {where: _event(where, b"ann", time_ms=time_ms) for where, time_ms in times.items()}
    scores = [Score(where, n, (0.0,)) for n, where in enumerate(times, 1)]
    repeated = [*scores, scores[0]._replace(figures=(1.0,)), scores[1]._replace(figures=(1.0,))]
    expected = EXPECTED._replace(events=events, figures=({}, {}), rows={}, rejects={})
    tally = _judged(Found((repeated, []), {}, []), expected)
    assert (tally.repeated_different, tally.repeated_unexplained) == (2, 1)


def test_a_last_score_that_is_not_the_offline_one_differs() -> None:
    wrong = SCORES[0][0]._replace(figures=(0.1, 0.2002))
    assert _judged(_with_intents(wrong)).scores_differ == 1
    assert _judged(_with_intents(wrong, SCORES[0][0])).scores_differ == 0
    assert _judged(_with_intents(SCORES[0][0]._replace(events_seen=2))).scores_differ == 1
    assert _judged(_with_intents(SCORES[0][0]._replace(figures=(0.1, 0.2, 0.3)))).scores_differ == 1


def test_a_score_of_no_event_is_unexpected() -> None:
    assert _judged(_with_intents(Score(BAD, 1, (0.0, 0.0)))) == Tally(scores_unexpected=1)


def test_dead_letters_are_lost_by_absence_and_by_another_reason() -> None:
    assert _judged(FOUND._replace(dead_letters=[])) == Tally(dead_letters_lost=1)
    assert _judged(FOUND._replace(dead_letters=[(BAD, "not_json")])) == Tally(dead_letters_lost=1)


def test_dead_letters_repeated_and_unexpected_are_counted() -> None:
    letters = [(BAD, "schema"), (BAD, "schema"), (CLICK, "schema")]
    assert _judged(FOUND._replace(dead_letters=letters)) == Tally(dead_letters_repeated=1, dead_letters_unexpected=1)


def test_a_commit_past_an_event_that_its_row_does_not_hold_is_found() -> None:
    events = list(EXPECTED.events.values())
    rows = {b"ann": (5, 2, -1), b"bob": (6, -1, -1)}
    committed = {(0, 0): 7, (1, 0): 3}
    assert verdict.ahead_of_rows(committed, rows, events) == []
    assert verdict.ahead_of_rows(committed, {**rows, b"ann": (5, 1, -1)}, events) == [EXPECTED.events[SEARCH]]
    assert verdict.ahead_of_rows(committed, {b"ann": (5, 2, -1)}, events) == [EXPECTED.events[OTHER]]
    assert verdict.ahead_of_rows({(0, 0): 6}, {b"ann": (5, 2, -1)}, events) == []  # bob's is not committed
    assert verdict.ahead_of_rows(committed, {b"ann": (5, 2, -1)}, events, {OTHER}) == []
    assert verdict.ahead_of_rows({}, {}, events) == []


def test_repeats_of_events_are_of_one_user_and_one_id() -> None:
    one, again, of_another = (
        _event(where, key, event_id="e") for where, key in ((CLICK, b"ann"), (SEARCH, b"ann"), (OTHER, b"bob"))
    )
    assert verdict.repeats_of_events([one, again, of_another]) == [[one, again]]


def test_what_may_be_depends_on_guarantee_and_form() -> None:
    tally = Tally(lost=1, repeated=2, repeated_different=3, dead_letters_repeated=4)
    assert tally.defects(guarantee="at_least_once", order_is_determined=False) == {"lost": 1}
    assert tally.defects(guarantee="at_least_once", order_is_determined=True) == {"lost": 1, "repeated_different": 3}
    every = {"lost": 1, "repeated": 2, "repeated_different": 3, "dead_letters_repeated": 4}
    assert tally.defects(guarantee="exactly_once", order_is_determined=True) == every


def test_tallies_add_up_by_name() -> None:
    assert Tally(lost=1, repeated=2) + Tally(repeated=3, rows_differ=4) == Tally(lost=1, repeated=5, rows_differ=4)
