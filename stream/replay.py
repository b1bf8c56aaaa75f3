"""Recorded shop behaviour, from Parquet files of two public data sets -> events, in time order.

Both lack prices and names of searches; what is not in a file is left out of its events, never made up.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import orjson

from stream.errors import SettingsError
from stream.shop_event import ShopEvent

Layout = Literal["taobao", "jdata"]

# Columns that must be there; `ts` is a timestamp, the ids are anything that can be written as text.
_COLUMNS: Mapping[Layout, tuple[str, ...]] = {
    "taobao": ("user", "ts", "type", "item", "cat"),
    "jdata": ("user", "ts", "type", "item", "session"),
}
# Words of the data sets -> Google Analytics 4's. JData's "comment" has none there: it is left out, and counted.
_NAMES: Mapping[Layout, Mapping[str, str]] = {
    "taobao": {
        "view": "view_item",
        "pv": "view_item",  # the data set's own words, as in its CSV
        "cart": "add_to_cart",
        "fav": "add_to_wishlist",
        "purchase": "purchase",
        "buy": "purchase",
    },
    "jdata": {"view": "view_item", "follow": "add_to_wishlist", "purchase": "purchase"},
}
_CHUNK_ROWS = 65_536  # turned into Python values at a time; bounds what a long file takes beside its columns


@dataclasses.dataclass(frozen=True, slots=True)
class Recording:
    """A file's events; iterating gives them by event time, those of the same time in the order of the file."""

    layout: Layout
    events: int
    left_out: Mapping[str, int]  # type of action, or "null" for a row that lacks a value -> rows that give no event
    _table: Any  # pyarrow.Table of the rows that give one: _COLUMNS with `ts` in int64 ms, and `row` in the file

    def __iter__(self) -> Iterator[ShopEvent]:
        names = _NAMES[self.layout]
        for chunk in self._table.to_batches(max_chunksize=_CHUNK_ROWS):
            for row in chunk.to_pylist():
                yield _event(row, names[row["type"]], f"{self.layout}-{row['row']}")


def read_parquet(path: Path, layout: Layout | None = None) -> Recording:
    """Read a recording; without a layout, that whose columns the file has.

    Raises SettingsError naming the file, what was expected and what was found.
    """
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
    except ImportError:
        raise SettingsError(f"{path}: reading Parquet needs pyarrow: pip install 'behaviour-stream[parquet]'") from None
    try:
        found = pq.read_schema(path).names
        layout = layout or _detect(path, found)
        missing = [name for name in _COLUMNS[layout] if name not in found]
        if missing:
            raise SettingsError(
                f"{path}: expected the columns {', '.join(_COLUMNS[layout])} of {layout}, got {', '.join(found)}: "
                f"{', '.join(missing)} missing"
            )
        table = pq.read_table(path, columns=list(_COLUMNS[layout]))
    except (OSError, pa.ArrowInvalid) as error:
        raise SettingsError(f"{path}: expected a Parquet file, got: {error}") from None
    if not table.num_rows:
        raise SettingsError(f"{path}: expected rows, got a Parquet file without any")
    if not pa.types.is_timestamp(table["ts"].type):
        raise SettingsError(f"{path}: expected timestamps in the column ts, got {table['ts'].type}")
    time_ms = pc.cast(pc.cast(table["ts"], pa.timestamp("ms"), safe=False), pa.int64())
    table = table.set_column(table.schema.get_field_index("ts"), "ts", time_ms)
    table = table.append_column("row", pa.array(range(table.num_rows), pa.int64()))
    whole = table.drop_null()
    known = whole.filter(pc.is_in(whole["type"], value_set=pa.array(list(_NAMES[layout]), whole["type"].type)))
    left_out = Counter(whole["type"].to_pylist())
    left_out.subtract(known["type"].to_pylist())
    left_out["null"] += table.num_rows - whole.num_rows
    return Recording(
        layout=layout,
        events=known.num_rows,
        left_out={kind: rows for kind, rows in sorted(left_out.items()) if rows},
        _table=known.sort_by([("ts", "ascending"), ("row", "ascending")]),
    )


def _detect(path: Path, found: list[str]) -> Layout:
    for layout, columns in _COLUMNS.items():
        if set(columns) <= set(found):
            return layout
    expected = "; or ".join(f"{', '.join(columns)} ({layout})" for layout, columns in _COLUMNS.items())
    raise SettingsError(f"{path}: expected the columns {expected}, got {', '.join(found)}")


def _event(row: Mapping[str, Any], name: str, event_id: str) -> ShopEvent:
    user_id, time_ms = str(row["user"]), row["ts"]
    event: dict[str, Any] = {"event_id": event_id, "event_name": name, "event_time": time_ms, "user_id": user_id}
    if "session" in row:
        event["session_id"] = str(row["session"])
    item = {"item_id": str(row["item"])}
    if "cat" in row:
        item["item_category"] = str(row["cat"])
    if name == "purchase":
        # One row is one item bought; the data sets do not say which were one order.
        event |= {"transaction_id": event_id, "items": [item]}
        return ShopEvent("purchases", user_id.encode(), orjson.dumps(event), time_ms)
    return ShopEvent("clicks", user_id.encode(), orjson.dumps(event | item), time_ms)
