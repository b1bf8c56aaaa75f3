"""What is searched, and where: the knobs of sizes and recipe that matter, each with its range."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from stream.errors import SettingsError
from stream.model import Cell
from stream.training.how import How

if TYPE_CHECKING:
    from optuna import Trial

Value = float | int | str


@dataclass(frozen=True, slots=True)
class Knob:
    """One number or word of sizes or recipe. A range is widened to have the default in it."""

    where: str  # sizes, recipe or augmentation
    field: str
    low: float = 0.0
    high: float = 1.0
    log: bool = False
    whole: bool = False
    choices: tuple[str, ...] = ()
    # What is searched instead of the field, and back
    seen: Callable[[Any], Any] = lambda value: value
    meant: Callable[[Any], Any] = lambda value: value

    def default(self, of: How) -> Value:
        """What is searched, at this configuration."""
        found: Value = self.seen(getattr(_part(of, self.where), self.field))
        return found

    def suggest(self, trial: Trial, name: str, default: Value) -> Value:
        """What to try, by Optuna."""
        if self.choices:
            return trial.suggest_categorical(name, self.choices)
        low, high = self.range(default)
        if self.whole:
            return trial.suggest_int(name, int(low), int(high), log=self.log)
        return trial.suggest_float(name, low, high, log=self.log)

    def range(self, default: Value) -> tuple[float, float]:
        """From which to which number."""
        assert not isinstance(default, str)
        inside = max(default, self.low) if self.log else default  # no logarithm of 0
        return min(self.low, inside), max(self.high, inside)

    def inside(self, default: Value) -> Value:
        """The default, or what of the range is next to it: so it is told to the search."""
        if isinstance(default, str):
            return default
        low, high = self.range(default)
        return min(max(default, type(default)(low)), type(default)(high))


def _memory_of(average: float) -> float:
    return 1 / (1 - average)


def _average_of(memory: float) -> float:
    return round(1 - 1 / memory, 5)


def _or_none(share: float) -> float:
    return max(0.0, share)


# Ranges: half a decade and more around the defaults, which are what measured best over all data sets. The weight of the
# next event stands for its ratio to that of purchases, which alone matters to Adam.
KNOBS: Mapping[str, Knob] = {
    "hidden": Knob("sizes", "hidden", 16, 128, log=True, whole=True),
    "layers": Knob("sizes", "layers", 1, 2, whole=True),
    "cell": Knob("sizes", "cell", choices=get_args(Cell)),
    "learning_rate": Knob("recipe", "learning_rate", 3e-4, 1e-2, log=True),
    "weight_decay": Knob("recipe", "weight_decay", 1e-4, 0.3, log=True),
    "next_event_weight": Knob("recipe", "next_event_weight", 0.003, 0.3, log=True),
    "lanes": Knob("recipe", "lanes", 16, 256, log=True, whole=True),
    "updates": Knob("recipe", "updates", 10, 160, log=True, whole=True),
    "steps": Knob("recipe", "steps", 8, 128, log=True, whole=True),
    # Of so many updates the average of the weights is
    "average": Knob("recipe", "average", 10, 1000, log=True, seen=_memory_of, meant=_average_of),
    # A third of each range stands for none of it, which no number drawn from 0 on would ever be
    "event_dropout": Knob("augmentation", "event_dropout", -0.15, 0.3, meant=_or_none),
    "time_stretch": Knob("augmentation", "time_stretch", -0.25, 0.5, meant=_or_none),
    "crop": Knob("augmentation", "crop", -0.25, 0.5, meant=_or_none),
}


def chosen(names: Sequence[str]) -> Mapping[str, Knob]:
    """The knobs of these names, or all. Raises SettingsError that names what is none."""
    for name in names:
        if name not in KNOBS:
            raise SettingsError(f"--only: expected any of {', '.join(KNOBS)}, got {name}")
    return {name: knob for name, knob in KNOBS.items() if not names or name in names}


def with_values(base: How, values: Mapping[str, Value]) -> How:
    """The configuration with these knobs turned; numbers to four digits, which is more than matters."""
    changed: dict[str, dict[str, Any]] = {"sizes": {}, "recipe": {}, "augmentation": {}}
    for name, value in values.items():
        knob = KNOBS[name]
        meant = knob.meant(value)
        changed[knob.where][knob.field] = float(f"{meant:.4g}") if isinstance(meant, float) else meant
    augmentation = msgspec.structs.replace(base.recipe.augmentation, **changed["augmentation"])
    return How(
        msgspec.structs.replace(base.sizes, **changed["sizes"]),
        msgspec.structs.replace(base.recipe, augmentation=augmentation, **changed["recipe"]),
    )


def differing(of: How, base: How) -> dict[str, Value]:
    """Knob -> its value, where it is another than the default."""
    values = {name: getattr(_part(of, knob.where), knob.field) for name, knob in KNOBS.items()}
    return {
        name: value
        for name, value in values.items()
        if value != getattr(_part(base, KNOBS[name].where), KNOBS[name].field)
    }


def _part(of: How, where: str) -> Any:
    return of.sizes if where == "sizes" else of.recipe if where == "recipe" else of.recipe.augmentation
