"""The demo where there is no terminal, or none is wanted: a plain line for some of the scores."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from stream.commands.demo_scores import Scored
from stream.commands.demo_state import DemoState
from stream.commands.demo_words import what
from stream.commands.score_lines import readable, timed, within

_SHOW_SECS = 0.5  # two lines each
_PROGRESS_SECS = 5.0
_EXPLAINED = (
    "Scores of some: the probability of a purchase in so long; how strange the event is, as the "
    "share of normal traffic that is less surprising; and the user's events so far."
)
_HEADER_LINES = 40  # it comes again after so many, so that it is on the screen


class Sentences:
    """What is being done, in a sentence each."""

    def __init__(self, *, to_stderr: bool) -> None:
        self._to_stderr = to_stderr

    def __call__(self, text: str) -> None:
        click.echo(f"{text}.", err=self._to_stderr)

    def done(self) -> None:
        """A sentence needs no end."""

    def close(self) -> None:
        """Nothing to put back."""


class Lines:
    """Every half second the likeliest buyer and the strangest event of it."""

    def __init__(self) -> None:
        self._likeliest: tuple[float, Scored] | None = None
        self._strangest: tuple[float, Scored] | None = None
        self._lines = 0
        self._shown_secs = 0.0

    def add(self, event: Scored) -> None:
        assert event.intent is not None and event.anomaly is not None
        if self._likeliest is None or event.fact.soon > self._likeliest[0]:
            self._likeliest = event.fact.soon, event
        if self._strangest is None or event.anomaly.anomaly > self._strangest[0]:
            self._strangest = event.anomaly.anomaly, event

    def show(self, state: DemoState, now: float, lag: int) -> None:
        if now - self._shown_secs < _SHOW_SECS:
            return
        self._shown_secs = now
        if self._likeliest is not None and not self._lines:
            click.echo(_EXPLAINED)
        chosen = [pick[1] for pick in (self._likeliest, self._strangest) if pick is not None]
        for event in chosen[:1] if chosen[1:] and chosen[0] is chosen[1] else chosen:
            if self._lines % _HEADER_LINES == 0:
                click.echo(_header(event))
            click.echo(_line(event))
            self._lines += 1
        self._likeliest = self._strangest = None

    def close(self) -> None:
        """Nothing to put back."""


class Progress:
    """For `--json`: how far it is, on standard error."""

    def __init__(self) -> None:
        self._said_secs = 0.0

    def add(self, event: Scored) -> None:
        """The figures are enough."""

    def show(self, state: DemoState, now: float, lag: int) -> None:
        if state.count and now - self._said_secs >= _PROGRESS_SECS:
            self._said_secs = now
            click.echo(f"{state.count:,} events scored, {lag:,} not yet, {state.users:,} users", err=True)

    def close(self) -> None:
        """Nothing to put back."""


def _header(event: Scored) -> str:
    assert event.intent is not None
    horizons = "".join(f" {within(name):>6}" for name in timed(event.intent.purchase_intent))
    return f"{'shop time':<12} {'user':<12} {'what happened':<25}{horizons} {'strange':>7} {'events':>6}"


def _line(event: Scored) -> str:
    assert event.intent is not None and event.anomaly is not None
    at = datetime.fromtimestamp(event.intent.event_time_ms / 1000, UTC)
    intents = "".join(f" {p:>6.3f}" for p in timed(event.intent.purchase_intent).values())
    return (
        f"{at:%d %b %H:%M} {readable(event.intent.user_id, 12):<12} {readable(what(event.fact), 25):<25}{intents} "
        f"{event.anomaly.anomaly:>7.3f} {event.intent.events_seen:>6}"
    )
