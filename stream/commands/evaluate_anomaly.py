"""`evaluate anomaly`: how well what is strange is found, in shop events with labels of fraud, or in token sequences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from stream.commands.evaluate import evaluate
from stream.commands.learning_events import Events, events_flags
from stream.commands.options import json_flag
from stream.errors import SettingsError

if TYPE_CHECKING:
    from stream.evaluation.sequence_figures import How
    from stream.evaluation.sequence_scores import Learn
    from stream.evaluation.token_sequences import TokenSequences

_HELD_OUT = 0.2  # of the training sequences: enough of them to set a threshold at 1 %, and the chain's AUC loses .0002
_CALM_SHARE = 0.5  # of the users without a label, by whom thresholds are set; the others' alarms are the false ones
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class TokenFile(NamedTuple):
    """A file to test on, and where its labels are: in the file, or the same for all of it, or in a file beside it."""

    path: Path
    label: bool | None = None
    labels: Path | None = None


@evaluate.command("anomaly", short_help="what is strange: fraud in shop events, or token sequences")
@events_flags
@click.option("--model", metavar="NAME|FILE", help="Of shop events: a shipped model, or a .safetensors file.")
@click.option("--normal", type=_FILE, help="Token sequences: learn from these, and judge FILEs.")
@click.option("--anomalous", type=_FILE, multiple=True, help="Token sequences that all are anomalous; repeatable.")
@click.option("--seed", type=int, default=1, help="[1]")
@json_flag("all figures, as one object")
def anomaly(
    *, events: Events, flags: dict[str, Any], normal: Path | None, anomalous: tuple[Path, ...], seed: int, **asked: Any
) -> int:
    """Judge anomaly scores.

    Of shop events with labels of fraud (--labels): by kind, how many fraudsters are found at 0.5 % false alarms a
    shopper-day, and after how many of their events; beside a Markov chain and an isolation forest.

    Of plain token sequences (--normal): a file has a column `sequence` and, of those that are judged, `label`; or a
    sequence a line, and then all of FILE is normal and all of --anomalous is not.

    \b
      behaviour-stream evaluate anomaly week.jsonl --labels fraud.jsonl --model shoppers-h64
      behaviour-stream evaluate anomaly labelled.parquet --normal normal.parquet
    """
    if normal is not None:
        plain = bool(anomalous)
        files = [
            *(TokenFile(path, False if plain else None, events.labels) for path in events.files),
            *(TokenFile(path, True) for path in anomalous),
        ]
        from stream.evaluation import recurrent

        methods = {"this network": recurrent.method(), **plain_methods(seed)}
        return evaluate_anomaly(normal, files, methods, as_json=asked["as_json"])
    if asked["model"] is None:
        raise click.UsageError("expected --model, of shop events, or --normal, of token sequences")
    return _fraud(events, flags, asked["model"], seed=seed, as_json=asked["as_json"])


def _fraud(events: Events, flags: dict[str, Any], model: str, *, seed: int, as_json: bool) -> int:
    from stream import model_file
    from stream.evaluation import fraud_figures, fraud_words
    from stream.evaluation.fraud_methods import methods, rows
    from stream.training import splits

    loaded = model_file.load(model)
    runs = events.gather(flags).runs
    honest = ~_labelled_users(runs)
    calm = honest & splits.held_out(runs.user, _CALM_SHARE, seed=seed)
    if not calm.any() or calm.all():
        raise SettingsError("evaluate anomaly: expected users with and without labels of fraud; see --labels")
    quiet, tested = runs.of_users(calm), runs.of_users(~calm)
    try:
        scored = methods(quiet, tested, loaded, seed=seed)
        found = fraud_figures.evaluate(
            rows(quiet), {name: s.calm for name, s in scored.items()},
            rows(tested), {name: s.tested for name, s in scored.items()},
            fraud_figures.FraudHow(seed=seed),
        )  # fmt: skip
    except ValueError as error:
        raise SettingsError(f"evaluate anomaly: {error}") from None
    if as_json:
        click.echo(json.dumps(fraud_words.as_object(found), indent=1))
    else:
        click.echo("\n".join(fraud_words.table(found)))
    return 0


def _labelled_users(runs: Any) -> Any:
    import numpy as np

    starts = np.cumsum(runs.counts) - runs.counts
    return np.maximum.reduceat(np.asarray(runs.fraud) == 1, starts)


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
