"""`evaluate anomaly` on files of plain token sequences: methods side by side on the same rows, as a table or an object.

Not a command yet: who registers it brings the LSTM as one more method.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from stream.errors import SettingsError

if TYPE_CHECKING:
    from stream.evaluation.sequence_figures import How
    from stream.evaluation.sequence_scores import Learn
    from stream.evaluation.token_sequences import TokenSequences

_HELD_OUT = 0.2  # of the training sequences: enough of them to set a threshold at 1 %, and the chain's AUC loses .0002


class TokenFile(NamedTuple):
    """A file to test on, and where its labels are: in the file, or the same for all of it, or in a file beside it."""

    path: Path
    label: bool | None = None
    labels: Path | None = None


def evaluate_anomaly(
    training: Path,
    tested: Sequence[TokenFile],
    methods: Mapping[str, Learn],
    *,
    how: How | None = None,
    held_out: Path | None = None,
    as_json: bool,
) -> int:
    """Learn on the normal sequences of `training`, and print how well each method finds the anomalous ones.

    `held_out`: normal sequences for the thresholds; None: some of the training sequences, which are then not learned.
    The first method is set against each of the others. Raises SettingsError for what cannot be read or compared.
    """
    from stream.evaluation import sequence_figures, sequence_words, token_files
    from stream.evaluation.token_sequences import TokenSequences, split

    how = how or sequence_figures.How()
    to_test = [token_files.read(file.path, label=file.label, labels=file.labels) for file in tested]
    unlabelled = [str(file.path) for file, read in zip(tested, to_test, strict=True) if read.label is None]
    if unlabelled:
        raise SettingsError(f"{unlabelled[0]}: expected labels, in a column, in a file beside it, or one for all of it")
    learned = _normal(training)
    try:
        if held_out is None:
            learned, calm = split(learned, share=_HELD_OUT, seed=how.seed)
        else:
            calm = _normal(held_out)
        found = sequence_figures.evaluate(learned.relearned(), calm, TokenSequences.concat(to_test), methods, how)
    except ValueError as error:
        raise SettingsError(f"evaluate anomaly: {error}") from None
    if as_json:
        click.echo(json.dumps(sequence_words.as_object(found), indent=1))
    else:
        click.echo("\n".join(sequence_words.table(found)))
    return 0


def plain_methods(seed: int = 1) -> dict[str, Learn]:
    """What needs no network."""
    from stream.evaluation import isolation, markov

    return {
        "Markov chain of order 2": markov.method(order=2),
        "isolation forest": isolation.sequences(seed=seed),
        "isolation forest by token": isolation.running(seed=seed),
    }


def _normal(path: Path) -> TokenSequences:
    """Sequences to learn from: what is labelled anomalous is left out, and that is said."""
    from stream.evaluation import token_files

    read = token_files.read(path)
    if read.label is None or not read.label.any():
        return read
    left_out = int(read.label.sum())
    if left_out == len(read):
        raise SettingsError(f"{path}: expected normal sequences to learn from, got {left_out:,} that are anomalous")
    click.echo(
        f"{path}: {left_out:,} of {len(read):,} sequences are anomalous; left out, nothing learns them", err=True
    )
    return read.take(~read.label)
