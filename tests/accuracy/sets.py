"""The data sets, and what is learned from and judged on of each: fixed before the first result.

Each is read by the code that `train` reads with, and none has a setting of its own but its horizon, which is a question
and no answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stream.evaluation.assembly import Part
from stream.replay import load_map
from stream.training import splits
from stream.training.file_source import FileShop
from stream.training.gathering import gather
from stream.training.runs import Bools, Runs

FOLDER = Path(__file__).parents[3] / "shared" / "data"

_HOUR_S, _DAY_MS = 3600, 86_400_000
_CARDS_MAP = """
name = "cards"
every_event = "purchase"
time_zone = "UTC"
[columns]
user_id = "customer"
event_time = "ts"
transaction_id = "transaction_id"
item_id = "terminal"
value = "amount"
[labels]
fraud = "fraud"
"""


@dataclass(frozen=True, slots=True)
class Round:
    """What one model learns from, and what it is judged on."""

    training: Runs
    part: Part


@dataclass(frozen=True, slots=True)
class IntentSet:
    """Who buys within a horizon."""

    runs: Runs
    horizon_secs: int
    rounds: list[Round]


def jdata() -> IntentSet:
    """The same user buys within 6 hours: learned from the first two thirds of the time, judged on the rest."""
    runs = gather([FileShop([FOLDER / "jdata_2018_03.parquet"])]).runs
    time_ms = runs.raw["time_ms"]
    split_ms = int(time_ms.min() + (time_ms.max() - time_ms.min()) * 2 / 3)
    return IntentSet(runs, 6 * _HOUR_S, [Round(runs.before(split_ms), Part(since_ms=split_ms))])


def jd() -> IntentSet:
    """An order within 10 minutes, by 4-fold cross-validation over sessions, which are its users."""
    runs = gather([FileShop([FOLDER / "jd_appliances.parquet"])]).runs
    fold = splits.folds(runs.user, 4)
    rounds = [Round(runs.of_users(fold != k), Part(users=np.asarray(fold == k))) for k in range(4)]
    return IntentSet(runs, 600, rounds)


@dataclass(frozen=True, slots=True)
class Cards:
    """Payments: five weeks to learn from, a week until their labels are known, a week to be judged on."""

    runs: Runs
    training: Runs
    judged: Bools  # [N]


def cards(folder: Path) -> Cards:
    """The Fraud Detection Handbook's week to be judged on, and no label before it is known there.

    What is seen of a customer is their own history; the first payments of the recording are that and nothing else.
    """
    shop_map = folder / "cards.toml"
    shop_map.write_text(_CARDS_MAP)
    shop = FileShop([FOLDER / "cards_simulated_2018_04_08.parquet"], shop_map=load_map(shop_map))
    runs = gather([shop]).runs
    test_ms = 1_533_686_400_000  # 2018-08-08
    known_ms = test_ms - 7 * _DAY_MS
    time_ms = runs.raw["time_ms"]
    judged = (time_ms >= test_ms) & (time_ms < test_ms + 7 * _DAY_MS)
    recent = runs.select((time_ms >= known_ms - 35 * _DAY_MS) & (time_ms < known_ms))
    return Cards(runs, recent, judged)


def intent(name: str) -> IntentSet:
    """By name."""
    return {"jdata": jdata, "jd": jd}[name]()
