"""Trials one after the other, each a configuration; killed and begun again with the same task, the search goes on.

What is drawn depends on the seed, a trial's number and the trials before it, so that the same seed makes the same
search, however often it was interrupted. A trial that was under way begins again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import msgspec
import torch

from stream.model import Sizes
from stream.scorer import Scores
from stream.training.candidates import Candidate, Epochs
from stream.training.how import How
from stream.training.keeping import Folder
from stream.training.recipe import Recipe
from stream.training.task import Task
from stream.training.trainer import Moved, reproducible
from stream.tuning.journal import Journal
from stream.tuning.judging import Doubles, Judged, Part, calibrated, judge, user_losses
from stream.tuning.space import Knob, Value, differing, with_values


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A trial that is over."""

    number: int  # 0: the default
    hopeless: bool  # given up: half of the others were better at the same epoch
    what: dict[str, Value]  # that is not as in the default
    judged: Judged  # at its best epoch
    epochs: int  # that it had
    seconds: float
    sizes: Sizes
    recipe: Recipe


class Watcher(Protocol):
    """Told how a search goes on."""

    def begins(self, what: str, epoch: int, events: int) -> None: ...

    def moved(self, moved: Moved) -> None: ...

    def tried(self, trials: Sequence[Tried], left: int) -> None:
        """The last of these trials is over; so many more are to come."""


class _OutOfTimeError(Exception):
    """Ends a trial in the middle; it is caught where trials follow each other."""


class Search:
    """The trials of a task, whose own sizes and recipe are the default."""

    def __init__(
        self, task: Task, parts: Sequence[Part], knobs: Mapping[str, Knob], folder: Path, judged_by: str
    ) -> None:
        """SettingsError where the folder has a search of another task, of other knobs, or judged by something else."""
        self.base = How(task.sizes, task.recipe)
        self._task, self._parts, self._knobs = task, parts, knobs
        default = {name: knob.default(self.base) for name, knob in knobs.items()}
        of = {
            "events": [len(task.runs), len(task.runs.counts), int(task.runs.user[0])],
            "default": msgspec.to_builtins({"sizes": task.sizes, "recipe": task.recipe}),
            "knobs": list(knobs),
            "judgement": judged_by,
        }
        inside = {name: knob.inside(default[name]) for name, knob in knobs.items()}
        self._journal, self._keeping = Journal(folder, of, inside), Folder(folder)
        self._default = default

    @property
    def tried(self) -> list[Tried]:
        """All that are over, in order."""
        return [msgspec.convert(told, Tried) for told in self._journal.told]

    def run(self, trials: int, ends_at: float, watcher: Watcher) -> None:
        """Until so many are over in all, or until then by `time.monotonic`."""
        while (left := trials - len(self.tried)) > 0 and time.monotonic() < ends_at:
            try:
                self._try(ends_at, watcher, f"of {trials}")
            except _OutOfTimeError:
                return
            watcher.tried(self.tried, left - 1)

    def losses(self, of: Tried) -> tuple[Doubles, Doubles]:
        """What `user_losses` gave at a trial's best epoch."""
        state = self._keeping.load(f"trial-{of.number}")
        assert state is not None, f"trial {of.number} was kept without what it cost each user"
        return state["nats"].numpy(), state["rows"].numpy()

    def _try(self, ends_at: float, watcher: Watcher, of_all: str) -> None:
        started = time.monotonic()
        trial = self._journal.next(self._task.recipe.seed)
        drawn = {name: knob.suggest(trial, name, self._default[name]) for name, knob in self._knobs.items()}
        how = with_values(self.base, drawn) if trial.number else self.base
        task = replace(self._task, sizes=how.sizes, recipe=how.recipe)
        epochs, hopeless = Epochs(), False
        best: tuple[Judged, list[Scores]] | None = None
        with reproducible():
            candidates = [Candidate(task.trainer(part.learns), *part) for part in self._parts]
            while not (hopeless or epochs.over(how.recipe)):
                epoch = len(epochs.costs) + 1
                for place, candidate in enumerate(candidates):
                    if time.monotonic() > ends_at:
                        raise _OutOfTimeError
                    what = f"trial {trial.number} {of_all}, {place + 1} of {len(candidates)}"
                    watcher.begins(what, epoch, len(candidate.material.runs))
                    candidate.trainer.run_epoch(candidate.material, watcher.moved)
                scores = [candidate.score(candidate.trainer.averaged(), task.device) for candidate in candidates]
                scores = calibrated(scores, self._parts)
                judged = judge(scores, self._parts, how.recipe, how.sizes.horizons)
                epochs.costs.append(judged.cost)
                if epochs.best == epoch or how.recipe.epochs or best is None:
                    best = judged, scores
                hopeless = self._journal.is_hopeless(trial, epoch, judged.objective)
        assert best is not None
        self._keep(trial.number, *best)
        tried = Tried(
            number=trial.number,
            hopeless=hopeless,
            what=differing(how, self.base),
            judged=best[0],
            epochs=len(epochs.costs),
            seconds=round(time.monotonic() - started, 3),
            sizes=how.sizes,
            recipe=how.recipe,
        )
        self._journal.finish(trial, msgspec.to_builtins(tried), best[0].objective, hopeless=hopeless)

    def _keep(self, number: int, judged: Judged, scores: Sequence[Scores]) -> None:
        nats, rows = user_losses(scores, self._parts, judged, self.base.sizes.horizons)
        self._keeping.save(f"trial-{number}", {"nats": torch.from_numpy(nats), "rows": torch.from_numpy(rows)})


def best_of(tried: Sequence[Tried]) -> Tried:
    """Of those that went on to their end, the default among them, the one whose objective is least."""
    return min((one for one in tried if not one.hopeless), key=lambda one: one.judged.objective)


def written(best: Tried, tried: Sequence[Tried], told: dict[str, Any]) -> bytes:
    """What `train --recipe` reads: the best trial's configuration, and where it comes from."""
    how = {
        "sizes": best.sizes,
        "made": {"recipe": best.recipe, "tuned": {**told, "trial": best.number, "trials": len(tried)}},
    }
    return msgspec.json.format(msgspec.json.encode(how), indent=1) + b"\n"
