"""What is in a batch of events, wherever its text lies."""

from __future__ import annotations

from stream.events import EventBatch


def contents(events: EventBatch) -> tuple[bytes, list[bytes], list[str]]:
    """All columns but the text's place, and the text."""
    columns = events.columns.copy()
    columns["text_at"] = 0
    return columns.tobytes(), events.key.tolist(), events.event_id.tolist()
