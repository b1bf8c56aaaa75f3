"""What a round's topics show: while faults go on, whether a commit is past its work; at the end, all of it, judged."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self

import numpy as np

from stream import model_file, rows
from stream.settings import Settings
from tests.faults import expectation, verdict
from tests.faults.tail import Group, Tail
from tests.faults.verdict import Event, Finding, Found, Tally
from tests.shop import assert_rows_alike

_POLL_SECS = 0.1
# The markers of a transaction reach offsets and changelog one after the other.
_MARKERS_SECS = 15.0
_EXAMPLES = 3
_CARRY_RTOL = 1e-5  # h lies within 1; c has no bounds, and at 37 the next float32 is 4e-6 away


class Watch:
    """Reads the topics of these settings as they grow."""

    def __init__(self, settings: Settings) -> None:
        self._settings, self._model = settings, model_file.load(settings.model)
        servers, n = settings.bootstrap_servers, settings.partitions
        self._source_tail = Tail(servers, settings.source_topics, n)
        self._row_tail = Tail(servers, [settings.changelog_topic], n)
        self._group = Group(servers, settings.app_id)
        self._sources: list[Any] = []  # records
        self._rows: dict[bytes, bytes] = {}  # the last of each user
        self._past_work: set[Event] = set()
        self.notes: list[str] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        for reader in (self._source_tail, self._row_tail, self._group):
            await reader.close()

    async def committed(self) -> int:
        """How many records lie before the committed offsets."""
        return sum((await self._group.committed()).values())

    async def left(self) -> dict[str, tuple[int, int]]:
        """(committed, end) of the source partitions that are not committed to their end."""
        ends, have = await self._source_tail.ends(), await self._group.committed()
        behind = {place: end for place, end in ends.items() if have.get(place, 0) < end}
        return {f"{place[0]}[{place[1]}]": (have.get(place, 0), end) for place, end in behind.items()}

    async def look_at_commits(self) -> None:
        """Whether a committed offset lies past an event that its row does not hold."""
        committed = await self._group.committed()  # before the rows, which then can only be further
        self._sources += await self._source_tail.read()
        events = expectation.decoded(self._sources, self._settings, self._model).events.values()
        names = self._settings.source_topics
        offsets = {(names.index(topic), p): at for (topic, p), at in committed.items() if topic in names}
        passed_over = {event.where for same in verdict.repeats_of_events(events) for event in same}
        deadline = time.monotonic() + _MARKERS_SECS
        while True:
            await self._read_rows()
            ahead = verdict.ahead_of_rows(offsets, self._applied(), events, passed_over)
            if not ahead or time.monotonic() > deadline:
                break
            await asyncio.sleep(_POLL_SECS)
        self._past_work.update(ahead)

    async def judged(self, *, order_is_determined: bool, sent: int) -> Tally:
        """All that is on the topics, once nobody writes to them any more."""
        await self.look_at_commits()
        settings = self._settings
        outputs: dict[str, list[Any]] = {topic: [] for topic in settings.output_topics}
        async with Tail(settings.bootstrap_servers, settings.output_topics, settings.partitions) as tail:
            for record in await tail.read():
                outputs[record.topic].append(record)
        intent, anomaly, dead = (outputs[topic] for topic in settings.output_topics)
        found = Found(
            expectation.scores_of([*intent, *anomaly], settings),
            self._rows,
            expectation.dead_letters_of(dead, settings),
        )
        read = expectation.decoded(self._sources, settings, self._model)
        if order_is_determined:
            expected = expectation.loaded(read, settings, self._model)
        else:
            expected = expectation.live(read, found, settings, self._model)
        if len(self._sources) != sent:
            self.notes.append(f"sent {sent} records, found {len(self._sources)}")
        tolerance = 1e-5 if order_is_determined else verdict.PARITY_TOLERANCE
        findings = verdict.judge(expected, found, lambda one, other: rows_alike(one, other, tolerance))
        findings += [verdict.Finding("committed_past_work", event) for event in self._past_work]
        self._tell(findings)
        return verdict.tally(findings)

    def _tell(self, findings: Sequence[Finding]) -> None:
        """Examples of each kind of what may be a defect."""
        told: Counter[str] = Counter()
        for finding in findings:
            told[finding.counter] += 1
            if told[finding.counter] <= _EXAMPLES and finding.counter not in verdict.HARMLESS:
                self.notes.append(f"{finding.counter}: {finding.what}")

    async def _read_rows(self) -> None:
        for record in await self._row_tail.read():
            if record.key == rows.PARTITION_KEY:
                continue
            if record.value is None:  # a tombstone
                self._rows.pop(record.key, None)
            else:
                self._rows[record.key] = record.value

    def _applied(self) -> dict[bytes, list[int]]:
        return {key: np.frombuffer(row, rows.HEADER, count=1)[0]["offsets"].tolist() for key, row in self._rows.items()}


def rows_alike(found: bytes, expected: bytes, tolerance: float) -> bool:
    """Bit for bit, but for carry and strain, which lie within the tolerance."""
    try:
        assert_rows_alike(found, expected, atol=tolerance, rtol=_CARRY_RTOL)
    except AssertionError:
        return False
    return True
