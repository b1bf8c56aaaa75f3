"""Recorded shop behaviour from files -> shop events, by event time.

    files ─> csv_table ───┐
             json_table ──┼─> mapped, by a shop_map (formats has those of known data sets) ─┐
             parquet_table┘                                                                 ├─> tally ─> time_order
             json_table ────> ga4 ──────────────────────────────────────────────────────────┘

`detect` chooses the reader, `recording` is the way in. A row that cannot be read is a value with a reason, counted, and
nothing else is lost by it.
"""

from stream.replay.detect import open_rows
from stream.replay.recording import Recording, open_recording, survey, why_not
from stream.replay.shop_map import ShopMap, load_map

__all__ = ["Recording", "ShopMap", "load_map", "open_recording", "open_rows", "survey", "why_not"]
