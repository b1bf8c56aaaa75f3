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

from stream.features import Statistics
from stream.replay.rows import TOPICS
from stream.shop_event import ShopEvent
from stream.training import dataset, labels
from stream.training.runs import Runs
from tests.training.shops import MINUTE_MS, START_MS, gathered

HORIZONS_SECS = (600, 3600)
SCALE = Statistics(gap_mean=4.0, gap_std=3.0, price_mean=3.0, price_std=1.0)
SPAN_MINUTES = 180


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
    """Event -> all that is told of it, of those before a time: raw input, place, features, outcome, and its labels as
    far as their time was over by then."""
    examples = dataset.examples(runs, SCALE, horizons_secs=HORIZONS_SECS)
    place = np.arange(len(runs)) - np.repeat(np.cumsum(runs.counts) - runs.counts, runs.counts)
    within, session = labels.within(runs, HORIZONS_SECS), labels.in_session(runs)
    was_over = labels.within(runs.before(cut_ms), HORIZONS_SECS).known, labels.in_session(runs.before(cut_ms)).known
    before = np.flatnonzero(runs.raw["time_ms"] < cut_ms)
    columns = (runs.raw, runs.session, runs.user[runs.owner], place, *examples.features, *examples.outcome)
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
    nothing, one, another = (
        told(gathered([*before, *sent(later, "later")], end_ms=end_ms).runs, cut_ms)
        for later in ([], *([h._replace(minute=cut + h.minute) for h in later] for later in (future, other)))
    )
    assert len(nothing) == len(past)
    assert nothing == one == another


def test_the_law_sees_a_purchase_that_is_to_come() -> None:
    """It can fail: told of what comes within a horizon that is not over, one future differs from another."""
    view = Happening(0, 10, "view_item", 1, 1, 0)
    order = Happening(0, 15, "purchase", 1, 1, 0)
    runs = [gathered(sent(events, "past"), end_ms=START_MS + 10**9).runs for events in ([view], [view, order])]
    open_ms, over_ms = START_MS + 12 * MINUTE_MS, START_MS + 30 * MINUTE_MS
    assert told(runs[0], open_ms) == told(runs[1], open_ms)
    of_view = [next(iter(told(r, over_ms).items())) for r in runs]
    assert of_view[0] != of_view[1]
