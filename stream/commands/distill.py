"""`distill`: a smaller, faster model that learns from a larger one."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from stream.commands.learning_events import Events, events_flags
from stream.commands.learning_task import Fold, ModelPath, described, parted, task_flags
from stream.commands.options import json_flag
from stream.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream.distillation.comparing import Pace
    from stream.model_file import LoadedModel
    from stream.training.fit import Fitted
    from stream.training.how import How
    from stream.training.keeping import Keeping
    from stream.training.runs import Runs
    from stream.training.task import Task


@click.command("distill", short_help="a smaller, faster model that learns from a larger one")
@events_flags
@click.option("--model", "teacher", required=True, metavar="NAME|FILE", help="The teacher.")
@click.option("--out", type=ModelPath(), required=True, help="PATH of PATH.safetensors and PATH.json.")
@click.option("--hidden", type=click.IntRange(1, 4096), help="Hidden units. [half of the teacher's]")
@click.option("--layers", type=click.IntRange(1, 8), help="[the teacher's]")
@click.option("--cell", type=click.Choice(["lstm", "gru", "rnn"]), help="[the teacher's]")
@click.option(
    "--label-share",
    type=click.FloatRange(0, 1),
    default=0.5,
    help="Of the labels in what is learned; the rest is the teacher's opinion. [0.5]",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0, 100, min_open=True),
    default=1.0,
    help="Above 1 the teacher speaks more of what is unlikely. [1]",
)
@click.option(
    "--hold-out",
    type=Fold(),
    default="1/5",
    metavar="K/N",
    help="Leave the users of this fold out, and compare the two on them. [1/5]",
)
@task_flags("recipe_file", "label_delay", "before", "seed", "epochs", "loss", "device")
@click.option(
    "--speed-events",
    type=click.IntRange(1),
    default=40_000,  # a second or two; a shared machine changes its speed within ten
    help="Simulated events that each turn of measuring the speed scores. [40000]",
)
@click.option("--log-dir", type=click.Path(file_okay=False, path_type=Path), help="Curves for TensorBoard.")
@click.option("--anew", is_flag=True, help="Begin again, even if an interrupted run is kept.")
@json_flag("teacher and student side by side, as one object")
def distill(*, events: Events, flags: dict[str, Any], out: Path, as_json: bool, **asked: Any) -> int:
    """Train a smaller model by what a larger one says, and print what that costs and gains.

    The student hears the teacher's opinion of every event, beside the labels: how likely a purchase is, and what comes
    next. It sees events with the teacher's statistics. Events are read as by `train`; an interrupted run goes on with
    the same command. The table tells, of users held out, ROC-AUC, log loss, calibration error and surprise of both,
    and how fast the core is with each on this machine, without Kafka, measured in turns.

    \b
      behaviour-stream distill events.parquet --model shop.safetensors \\
          --out shop-small
      behaviour-stream distill --topics --model shop.safetensors --hidden 16 \\
          --out shop-16
      behaviour-stream worker --model shop-small.safetensors
    """
    from stream import model_file
    from stream.distillation import words
    from stream.distillation.comparing import compare, quality
    from stream.training.keeping import Folder
    from stream.training.targets import targets

    folder = Folder(out.with_name(f"{out.name}.run"))
    teacher = model_file.load(asked["teacher"])
    how = _how(teacher, asked)
    gathered = events.gather(flags)
    runs, held = parted(events, gathered, asked)
    made = described(runs, events, gathered, asked)
    if held is None or not len(held):
        raise SettingsError("expected users to compare the two on, got none: --hold-out and --before leave nothing")
    task = _task(teacher, how, runs, events, asked)
    if asked["anew"]:
        folder.clear()
    fitted = _learn(task, folder, events, asked)

    came = targets(held, how.sizes, fraud_delay_ms=task.fraud_delay_ms)
    qualities = [quality(of.model, teacher.card.statistics, held, came, task.device) for of in (teacher, fitted)]
    made |= {
        "command": shlex.join(["behaviour-stream", *sys.argv[1:]]),
        **fitted.story,
        "distilled": {
            **(task.teacher.told if task.teacher else {}),
            "held_out": dict(zip(("teacher", "student"), map(msgspec.to_builtins, qualities), strict=True)),
        },
    }
    model_file.save(fitted.model, out, statistics=fitted.statistics, normal=fitted.normal, made=made)
    folder.clear()
    both = (teacher, model_file.load(f"{out}.safetensors"))
    paces = _paces(both, events, asked)
    comparison = compare(both, qualities, paces, held, _notes(teacher, asked["hold_out"]))
    if as_json:
        click.echo(msgspec.json.encode(comparison))
    else:
        click.echo("\n".join(words.table(comparison)))
        click.echo(f"wrote {out}.safetensors and {out}.json, hash {comparison.student.hash}")
    return 0


def _how(teacher: LoadedModel, asked: dict[str, Any]) -> How:
    """The teacher's sizes but for those of the network itself; all heads must be the same."""
    from stream.training.how import decide

    sizes = msgspec.to_builtins(teacher.card.sizes)
    sizes |= {name: asked[name] for name in ("layers", "cell") if asked[name] is not None}
    sizes["hidden"] = asked["hidden"] or max(1, teacher.card.sizes.hidden // 2)
    recipe = {name: asked[name] for name in ("seed", "epochs", "loss") if asked[name] is not None}
    how = decide(asked["recipe_file"], sizes, recipe)
    was, now = teacher.card.sizes, how.sizes
    if now.layers * now.hidden >= was.layers * was.hidden:
        raise SettingsError(
            f"expected a student smaller than its teacher of {was.layers} x {was.hidden} hidden units, got "
            f"{now.layers} x {now.hidden}"
        )
    return how


def _task(teacher: LoadedModel, how: How, runs: Runs, events: Events, asked: dict[str, Any]) -> Task:
    """What the student is to learn; the teacher goes through the events for it."""
    from stream.commands.learning_progress import Bar
    from stream.distillation.teaching import Lecture, Taught
    from stream.scorer import pick_device
    from stream.training.task import Task

    device, bar = pick_device(asked["device"]), Bar(events.progress)
    bar.begin("the teacher goes through the events")
    try:
        taught = Taught.of(
            teacher,
            runs,
            Lecture(asked["label_share"], asked["temperature"]),
            device=device,
            folder=events.temp_dir,
            told=lambda done: bar.show(done, done / len(runs)),
        )
    finally:
        bar.end()
    return Task(runs, how.sizes, how.recipe, asked["label_delay"] * 1000, None, device, taught, events.temp_dir)


def _learn(task: Task, keeping: Keeping, events: Events, asked: dict[str, Any]) -> Fitted:
    from stream.commands.learning_progress import Watching
    from stream.training.fit import fit

    watching = Watching(events.progress, asked["log_dir"])
    try:
        return fit(task, keeping, watching)
    finally:
        watching.close()


def _paces(models: Sequence[LoadedModel], events: Events, asked: dict[str, Any]) -> list[Pace]:
    from stream.commands.learning_progress import Bar
    from stream.distillation.comparing import paces
    from stream.settings import Settings

    bar = Bar(events.progress)
    bar.begin("how fast, in turns")
    try:
        settings = msgspec.structs.replace(Settings(), device=asked["device"])
        return paces(models, settings, asked["speed_events"], bar.show)
    finally:
        bar.end()


def _notes(teacher: LoadedModel, hold_out: tuple[int, int]) -> list[str]:
    number, folds = hold_out
    if teacher.card.made.get("hold_out") == [number, folds]:
        return []
    return [
        f"The teacher's card does not say that it was trained with --hold-out {number}/{folds}: if it has learned from "
        "these users, its figures flatter it."
    ]
