"""Which part of the events a model is judged on, so that it has not learned from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from stream.evaluation.assembly import Part
    from stream.model_file import Card
    from stream.training.runs import Runs


def judged_part(runs: Runs, card: Card, split_ms: int | None, hold_out: tuple[int, int] | None) -> Part | None:
    """As asked for (`--split-time`, `--hold-out`), else what the model has left out; None: neither says."""
    from stream.evaluation.assembly import Part
    from stream.training import splits
    from stream.training.reading import moment

    if split_ms is None and hold_out is None:
        before, fold = card.made.get("before_ms"), card.made.get("hold_out")
        split_ms, hold_out = before, tuple(fold) if fold else None
    if split_ms is None and hold_out is None:
        return None
    users = None
    if hold_out is not None:
        number, folds = hold_out
        users = splits.folds(runs.user, folds) == number - 1
        click.echo(f"Judged are the users of fold {number}/{folds}.", err=True)
    if split_ms is not None:
        click.echo(f"Judged is what is from {moment(split_ms)} on.", err=True)
    return Part(split_ms, users, hold_out)
