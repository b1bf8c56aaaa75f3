"""Events and labels from files of JSON lines."""

from __future__ import annotations

import gzip
from pathlib import Path

import orjson
import pytest

from stream.comparison.event_lines import read_lines
from stream.errors import SettingsError
from tests.comparison.streams import event


def test_events_come_back_with_their_topics_and_labels(tmp_path: Path) -> None:
    made = [event("a", 1, "search"), event("a", 2, "purchase", "x", fraud="scraper"), event("b", 3)]
    events, labels = tmp_path / "events.jsonl", tmp_path / "labels.jsonl.gz"
    events.write_bytes(b"\n".join(e.value for e in made) + b"\n\n")
    labels.write_bytes(gzip.compress(b"".join(e.label + b"\n" for e in made if e.label)))
    assert list(read_lines([events], labels)) == made


@pytest.mark.parametrize(
    ("line", "came"), [(b"{", "end of data"), (b"[]", "a list"), (b'{"user_id":"a"}', "event_name")]
)
def test_a_line_that_is_no_event_is_refused_with_its_place(tmp_path: Path, line: bytes, came: str) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        orjson.dumps({"event_id": 1, "event_name": "search", "event_time": 5, "user_id": "a"}) + b"\n" + line
    )
    with pytest.raises(SettingsError, match=f"events.jsonl:2: expected .*{came}"):
        list(read_lines([path]))
