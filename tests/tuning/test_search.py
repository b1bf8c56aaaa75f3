"""A search that is interrupted, by force or by time, goes on as if nothing had been."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import msgspec
import pytest

from stream.errors import SettingsError
from stream.training.how import decide
from stream.training.trainer import Moved
from stream.tuning.journal import Journal
from stream.tuning.judging import by_users
from stream.tuning.search import Search, Tried, best_of, written
from stream.tuning.space import chosen
from tests.tuning.learning import RECIPE, task

pytest.importorskip("optuna")
LONG = monotonic() + 10_000


class Ends(Exception):  # noqa: N818 - it is no error
    """What ends a search in a test, wherever it is."""


class Watcher:
    """Looks on, and ends the search when so many epochs have begun."""

    def __init__(self, epochs: int = 10**9) -> None:
        self.left = epochs
        self.said: list[tuple[int, int]] = []

    def begins(self, what: str, epoch: int, events: int) -> None:
        self.left -= 1
        if self.left < 0:
            raise Ends

    def moved(self, moved: Moved) -> None:
        pass

    def tried(self, trials: Sequence[Tried], left: int) -> None:
        self.said.append((len(trials), left))


def search(folder: Path, *only: str, seed: int = 1, by: str = "users") -> Search:
    one = task(msgspec.structs.replace(RECIPE, seed=seed))
    return Search(one, by_users(one), chosen(only or ("learning_rate", "steps")), folder, by)


def timeless(tried: Sequence[Tried]) -> list[Tried]:
    return [msgspec.structs.replace(one, seconds=0.0) for one in tried]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> list[Tried]:
    """Six trials, without a break."""
    of = search(tmp_path_factory.mktemp("whole") / "run")
    of.run(6, LONG, Watcher())
    return of.tried


def test_the_first_trial_is_the_default_and_the_others_differ_in_what_is_searched(whole: list[Tried]) -> None:
    assert [one.number for one in whole] == list(range(6))
    assert whole[0].what == {} and (whole[0].recipe, whole[0].sizes.hidden) == (RECIPE, 4)
    assert all(one.what.keys() <= {"learning_rate", "steps"} for one in whole)
    assert len({one.recipe.learning_rate for one in whole}) == 6


@pytest.mark.parametrize("epochs", [1, 9, 14])
def test_a_search_that_is_killed_anywhere_goes_on_as_if_nothing_had_been(
    whole: list[Tried], tmp_path: Path, epochs: int
) -> None:
    with pytest.raises(Ends):
        search(tmp_path).run(6, LONG, Watcher(epochs))
    watcher = Watcher()
    search(tmp_path).run(6, LONG, watcher)
    assert timeless(search(tmp_path).tried) == timeless(whole)
    assert watcher.said[-1] == (6, 0)


def test_more_trials_go_on_with_what_is_kept_and_none_is_made_twice(whole: list[Tried], tmp_path: Path) -> None:
    search(tmp_path).run(2, LONG, Watcher())
    watcher = Watcher()
    search(tmp_path).run(3, LONG, watcher)
    assert watcher.said == [(3, 0)]
    assert timeless(search(tmp_path).tried) == timeless(whole[:3])
    search(tmp_path).run(2, LONG, watcher)
    assert watcher.said == [(3, 0)]


def test_another_seed_draws_other_trials(whole: list[Tried], tmp_path: Path) -> None:
    other = search(tmp_path, seed=2)
    other.run(2, LONG, Watcher())
    assert other.tried[1].what != whole[1].what


def test_out_of_time_it_stops_in_the_middle_of_a_trial(tmp_path: Path) -> None:
    watcher = Watcher()
    of = search(tmp_path)
    of.run(1, LONG, watcher)
    of.run(5, monotonic() - 1, watcher)
    assert len(of.tried) == 1


def test_a_search_of_something_else_is_refused_by_what_differs(tmp_path: Path) -> None:
    search(tmp_path).run(1, LONG, Watcher())
    with pytest.raises(SettingsError, match=r"a search is kept, of another judgement; go on with .* \(--anew\)"):
        search(tmp_path, by="split at 5")
    with pytest.raises(SettingsError, match="a search is kept, of another knobs;"):
        search(tmp_path, "hidden")
    with pytest.raises(SettingsError, match="a search is kept, of another default;"):
        search(tmp_path, seed=9)
    Journal.clear(tmp_path)
    assert search(tmp_path, "hidden").tried == []


def test_half_a_line_that_a_power_cut_left_is_taken_away(whole: list[Tried], tmp_path: Path) -> None:
    search(tmp_path).run(2, LONG, Watcher())
    with (tmp_path / "search.journal").open("ab") as journal:
        journal.write(b'{"op_code":6,"wor')
    search(tmp_path).run(3, LONG, Watcher())
    assert timeless(search(tmp_path).tried) == timeless(whole[:3])


def test_a_file_that_is_no_journal_is_named(tmp_path: Path) -> None:
    (tmp_path / "search.journal").write_text("this is\nno journal\n")
    with pytest.raises(SettingsError, match=r"search.journal: expected what an interrupted search left, got something"):
        search(tmp_path)


def test_a_trial_is_given_up_where_half_of_the_others_were_better_and_the_default_never(tmp_path: Path) -> None:
    journal = Journal(tmp_path, {}, {"x": 0.5})
    for number in range(6):
        trial = journal.next(1)
        trial.suggest_float("x", 0, 1)
        for epoch in range(1, 5):
            bad = number in (0, 5)
            assert journal.is_hopeless(trial, epoch, 9.0 if bad else 1.0) == (number == 5 and epoch >= 3)
            if number == 5 and epoch == 3:
                break
        journal.finish(trial, {"number": number}, 1.0, hopeless=number == 5)
    assert journal.told == [{"number": number} for number in range(6)]


def test_the_best_is_one_that_went_on_to_its_end(whole: list[Tried]) -> None:
    good = msgspec.structs.replace(whole[1].judged, objective=-1.0)
    given_up = msgspec.structs.replace(whole[1], judged=good, hopeless=True)
    assert best_of([whole[0], given_up]).number == 0
    assert best_of([whole[0], msgspec.structs.replace(given_up, hopeless=False)]).number == 1


def test_what_is_written_is_what_a_recipe_is_read_from(whole: list[Tried], tmp_path: Path) -> None:
    best = best_of(whole)
    (tmp_path / "best.json").write_bytes(written(best, whole, {"command": "tune"}))
    how = decide(tmp_path / "best.json", {}, {})
    assert (how.sizes, how.recipe) == (best.sizes, best.recipe)
