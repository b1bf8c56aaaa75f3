"""Users who were silent for so long that their next event begins them anew: their rows are deleted before it comes.

Nobody can tell from scores or living rows when that is done, or whether (`admission` decides who begins anew). A source
of which a partition has never had an event is not waited for: of a first one there that is older than the expiry,
nobody would know that its user was here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from stream import rows as row_format
from stream.events import SOURCES
from stream.merge import NO_ORDER_MS, Position
from stream.table import Table

# (partition, after which key or None, n) -> the next n stored rows, in the order of keys.
ScanRows = Callable[[int, bytes | None, int], list[tuple[bytes, bytes]]]

# Rows that a checkpoint looks at: 0.7 ms. A million users of a partition are walked through in 6.5 h at one every 3 s.
_ROWS_AT_ONCE = 128


class Expiry:
    """A walk round the stored rows of each partition, some of them at a time."""

    def __init__(
        self, table: Table, scan: ScanRows, expiry_ms: int | None, *, rows_at_once: int = _ROWS_AT_ONCE
    ) -> None:
        """None: nobody expires."""
        self._table, self._scan, self._expiry_ms, self._rows_at_once = table, scan, expiry_ms, rows_at_once
        self._after: dict[int, bytes] = {}

    def delete(self, partition: int, positions: Mapping[int, Position]) -> int:
        """Have the next checkpoint, which commits these positions, delete some of those who expired -> how many."""
        of_source = (positions[source].order_ms for source in SOURCES if source in positions)
        clocks = [order_ms for order_ms in of_source if order_ms != NO_ORDER_MS]
        if self._expiry_ms is None or not clocks:
            return 0
        found = self._scan(partition, self._after.pop(partition, None), self._rows_at_once)
        if len(found) == self._rows_at_once:  # else it goes round
            self._after[partition] = found[-1][0]
        headers = row_format.headers([row for _, row in found])
        # No event that is still to come has a smaller `order_ms` than its source has reached.
        expired = min(clocks) - headers["last_time_ms"] > self._expiry_ms
        expired &= ~row_format.may_come_again(headers, positions, self._table.generations(partition))
        keys = [found[i][0] for i in expired.nonzero()[0].tolist() if self._table.is_durable(partition, found[i][0])]
        self._table.forget(partition, keys)
        return len(keys)

    def clear(self) -> None:
        """Begin from the first row again."""
        self._after.clear()
