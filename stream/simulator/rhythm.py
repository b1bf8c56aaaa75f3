"""When a shop is busy: by the hour of the day and the day of the week."""

from __future__ import annotations

from stream.simulator.scenario import Shop

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_THURSDAY = 3  # 1 January 1970, from Monday on


class Rhythm:
    """How busy the shop is at any time, 1 at its peak."""

    def __init__(self, shop: Shop) -> None:
        self._offset_ms = int(shop.utc_offset_hours * HOUR_MS)
        peak = max(shop.hour_weights) * max(shop.weekday_weights)
        # By hour of the week that began with 1970
        self._busy = [
            hour * shop.weekday_weights[(_THURSDAY + day) % 7] / peak for day in range(7) for hour in shop.hour_weights
        ]

    def busy(self, time_ms: int) -> float:
        """In [0, 1], at an epoch time."""
        return self._busy[(time_ms + self._offset_ms) // HOUR_MS % len(self._busy)]

    def day(self, time_ms: int) -> int:
        """The local day that a time falls on, counted from 1970."""
        return (time_ms + self._offset_ms) // DAY_MS
