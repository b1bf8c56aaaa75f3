"""What the service published: records of the two score topics -> columns, of each id the last record."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.encode import AnomalyScore, PurchaseIntent
from stream.errors import SettingsError
from stream.events import Record
from stream.features import PARTS
from stream.model_file import LoadedModel
from stream.parity import places
from stream.sequences import Ints

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]

# The two topics: what their records are, and what these say.
INTENT, ANOMALY = 0, 1
_DECODERS = (msgspec.json.Decoder(PurchaseIntent).decode, msgspec.json.Decoder(AnomalyScore).decode)


class Published(NamedTuple):
    """N events with their scores, in the order of their places."""

    place: Ints  # [N] ascending
    events_seen: Ints  # [N] 1 or more
    rebuilt: Bools  # [N] the carry was first made of the rolling sequence
    figures: Mapping[str, Doubles]  # [N] of each, by its name; NaN: there was none


def figure_names(which: int, horizons: Sequence[str]) -> tuple[str, ...]:
    """What a topic's records say."""
    if which == INTENT:
        return tuple(f"purchase_intent.{horizon}" for horizon in horizons)
    return "anomaly", "strain", "surprise", *(f"surprise_parts.{part}" for part in PARTS), "fraud"


@dataclass(slots=True)
class Collected:
    """The records of a score topic, as they come. About 0.2 kB each."""

    which: int
    sources: Mapping[str, int]  # a source topic's name -> its source
    model: LoadedModel  # whose scores are wanted
    other_models: Counter[str] = field(default_factory=Counter)  # hash -> records
    unreadable: int = 0
    why: str = ""  # of the first of these
    repeated: int = 0  # known once all are there, like the next
    former: int = 0  # scores of events of a topic that was made anew since
    _columns: list[Doubles] = field(default_factory=list)
    _places: list[Ints] = field(default_factory=list)
    _generations: list[Ints] = field(default_factory=list)  # of their topics

    def add(self, records: Sequence[Record], where: str) -> None:
        """Records of a topic partition, in their order; `where` names it."""
        found, rows = [], []
        for record in records:
            try:
                score: PurchaseIntent | AnomalyScore = _DECODERS[self.which](record.value or b"")
                *place, generation = self._place(score.id)
            except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
                self.unreadable += 1
                self.why = self.why or f"{where}@{record.offset}: {error}"
                continue
            if score.model_hash != self.model.hash:
                self.other_models[score.model_hash] += 1
                continue
            found.append((*place, generation))
            rows.append((score.events_seen, score.carry_rebuilt, *self._numbers(score, f"{where}@{record.offset}")))
        if rows:
            *place_of, generations = np.array(found, np.int64).T
            self._places.append(places.number(*place_of))
            self._generations.append(generations)
            self._columns.append(np.array(rows, np.float64))

    def published(self) -> Published:
        """The last of each id. The records of an id lie in one partition, in the order in which they were sent.

        Of topics that were deleted and made anew, the events of former ones are gone: so are their scores here.
        """
        names = figure_names(self.which, self.model.card.sizes.horizons)
        place = np.concatenate([np.empty(0, np.int64), *self._places])
        rows = np.concatenate([np.empty((0, 2 + len(names))), *self._columns])
        generation = np.concatenate([np.empty(0, np.int64), *self._generations])
        _, of_topic = np.unique(places.source_partition(place), return_inverse=True)
        latest = np.zeros(of_topic.max(initial=-1) + 1, np.int64)
        np.maximum.at(latest, of_topic, generation)
        there = generation == latest[of_topic]
        self.former = int(np.count_nonzero(~there))
        place, rows = place[there], rows[there]
        place, last = np.unique(place[::-1], return_index=True)
        self.repeated = len(rows) - len(last)
        seen, rebuilt, *figures = rows[::-1][last].T
        return Published(place, seen.astype(np.int64), rebuilt != 0, dict(zip(names, figures, strict=True)))

    def _place(self, score_id: str) -> tuple[int, int, int, int]:
        """Of the event; and the generation of its topic."""
        topic, partition, offset, _ = score_id.rsplit("-", 3)
        topic, _, generation = topic.partition("~")
        if topic not in self.sources:
            raise ValueError(f"expected an id that begins with {' or '.join(self.sources)}, got {score_id!r}")
        return self.sources[topic], int(partition), int(offset), int(generation or 0)

    def _numbers(self, score: PurchaseIntent | AnomalyScore, where: str) -> tuple[float, ...]:
        if isinstance(score, AnomalyScore):
            parts = (getattr(score.surprise_parts, part) for part in PARTS)
            fraud = score.fraud if isinstance(score.fraud, float) else float("nan")
            return score.anomaly, score.strain, score.surprise, *parts, fraud
        horizons = self.model.card.sizes.horizons
        if score.purchase_intent.keys() != set(horizons):
            raise SettingsError(
                f"{where}: expected the horizons {', '.join(horizons)} of model {self.model.name}, got "
                f"{', '.join(score.purchase_intent)}"
            )
        return tuple(score.purchase_intent[horizon] for horizon in horizons)


def together(intent: Published, anomaly: Published) -> tuple[Published, int]:
    """(events of which both scores are of the same application, how many have one whose other is not there).

    A crash between the two records leaves a pair that does not belong together, until a replay sends both again.
    """
    _, one, other = np.intersect1d(intent.place, anomaly.place, assume_unique=True, return_indices=True)
    same = intent.events_seen[one] == anomaly.events_seen[other]
    one, other = one[same], other[same]
    figures = {name: column[one] for name, column in intent.figures.items()}
    figures |= {name: column[other] for name, column in anomaly.figures.items()}
    single = len(np.union1d(intent.place, anomaly.place)) - len(one)
    rebuilt = intent.rebuilt[one] | anomaly.rebuilt[other]
    return Published(intent.place[one], intent.events_seen[one], rebuilt, figures), single
