"""Runs -> a model that is ready to serve: how long to learn, the weights, what they are calibrated to, what is normal.

The same task gives the same weights, however often it was interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from stream import anomaly, sequences
from stream.anomaly import NormalTraffic
from stream.errors import SettingsError
from stream.features import Statistics
from stream.model import BehaviourModel
from stream.scorer import Scores
from stream.training import labels, normalisation
from stream.training.calibration import Calibration, calibrate
from stream.training.candidates import Candidate, Epochs, parted
from stream.training.fingerprint import fingerprint
from stream.training.fraud_labels import UNKNOWN
from stream.training.keeping import Keeping, Nowhere
from stream.training.reached import reached
from stream.training.runs import Bools
from stream.training.targets import Targets
from stream.training.task import Task
from stream.training.trainer import Material, Trainer, reproducible
from stream.training.watching import Nobody, Watcher
from stream.training.worth import worth

_NOWHERE, _NOBODY = Nowhere(), Nobody()
_SAVE_SECS = 60.0  # what an interruption costs at most, beside what goes through again
_WORTH_EVENTS = 100_000  # that the worth of features is measured on at most


class Fitted(NamedTuple):
    """A model, and how it came about."""

    model: BehaviourModel
    statistics: Statistics
    normal: NormalTraffic
    story: dict[str, Any]  # for the card


def fit(task: Task, keeping: Keeping = _NOWHERE, watcher: Watcher = _NOBODY) -> Fitted:
    """Train a model. Raises SettingsError for runs from which nothing can be learned."""
    everybody = task.material(np.ones(len(task.runs.counts), np.bool_))
    notes = _expect_enough(task, everybody.targets) + _silent_heads(task, everybody.targets)
    run, recipe = _Run(task, keeping, watcher), task.recipe
    for line in notes:
        watcher.says(line)
    with reproducible():
        candidates, epochs = run.candidates()
        held = [candidate.score(candidate.best_model(), task.device) for candidate in candidates]
        model, statistics = candidates[0].best_model(), candidates[0].material.statistics
        if len(candidates) > 1:
            model, statistics = run.whole(everybody, epochs.best), everybody.statistics
        first = candidates[0]
        features = worth(first.best_model(), _some(first.held, task.folder), recipe, task.device)
    told = [candidate.held.targets for candidate in candidates]
    learned = Calibration.learned(held, told)
    calibrate(model, learned)
    story = {
        "recipe": msgspec.to_builtins(recipe),
        "held_out": "folds of users" if len(candidates) > 1 else "users",
        "epochs": recipe.epochs or epochs.best,
        "costs": [[round(part, 5) for part in cost] for cost in epochs.costs],
        "labels": dict(zip(task.sizes.horizons, (c._asdict() for c in everybody.targets.counts), strict=True)),
        "calibration": dict(zip(task.sizes.horizons, (p._asdict() for p in learned.horizons), strict=True)),
        "reached": dict(zip(task.sizes.horizons, reached([learned.of(scores) for scores in held], told), strict=True)),
        "missing": normalisation.missing(task.runs),
        "worth": features,
        "notes": notes,
    }
    return Fitted(model, statistics, _normal_traffic(held, [candidate.held for candidate in candidates]), story)


class _Run:
    """A fit on its way."""

    def __init__(self, task: Task, keeping: Keeping, watcher: Watcher) -> None:
        self._task, self._keeping, self._watcher = task, keeping, watcher
        self._saved = time.monotonic()
        self._words = keeping.read()
        if "of" not in self._words:  # states without a word of whose they are
            keeping.clear_states()
        now = fingerprint(task)
        kept = self._words.setdefault("of", now)
        keeping.write(self._words)
        if differing := [name for name in now if kept.get(name) != now[name]]:
            each = ", ".join(f"{name} {kept.get(name)}, now {now[name]}" for name in differing)
            raise SettingsError(f"an interrupted run is kept, of other {each}; go on with the same, or begin --anew")

    def candidates(self) -> tuple[list[Candidate], Epochs]:
        """All that are judged, and how each epoch was."""
        task, keeping = self._task, self._keeping
        candidates = [self._candidate(*users) for users in parted(task.runs, task.recipe)]
        epochs = Epochs([tuple(cost) for cost in self._words.get("costs", [])])
        for i, candidate in enumerate(candidates):
            kept = self._restore(candidate.trainer, f"candidate-{i}")
            candidate.best = keeping.load(f"candidate-{i}-best") or {}
            if epochs.costs and not (kept and candidate.best):
                raise SettingsError("an interrupted run is kept of which a part is missing; begin --anew")
        while not epochs.over(task.recipe):
            number = len(epochs.costs) + 1
            for i, candidate in enumerate(candidates):
                what = f"{i + 1} of {len(candidates)}"
                self._epoch(candidate.trainer, candidate.material, f"candidate-{i}", what, number)
            epochs.judge(candidates, task.recipe, task.device)
            for i, candidate in enumerate(candidates):
                keeping.save(f"candidate-{i}-best", candidate.best)
            self._words["costs"] = epochs.costs
            keeping.write(self._words)
            self._watcher.judged(number, epochs.costs[-1])
        return candidates, epochs

    def whole(self, material: Material, epochs: int) -> BehaviourModel:
        """The model that learns from all, for so many epochs."""
        trainer = self._task.trainer(material)
        self._restore(trainer, "whole")
        for number in range(1, epochs + 1):
            self._epoch(trainer, material, "whole", "all users", number)
        return trainer.averaged()

    def _candidate(self, learns: Bools, held: Bools) -> Candidate:
        task = self._task
        material = task.material(learns)
        return Candidate(task.trainer(material), material, task.material(held, material.statistics))

    def _epoch(self, trainer: Trainer, material: Material, name: str, what: str, number: int) -> None:
        if trainer.epoch >= number:  # it was over when the run was interrupted
            return
        self._watcher.begins(what, number, len(material.runs))

        def told(moved: Any) -> None:
            self._watcher.moved(moved)
            if time.monotonic() - self._saved > _SAVE_SECS:
                self._keep(trainer, name)

        trainer.run_epoch(material, told)
        self._keep(trainer, name)

    def _keep(self, trainer: Trainer, name: str) -> None:
        self._keeping.save(name, trainer.state())
        self._keeping.write(self._words)
        self._saved = time.monotonic()

    def _restore(self, trainer: Trainer, name: str) -> bool:
        """Whether there was something to go on from."""
        state = self._keeping.load(name)
        if state is not None:
            trainer.restore(state)
        return state is not None


def _expect_enough(task: Task, told: Targets) -> list[str]:
    """Notes. SettingsError where there is nothing to learn, nobody to learn from, or too little to be judged by."""
    recipe, runs = task.recipe, task.runs
    if told.fraud is not None and told.fraud_known is not None:
        _expect_labels(task, labels.counts(told.fraud, told.fraud_known))
    weights = [recipe.intent_weight, recipe.next_event_weight] + [recipe.fraud_weight] * task.sizes.fraud
    if not any(weights):
        raise SettingsError("recipe: expected a weight above 0 of what is to be learned, got 0 for all of it")
    parts = parted(runs, recipe)
    judged = np.repeat(np.any([held for _, held in parts], axis=0), runs.counts)
    normal = int(np.count_nonzero(judged if told.normal is None else judged & told.normal))
    if not all(learns.any() and held.any() for learns, held in parts) or normal < anomaly.LEAST_EVENTS:
        raise SettingsError(
            f"expected users to learn from, and others with {anomaly.LEAST_EVENTS} normal events or more to be judged "
            f"by, got {len(runs.counts)} users with {len(runs)} events in all, and {normal} to be judged by"
        )
    if normal < anomaly.SOME_EVENTS:
        return [f"what is normal is told by {normal:,} events alone: an anomaly by this model means little"]
    return []


def _expect_labels(task: Task, fraud: labels.Counts) -> None:
    """Raises SettingsError where a fraud head would learn nothing: what it says would be published all the same."""
    if fraud.yes and fraud.no:
        return
    if (np.asarray(task.runs.fraud) == UNKNOWN).all():
        raise SettingsError("--fraud: expected labels of fraud, in a column that --map names or by --labels, got none")
    raise SettingsError(
        f"--fraud: expected labels that are known by now (--label-delay), of fraud and of honest events, got "
        f"{fraud.yes:,} of fraud and {fraud.no:,} of honest ones"
    )


def _silent_heads(task: Task, told: Targets) -> list[str]:
    """What cannot be learned, in words."""
    heads = [(f"purchases within {h}", c) for h, c in zip(task.sizes.horizons, told.counts, strict=True)]
    if told.fraud is not None and told.fraud_known is not None:
        heads.append(("fraud", labels.counts(told.fraud, told.fraud_known)))
    notes = [labels.nothing_to_tell(counts, what) for what, counts in heads]
    return [note for note in notes if note]


def _normal_traffic(scores: Sequence[Scores], of: Sequence[Material]) -> NormalTraffic:
    """What is usual for those who were held out, but for what is known to be fraud."""
    counts = np.concatenate([material.runs.counts for material in of])
    packing = sequences.pack(np.repeat(np.arange(len(counts)), counts))
    kept = np.concatenate(
        [np.ones(len(m.runs), np.bool_) if m.targets.normal is None else m.targets.normal for m in of]
    )
    nats = np.concatenate([s.surprise for s in scores])
    return anomaly.fit(nats[packing.arrival], packing, kept=kept[packing.arrival])


def _some(of: Material, folder: Path | None) -> Material:
    """The first users, with so many events that a figure is worth its time."""
    users = np.cumsum(of.runs.counts) <= _WORTH_EVENTS
    users[0] = True
    if users.all():
        return of
    n = int(of.runs.counts[users].sum())
    told = of.targets
    some = Targets(
        told.bought[:n],
        told.known[:n],
        None if told.session_weight is None else told.session_weight[:n],
        None if told.fraud is None else told.fraud[:n],
        None if told.fraud_known is None else told.fraud_known[:n],
        None if told.normal is None else told.normal[:n],
    )
    return Material(of.runs.of_users(users, folder=folder), some, of.statistics)
