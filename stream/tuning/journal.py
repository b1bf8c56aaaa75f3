"""Optuna's part of a search: its journal, what it draws, and which trials it gives up.

A journal is a file to which lines are appended, so that a power cut costs the last one at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from stream.errors import SettingsError

if TYPE_CHECKING:
    from optuna import Study, Trial

_FILE, _NAME = "search.journal", "tune"
# Trials that are drawn by chance, before the sampler learns from them
_BY_CHANCE = 8
# Trials that go on to their end, and epochs that every trial has, before any is given up
_WHOLE_TRIALS, _WHOLE_EPOCHS = 4, 3


class Journal:
    """The trials of one search. A trial that was under way when the search was killed is the next."""

    def __init__(self, folder: Path, of: dict[str, Any], default: Mapping[str, Any]) -> None:
        """`of` says what is searched: a journal of something else is refused. `default` is drawn first."""
        optuna, of = _optuna(), msgspec.json.decode(msgspec.json.encode(of))  # as it will be read
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        self._optuna, self._path = optuna, folder / _FILE
        folder.mkdir(parents=True, exist_ok=True)
        try:
            _mend(self._path)
            storage = JournalStorage(JournalFileBackend(str(self._path)))
            pruner = optuna.pruners.MedianPruner(n_startup_trials=_WHOLE_TRIALS, n_warmup_steps=_WHOLE_EPOCHS)
            self._study: Study = optuna.create_study(
                storage=storage, study_name=_NAME, pruner=pruner, direction="minimize", load_if_exists=True
            )
            kept = self._study.user_attrs.get("of", of)
        except (ValueError, KeyError) as error:
            raise SettingsError(
                f"{self._path}: expected what an interrupted search left, got something else ({error!r}); "
                "--anew begins again"
            ) from None
        if kept != of:
            differs = [name for name in {**kept, **of} if kept.get(name) != of.get(name)]
            raise SettingsError(
                f"{self._path}: a search is kept, of another {', '.join(differs)}; go on with the same command, or "
                "begin again (--anew)"
            )
        self._study.set_user_attr("of", of)
        if not self._study.trials:
            self._study.enqueue_trial(dict(default))

    def next(self, seed: int) -> Trial:
        """The trial that was under way, or one that is drawn by what came of those before."""
        trials = self._study.trials
        number = next((t.number for t in trials if t.state == self._optuna.trial.TrialState.RUNNING), None)
        drawn_as = sum(t.state.is_finished() for t in trials) if number is None else number
        draw = int(np.random.SeedSequence((seed, drawn_as)).generate_state(1)[0])
        self._study.sampler = self._optuna.samplers.TPESampler(seed=draw, n_startup_trials=_BY_CHANCE)
        if number is None:
            return self._study.ask()
        under_way: Trial = self._optuna.trial.Trial(self._study, trials[number]._trial_id)
        return under_way

    def is_hopeless(self, trial: Trial, epoch: int, objective: float) -> bool:
        """Whether half of the others were better by then than this one has ever been. The first never is."""
        kept = self._study.trials[trial.number].intermediate_values
        if epoch not in kept:  # else it is told again, by a trial that was interrupted
            trial.report(objective, epoch)
        if trial.number == 0 or epoch < max(kept, default=0):
            return False
        return bool(trial.should_prune())

    def finish(self, trial: Trial, told: dict[str, Any], objective: float, *, hopeless: bool) -> None:
        """The trial is over."""
        trial.set_user_attr("told", told)
        state = self._optuna.trial.TrialState
        if hopeless:
            self._study.tell(trial, state=state.PRUNED)
        else:
            self._study.tell(trial, objective)

    @property
    def told(self) -> list[dict[str, Any]]:
        """What `finish` was told of each trial, in order."""
        return [trial.user_attrs["told"] for trial in self._study.trials if trial.state.is_finished()]

    @staticmethod
    def needed() -> None:
        """Raises SettingsError that says how to install what is missing."""
        _optuna()

    @staticmethod
    def clear(folder: Path) -> None:
        """Begin again."""
        for file in folder.glob(f"{_FILE}*"):
            file.unlink()


def _mend(path: Path) -> None:
    """Take away the line that was being written when the search was killed."""
    written = path.read_bytes() if path.exists() else b""
    whole = written.rfind(b"\n") + 1
    if whole < len(written):
        with path.open("r+b") as file:
            file.truncate(whole)


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise SettingsError("tune: the search needs Optuna: pip install 'behaviour-stream[train]'") from None
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna
