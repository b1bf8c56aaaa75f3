"""Simulated events on their way through the worker, joined with the two scores of each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from stream.commands.demo_history import Fact, read
from stream.encode import AnomalyScore, PurchaseIntent
from stream.settings import Settings
from stream.shop_event import ShopEvent

_FOLLOWED = (
    500_000  # 100 s of the fastest demo: a worker that is further behind gets events that are no longer followed
)


@dataclass(slots=True)
class Scored:
    """An event, and its scores once they have come."""

    fact: Fact
    label: bytes | None
    sent_secs: float
    intent: PurchaseIntent | None = None
    anomaly: AnomalyScore | None = None


class DemoScores:
    """What was sent and what came back of it. `clock` in seconds."""

    def __init__(self, settings: Settings, clock: Callable[[], float]) -> None:
        self.waiting: dict[str, Scored] = {}  # by event id, until both scores have come
        self.repeated = 0  # sent a second time, which is scored no second time
        self._sent: dict[str, None] = {}  # ids, the latest last
        self._kinds = {settings.purchase_intent_topic: PurchaseIntent, settings.anomaly_scores_topic: AnomalyScore}
        self._clock = clock

    def expecting(self, events: Iterable[ShopEvent]) -> Iterator[ShopEvent]:
        """The events, each remembered with the time at which it was sent."""
        for event in events:
            yield event
            # Here again, the load has put it into a batch and asks for the next one.
            if (found := read(event.value)) is not None:
                event_id, fact = found
                if event_id in self._sent:
                    self.repeated += 1
                    continue
                self._sent[event_id] = None
                self.waiting[event_id] = Scored(fact, event.label, self._clock())
                for ids in (self.waiting, self._sent):
                    if len(ids) > _FOLLOWED:
                        del ids[next(iter(ids))]

    def take(self, records: Mapping[Any, Sequence[Any]]) -> Iterator[Scored]:
        """Join what a poll brought -> the events of which both scores are there, in the order of each user's."""
        for place, batch in records.items():
            kind = self._kinds[place.topic]
            for record in batch:
                score = msgspec.json.decode(record.value, type=kind)
                event = self.waiting.get(score.event_id)
                if event is None:
                    continue
                if isinstance(score, PurchaseIntent):
                    event.intent = score
                else:
                    event.anomaly = score
                if event.intent is not None and event.anomaly is not None:
                    del self.waiting[score.event_id]
                    yield event
