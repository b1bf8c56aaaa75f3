"""Labels from a file, joined to their events."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from stream.comparison.labels import with_labels
from stream.errors import SettingsError
from tests.comparison.streams import event


def test_events_get_the_labels_that_are_theirs(tmp_path: Path) -> None:
    made = [event("a", 1, "search"), event("a", 2, "purchase", "x", fraud="scraper"), event("b", 3)]
    path = tmp_path / "labels.jsonl.gz"
    lines = b"".join(e.label + b"\n\n" for e in made if e.label)
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + lines))
    assert list(with_labels([e._replace(label=None) for e in made], path)) == made


def test_a_file_without_a_label_is_one_of_a_shop_without_fraud(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.touch()
    assert list(with_labels([event("a", 1)], path)) == [event("a", 1)]


@pytest.mark.parametrize(
    ("line", "came"),
    [
        (b"{", "JSON object.*truncated"),
        (b"[]", "JSON object"),
        (b'{"fraud":"scraper"}', "event_id and fraud"),
        (b'{"event_id":"e"}', "event_id and fraud"),
        (b'{"event_id":7,"fraud":"scraper"}', "event_id and fraud"),
        (b'{"event_id":"\xff"}', "UTF-8"),
    ],
)
def test_a_line_that_is_no_label_is_refused_with_its_place(tmp_path: Path, line: bytes, came: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_bytes(b'{"event_id":"e","fraud":"scraper"}\n' + line)
    with pytest.raises(SettingsError, match=f"{path}:2: expected .*{came}.*; nothing was compared"):
        list(with_labels([], path))


def test_labels_that_are_cut_short_are_no_traceback(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"event_id":"e","fraud":"scraper"}\n' * 9)[:-4])
    with pytest.raises(SettingsError, match=f"{path}:10: expected more of a gzip file"):
        list(with_labels([], path))
