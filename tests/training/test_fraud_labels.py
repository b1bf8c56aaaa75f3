"""Labels of fraud: from a file by event id, and beside events."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream.errors import SettingsError
from stream.shop_event import ShopEvent
from stream.simulator import files, scenario
from stream.simulator.simulate import simulate
from stream.training.file_source import FileShop
from stream.training.fraud_labels import Kinds, load
from stream.training.gathering import gather
from stream.training.runs import Runs
from stream.training.sources import EventsShop
from tests.training.shops import DAY_MS, START_MS, gathered, happened


def judged(folder: Path, lines: str, events: list[ShopEvent]) -> dict[str, tuple[int, str]]:
    """Name of each event of ann's -> (fraud, kind)."""
    path = folder / "labels.jsonl"
    path.write_text(lines)
    runs = gather([_Unlabelled("shop", events)], fraud=path).runs
    assert len(runs) == len(events)
    return {
        event.value.split(b'"event_name":"')[1].split(b'"')[0].decode(): (int(fraud), runs.kinds[kind])
        for event, fraud, kind in zip(events, runs.fraud, runs.kind, strict=True)
    }


class _Unlabelled(EventsShop):
    """A shop that itself knows nothing of fraud, as a recording does not."""

    def polls(self, kinds, reading, waiting, looked):  # type: ignore[no-untyped-def]
        for poll in super().polls(kinds, reading, waiting, looked):
            for beside in poll.beside:
                beside["fraud"] = -1
            yield poll


EVENTS = happened([("ann", "view_item", 0), ("ann", "view_cart", 1), ("ann", "purchase", 2)])


def test_a_file_that_lists_fraud_only_says_that_all_else_was_none(tmp_path: Path) -> None:
    line = f'{{"event_id":"ann-view_cart-{START_MS + 1}","fraud":"card_testing","case":"c1"}}\n'
    assert judged(tmp_path, line, EVENTS) == {
        "view_item": (0, ""),
        "view_cart": (1, "card_testing"),
        "purchase": (0, ""),
    }


@pytest.mark.parametrize("no", ["false", "0", "null", '""'])
def test_where_a_file_says_none_of_some_the_rest_is_unknown(tmp_path: Path, no: str) -> None:
    lines = f'{{"event_id":"ann-view_cart-{START_MS + 1}","fraud":true}}\n'
    lines += f'{{"event_id":"ann-purchase-{START_MS + 2}","fraud":{no}}}\n'
    assert judged(tmp_path, lines, EVENTS) == {"view_item": (-1, ""), "view_cart": (1, ""), "purchase": (0, "")}


def test_of_two_lines_about_one_event_the_last_is_believed(tmp_path: Path) -> None:
    name = f"ann-view_cart-{START_MS + 1}"
    lines = "".join(f'{{"event_id":"{name}","fraud":{fraud}}}\n' for fraud in ("true", "false", '"ring"'))
    assert judged(tmp_path, lines, EVENTS)["view_cart"] == (1, "ring")


def test_an_empty_file_is_one_of_a_shop_without_fraud(tmp_path: Path) -> None:
    assert {fraud for fraud, _ in judged(tmp_path, "", EVENTS).values()} == {0}


def test_what_a_shop_says_itself_stays_where_the_file_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "labels.jsonl").write_text('{"event_id":"other","fraud":"ring"}\n')
    events = [EVENTS[0]._replace(label=b'{"fraud":"scraper"}'), EVENTS[1]]
    runs = gather([EventsShop("shop", events)], fraud=tmp_path / "labels.jsonl").runs
    assert runs.fraud.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("line", "came"),
    [
        ("{", "JSON object.*truncated"),
        ('{"fraud":"scraper"}', "event_id and fraud"),
        ('{"event_id":"e"}', "event_id and fraud"),
        ('{"event_id":"","fraud":true}', "event_id and fraud"),
        ('{"event_id":7,"fraud":true}', "event_id and fraud"),
        ('{"event_id":"e","fraud":2}', "event_id and fraud"),
        ('{"event_id":"e","fraud":["scraper"]}', "event_id and fraud"),
    ],
)
def test_a_line_that_is_no_label_is_refused_with_its_place(tmp_path: Path, line: str, came: str) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(f'{{"event_id":"e","fraud":"scraper"}}\n{line}')
    with pytest.raises(SettingsError, match=f"{path}:2: expected .*{came}.*; nothing was trained"):
        load(path, Kinds())


def test_a_file_of_labels_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none.jsonl: expected a file of labels, got none"):
        load(tmp_path / "none.jsonl", Kinds())


def test_labels_from_the_simulators_file_are_those_beside_its_events(tmp_path: Path) -> None:
    events = list(simulate(scenario.load(), seed=8, users=80, start_ms=START_MS, end_ms=START_MS + 4 * DAY_MS))
    files.write(events, tmp_path / "events.jsonl", tmp_path / "labels.jsonl")
    beside = gathered(events).runs
    joined = gather([FileShop([tmp_path / "events.jsonl"])], fraud=tmp_path / "labels.jsonl").runs

    def by_id(runs: Runs) -> dict[int, tuple[int, str]]:
        kinds = [runs.kinds[kind] for kind in runs.kind]
        return dict(zip(runs.raw["event_hash"].tolist(), zip(runs.fraud.tolist(), kinds, strict=True), strict=True))

    assert by_id(joined) == by_id(beside)
    assert 1 in beside.fraud


def test_there_are_as_many_codes_as_a_byte_has_and_what_comes_after_shares_the_last() -> None:
    kinds = Kinds()
    codes = [kinds.code(f"kind {n}") for n in range(300)]
    assert codes[:254] == list(range(1, 255))
    assert set(codes[254:]) == {255}
    assert len(kinds.names()) == 256
