"""`evaluate anomaly`: how well what is strange is found, in shop events with labels of fraud, or in token sequences."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from stream.commands.judged_part import judged_part
from stream.commands.learning_events import Events, Moment, events_flags
from stream.commands.learning_task import Fold
from stream.commands.options import json_flag
from stream.errors import SettingsError

if TYPE_CHECKING:
    from stream.evaluation.fraud_figures import FraudEvaluation
    from stream.evaluation.sequence_figures import How
    from stream.evaluation.sequence_scores import Learn
    from stream.evaluation.token_sequences import TokenSequences

_HELD_OUT = 0.2  # of the training sequences: enough of them to set a threshold at 1 %, and the chain's AUC loses .0002
_SEED_MAX = 2**32 - 1  # that scikit-learn takes
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class TokenFile(NamedTuple):
    """A file to test on, and where its labels are: in the file, or the same for all of it, or in a file beside it."""

    path: Path
    label: bool | None = None
    labels: Path | None = None


@click.command("anomaly", short_help="what is strange: fraud in shop events, or token sequences")
@events_flags
@click.option("--model", metavar="NAME|FILE", help="Of shop events: a shipped model, or a .safetensors file.")
@click.option("--split-time", type=Moment(), help="Judge what is from then on. [where `train --before` ended; all]")
@click.option("--hold-out", type=Fold(), metavar="K/N", help="Judge the users of this fold. [as `train --hold-out`]")
@click.option("--normal", type=_FILE, help="Token sequences: learn from these, and judge FILEs.")
@click.option("--anomalous", type=_FILE, multiple=True, help="Token sequences that all are anomalous; repeatable.")
@click.option("--seed", type=click.IntRange(0, _SEED_MAX), default=1, help="[1]")
@json_flag("all figures, as one object")
def anomaly(
    *, events: Events, flags: dict[str, Any], normal: Path | None, anomalous: tuple[Path, ...], seed: int, **asked: Any
) -> int:
    """Judge anomaly scores.

    Of shop events with labels of fraud (--labels): by kind, how many fraudsters are found at 0.5 % false alarms a
    shopper-day, and after how many of their events; beside a Markov chain and an isolation forest. A user counts as
    honest unless an event of theirs is labelled as fraud: what no label speaks of is taken for honest. A fraud head is
    judged only where the model has left out a part, or a part is asked for.

    Of plain token sequences (--normal): a file has a column `sequence` and, of those that are judged, `label`; or a
    sequence a line, and then all of FILE is normal and all of --anomalous is not. Here --labels has a label a line.

    \b
      behaviour-stream evaluate anomaly week.jsonl --labels fraud.jsonl --model shoppers-h64
      behaviour-stream evaluate anomaly labelled.parquet --normal normal.parquet
    """
    _refuse(events, normal, anomalous, asked)
    if normal is not None:
        plain = bool(anomalous)
        files = [
            *(TokenFile(path, False if plain else None, events.labels) for path in events.files),
            *(TokenFile(path, True) for path in anomalous),
        ]
        from stream.evaluation import recurrent
        from stream.evaluation.sequence_figures import How
        from stream.training.recipe import Recipe

        network = recurrent.method(Recipe(seed=seed, intent_weight=0.0))
        methods = {"this network": network, **plain_methods(seed)}
        return evaluate_anomaly(normal, files, methods, how=How(seed=seed), as_json=asked["as_json"])
    from stream.evaluation import fraud_words

    found = _fraud(events, flags, asked, seed)
    if asked["as_json"]:
        click.echo(json.dumps(fraud_words.as_object(found), indent=1))
    else:
        click.echo("\n".join(fraud_words.table(found)))
    return 0


def _refuse(events: Events, normal: Path | None, anomalous: tuple[Path, ...], asked: Mapping[str, Any]) -> None:
    """Raises UsageError for flags that do not go together, or of which one is missing."""
    if normal is None:
        if anomalous:
            raise click.UsageError("--anomalous: expected --normal beside it, token sequences to learn from")
        if asked["model"] is None:
            raise click.UsageError("expected --model, of shop events, or --normal, of token sequences")
        return
    of_shops = [name for name in ("model", "split_time", "hold_out") if asked[name] is not None]
    if of_shops:
        flag = of_shops[0].replace("_", "-")
        raise click.UsageError(f"--{flag} is of shop events, and excludes --normal, which is of token sequences")
    if not events.files and not anomalous:
        raise click.UsageError(
            "--normal: expected sequences to judge too: FILEs with labels, or FILEs that are normal and --anomalous"
        )
    if anomalous and events.labels is not None:
        raise click.UsageError("--anomalous and --labels exclude each other: all of --anomalous is, and none of FILE")


def _fraud(events: Events, flags: dict[str, Any], asked: Mapping[str, Any], seed: int) -> FraudEvaluation:
    from stream import model_file
    from stream.evaluation import fraud_figures
    from stream.evaluation.assembly import Part
    from stream.evaluation.fraud_methods import Shoppers, methods, rows

    loaded = model_file.load(asked["model"])
    runs = events.gather(flags).runs
    part = judged_part(runs, loaded.card, asked["split_time"], asked["hold_out"])
    if part is None and loaded.model.sizes.fraud:
        click.echo(
            "The fraud head is left out: it may have learned these labels; expected --split-time or --hold-out, here "
            "or in the model's card.",
            err=True,
        )
    since_ms = part.since_ms if part else None
    shoppers = Shoppers.of(runs, part or Part(), seed=seed, folder=events.temp_dir)
    scored = methods(shoppers, loaded, seed=seed, fraud_head=part is not None)
    return fraud_figures.evaluate(
        rows(shoppers.calm, since_ms), {name: s.calm for name, s in scored.items()},
        rows(shoppers.tested, since_ms), {name: s.tested for name, s in scored.items()},
        fraud_figures.FraudHow(seed=seed),
    )  # fmt: skip


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
    anomalous = sum(int(read.label.sum()) for read in to_test if read.label is not None)
    sequences = sum(map(len, to_test))
    if not 0 < anomalous < sequences:
        raise SettingsError(
            "evaluate anomaly: expected labels of both kinds, normal and anomalous, to test on, got "
            f"{anomalous:,} of {sequences:,} anomalous"
        )
    learned = _normal(training)
    if held_out is not None:
        calm = _normal(held_out)
    elif 0 < round(_HELD_OUT * len(learned)) < len(learned):
        learned, calm = split(learned, share=_HELD_OUT, seed=how.seed)
    else:
        raise SettingsError(f"{training}: expected enough sequences to hold out {_HELD_OUT:g}, got {len(learned)}")
    found = sequence_figures.evaluate(learned.relearned(), calm, TokenSequences.concat(to_test), methods, how)
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
