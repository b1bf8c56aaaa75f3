"""A teacher's opinion of every event, and the loss of a student who hears it beside the labels.

The teacher goes through the events once, beforehand; what is kept is its output after each, from which its heads say
the rest. So an epoch costs the student little more than labels would, and an interrupted one goes on as it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, kl_div, log_softmax

from stream.features import NOTHING, Statistics
from stream.model import BehaviourModel
from stream.model_file import LoadedModel
from stream.sequences import Ints
from stream.training.lessons import Lesson, Plan, lessons
from stream.training.loss import Loss, Said, cost, say, weighted
from stream.training.recipe import Recipe
from stream.training.runs import MEMORY_BYTES, Runs
from stream.training.targets import Targets
from stream.training.user_blocks import temporary_file, write

# Half precision keeps three digits of an output, which is more than a student comes near to.
Outputs = NDArray[np.float16]

_LANES, _STEPS = 1024, 64
_ZEROS = 1 << 16  # events


@dataclass(frozen=True, slots=True)
class Lecture:
    """How much of what a student learns is the teacher's opinion, and how it is put."""

    label_share: float  # of the loss; the rest is the teacher's opinion
    temperature: float  # above 1 it speaks more of what is unlikely


class Taught:
    """A teacher that has gone through the events of some runs; what `fit` takes as a teacher."""

    def __init__(self, teacher: LoadedModel, device: torch.device, of: Runs, outputs: Outputs, how: Lecture) -> None:
        self.statistics: Statistics = teacher.card.statistics
        self.told: dict[str, Any] = {
            "model": teacher.name,
            "hash": teacher.hash,
            "hidden": teacher.card.sizes.hidden,
            "label_share": how.label_share,
            "temperature": how.temperature,
        }
        self._model, self._outputs, self._how = teacher.model.to(device), outputs, how
        self._user, self._start = of.user, np.cumsum(of.counts) - of.counts

    @classmethod
    def of(
        cls,
        teacher: LoadedModel,
        of: Runs,
        how: Lecture,
        *,
        device: torch.device,
        folder: Path | None = None,
        told: Callable[[int], None] = lambda events: None,
    ) -> Self:
        """`told` is called with how many events it has gone through."""
        return cls(teacher, device, of, _outputs(teacher, of, device, folder, told), how)

    def loss(self, of: Runs) -> Loss:
        """For the lessons of some of the users, with all of their events."""
        by_user = np.argsort(self._user, kind="stable")
        place = by_user[np.searchsorted(self._user, of.user, sorter=by_user)]
        begins = np.cumsum(of.counts) - of.counts
        shift = self._start[place] - begins

        def loss(
            model: BehaviourModel, lesson: Lesson, targets: Targets, carry: Tensor, recipe: Recipe
        ) -> tuple[Tensor, Tensor]:
            said = say(model, lesson, carry)
            user = np.searchsorted(begins, lesson.events, side="right") - 1
            opinion = self._opinion(lesson, shift[user] + lesson.events, lesson.events == begins[user])
            by_labels = cost(model, said, lesson, targets, recipe)
            by_teacher = weighted(*self._unlikeness(model, said, opinion, lesson, targets), recipe)
            share = self._how.label_share
            return share * by_labels + (1 - share) * by_teacher, said.carry

        return loss

    @torch.no_grad()
    def _opinion(self, lesson: Lesson, event: Ints, first: NDArray[np.bool_]) -> Said:
        """What the teacher says in a lesson, by the places [n] of its events in the runs that it went through."""
        model = self._model
        device = model.next_event.weight.device
        out = torch.from_numpy(self._outputs[event].astype(np.float32)).to(device)
        before = self._outputs[np.maximum(event - 1, 0)].astype(np.float32)
        before[first] = 0.0  # nothing is carried yet
        x = model.embed(*(torch.from_numpy(column).to(device) for column in lesson.seen.features))
        classes = torch.from_numpy(lesson.seen.classes).to(device)
        return Said(torch.from_numpy(before).to(device), classes, model.heads(out, x), torch.empty(0, device=device))

    def _unlikeness(
        self, model: BehaviourModel, said: Said, opinion: Said, lesson: Lesson, targets: Targets
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Of each of `loss.PARTS`, what was said beside what the teacher says, where no label is known too."""
        device, events = said.before.device, lesson.events
        weight = torch.ones_like(said.heads.intent)
        if targets.session_weight is not None:
            weight[:, -1] = torch.from_numpy(targets.session_weight[events]).to(device)
        intent = self._unlike(said.heads.intent, opinion.heads.intent, weight)
        normal = torch.ones(len(events), device=device)
        if targets.normal is not None:
            normal = torch.from_numpy(targets.normal[events]).to(device).float()
        nats = torch.zeros((), device=device)
        logits = (of.next_logits(each.before, said.classes) for of, each in ((model, said), (self._model, opinion)))
        pairs = zip(*logits, said.classes.T, strict=True)
        for student, teacher, came in pairs:
            nats = nats + self._divergence(student, teacher, normal * (came != NOTHING))
        fraud = torch.zeros((), device=device)
        if said.heads.fraud is not None and opinion.heads.fraud is not None:
            fraud = self._unlike(said.heads.fraud, opinion.heads.fraud, torch.ones_like(said.heads.fraud))
        return intent, nats, fraud

    def _unlike(self, student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
        """Cross-entropy of probabilities. Its gradient fades with the temperature squared, which is made up for."""
        warm = self._how.temperature
        p = torch.sigmoid(teacher / warm)
        return warm**2 * binary_cross_entropy_with_logits(student / warm, p, weight, reduction="sum")

    def _divergence(self, student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
        """Kullback-Leibler's, of distributions [n, classes]; weight [n]."""
        warm = self._how.temperature
        logs = log_softmax(student / warm, dim=1), log_softmax(teacher / warm, dim=1)
        nats = kl_div(*logs, reduction="none", log_target=True).sum(dim=1)
        return warm**2 * (weight * nats).sum()


@torch.inference_mode()
def _outputs(
    teacher: LoadedModel, of: Runs, device: torch.device, folder: Path | None, told: Callable[[int], None]
) -> Outputs:
    """[N, H] the output after each event, every user from no carry at all."""
    model, sizes = teacher.model.to(device).eval(), teacher.card.sizes
    outputs = _room(len(of), sizes.hidden, folder)
    carry = torch.zeros(_LANES, sizes.parts, sizes.layers, sizes.hidden, device=device)
    done = 0
    plan = Plan(np.arange(len(of.counts)), _LANES, _STEPS)
    for packing, events, fresh, seen in lessons(of, plan, teacher.card.statistics):
        carry[torch.from_numpy(fresh).to(device)] = 0.0
        users = torch.from_numpy(packing.users).to(device)
        x = model.embed(*(torch.from_numpy(column).to(device) for column in seen.features))
        out, carry[users] = model.advance(x, torch.from_numpy(packing.batch_sizes), carry[users])
        outputs[events] = out.half().cpu().numpy()
        done += len(events)
        told(done)
    return outputs


def _room(events: int, hidden: int, folder: Path | None) -> Outputs:
    """In memory where that is small, else in a file without a name."""
    if 2 * events * hidden <= MEMORY_BYTES:
        return np.empty((events, hidden), np.float16)
    with temporary_file(folder) as file:
        for first in range(0, events, _ZEROS):  # a mapped file for which there is no room would end the process
            write(file, np.zeros((min(_ZEROS, events - first), hidden), np.float16), folder)
        file.flush()
        return np.memmap(file, np.float16, mode="r+", shape=(events, hidden))
