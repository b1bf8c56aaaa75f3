"""What a recording holds, in words for a terminal or as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import orjson

from stream.commands.source_topics import by_role
from stream.replay import why_not
from stream.replay.recording import Survey
from stream.replay.rows import TOPICS
from stream.replay.tally import Tally
from stream.settings import Settings

_NO_EVENTS = 2  # exit code of a dry run after which nothing would be sent


def show(survey: Survey, settings: Settings, *, as_json: bool, ignore_refused: bool) -> int:
    """Print what would be sent. -> exit code: 0, or 2 if nothing would be."""
    problem = why_nothing_is_sent(survey.path, survey.tally, ignore_refused=ignore_refused)
    if as_json:
        click.echo(orjson.dumps(_as_object(survey, settings, problem)))
    else:
        for line in _lines(survey, settings):
            click.echo(line)
        if problem:
            click.echo(f"behaviour-stream: {problem}", err=True)
    return _NO_EVENTS if problem else 0


def why_nothing_is_sent(path: Path, tally: Tally, *, ignore_refused: bool) -> str | None:
    """`why_not`, with what follows from it."""
    problem = why_not(path, tally, ignore_refused=ignore_refused)
    if problem is None or not tally.refused:
        return problem
    return f"{problem}; nothing was sent{' (--ignore-refused sends the others)' if tally.events else ''}"


def totals(path: Path, format_name: str, tally: Tally) -> Iterator[str]:
    """What a file holds, what was left out, and what was refused and why."""
    if tally.events:
        yield (
            f"{path.name}: {tally.events:,} events of {_users(tally)} users, {format_name}, "
            f"{_moment(tally.first_ms)} to {_moment(tally.last_ms)} UTC"
        )
    yield from tally.notes
    if tally.left_out:
        words = ", ".join(f"{rows:,} {word}" for word, rows in tally.left_out.most_common())
        yield f"rows left out, whose words have no event: {words}"
    for reason, refused in tally.refused.items():
        lines = ", ".join(str(line) for line in refused.lines)
        more = ", ..." if refused.rows > len(refused.lines) else ""
        yield f"rows refused: {refused.rows:,} {reason}, line {lines}{more}: {refused.error}"


def _lines(survey: Survey, settings: Settings) -> Iterator[str]:
    tally = survey.tally
    yield from totals(survey.path, f"{survey.kind} of {survey.format}", tally)
    for topic, names in _by_topic(tally, settings).items():
        listed = ", ".join(f"{count:,} {name}" for name, count in names.items())
        yield f"{topic}: {sum(names.values()):,} ({listed or 'none'})"
    if tally.earlier:
        yield f"not in order of time: {tally.earlier:,} events come after a later one; they are sorted before sending"
    if survey.first:
        yield f"the first {len(survey.first)} that would be sent:"
    topics = by_role(settings)
    for event in survey.first:
        yield f"{topics[event.topic]} {event.value.decode(errors='replace')}"


def _as_object(survey: Survey, settings: Settings, problem: str | None) -> dict[str, Any]:
    tally = survey.tally
    topics = by_role(settings)
    return {
        "file": str(survey.path),
        "kind": survey.kind,
        "format": survey.format,
        "rows": tally.rows,
        "events": tally.events,
        "topics": _by_topic(tally, settings),
        "users": int(tally.users),
        "users_are_exact": tally.users.is_exact,
        "first_time": _rfc3339(tally.first_ms) if tally.events else None,
        "last_time": _rfc3339(tally.last_ms) if tally.events else None,
        "not_in_order": tally.earlier,
        "left_out": dict(tally.left_out.most_common()),
        "refused": {
            reason: {"rows": refused.rows, "lines": refused.lines, "error": refused.error, "example": refused.example}
            for reason, refused in tally.refused.items()
        },
        "notes": tally.notes,
        "problem": problem,
        "first_events": [
            {"topic": topics[event.topic], "event": orjson.Fragment(event.value)} for event in survey.first
        ],
    }


def _by_topic(tally: Tally, settings: Settings) -> dict[str, dict[str, int]]:
    return {
        topic: {name: count for name, count in tally.names.most_common() if TOPICS[name] == role}
        for role, topic in by_role(settings).items()
    }


def _users(tally: Tally) -> str:
    return f"{int(tally.users):,}" if tally.users.is_exact else f"about {int(tally.users):,}"


def _moment(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _rfc3339(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
