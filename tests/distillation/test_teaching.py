"""What a student hears of its teacher: the opinion that the teacher's own scores show, of the very events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch

from stream.distillation.teaching import Lecture, Taught
from stream.errors import SettingsError
from stream.model import BehaviourModel, Sizes
from stream.model_file import LoadedModel
from stream.simulator import scenario
from stream.simulator.simulate import simulate
from stream.training import scoring
from stream.training.fit import fit
from stream.training.keeping import Folder
from stream.training.lessons import Plan, lessons
from stream.training.loss import Loss
from stream.training.loss import loss as loss_of_labels
from stream.training.recipe import Recipe
from stream.training.runs import Bools, Runs
from stream.training.targets import targets
from stream.training.task import Task
from tests.models import model_in
from tests.shop import CPU
from tests.training.interrupted import Interrupted, StoppedError
from tests.training.shops import DAY_MS, START_MS, gathered

ONLY_TEACHER = Lecture(label_share=0.0, temperature=1.0)
RECIPE = Recipe(intent_weight=1.0, next_event_weight=1.0, lanes=8, steps=16, updates=1, epochs=1)


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return model_in(tmp_path_factory.mktemp("teacher"), hidden=12)


@pytest.fixture(scope="module")
def runs() -> Runs:
    shop = scenario.honest_and_orderly(scenario.load())
    return gathered(simulate(shop, seed=4, users=60, start_ms=START_MS, end_ms=START_MS + 5 * DAY_MS)).runs


def taught(teacher: LoadedModel, runs: Runs, how: Lecture = ONLY_TEACHER) -> Taught:
    return Taught.of(teacher, runs, how, device=CPU)


def smaller(teacher: LoadedModel) -> Sizes:
    return msgspec.structs.replace(teacher.card.sizes, hidden=6)


def quick(epochs: int) -> Recipe:
    return Recipe(epochs=epochs, lanes=8, steps=16, updates=20, learning_rate=0.01, average=0.9,
                  validation_share=0.4)  # fmt: skip


@torch.no_grad()
def costs(loss: Loss, model: BehaviourModel, teacher: LoadedModel, of: Runs) -> list[float]:
    """The sums over all events of some runs, in lessons as training has them."""
    sizes = model.sizes
    carry = torch.zeros(8, sizes.parts, sizes.layers, sizes.hidden)
    told, total = targets(of, sizes), torch.zeros(3)
    plan = Plan(np.random.default_rng(1).permutation(len(of.counts)), 8, 16)
    for lesson in lessons(of, plan, teacher.card.statistics):
        carry[torch.from_numpy(lesson.fresh)] = 0.0
        users = torch.from_numpy(lesson.packing.users)
        cost, carry[users] = loss(model, lesson, told, carry[users], RECIPE)
        total += cost
    return total.tolist()


def some(runs: Runs) -> Bools:
    return np.asarray(np.arange(len(runs.counts)) % 3 != 1)


@pytest.mark.parametrize("which", ["all users", "some of them"])
def test_a_student_that_says_what_its_teacher_says_is_told_nothing_new(
    teacher: LoadedModel, runs: Runs, which: str
) -> None:
    of = runs if which == "all users" else runs.of_users(some(runs))
    intent, next_event, fraud = costs(taught(teacher, runs).loss(of), teacher.model, teacher, of)
    # What is left of a cross-entropy is the entropy of what the teacher itself says of these events
    p = scoring.score(teacher.model, teacher.card.statistics, of).intent.astype(np.float64)
    entropy = -(p * np.log(p) + (1 - p) * np.log1p(-p))
    weight = targets(of, teacher.card.sizes).session_weight
    assert weight is not None
    entropy[:, -1] *= weight
    assert intent == pytest.approx(entropy.sum(), rel=1e-3)
    assert next_event == pytest.approx(0.0, abs=1e-4 * len(of))
    assert fraud == 0.0


def test_a_student_that_says_something_else_is_told_so(teacher: LoadedModel, runs: Runs, tmp_path: Path) -> None:
    other = model_in(tmp_path, seed=5, hidden=6).model
    same = costs(taught(teacher, runs).loss(runs), teacher.model, teacher, runs)
    unlike = costs(taught(teacher, runs).loss(runs), other, teacher, runs)
    assert unlike[0] > same[0] + 0.01 * len(runs)
    assert unlike[1] > same[1] + 0.1 * len(runs)


def test_the_share_of_the_labels_is_what_it_says(teacher: LoadedModel, runs: Runs, tmp_path: Path) -> None:
    student = model_in(tmp_path, seed=5, hidden=6).model

    def by(share: float) -> np.ndarray[Any, Any]:
        return np.array(costs(taught(teacher, runs, Lecture(share, 1.0)).loss(runs), student, teacher, runs))

    labels = np.array(costs(loss_of_labels, student, teacher, runs))
    np.testing.assert_allclose(by(1.0), labels, rtol=1e-5)
    np.testing.assert_allclose(by(0.3), 0.3 * labels + 0.7 * by(0.0), rtol=1e-5)


def test_a_temperature_softens_without_making_the_lesson_weigh_less(
    teacher: LoadedModel, runs: Runs, tmp_path: Path
) -> None:
    """At a high temperature the divergence goes to a squared difference of logits, whatever the temperature."""
    student = model_in(tmp_path, seed=5, hidden=6).model
    nats = [costs(taught(teacher, runs, Lecture(0.0, t)).loss(runs), student, teacher, runs)[1] for t in (50, 100)]
    assert nats[0] == pytest.approx(nats[1], rel=0.05)


def test_a_teacher_that_goes_through_more_than_fits_in_memory_says_the_same(
    teacher: LoadedModel, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = costs(taught(teacher, runs).loss(runs), teacher.model, teacher, runs)
    monkeypatch.setattr("stream.distillation.teaching.MEMORY_BYTES", 0)
    in_a_file = Taught.of(teacher, runs, ONLY_TEACHER, device=CPU, folder=tmp_path)
    assert costs(in_a_file.loss(runs), teacher.model, teacher, runs) == in_memory
    assert not list(tmp_path.iterdir())  # the file has no name


def apart(one: BehaviourModel, teacher: LoadedModel, of: Runs) -> float:
    """How far two models are from each other in what they say of purchases."""
    a, b = (scoring.score(model, teacher.card.statistics, of).intent for model in (one, teacher.model))
    return float(np.abs(a - b).mean())


def test_a_student_who_hears_only_its_teacher_comes_to_say_what_it_says(teacher: LoadedModel, runs: Runs) -> None:
    task = Task(runs, smaller(teacher), quick(3), teacher=taught(teacher, runs))
    trainer = task.trainer(material := task.material(np.ones(len(runs.counts), bool)))
    assert material.statistics == teacher.card.statistics
    before = apart(trainer.averaged(), teacher, runs)
    for _ in range(3):
        trainer.run_epoch(material)
    assert apart(trainer.averaged(), teacher, runs) < 0.5 * before


def test_an_interrupted_student_goes_on_as_if_nothing_had_been(
    teacher: LoadedModel, runs: Runs, tmp_path: Path
) -> None:
    recipe = quick(2)

    def task(how: Lecture = ONLY_TEACHER) -> Task:
        return Task(runs, smaller(teacher), recipe, teacher=taught(teacher, runs, how))

    whole = fit(task())
    with pytest.raises(StoppedError):
        fit(task(), Interrupted(tmp_path / "run", 1))
    rest = fit(task(), Folder(tmp_path / "run"))
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(weight, rest.model.state_dict()[name]), name

    with pytest.raises(SettingsError, match="an interrupted run is kept, of other teacher "):
        fit(task(Lecture(0.9, 1.0)), Folder(tmp_path / "run"))
