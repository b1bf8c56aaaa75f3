"""The purchase intent that a service published, put beside the events of runs: what subscribers keep is judged.

An event is known by its user and its id; one whose id comes several times, by the order in which it was applied.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from xxhash import xxh3_64_intdigest

from stream.encode import PurchaseIntent
from stream.errors import SettingsError
from stream.events import Record
from stream.model_file import LoadedModel
from stream.parity.reading import Progress, frames, stretch
from stream.sequences import Ints
from stream.settings import Settings
from stream.training.runs import Runs

Doubles = NDArray[np.float64]
_KEY = np.dtype([("user", "u8"), ("event", "u8"), ("nth", "i8")])
_decode = msgspec.json.Decoder(PurchaseIntent).decode


class _Score(NamedTuple):
    user: int
    event: int
    events_seen: int
    intent: tuple[float, ...]


@dataclass(slots=True)
class Intents:
    """Records of the topic, as they come: the first of each score's id counts, which subscribers are told to keep."""

    model: LoadedModel  # whose scores are wanted
    others: int = 0  # records by another model, or that are no scores
    _scores: dict[str, _Score] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self._scores)

    def add(self, records: Sequence[Record]) -> None:
        """Records of one topic partition, in their order."""
        horizons = self.model.card.sizes.horizons
        for record in records:
            try:
                score = _decode(record.value or b"")
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.others += 1
                continue
            if score.model_hash != self.model.hash or score.purchase_intent.keys() != set(horizons):
                self.others += 1
                continue
            if score.id in self._scores:
                continue
            self._scores[score.id] = _Score(
                xxh3_64_intdigest(score.user_id.encode()),
                xxh3_64_intdigest(score.event_id.encode()),
                score.events_seen,
                tuple(score.purchase_intent[horizon] for horizon in horizons),
            )

    def of(self, runs: Runs) -> Doubles:
        """[N, K] of the events of runs of one shop, NaN where nothing was published.

        Raises SettingsError where nothing was published of any.
        """
        scores = sorted(self._scores.values(), key=lambda score: (score.user, score.event, score.events_seen))
        keys = np.zeros(len(scores), _KEY)
        for name in ("user", "event"):
            keys[name] = np.array([getattr(score, name) for score in scores], np.uint64)
        keys["nth"] = _nth(keys)
        wanted = np.zeros(len(runs), _KEY)
        wanted["user"], wanted["event"] = runs.user[runs.owner], runs.raw["event_hash"]
        by_id = np.argsort(wanted, order=("user", "event"), kind="stable")  # applied first, first
        nth = np.empty(len(runs), np.int64)
        nth[by_id] = _nth(wanted[by_id])
        wanted["nth"] = nth
        _, at, place = np.intersect1d(wanted, keys, assume_unique=True, return_indices=True)
        if not len(at):
            raise SettingsError(
                f"--published: expected scores of model {self.model.name}, hash {self.model.hash}, got none of "
                f"{len(runs):,} events; {self.others:,} records are by another model, or no scores"
            )
        found = np.full((len(runs), len(self.model.card.sizes.horizons)), np.nan)
        found[at] = np.array([score.intent for score in scores])[place]
        return found


async def read(settings: Settings, model: LoadedModel, progress: Progress) -> Intents:
    """All of the topic as it is now."""
    found = Intents(model)
    async with stretch(settings.bootstrap_servers, [settings.purchase_intent_topic], None, None) as scores:
        async for frame in frames(scores, "scores", progress):
            found.add(frame.records)
    return found


def _nth(keys: NDArray[np.void]) -> Ints:
    """[M] of sorted keys the how manieth of the same user and event each is."""
    same = np.zeros(len(keys), np.bool_)
    same[1:] = (keys["user"][1:] == keys["user"][:-1]) & (keys["event"][1:] == keys["event"][:-1])
    place = np.arange(len(keys))
    return place - np.maximum.accumulate(np.where(same, 0, place))
