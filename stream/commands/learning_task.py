"""How a model is to be learned, by one set of flags of `train`, `tune` and `distill`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stream.commands.learning_events import Events, Moment
from stream.errors import SettingsError

if TYPE_CHECKING:
    from stream.model_file import LoadedModel
    from stream.training.gathering import Gathered
    from stream.training.how import How
    from stream.training.runs import Runs
    from stream.training.task import Task

Command = TypeVar("Command", bound=Callable[..., Any])

_SHARE = click.FloatRange(0, 1, max_open=True)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Horizons(click.ParamType):
    """`30m,24h` -> seconds."""

    name = "horizons"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[int]:
        found = [re.fullmatch(r"([1-9]\d{0,5})([smhd])", part.strip()) for part in str(value).split(",")]
        if not all(found):
            self.fail(f"expected times such as 30m,24h (s, m, h or d), got {value!r}", param, ctx)
        return [int(match[1]) * _UNITS[match[2]] for match in found if match]


class ModelPath(click.Path):
    """`shop` or `shop.safetensors` -> shop, beside which a model's two files lie."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(str(super().convert(value, param, ctx)))
        return path.with_suffix("") if path.suffix == ".safetensors" else path


class Duration(click.ParamType):
    """`90m` -> seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"([1-9]\d{0,5})([smhd])", str(value).strip())
        if match is None:
            self.fail(f"expected a time such as 90m (s, m, h or d), got {value!r}", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


class Fold(click.ParamType):
    """`2/4` -> (2, 4): the second of four folds of the users is held out."""

    name = "fold"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        match = re.fullmatch(r"(\d{1,3})/(\d{1,3})", str(value))
        number, folds = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= number <= folds or folds < 2:
            self.fail(f"expected which of how many folds, such as 1/4, got {value!r}", param, ctx)
        return number, folds


_FLAGS: Mapping[str, Callable[[Any], Any]] = {
    "recipe_file": click.option(
        "--recipe",
        "recipe_file",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        help="How to learn: what `tune` wrote, or a model's card.",
    ),
    "horizons": click.option("--horizons", type=Horizons(), help="Within which a purchase is asked for. [30m,24h]"),
    "session": click.option("--session/--no-session", default=None, help="Ask for one within the session too. [yes]"),
    "fraud": click.option("--fraud", is_flag=True, default=None, help="Learn what labels of fraud say."),
    "label_delay": click.option(
        "--label-delay", type=Duration(), default="7d", help="After which a label of fraud is known. [7d]"
    ),
    "before": click.option("--before", type=Moment(), help="Learn from what was before then only."),
    "hold_out": click.option("--hold-out", type=Fold(), metavar="K/N", help="Leave the users of this fold out."),
    "hidden": click.option("--hidden", type=click.IntRange(1, 4096), help="Hidden units. [64]"),
    "layers": click.option("--layers", type=click.IntRange(1, 8), help="[1]"),
    "cell": click.option("--cell", type=click.Choice(["lstm", "gru", "rnn"]), help="[lstm]"),
    "seed": click.option("--seed", type=click.IntRange(0), help="[1]"),
    "epochs": click.option(
        "--epochs", type=click.IntRange(1, 1000), help="[as many as are best for users who are held out]"
    ),
    "loss": click.option("--loss", type=click.Choice(["cross_entropy", "squared_error"]), help="[cross_entropy]"),
    "next_event_only": click.option(
        "--next-event-only", is_flag=True, help="Learn what comes next alone: pre-training."
    ),
    "event_dropout": click.option(
        "--event-dropout", type=_SHARE, help="Share of events that a lesson leaves out, drawn anew each time. [0]"
    ),
    "time_stretch": click.option(
        "--time-stretch", type=click.FloatRange(0, 3), help="Spread (of the ln) that gaps are stretched by. [0]"
    ),
    "crop": click.option("--crop", type=_SHARE, help="Share of users who begin somewhere in the middle. [0]"),
    "drop": click.option("--drop", multiple=True, metavar="GROUP", help="Features that it is not to see; repeatable."),
    "device": click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="[auto]"),
}  # fmt: skip
TASK_FLAGS = tuple(_FLAGS)
_SIZES = ("session", "fraud", "hidden", "layers", "cell")
_RECIPE = ("seed", "epochs", "loss")
_AUGMENTATION = ("event_dropout", "time_stretch", "crop")


def task_flags(*names: str) -> Callable[[Command], Command]:
    """Adds these flags, in their usual order."""

    def add(command: Command) -> Command:
        for name in reversed(TASK_FLAGS):  # click shows the option added last first
            if name in names:
                command = _FLAGS[name](command)
        return command

    return add


def asked_how(asked: Mapping[str, Any], start: LoadedModel | None = None) -> How:
    """Sizes and recipe, by what flags, file and model to go on from say."""
    from stream.training.how import decide

    sizes = {"horizons_secs": asked.get("horizons"), **{name: asked.get(name) for name in _SIZES}}
    recipe = {name: asked.get(name) for name in _RECIPE}
    recipe["augmentation"] = _given({name: asked.get(name) for name in _AUGMENTATION}) or None
    recipe["drop"] = asked.get("drop") or None
    recipe["intent_weight"] = 0.0 if asked.get("next_event_only") else None
    return decide(asked["recipe_file"], _given(sizes), _given(recipe), start.card.sizes if start else None)


def described(runs: Runs, events: Events, gathered: Gathered, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What a card says of what was learned from. Raises SettingsError where that is nothing."""
    if not len(runs):
        raise SettingsError("expected events to learn from, got none: --before and --hold-out leave nothing")
    return {
        **events.described(),
        "before_ms": asked["before"],
        "hold_out": asked["hold_out"],
        "events": len(runs),
        "users": len(runs.counts),
        "first_ms": min(reading.first_ms for reading in gathered.readings),
        "end_ms": int(runs.end_ms.max()),
    }


def parted(events: Events, gathered: Gathered, asked: Mapping[str, Any]) -> tuple[Runs, Runs | None]:
    """(what may be learned from, the users who are held out), both of before the time that may be looked at."""
    from stream.training import splits

    runs = gathered.runs
    if asked["before"] is not None:
        runs = runs.before(asked["before"], folder=events.temp_dir)
    if asked["hold_out"] is None:
        return runs, None
    number, folds = asked["hold_out"]
    held = splits.folds(runs.user, folds) == number - 1
    return runs.of_users(~held, folder=events.temp_dir), runs.of_users(held, folder=events.temp_dir)


def asked_task(
    events: Events, flags: dict[str, Any], asked: Mapping[str, Any], start: LoadedModel | None = None
) -> tuple[Task, dict[str, Any]]:
    """What is to be done, and what of it a card says. The events are read."""
    from stream.scorer import pick_device
    from stream.training.task import Start, Task

    how, device = asked_how(asked, start), pick_device(asked["device"])  # what is wrong is said before events are read
    gathered = events.gather(flags)
    runs, _ = parted(events, gathered, asked)
    told = described(runs, events, gathered, asked)
    begin = Start(start.model, start.card.statistics) if start else None
    if start:
        told["start"] = {"model": start.name, "hash": start.hash}
    delay_ms = asked["label_delay"] * 1000
    return Task(runs, how.sizes, how.recipe, delay_ms, begin, device, folder=events.temp_dir), told


def _given(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if value is not None}
