"""Simulated events joined with their two scores: which are shown, and the numbers at the end."""

from __future__ import annotations

import dataclasses
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec
import numpy as np
import orjson

from stream.commands.score_lines import readable
from stream.encode import AnomalyScore, PurchaseIntent
from stream.settings import Settings
from stream.shop_event import ShopEvent

_LATENCIES = 100_000  # the last ones, for the percentiles
_HEADER_LINES = 40  # it comes again after so many, so that it is on the screen


@dataclasses.dataclass(slots=True)
class _Event:
    """An event on its way through the worker."""

    value: bytes
    sent_secs: float
    intent: PurchaseIntent | None = None
    anomaly: AnomalyScore | None = None


class DemoScores:
    """What was sent, and what came back of it. Its clock is `time.monotonic`."""

    def __init__(self, settings: Settings) -> None:
        self.waiting: dict[str, _Event] = {}  # by event id, until both scores have come
        self.count = 0  # events of which both have
        self.first_secs = 0.0  # when the first had
        self._records = {settings.purchase_intent_topic: PurchaseIntent, settings.anomaly_scores_topic: AnomalyScore}
        self._users: set[str] = set()
        self._live = 0  # sent after the first score: the others waited for the worker to start
        self._last_secs = 0.0
        self._latency_secs: deque[float] = deque(maxlen=_LATENCIES)
        self._likeliest: tuple[float, _Event] | None = None
        self._strangest: tuple[float, _Event] | None = None
        self._lines = 0

    def expecting(self, events: Iterable[ShopEvent]) -> Iterator[ShopEvent]:
        """The events, each remembered with the time at which it was sent."""
        for event in events:
            yield event
            # Here again, the load has put it into a batch and asks for the next one.
            self.waiting[orjson.loads(event.value)["event_id"]] = _Event(event.value, time.monotonic())

    def take(self, records: Mapping[Any, Sequence[Any]]) -> None:
        """Join what a poll brought."""
        now = time.monotonic()
        for place, batch in records.items():
            kind = self._records[place.topic]
            for record in batch:
                self._join(msgspec.json.decode(record.value, type=kind), now)

    def show(self) -> None:
        """Print the likeliest buyer and the strangest event since the last call."""
        chosen = [pick[1] for pick in (self._likeliest, self._strangest) if pick is not None]
        for event in chosen[:1] if chosen[1:] and chosen[0] is chosen[1] else chosen:
            if self._lines % _HEADER_LINES == 0:
                click.echo(_header(event))
            click.echo(_line(event))
            self._lines += 1
        self._likeliest = self._strangest = None

    def summary(self, sent: int) -> str:
        """One line on all of it."""
        text = f"Scored {self.count:,} of {sent:,} simulated events, of {len(self._users):,} shoppers"
        if not self._latency_secs:
            return f"{text}."
        p50, p99 = 1000 * np.percentile(self._latency_secs, (50, 99))
        rate = self._live / (self._last_secs - self.first_secs)
        took = f"from sending an event to reading its scores p50 {p50:.0f} ms, p99 {p99:.0f} ms"
        return f"{text}, {rate:,.0f} a second; {took}."

    def _join(self, score: PurchaseIntent | AnomalyScore, now: float) -> None:
        event = self.waiting.get(score.event_id)
        if event is None:
            return
        if isinstance(score, PurchaseIntent):
            event.intent = score
        else:
            event.anomaly = score
        if event.intent is None or event.anomaly is None:
            return
        del self.waiting[score.event_id]
        self._users.add(score.user_id)
        if not self.count:
            self.first_secs = now
        self.count += 1
        if event.sent_secs > self.first_secs:
            self._live += 1
            self._last_secs = now
            self._latency_secs.append(now - event.sent_secs)
        soonest = next(iter(event.intent.purchase_intent.values()))
        if self._likeliest is None or soonest > self._likeliest[0]:
            self._likeliest = soonest, event
        if self._strangest is None or event.anomaly.anomaly > self._strangest[0]:
            self._strangest = event.anomaly.anomaly, event


def _header(event: _Event) -> str:
    assert event.intent is not None
    horizons = "".join(f" {'in ' + name:>6}" for name in event.intent.purchase_intent)
    return f"{'shop time':<12} {'user':<12} {'what happened':<25}{horizons} {'strange':>7} {'events':>6}"


def _line(event: _Event) -> str:
    assert event.intent is not None and event.anomaly is not None
    at = datetime.fromtimestamp(event.intent.event_time_ms / 1000, UTC)
    intents = "".join(f" {p:>6.3f}" for p in event.intent.purchase_intent.values())
    return (
        f"{at:%d %b %H:%M} {readable(event.intent.user_id, 12):<12} {readable(_what(event.value), 25):<25}{intents} "
        f"{event.anomaly.anomaly:>7.3f} {event.intent.events_seen:>6}"
    )


def _what(value: bytes) -> str:
    """Name of the event, and what it was about."""
    event = orjson.loads(value)
    about = (event.get(name) for name in ("item_id", "search_term", "item_category", "value"))
    return f"{event['event_name']} {next((str(fact) for fact in about if fact), '')}"
