"""Runs -> a model that is ready to serve: interrupted anywhere it is the same, and what nobody can learn is said."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from stream import anomaly
from stream.errors import SettingsError
from stream.model import Sizes
from stream.training import calibration, scoring
from stream.training.fit import Fitted, fit
from stream.training.fraud_labels import NO, UNKNOWN
from stream.training.groups import GROUPS
from stream.training.keeping import Folder
from stream.training.recipe import Recipe
from stream.training.targets import targets
from stream.training.task import Start, Task
from tests.shop import STATISTICS, small_model
from tests.training.interrupted import Interrupted, StoppedError
from tests.training.shops import DAY_MS, MINUTE_MS, runs_of, simulated

SIZES = Sizes(hidden=4)
FOLDS = Recipe(seed=5, lanes=8, steps=16, updates=2, folds=2, max_epochs=3)
HOLD_OUT = msgspec.structs.replace(FOLDS, fold_events=10, validation_share=0.4)
SET = msgspec.structs.replace(FOLDS, epochs=2, validation_share=0.4)
RECIPES = {"folds": FOLDS, "hold-out": HOLD_OUT, "epochs that are set": SET}


def task(recipe: Recipe = FOLDS, **other: Any) -> Task:
    return Task(simulated(), **{"sizes": SIZES, "recipe": recipe, **other})


@cache
def fitted(name: str) -> Fitted:
    return fit(task(RECIPES[name]))


def said(of: Fitted) -> tuple[Any, ...]:
    """All of it, to compare."""
    weights = {name: tensor.numpy().tobytes() for name, tensor in of.model.state_dict().items()}
    return weights, of.statistics, msgspec.json.encode(of.normal), msgspec.json.encode(of.story)


@pytest.mark.parametrize("name", RECIPES)
def test_interrupted_anywhere_it_goes_on_and_is_the_same_model(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stream.training.fit._SAVE_SECS", 0.0)  # after every update
    expected, saves = said(fitted(name)), 1
    while True:
        folder = tmp_path / str(saves)
        try:
            fit(task(RECIPES[name]), Interrupted(folder, saves))
        except StoppedError:
            pass
        else:
            break
        assert said(fit(task(RECIPES[name]), Folder(folder))) == expected, f"after {saves} saves"
        saves += 13
    assert saves > 20


def test_one_that_is_over_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "run")
    fit(task(SET), folder)
    (tmp_path / "run" / "candidate-0.safetensors.new").write_bytes(b"half of one")
    folder.clear()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"recipe": msgspec.structs.replace(FOLDS, learning_rate=0.5)}, "learning_rate 0.001, now 0.5"),
        ({"sizes": Sizes(hidden=5)}, "hidden 4, now 5"),
        ({"fraud_delay_ms": 7}, r"label delay \(ms\) 0, now 7"),
        ({"start": Start(small_model(), STATISTICS)}, "model to go on from None, now"),
        ({"runs": simulated(seed=4)}, "digest of the events"),
    ],
)
def test_an_interrupted_run_of_something_else_is_refused_by_name(
    other: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(StoppedError):
        fit(task(), Interrupted(tmp_path, 1))
    with pytest.raises(SettingsError, match=words):
        fit(dataclasses.replace(task(), **other), Folder(tmp_path))


def test_one_number_of_one_event_is_enough_to_be_other_events(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        fit(task(), Interrupted(tmp_path, 1))
    raw = task().runs.raw.copy()
    raw["price"][-1] += 1
    other = dataclasses.replace(task().runs, raw=raw)
    with pytest.raises(SettingsError, match="digest of the events"):
        fit(dataclasses.replace(task(), runs=other), Folder(tmp_path))


def test_a_model_to_go_on_from_gives_its_weights_and_what_it_takes_for_usual() -> None:
    start = Start(small_model(), STATISTICS)
    barely = msgspec.structs.replace(FOLDS, epochs=1, validation_share=0.4, learning_rate=1e-12)
    tuned = fit(task(barely, sizes=start.model.sizes, start=start))
    assert tuned.statistics == STATISTICS
    for name, weight in start.model.state_dict().items():
        if not name.startswith("intent"):  # which are calibrated
            np.testing.assert_allclose(tuned.model.state_dict()[name], weight, rtol=1e-5, atol=1e-7)


def test_heads_may_be_others_than_those_of_the_model_to_go_on_from() -> None:
    start = Start(small_model(), STATISTICS)
    sizes = msgspec.structs.replace(start.model.sizes, horizons_secs=(60,), session=False)
    tuned = fit(task(msgspec.structs.replace(SET, epochs=1), sizes=sizes, start=start))
    assert tuned.model.sizes.horizons == ("1m",)


@pytest.mark.parametrize("name", RECIPES)
def test_its_story_says_how_long_it_learned_and_why(name: str) -> None:
    story = fitted(name).story
    totals = [costs[0] for costs in story["costs"]]
    if name == "epochs that are set":
        assert story["epochs"] == len(totals) == 2
    else:
        assert story["epochs"] == int(np.argmin(totals)) + 1
        assert len(totals) <= FOLDS.max_epochs
    assert story["held_out"] == ("folds of users" if name == "folds" else "users")
    assert story["recipe"] == msgspec.to_builtins(RECIPES[name])
    assert story["worth"].keys() <= set(GROUPS)
    assert story["labels"].keys() == set(SIZES.horizons)


@pytest.mark.parametrize("name", ["hold-out", "folds"])
def test_probabilities_come_true_as_often_as_they_say(name: str) -> None:
    """By those who were held out, whose labels say what it is calibrated to."""
    of = fitted(name)
    scores = scoring.score(of.model, of.statistics, task().runs)
    told = targets(task().runs, SIZES)
    for k in range(len(SIZES.horizons)):
        known = told.known[:, k]
        assert scores.intent[known, k].mean() == pytest.approx(told.bought[known, k].mean(), abs=0.05)


def test_what_is_normal_is_what_the_held_out_do() -> None:
    normal = fitted("hold-out").normal
    assert isinstance(normal, anomaly.NormalTraffic)
    assert fitted("hold-out").normal != fitted("folds").normal


def test_who_never_buys_teaches_that_nobody_does() -> None:
    never = runs_of([(f"u{n}", "view_item", n * MINUTE_MS + at * MINUTE_MS) for n in range(60) for at in range(6)])
    of = fit(Task(never, SIZES, FOLDS))
    assert [note for note in of.story["notes"] if "30m" in note]
    scores = scoring.score(of.model, of.statistics, never)
    assert np.isfinite(scores.intent).all()
    assert scores.intent.max() < 0.1
    assert of.story["calibration"]["30m"] == calibration.Platt()._asdict()


def test_who_always_buys_teaches_that_all_do() -> None:
    always = runs_of(
        sorted(
            [(f"u{n}", "view_item", n * MINUTE_MS) for n in range(200)]
            + [(f"u{n}", "purchase", n * MINUTE_MS + 1_000) for n in range(200)],
            key=lambda event: event[2],
        ),
    )
    of = fit(Task(always, SIZES, FOLDS))
    scores = scoring.score(of.model, of.statistics, always)
    assert np.isfinite(scores.intent).all() and np.isfinite(scores.surprise).all()


def test_next_events_alone_can_be_learned_and_nothing_at_all_cannot() -> None:
    alone = fit(task(msgspec.structs.replace(SET, intent_weight=0.0)))
    assert all(costs[0] == 0.0 for costs in alone.story["costs"])
    with pytest.raises(SettingsError, match="expected a weight above 0 of what is to be learned"):
        fit(task(msgspec.structs.replace(SET, intent_weight=0.0, next_event_weight=0.0)))


def test_too_few_users_are_counted_in_words() -> None:
    lonely = runs_of([("u", "view_item", 0), ("u", "purchase", MINUTE_MS)])
    with pytest.raises(SettingsError, match="got 1 users with 2 events in all, and 2 to be judged by"):
        fit(Task(lonely, SIZES, FOLDS))
    few = runs_of([(f"u{n}", "view_item", n * MINUTE_MS) for n in range(15)])
    with pytest.raises(SettingsError, match=r"20 normal events or more .* got 15 users with 15 events in all"):
        fit(Task(few, SIZES, FOLDS))


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (UNKNOWN, "expected labels of fraud, in a column that --map names or by --labels, got none"),
        (NO, "expected labels that are known by now .*, got 0 of fraud and "),
    ],
)
def test_a_fraud_head_without_labels_of_both_kinds_is_refused(told: int, words: str) -> None:
    runs = dataclasses.replace(simulated(), fraud=np.full(len(simulated()), told, np.int8))
    with pytest.raises(SettingsError, match=f"--fraud: {words}"):
        fit(dataclasses.replace(task(SET, sizes=Sizes(hidden=4, fraud=True)), runs=runs))


def test_labels_that_are_known_too_late_are_refused_with_the_delay() -> None:
    of = simulated(users=100, days=4, honest=False)
    with pytest.raises(SettingsError, match="label-delay"):
        late = task(SET, sizes=Sizes(hidden=4, fraud=True), fraud_delay_ms=30 * DAY_MS)
        fit(dataclasses.replace(late, runs=of))


def test_a_model_that_diverges_is_told_so_and_not_taken_for_the_best() -> None:
    with pytest.raises(SettingsError, match="is no number any more; the learning rate, 1e\\+30, is too large"):
        fit(task(msgspec.structs.replace(FOLDS, learning_rate=1e30)))


def test_states_without_a_word_of_whose_they_are_are_not_gone_on_from(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        fit(task(msgspec.structs.replace(SET, seed=6)), Interrupted(tmp_path, 1))
    (tmp_path / "run.json").unlink()
    assert said(fit(task(SET), Folder(tmp_path))) == said(fitted("epochs that are set"))


def test_a_run_of_which_a_part_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoppedError):
        fit(task(SET), Interrupted(tmp_path, 4))
    for file in tmp_path.glob("*.safetensors"):
        file.unlink()
    with pytest.raises(SettingsError, match="of which a part is missing; begin --anew"):
        fit(task(SET), Folder(tmp_path))


def test_heads_are_gone_on_with_by_their_horizon_not_by_their_place() -> None:
    start = Start(small_model(), STATISTICS)  # 30m, 24h, session
    sizes = msgspec.structs.replace(start.model.sizes, horizons_secs=(86_400, 60))
    of = task(SET, sizes=sizes, start=start)
    begun = of.trainer(of.material(np.ones(len(of.runs.counts), np.bool_))).model
    names = [name for name in begun.state_dict() if name.startswith("intent")]
    assert begun.sizes.horizons == ("24h", "1m", "session")
    for name in names:
        was, now = start.model.state_dict()[name], begun.state_dict()[name]
        assert now[0].tolist() == was[1].tolist() and now[2].tolist() == was[2].tolist()
        assert name.endswith("bias") or not now[1].any()


def test_a_head_that_has_learned_nothing_begins_with_the_rate_of_these_events() -> None:
    start = Start(small_model(), STATISTICS)
    with torch.no_grad():
        start.model.intent.weight.zero_()
        start.model.intent_direct.weight.zero_()
        start.model.intent.bias.fill_(-9.0)
    of = task(SET, sizes=start.model.sizes, start=start)
    begun = of.trainer(of.material(np.ones(len(of.runs.counts), np.bool_))).model
    assert begun.intent.bias.min() > -6


def test_of_few_events_it_is_said_that_an_anomaly_means_little() -> None:
    few = runs_of([(f"u{n}", "view_item", n * MINUTE_MS) for n in range(100)])
    of = fit(Task(few, SIZES, SET))
    (note,) = [note for note in of.story["notes"] if "what is normal is told by" in note]
    assert note.endswith("events alone: an anomaly by this model means little")
    assert not any("what is normal" in note for note in fitted("folds").story["notes"])
