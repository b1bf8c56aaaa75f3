"""Plain token sequences from files: every layout says the same, and what cannot be read is told by file and line."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stream.errors import SettingsError
from stream.evaluation.token_files import read
from stream.evaluation.token_sequences import TokenSequences

SEQUENCES = [["5", "22", "5"], ["9"], ["Receiving", "5"]]
LABELS = [0, 1, 0]


def words(of: TokenSequences) -> list[list[str]]:
    ends = of.starts + of.counts
    return [
        [of.vocabulary.word(code) for code in of.tokens[start:end].tolist()]
        for start, end in zip(of.starts, ends, strict=True)
    ]


def parquet(path: Path, **columns: Any) -> Path:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table(columns), path)
    return path


def text(path: Path, lines: list[str]) -> Path:
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def as_text(sequences: list[list[str]]) -> list[str]:
    return [" ".join(words) for words in sequences]


def as_json(sequences: list[Any], labels: list[Any]) -> list[str]:
    return [json.dumps({"sequence": s, "label": y}) for s, y in zip(sequences, labels, strict=True)]


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "Parquet, text": lambda folder: parquet(folder / "a.parquet", sequence=as_text(SEQUENCES), label=LABELS),
    "Parquet, lists": lambda folder: parquet(folder / "a.parquet", label=LABELS, sequence=SEQUENCES),
    "Parquet, truth values": lambda folder: parquet(
        folder / "a.parquet", sequence=as_text(SEQUENCES), label=[label == 1 for label in LABELS]
    ),
    "CSV": lambda folder: text(folder / "a.csv", ["sequence,label", *map("{},{}".format, as_text(SEQUENCES), LABELS)]),
    "CSV with more columns and quotes": lambda folder: text(
        folder / "a.csv", ['Label,"Sequence",n', *map('{},"{}",7'.format, LABELS, as_text(SEQUENCES))]
    ),
    "TSV": lambda folder: text(folder / "a", ["sequence\tlabel", *map("{}\t{}".format, as_text(SEQUENCES), LABELS)]),
    "JSON lines, text": lambda folder: text(folder / "a.jsonl", as_json(as_text(SEQUENCES), LABELS)),
    "JSON lines, lists": lambda folder: text(
        folder / "a", as_json([[5, 22, 5], [9], ["Receiving", 5]], [False, True, False])
    ),
    "Loghub's lists in CSV": lambda folder: text(
        folder / "a.csv",
        ["sequence,label", '"[5, 22,5]",Success', "[9],Fail", '"[Receiving, 5]",Success'],
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_sequences_are_read_from_every_layout(layout: str, tmp_path: Path) -> None:
    found = read(LAYOUTS[layout](tmp_path))
    assert words(found) == SEQUENCES
    assert found.label is not None
    assert found.label.tolist() == [False, True, False]
    assert found.vocabulary.words == ("5", "22", "9", "Receiving")


def test_a_line_of_text_is_a_sequence_and_blank_lines_are_none(tmp_path: Path) -> None:
    found = read(text(tmp_path / "hdfs_train", ["5 22  5 ", "", "9", "Receiving\t5", ""]))
    assert words(found) == SEQUENCES
    assert found.label is None


def test_a_file_of_text_has_one_label_for_all_of_it_or_one_a_line_beside_it(tmp_path: Path) -> None:
    path = text(tmp_path / "hdfs_test_abnormal", as_text(SEQUENCES))
    for_all, beside = read(path, label=True), read(path, labels=text(tmp_path / "labels", ["0", "Anomaly", "normal"]))
    assert for_all.label is not None
    assert beside.label is not None
    assert for_all.label.all()
    assert beside.label.tolist() == [False, True, False]


def test_gzip_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbfsequence,label\r\n5 22 5,0\r\n9,1\r\nReceiving 5,0\r\n"))
    assert words(read(path)) == SEQUENCES


@pytest.mark.parametrize(
    ("spelling", "anomalous"),
    [
        *((spelling, False) for spelling in ("0", "Normal", "success", "-", "FALSE", "0.0")),
        *((spelling, True) for spelling in ("1", "Anomaly", "abnormal", "Fail", "true", "1.0")),
    ],
)
def test_labels_are_read_as_log_data_sets_spell_them(spelling: str, anomalous: bool, tmp_path: Path) -> None:
    found = read(text(tmp_path / "a.csv", ["sequence,label", f"5 22,{spelling}"]))
    assert found.label is not None
    assert found.label.tolist() == [anomalous]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "a.csv: expected rows, got an empty file"),
        (["", " "], "a.csv: expected rows, got an empty file"),
        (["sequence,label"], "a.csv: expected sequences, got none"),
        (["tokens,label", "5,0"], "a.csv: expected a column 'sequence', got tokens, label"),
        (["sequence,label", "5,0", "22 5,"], "a.csv:3: expected a label that is 0 or normal, 1 or anomalous, got ''"),
        (["sequence,label", "5,nan"], "a.csv:2: expected a label .* got 'nan'"),
        (["sequence,label", "5,2"], "a.csv:2: expected a label .* got '2'"),
        (["sequence,label", '"",0'], "a.csv:2: expected a sequence of 1 token or more, got ''"),
        (["sequence,label", "5,0", "5,0,1"], "a.csv:3: expected 2 fields, got 3"),
        (["sequence,label", '"5,0'], "a.csv:2: expected a row of CSV, got"),
        (['{"sequence": "5"}', '{"tokens": "5"}'], "a.csv:2: expected a column 'sequence', got tokens"),
        (['{"sequence": "5"}', '{"seq'], "a.csv:2: expected a JSON object, got"),
        (as_json(["5", "5"], [0, None]), "a.csv:2: expected a label .* got None"),
        (as_json([["5"], ["5", None]], [0, 0]), r"a.csv:2: expected a sequence .* got \['5', None\]"),
        (as_json([["5"], []], [0, 0]), r"a.csv:2: expected a sequence of 1 token or more, got \[\]"),
    ],
)
def test_what_is_no_sequence_or_no_label_is_told_by_file_and_line(
    lines: list[str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=f"^{tmp_path}/{message}"):
        read(text(tmp_path / "a.csv", lines))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"sequence": [], "label": []}, "expected sequences, got none"),
        ({"tokens": ["5"]}, "expected a column 'sequence', got tokens"),
        ({"sequence": ["5", "22 5"], "label": [0, None]}, "2: expected a label .* got None"),
        ({"sequence": ["5"], "label": [float("nan")]}, "1: expected a label .* got nan"),
        ({"sequence": ["5", None]}, "2: expected a sequence of 1 token or more, got None"),
        ({"sequence": [5, 6]}, "1: expected a sequence of 1 token or more, got 5"),
    ],
)
def test_and_of_parquet_by_its_row(columns: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=f"^{tmp_path}/a:( |){message}"):
        read(parquet(tmp_path / "a", **columns))


def test_labels_beside_a_file_are_as_many_as_its_sequences_and_each_is_one(tmp_path: Path) -> None:
    path = text(tmp_path / "a", as_text(SEQUENCES))
    with pytest.raises(SettingsError, match=r"few: expected 3 labels, one for each sequence of .*, got 2"):
        read(path, labels=text(tmp_path / "few", ["0", "1"]))
    with pytest.raises(SettingsError, match=r"odd:2: expected a label .* got 'maybe'"):
        read(path, labels=text(tmp_path / "odd", ["0", "maybe", "1"]))


def test_a_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    whole = gzip.compress(b"5 22 5\n" * 100_000)
    (tmp_path / "a.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SettingsError, match=r"a\.gz: expected a whole gzip file"):
        read(tmp_path / "a.gz")
    path = parquet(tmp_path / "a.parquet", sequence=["5 22"] * 1000)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(SettingsError, match=r"a\.parquet: expected a Parquet file"):
        read(path)


LONG = [f"template-{i % 1000}" for i in range(100_000)]  # longer than a field of CSV and a line of a topic may be


@pytest.mark.parametrize(
    "make",
    [
        lambda d: text(d / "a", ["5", " ".join(LONG), "9"]),
        lambda d: text(d / "a.csv", ["sequence", "5", " ".join(LONG), "9"]),
        lambda d: text(d / "a.jsonl", as_json([["5"], LONG, ["9"]], [0, 0, 0])),
        lambda d: parquet(d / "a.parquet", sequence=["5", " ".join(LONG), "9"]),
    ],
    ids=["text", "CSV", "JSON lines", "Parquet"],
)
def test_a_sequence_of_100_000_tokens_is_one_sequence(make: Callable[[Path], Path], tmp_path: Path) -> None:
    limit = csv.field_size_limit()
    found = read(make(tmp_path))
    assert found.counts.tolist() == [1, 100_000, 1]
    assert words(found)[1] == LONG
    assert csv.field_size_limit() == limit
