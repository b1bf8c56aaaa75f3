"""Law: what comes later changes nothing that was told of an event, and no label whose time was over before it.

Events are orderly here: who is late by their own clock is applied after what came before them, in serving too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import orjson
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream import anomaly, sequences
from stream.features import Statistics
from stream.replay.rows import TOPICS
from stream.rows import MEMORY
from stream.shop_event import ShopEvent
from stream.training import labels, scoring
from stream.training.lessons import Plan, lessons
from stream.training.runs import Runs
from tests.shop import NORMAL, small_model
from tests.training.shops import MINUTE_MS, START_MS, gathered

HORIZONS_SECS = (600, 3600)
SCALE = Statistics(gap_mean=4.0, gap_std=3.0, price_mean=3.0, price_std=1.0)
SPAN_MINUTES = 180
MODEL = small_model(fraud=True)


class Happening(NamedTuple):
    """An event in few numbers; those of one minute are of one time."""

    user: int
    minute: int
    name: str
    item: int
    price: int
    session: int  # 0: none


happenings = st.builds(
    Happening,
    user=st.integers(0, 2),
    minute=st.integers(0, SPAN_MINUTES - 1),
    name=st.sampled_from(["view_item", "add_to_cart", "search", "purchase", "refund"]),
    item=st.integers(0, 3),
    price=st.integers(0, 3),
    session=st.integers(0, 2),
)


def sent(happened: Sequence[Happening], names: str) -> list[ShopEvent]:
    """Events by time; `names` begins their ids, which are those of their place in the list."""
    events = []
    for number, (user, minute, name, item, price, session) in enumerate(happened):
        time_ms = START_MS + minute * MINUTE_MS
        event = {
            "event_id": f"{names}-{number}",
            "event_name": name,
            "event_time": time_ms,
            "user_id": f"user-{user}",
            "item_id": f"sku-{item}",
            "item_category": f"category-{item % 2}",
            "search_term": f"term-{item}",
            "price": price,
            "value": price,
            # One that ends with its half hour: an id that came again after a pause would join what was over.
            **({"session_id": f"{minute // 30}-{session}"} if session else {}),
        }
        events.append(ShopEvent(TOPICS[name], f"user-{user}".encode(), orjson.dumps(event), time_ms))
    return sorted(events, key=lambda event: event.sent_ms)


def told(runs: Runs, cut_ms: int) -> dict[int, list[object]]:
    """Event -> all that is told of it, of those before a time: raw input, place, features, what came in classes, and
    its labels as far as their time was over by then.
    """
    place = np.arange(len(runs)) - np.repeat(np.cumsum(runs.counts) - runs.counts, runs.counts)
    within, session = labels.within(runs, HORIZONS_SECS), labels.in_session(runs)
    was_over = labels.within(runs.before(cut_ms), HORIZONS_SECS).known, labels.in_session(runs.before(cut_ms)).known
    before = np.flatnonzero(runs.raw["time_ms"] < cut_ms)
    columns = (runs.raw, runs.session, runs.user[runs.owner], place, *seen(runs))
    of_event: dict[int, list[object]] = {}
    for event, within_over, session_over in zip(before.tolist(), *was_over, strict=True):
        of_event[int(runs.raw["event_hash"][event])] = [
            *(np.asarray(column)[event].tobytes() for column in columns),
            within_over.tolist(),
            bool(session_over),
            within.bought[event][within_over].tolist(),
            within.known[event][within_over].tolist(),
            [column[event] for column in session if session_over],
        ]
    return of_event


def seen(runs: Runs) -> list[np.ndarray]:
    """Features and classes [N, ...] in the order of the runs, as lessons have them."""
    found: list[np.ndarray] = []
    for lesson in lessons(runs, Plan(np.arange(len(runs.counts)), lanes=2, steps=4), SCALE):
        columns = (*lesson.seen.features, lesson.seen.classes)
        found = found or [np.zeros((len(runs), *column.shape[1:]), column.dtype) for column in columns]
        for whole, column in zip(found, columns, strict=True):
            whole[lesson.events] = column
    return found


def scores(runs: Runs, cut_ms: int) -> dict[int, list[float]]:
    """Event -> all that a model says of it, of those before a time."""
    said = scoring.score(MODEL, SCALE, runs)
    packing = sequences.pack(runs.owner)
    memory = np.zeros(len(packing.users), MEMORY)
    strain = packing.to_arrival(anomaly.strained(said.surprise[packing.arrival], packing, memory, NORMAL).strain)
    strange = NORMAL.anomaly(said.surprise, strain)
    assert said.fraud is not None
    table = np.column_stack([said.intent, said.surprise, said.fraud, strain, strange])
    before = np.flatnonzero(runs.raw["time_ms"] < cut_ms).tolist()
    return {int(runs.raw["event_hash"][event]): table[event].tolist() for event in before}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    past=st.lists(happenings, min_size=1, max_size=25),
    cut=st.integers(1, SPAN_MINUTES),
    future=st.lists(happenings, max_size=25),
    other=st.lists(happenings, max_size=25),
)
def test_whatever_comes_later_changes_nothing_that_was_told_before(
    past: list[Happening], cut: int, future: list[Happening], other: list[Happening]
) -> None:
    before = sent([h._replace(minute=h.minute % cut) for h in past], "past")
    cut_ms, end_ms = START_MS + cut * MINUTE_MS, START_MS + 3 * SPAN_MINUTES * MINUTE_MS
    futures = ([], *([h._replace(minute=cut + h.minute) for h in later] for later in (future, other)))
    runs = [gathered([*before, *sent(later, "later")], end_ms=end_ms).runs for later in futures]
    nothing, one, another = (told(r, cut_ms) for r in runs)
    assert len(nothing) == len(past)
    assert nothing == one == another
    said, *others = (scores(r, cut_ms) for r in runs)
    for other_said in others:
        assert other_said.keys() == said.keys() == nothing.keys()
        # Batches of other sizes are rounded otherwise.
        np.testing.assert_allclose([other_said[e] for e in said], list(said.values()), atol=1e-5, rtol=1e-5)


def test_the_law_sees_a_purchase_that_is_to_come() -> None:
    """It can fail: told of what comes within a horizon that is not over, one future differs from another."""
    view = Happening(0, 10, "view_item", 1, 1, 0)
    order = Happening(0, 15, "purchase", 1, 1, 0)
    runs = [gathered(sent(events, "past"), end_ms=START_MS + 10**9).runs for events in ([view], [view, order])]
    open_ms, over_ms = START_MS + 12 * MINUTE_MS, START_MS + 30 * MINUTE_MS
    assert told(runs[0], open_ms) == told(runs[1], open_ms)
    of_view = [next(iter(told(r, over_ms).items())) for r in runs]
    assert of_view[0] != of_view[1]


def test_the_law_sees_scores_of_what_came_before() -> None:
    """It can fail: two pasts that differ in one event are told apart by what comes after it."""
    view, cart = (Happening(0, 10, name, 1, 1, 0) for name in ("view_item", "add_to_cart"))
    after = Happening(0, 15, "view_item", 1, 1, 0)
    one, other = (gathered(sent([first, after], "past"), end_ms=START_MS + 10**9).runs for first in (view, cart))
    event = int(one.raw["event_hash"][1])
    here, there = (scores(runs, START_MS + 10**8)[event] for runs in (one, other))
    assert np.abs(np.subtract(here, there)).max() > 1e-3
