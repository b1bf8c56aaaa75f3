"""Takes up an announced model: at a point of each partition that is in the log before anything is scored by it.

    announced -> take nothing new -> what was deferred is scored -> [rows, offsets, cut] committed -> models exchanged

A partition is scored by the model that its row names, and by no other. So a replay never straddles a cut: what lies
before its offsets is the former model's, wherever a worker was killed, and what lies after them the new one's.

What a former owner may have published and not committed was scored by the model of the row. Up to where its sources
ended when they were taken over, it is scored by that model again, and the cut comes after it: else an event could have
scores of two models.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager

from stream.assembly import Core
from stream.changing.offered import Announced, Offer, Offered
from stream.changing.plan import Plan, plan
from stream.committing import Committing
from stream.cuts import Cut, ModelId
from stream.errors import SettingsError
from stream.intake import Intake
from stream.merge import Source
from stream.metrics import Metrics
from stream.model_file import LoadedModel
from stream.refreshing import Refreshing
from stream.rows import PartitionRow
from stream.stages import on_thread

logger = logging.getLogger(__name__)

# How often it is looked whether what has to be scored first is scored: where nothing else is, and where all goes on.
_LOOK_SECS, _SELDOM_SECS = 0.02, 0.2
# A row names a version that the topic does not have. So long it is believed to be about to show.
_PATIENCE_SECS = 30.0


class Cutover:
    """By which model each partition is scored."""

    def __init__(
        self,
        *,
        core: Core,
        offered: Offered,
        intake: Intake,
        committing: Committing,
        between_batches: Callable[[], AbstractAsyncContextManager[None]],
        scoring: ThreadPoolExecutor,
        at_end: Callable[[], Collection[Source]],
        opened: Callable[[], None],
        metrics: Metrics,
    ) -> None:
        """Within `between_batches` nothing is scored. `at_end`: the topic partitions that are read to their end;
        `opened` is told when there may be events to score that were held back.
        """
        self._core, self._offered, self._intake, self._committing = core, offered, intake, committing
        self._metrics = metrics
        self.refreshing = Refreshing(
            core, between_batches=between_batches, scoring=scoring, events_wait=intake.holds_any, metrics=metrics
        )
        self._between_batches, self._scoring, self._at_end = between_batches, scoring, at_end
        self._opened = opened
        self._scores_with = offered.latest.id
        self._restored: set[int] | None = None  # what is owned, once its rows are here
        self._ends: dict[Source, int] = {}  # where sources ended that were taken over, until they are read up to there
        self._open: frozenset[int] = frozenset()  # partitions of which events are taken
        self._held_since: float | None = None  # when it was begun to take nothing new
        self._ahead_since: float | None = None
        self._lost: set[ModelId] = set()  # rows name them, and the topic does not have them any more
        self._read = asyncio.Event()  # the whole models topic, once
        self._wake = asyncio.Event()

    def hear(self, announced: Collection[Announced], *, whole: bool) -> None:
        """What the models topic brought. Nothing is decided before all of it, the `whole`, was read once."""
        before = self._offered.latest
        self._offered.hear(announced)
        latest = self._offered.latest
        if latest.id != before.id:
            logger.info(
                "model %s is announced as version %d, for that of version %d: %s",
                latest.model.name, latest.id.version, before.id.version, before.model.name,
            )  # fmt: skip
        if whole:
            self._read.set()
            self._wake.set()

    def begin(self, rows: Mapping[int, PartitionRow | None], ends: Mapping[Source, int]) -> None:
        """These partitions are restored, and nothing of them is scored yet; `ends`: of their sources, as of now."""
        self._committing.cuts = {p: row.cuts for p, row in rows.items() if row is not None}
        self._restored = self._committing.partitions
        self._ends, self._ahead_since, self._held_since = dict(ends), None, None
        self._open = frozenset(p for p, model in self._at().items() if model == self._scores_with)
        self._intake.hold_back(rows.keys() - self._open)
        self._core.mark_carries(self._marks(self._scores_with))
        self._metrics.show_models(self._cuts())
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled; a step that was begun is finished."""
        await self._read.wait()
        while True:
            self._wake.clear()
            if await asyncio.shield(self._step()):
                await self._wake.wait()
            else:
                await asyncio.sleep(_SELDOM_SECS if self._held_since is None else _LOOK_SECS)

    async def _step(self) -> bool:
        """As far as can be done now -> whether it is all: every partition has the latest model."""
        while True:
            async with self._between_batches():
                if self._restored is not self._committing.partitions:
                    return True  # of what is owned, nothing is known yet
                target, owned = self._offered.latest, self._restored
                planned = self._plan(target.id)
                if not planned.cut and planned.model == self._scores_with:
                    self._take_of(planned.open, owned)
                    return self._is_done(planned, target.id)
                if not (self._open and planned.cut):
                    self._intake.hold_back(owned)
                    self._held_since = self._held_since or time.monotonic()
                    if self._intake.deferred:
                        return False
                    if not planned.cut:
                        await self._exchange(planned.model, target)
                        continue
            if self._open:  # so that little is left to commit once nothing is scored
                self.refreshing.pause()
                await self._committing.checkpoint()
                self._open = frozenset()
            elif not await self._cut(planned.cut, target, owned):
                return False

    def _take_of(self, partitions: frozenset[int], owned: set[int]) -> None:
        """Take events of these alone, which are scored by the model in use. Between two batches."""
        if partitions != self._open:  # there may be cuts since: no carry from before one is used
            self._core.mark_carries(self._marks(self._scores_with))
            self._opened()
        self._intake.hold_back(owned - partitions)
        self._open, self._held_since = partitions, None

    async def _cut(self, partitions: Collection[int], target: Offer, owned: set[int]) -> bool:
        """Commit that these partitions are the target's from here on -> whether that is done."""
        former = {p: self._at()[p] for p in partitions}
        for partition in sorted(self._unfinished() & set(partitions)):
            if (model := former[partition]) is not None:
                logger.warning(
                    "partition %d: its model %s is not here; what it has published and not committed is scored again",
                    partition, model.sha256[:12],
                )  # fmt: skip
        await self._committing.cut(partitions, target, owned)
        cut = {p for p in partitions if self._at().get(p) == target.id}
        self._metrics.model_cuts.inc(len(cut))
        self._metrics.show_models(self._cuts())
        return cut == set(partitions)

    async def _exchange(self, wanted: ModelId, target: Offer) -> None:
        """Between two batches, with nothing deferred."""
        if wanted == target.id:
            model: LoadedModel | None = target.model
        else:
            model = self._core.model if self._is_in_use(wanted) else self._offered.find(wanted)
        if model is None:
            return  # it was there, and is of no use: planned anew, without it
        await on_thread(self._scoring, self._core.use, model, self._marks(wanted))
        self._scores_with = wanted
        self._metrics.show_model(model.name, model.hash, wanted.version, str(self._core.device))
        held_ms = 1_000 * (time.monotonic() - (self._held_since or time.monotonic()))
        logger.info(
            "scoring by model %s, hash %s, version %d; nothing was taken for %.0f ms",
            model.name, model.hash, wanted.version, held_ms,
        )  # fmt: skip
        if wanted == target.id:
            self.refreshing.begin()

    def _plan(self, target: ModelId) -> Plan:
        return plan(
            self._at(),
            target,
            unfinished=self._unfinished(),
            has=lambda model: self._is_in_use(model) or self._offered.has(model),
        )

    def _is_done(self, planned: Plan, target: ModelId) -> bool:
        """Whether nothing is left to do; raises SettingsError where a partition needs what was refused here."""
        at = self._at()
        if not planned.ahead:
            self._ahead_since = None
            return all(model == target for model in at.values())
        for partition, model in ((p, at[p]) for p in sorted(planned.ahead)):
            assert model is not None
            if model.version <= self._offered.read_to:
                raise SettingsError(
                    f"partition {partition}: it is scored by model {model.sha256[:12]}, version {model.version}, which "
                    "this worker has refused, and is not scored by an older one again; ending"
                )
            now = time.monotonic()
            self._ahead_since = self._ahead_since or now
            if now - self._ahead_since > _PATIENCE_SECS:
                logger.error(
                    "partition %d: its row names version %d of the model, the topic ends with %d, so it was made anew",
                    partition, model.version, self._offered.read_to,
                )  # fmt: skip
                self._lost.add(model)
        return False

    def _unfinished(self) -> set[int]:
        """Partitions of which a former owner may have published what is not scored again yet."""
        if self._ends:
            positions, queued, at_end = self._intake.positions(), self._intake.queued(), self._at_end()
            for source, end in list(self._ends.items()):
                at = positions.get(source)
                if (at is not None and at.offset >= end) or (source in at_end and not queued[source]) or not end:
                    del self._ends[source]
        return {partition for _, partition in self._ends}

    def _cuts(self) -> dict[int, Cut]:
        """The last cut of each owned partition that has one."""
        return {p: cuts[-1] for p, cuts in self._committing.cuts.items() if cuts}

    def _at(self) -> dict[int, ModelId | None]:
        """The model of each owned partition; None of one that has none yet, or whose was lost."""
        cuts = self._cuts()
        named = {p: cuts[p].model if p in cuts else None for p in self._committing.partitions}
        return {p: None if model in self._lost else model for p, model in named.items()}

    def _marks(self, model: ModelId) -> dict[int, int]:
        """How carries by this model are marked, by partition."""
        return {p: cut.mark for p, cut in self._cuts().items() if cut.model == model}

    def _is_in_use(self, model: ModelId) -> bool:
        return self._core.model.card.weights_sha256 == model.sha256
