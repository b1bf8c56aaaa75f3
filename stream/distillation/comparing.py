"""What a smaller model costs and gains beside the one that taught it, on users of whom it learned nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice

import msgspec
import torch

from stream import rows
from stream.core_speed import Speed, run_core, simulated_polls, this_machine
from stream.evaluation import heads
from stream.features import Statistics
from stream.model import BehaviourModel, Cell
from stream.model_file import LoadedModel
from stream.settings import Settings
from stream.training import scoring
from stream.training.runs import Runs
from stream.training.targets import Targets

_SPEED_USERS = 5_000
_SPEED_SEED, _SPEED_START_MS = 1, 1_767_225_600_000
_TURNS = 3


class Figures(msgspec.Struct, frozen=True):
    """Of one horizon, on users who are held out."""

    rows: int
    auc: float
    log_loss: float
    ece: float


class Quality(msgspec.Struct, frozen=True):
    """How good a model is on users who are held out."""

    horizons: dict[str, Figures]  # NaN where what came is all of one class
    surprise_nats: float  # of what came next


class Size(msgspec.Struct, frozen=True):
    """How large a model is."""

    hidden: int
    layers: int
    cell: Cell
    weights_bytes: int
    row_bytes: int  # of a user's row, in memory, on disk and in the changelog


class Pace(msgspec.Struct, frozen=True):
    """How fast the core is with a model, without Kafka, in one thread."""

    events_per_second: float  # all of its turns together
    turns: list[float]
    lstm_us: float  # of an event, in the network alone


class Side(msgspec.Struct, frozen=True):
    """One of the two."""

    name: str
    hash: str
    quality: Quality
    size: Size
    pace: Pace


class Comparison(msgspec.Struct, frozen=True):
    """What `distill --json` prints."""

    teacher: Side
    student: Side
    users: int  # held out
    events: int  # of these
    speed_ratio: float  # student over teacher
    machine: str
    notes: list[str]


def quality(
    model: BehaviourModel, statistics: Statistics, held: Runs, targets: Targets, device: torch.device
) -> Quality:
    """Of the users of some runs, each from no carry at all."""
    scores = scoring.score(model, statistics, held, device=device)
    found = heads.of_horizons(scores, held, targets)
    horizons = {name: Figures(*figures) for name, figures in zip(model.sizes.horizons, found, strict=True)}
    return Quality(horizons, float(heads.surprise(scores, targets).mean()))


def paces(
    models: Sequence[LoadedModel], settings: Settings, events: int, told: Callable[[int, float], None]
) -> list[Pace]:
    """Of so many events each, in turns, A B A B, so that a machine that changes its speed changes it for all.

    `told` is called with how many events are scored, and their share of all.
    """
    polls = simulated_polls(settings, seed=_SPEED_SEED, users=_SPEED_USERS, start_ms=_SPEED_START_MS, events=events)
    threads = torch.get_num_threads()
    torch.set_num_threads(settings.torch_threads)
    try:
        for model in models:  # what is done once is not measured
            run_core(settings, model, list(islice(polls, 1)))
        speeds: list[list[Speed]] = [[] for _ in models]
        for turn in range(_TURNS):
            for place, model in enumerate(models):
                speeds[place].append(run_core(settings, model, polls))
                turns = turn * len(models) + place + 1
                told(turns * events, turns / (_TURNS * len(models)))
    finally:
        torch.set_num_threads(threads)
    return [_pace(of) for of in speeds]


def compare(
    models: Sequence[LoadedModel], qualities: Sequence[Quality], paces: Sequence[Pace], held: Runs, notes: list[str]
) -> Comparison:
    """Teacher and student, in this order."""
    teacher, student = (
        Side(of.name, of.hash, quality, _size(of.model), pace)
        for of, quality, pace in zip(models, qualities, paces, strict=True)
    )
    return Comparison(
        teacher=teacher,
        student=student,
        users=len(held.counts),
        events=len(held),
        speed_ratio=round(student.pace.events_per_second / teacher.pace.events_per_second, 3),
        machine=f"{this_machine()}, torch {torch.__version__}, one thread",
        notes=notes,
    )


def _size(model: BehaviourModel) -> Size:
    of = model.sizes
    row = rows.row_dtype(rows.Sizes(Settings().sequence_events, of.parts, of.layers, of.hidden))
    weights = sum(4 * weight.numel() for weight in model.state_dict().values())
    return Size(of.hidden, of.layers, of.cell, weights, row.itemsize)


def _pace(speeds: Sequence[Speed]) -> Pace:
    secs = sum(1 / speed.events_per_second for speed in speeds) / len(speeds)
    lstm_us = sum(speed.lstm_us for speed in speeds) / len(speeds)
    return Pace(round(1 / secs, 1), [round(speed.events_per_second, 1) for speed in speeds], round(lstm_us, 3))
