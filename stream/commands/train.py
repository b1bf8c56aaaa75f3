"""`train`: a model from a shop's own events."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from stream.commands.learning_events import Events, Moment, events_flags
from stream.commands.options import json_flag
from stream.errors import SettingsError

if TYPE_CHECKING:
    from stream.training.fit import Task

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_PATH = click.Path(dir_okay=False, path_type=Path)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Horizons(click.ParamType):
    """`30m,24h` -> seconds."""

    name = "horizons"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        found = [re.fullmatch(r"([1-9]\d{0,5})([smhd])", part.strip()) for part in str(value).split(",")]
        if not all(found):
            self.fail(f"expected times such as 30m,24h (s, m, h or d), got {value!r}", param, ctx)
        return [int(match[1]) * _UNITS[match[2]] for match in found if match]


class Fold(click.ParamType):
    """`2/4` -> (2, 4): the second of four folds of the users is held out."""

    name = "fold"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        match = re.fullmatch(r"(\d{1,3})/(\d{1,3})", str(value))
        number, folds = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= folds or folds < 2:
            self.fail(f"expected which of how many folds, such as 1/4, got {value!r}", param, ctx)
        return number, folds


@click.command("train", short_help="a model from your own events")
@events_flags
@click.option("--out", type=_PATH, required=True, help="PATH of PATH.safetensors and PATH.json.")
@click.option("--model", "start", metavar="NAME|FILE", help="Go on from this one: fine-tuning.")
@click.option(
    "--recipe", "recipe_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="TOML, of `tune`."
)
@click.option("--horizons", type=Horizons(), help="Within which a purchase is asked for. [30m,24h]")
@click.option("--session/--no-session", default=None, help="Ask for one within the session too. [yes]")
@click.option("--fraud", is_flag=True, default=None, help="Learn what labels of fraud say.")
@click.option("--label-delay", type=Horizons(), default="7d", help="After which a label of fraud is known. [7d]")
@click.option("--before", type=Moment(), help="Learn from what was before then only.")
@click.option("--hold-out", type=Fold(), metavar="K/N", help="Leave the users of this fold out.")
@click.option("--hidden", type=click.IntRange(1, 4096), help="Hidden units. [64]")
@click.option("--layers", type=click.IntRange(1, 8), help="[1]")
@click.option("--cell", type=click.Choice(["lstm", "gru", "rnn"]), help="[lstm]")
@click.option("--seed", type=click.IntRange(0), help="[1]")
@click.option("--epochs", type=click.IntRange(1, 1000), help="[as many as are best for users who are held out]")
@click.option("--loss", type=click.Choice(["cross_entropy", "squared_error"]), help="[cross_entropy]")
@click.option("--next-event-only", is_flag=True, help="Learn what comes next alone: pre-training.")
@click.option("--drop", multiple=True, metavar="GROUP", help="Features that it is not to see; repeatable.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="[auto]")
@click.option("--log-dir", type=click.Path(file_okay=False, path_type=Path), help="Curves for TensorBoard.")
@click.option("--anew", is_flag=True, help="Begin again, even if an interrupted run is kept.")
@json_flag("the model's card, as one object")
def train(*, events: Events, flags: dict[str, Any], out: Path, as_json: bool, **asked: Any) -> int:
    """Train a model, and write it with a card that says how it came about.

    Events come from FILEs (what `replay` reads), from the topics, or from simulated shops. Interrupted, the same
    command goes on where it was; what it needs for that is in PATH.run.

    \b
      behaviour-stream train events.parquet --out shop
      behaviour-stream train events.csv.gz --map shop.toml --model shoppers-h64 --out shop
      behaviour-stream train --topics --since 2026-10-01 --out shop
      behaviour-stream worker --model shop.safetensors
    """
    from stream.commands.learning_progress import Watching
    from stream.training.fit import fit
    from stream.training.keeping import Folder

    command = shlex.join(["behaviour-stream", *sys.argv[1:]])
    folder = Folder(out.with_name(f"{out.name}.run"))
    if asked["anew"]:
        folder.clear()
    task, described = _task(events, flags, asked)
    watching = Watching(events.progress, asked["log_dir"])
    try:
        fitted = fit(task, folder, watching)
    finally:
        watching.close()
    import torch

    from stream import model_file

    made = {**described, "command": command, "torch": str(torch.__version__), **fitted.story}
    card = model_file.save(fitted.model, out, statistics=fitted.statistics, normal=fitted.normal, made=made)
    folder.clear()
    if as_json:
        click.echo(msgspec.json.encode(card))
    else:
        click.echo(f"wrote {out}.safetensors and {out}.json, hash {card.weights_sha256[:12]}")
    return 0


def _task(events: Events, flags: dict[str, Any], asked: dict[str, Any]) -> tuple[Task, dict[str, Any]]:
    """What is to be done, and what of it a card says."""
    from stream import model_file
    from stream.scorer import pick_device
    from stream.training import splits
    from stream.training.fit import Start, Task
    from stream.training.how import decide

    loaded = model_file.load(asked["start"]) if asked["start"] else None
    sizes = {
        "horizons_secs": asked["horizons"],
        **{name: asked[name] for name in ("session", "fraud", "hidden", "layers", "cell")},
    }
    recipe = {name: asked[name] for name in ("seed", "epochs", "loss")}
    recipe["drop"] = asked["drop"] or None
    recipe["intent_weight"] = 0.0 if asked["next_event_only"] else None
    how = decide(asked["recipe_file"], _given(sizes), _given(recipe), loaded.card.sizes if loaded else None)
    gathered = events.gather(flags)
    runs = gathered.runs
    described: dict[str, Any] = {**events.described(), "before_ms": asked["before"], "hold_out": asked["hold_out"]}
    if asked["before"] is not None:
        runs = runs.before(asked["before"], folder=events.temp_dir)
    if asked["hold_out"] is not None:
        number, folds = asked["hold_out"]
        runs = runs.of_users(splits.folds(runs.user, folds) != number - 1, folder=events.temp_dir)
    if not len(runs):
        raise SettingsError("expected events to learn from, got none: --before and --hold-out leave nothing")
    first_ms = min(reading.first_ms for reading in gathered.readings)
    described |= {
        "events": len(runs),
        "users": len(runs.counts),
        "first_ms": first_ms,
        "end_ms": int(runs.end_ms.max()),
    }
    delay_ms = max(asked["label_delay"]) * 1000
    start = Start(loaded.model, loaded.card.statistics) if loaded else None
    if loaded:
        described["start"] = {"model": loaded.name, "hash": loaded.hash}
    return Task(runs, how.sizes, how.recipe, delay_ms, start, pick_device(asked["device"])), described


def _given(asked: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if value is not None}
