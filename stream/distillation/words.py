"""A comparison of student and teacher as a table."""

from __future__ import annotations

from collections.abc import Iterator

from stream.distillation.comparing import Comparison, Side

_NAME, _COLUMN = 30, 14


def table(of: Comparison) -> Iterator[str]:
    """Lines, without line ends."""
    teacher, student = of.teacher, of.student
    yield _row("", "teacher", "student", "")
    yield _row("", _short(teacher), _short(student), "")
    for horizon, was in teacher.quality.horizons.items():
        now = student.quality.horizons[horizon]
        yield f"{horizon}, {was.rows:,} events"
        for name, title in (("auc", "ROC-AUC"), ("log_loss", "log loss, nats"), ("ece", "calibration error")):
            yield _numbers(f"  {title}", getattr(was, name), getattr(now, name))
    yield _numbers("surprise, nats", teacher.quality.surprise_nats, student.quality.surprise_nats)
    for title, before, after in (
        ("weights, kB", teacher.size.weights_bytes / 1000, student.size.weights_bytes / 1000),
        ("row of a user, bytes", teacher.size.row_bytes, student.size.row_bytes),
        ("the network, us an event", teacher.pace.lstm_us, student.pace.lstm_us),
        ("the core, events/s", teacher.pace.events_per_second, student.pace.events_per_second),
    ):
        digits = 1 if before < 1000 else 0
        yield _row(title, f"{before:,.{digits}f}", f"{after:,.{digits}f}", f"x {after / before:.2f}")
    yield ""
    yield f"on {of.events:,} events of {of.users:,} users who are held out; {of.machine}"
    for side, role in ((teacher, "teacher"), (student, "student")):
        turns = ", ".join(f"{events:,.0f}" for events in side.pace.turns)
        yield f"events/s of the {role} in turns with the other: {turns}"
    yield from of.notes


def _short(side: Side) -> str:
    return f"{side.size.cell} {side.size.layers} x {side.size.hidden}"


def _numbers(title: str, was: float, now: float) -> str:
    return _row(title, f"{was:.4f}", f"{now:.4f}", f"{now - was:+.4f}")


def _row(title: str, was: str, now: str, change: str) -> str:
    return f"{title:<{_NAME}}{was:>{_COLUMN}}{now:>{_COLUMN}}{change:>{_COLUMN}}".rstrip()
