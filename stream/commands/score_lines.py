"""Output records -> lines of a plain table: one line per record, 80 columns unless a name or an error is longer."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from stream.encode import AnomalyScore, DeadLetter, PurchaseIntent


@dataclass(frozen=True, slots=True)
class View:
    """How the records of one output topic are shown."""

    record: type[msgspec.Struct]
    header: Callable[[Any], str]  # of the first record: horizons are the model's
    line: Callable[[Any], str]


_Score = PurchaseIntent | AnomalyScore


def readable(text: str, width: int) -> str:
    """At most `width` characters, none of which a terminal would obey: ids come from outside."""
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= width else text[: width - 1] + "~"


def moment(time_ms: int) -> str:
    """UTC, to the second."""
    try:
        return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    except (ValueError, OverflowError, OSError):  # beyond year 9999
        return str(time_ms)


def line_width() -> int | None:
    """Columns of the terminal; None where lines go to a file or a pipe, which need not be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _who(score: _Score) -> str:
    return f"{moment(score.event_time_ms)} {readable(score.user_id, 20):<20} {score.events_seen:>6}"


def _notes(score: _Score) -> str:
    notes = {"late": score.late, "time-bounded": score.time_bounded, "rebuilt": score.carry_rebuilt}
    return "".join(f" {note}" for note, is_so in notes.items() if is_so)


_WHO = f"{'event time (UTC)':<19} {'user':<20} {'events':>6}"


_SESSION = "session"  # the one horizon without a length: the end of the user's visit


def timed(intents: Mapping[str, float]) -> dict[str, float]:
    """The probabilities within a time, by horizon; within the session where there are no others."""
    return {horizon: p for horizon, p in intents.items() if horizon != _SESSION} or dict(intents)


def within(horizon: str) -> str:
    """`in 30m`, `session`: how a horizon heads a column."""
    return horizon if horizon == _SESSION else f"in {horizon}"


def _in_columns(cells: Iterable[str]) -> str:
    return "".join(f" {cell:>7}" for cell in cells)


def _intent_header(first: PurchaseIntent) -> str:
    return f"{_WHO}{_in_columns(map(within, first.purchase_intent))}"


def _intent_line(score: PurchaseIntent) -> str:
    return f"{_who(score)}{_in_columns(f'{p:.4f}' for p in score.purchase_intent.values())}{_notes(score)}"


def _anomaly_line(score: AnomalyScore) -> str:
    parts = msgspec.structs.asdict(score.surprise_parts)
    most = max(parts, key=lambda part: float(parts[part]))
    return f"{_who(score)} {score.anomaly:>7.4f} {score.surprise:>8.2f} {most:<8}{_notes(score)}"


def _dead_letter_line(letter: DeadLetter) -> str:
    return f"{moment(letter.failed_time_ms)} {readable(letter.reason, 16):<16} {readable(letter.error, 1_000)}"


VIEWS: Mapping[str, View] = {
    "purchase-intent": View(PurchaseIntent, _intent_header, _intent_line),
    "anomaly-scores": View(AnomalyScore, lambda first: f"{_WHO} {'anomaly':>7} {'surprise':>8} mostly", _anomaly_line),
    "dead-letters": View(DeadLetter, lambda first: f"{'failed at (UTC)':<19} {'reason':<16} error", _dead_letter_line),
}
