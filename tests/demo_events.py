"""What tests of the demo's model and board are made of: events of a shop, with scores as a worker would give them."""

from __future__ import annotations

from typing import Any

import orjson

from stream.commands.demo_history import Fact, History, read
from stream.commands.demo_scores import Scored
from stream.commands.demo_state import DemoState
from stream.encode import AnomalyScore, PurchaseIntent, SurpriseParts
from stream.features import PARTS

START_MS = 1_790_000_000_000
NOTHING = dict.fromkeys(PARTS, 0.0)


def fact(name: str, time_s: float = 0.0, **fields: Any) -> Fact:
    """An event as the demo reads it, so many seconds after the start."""
    found = read(orjson.dumps({"event_id": "e", "event_name": name, "user_id": "u", "event_time": 0, **fields}))
    assert found is not None
    found[1].time_ms = START_MS + round(1000 * time_s)
    return found[1]


def history(*facts: Fact) -> History:
    """A user whose events were these."""
    of = History("user-1")
    for event in facts:
        of.add(event, 0)
    return of


class Shop:
    """A state that is fed event by event; a second of the demo's clock is one of the shop's."""

    def __init__(self, horizons: tuple[str, ...] = ("30m", "24h", "session")) -> None:
        self.state = DemoState(0.0)
        self._horizons = horizons
        self._seen: dict[str, int] = {}

    def event(
        self,
        user: str,
        name: str,
        at: float,
        *,
        soon: float = 0.1,
        day: float = 0.2,
        anomaly: float = 0.5,
        parts: dict[str, float] | None = None,
        label: bytes | None = None,
        **fields: Any,
    ) -> None:
        """An event whose scores come 20 ms after it was sent."""
        self._seen[user] = self._seen.get(user, 0) + 1
        about: dict[str, Any] = {
            "schema_version": 1,
            "id": "clicks-0-0-abc",
            "event_id": "e",
            "user_id": user,
            "event_time_ms": START_MS + round(1000 * at),
            "scored_time_ms": 0,
            "events_seen": self._seen[user],
            "model": "m",
            "model_hash": "abc",
            "late": False,
            "time_bounded": False,
            "carry_rebuilt": False,
        }
        of_surprise = SurpriseParts(**(NOTHING | (parts or {})))
        scored = Scored(
            fact(name, at, **fields),
            label,
            at - 0.02,
            PurchaseIntent(**about, purchase_intent=dict(zip(self._horizons, (soon, day, 0.99), strict=False))),
            AnomalyScore(**about, anomaly=anomaly, surprise=1.0, surprise_parts=of_surprise, strain=0.0),
        )
        self.state.add(scored, at)
