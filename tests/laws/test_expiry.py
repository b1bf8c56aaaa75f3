"""Law: when users who expired are deleted, and whether, can be told from no score and no row that lives.

Nor does it matter where a worker is killed: what is replayed finds every row that it needs.
"""

from __future__ import annotations

import numpy as np
import pytest

from stream.decode import decode
from stream.encode import Scored
from stream.events import SOURCES
from stream.expiry import Expiry
from stream.intake import DecodedFrame, Intake
from stream.rows import HEADER, NO_OFFSET
from stream.standing import SourceNow, stand
from tests.shop import BOUNDS, START_MS, FakeRecord, assert_rows_alike, click, frame, pipeline

DAY_MS = 86_400_000
USERS = 25
NAMES = ("view_item", "search", "purchase")
UNTOUCHED = SourceNow("id", 0, 1_000_000, None)  # never committed

Shop = list[list[FakeRecord]]  # by source


def _shop(rng: np.random.Generator, n: int, *, farewell: bool = True) -> Shop:
    """Events of few users over weeks, late ones among them; as a farewell one of each, which finds what is left."""
    shop: Shop = [[], [], []]
    times = START_MS + np.cumsum(rng.choice([1_000, DAY_MS // 9, DAY_MS // 2], n))
    for time_ms in times.tolist():
        user = 0 if rng.random() < 0.3 else rng.integers(USERS)  # one has a third of all
        _add(shop, int(rng.choice(SOURCES)), f"user-{user}", time_ms - int(rng.choice([0, 0, 0, 2 * DAY_MS])))
    for user in range(USERS if farewell else 0):
        _add(shop, int(rng.choice(SOURCES)), f"user-{user}", int(times[-1]) + 1)
    return shop


def _add(shop: Shop, source: int, user: str, time_ms: int) -> None:
    offset = len(shop[source])
    shop[source].append(click(user, time_ms, offset, name=NAMES[source], event_id=f"{source}-{offset}"))


class Worker:
    """A table, its store and what was committed, of one partition."""

    def __init__(self, shop: Shop, *, deletes: bool) -> None:
        self._shop, self._deletes = shop, deletes
        self.rows: dict[bytes, bytes] = {}
        self._committed = {source: stand(None, source, UNTOUCHED).position for source in SOURCES}
        self._published: set[tuple[int, int]] = set()  # events whose scores were in a transaction
        self._scoring, self._table = pipeline(
            max_steps=3, expiry_ms=DAY_MS, fetch_rows=lambda _, keys: [self.rows.get(key) for key in keys]
        )
        self._expiry = Expiry(self._table, self._scan, DAY_MS, rows_at_once=20)
        self.scores: dict[tuple[int, int], tuple[int, np.ndarray]] = {}
        self.repeated_otherwise = 0
        self.repeated_committed = 0
        self.deleted = 0
        self.start()

    def _scan(self, partition: int, after: bytes | None, n: int) -> list[tuple[bytes, bytes]]:
        return sorted(row for row in self.rows.items() if after is None or row[0] > after)[:n]

    def start(self) -> None:
        """As after a kill: from what was committed."""
        self._scored: set[tuple[int, int]] = set()
        self._table.clear()
        self._expiry.clear()
        self._intake = Intake(hold_max_ms=10**12, steps=3)
        self._intake.start(0, self._committed)
        self._fed = [self._committed[source].offset for source in SOURCES]

    def feed(self, source: int, n: int) -> None:
        if records := self._shop[source][self._fed[source] : self._fed[source] + n]:
            events, rejects = decode(frame(records, source=source), BOUNDS)
            self._fed[source] += len(records)
            self._intake.put(DecodedFrame(source, 0, self._fed[source], events, rejects))

    def score(self, n: int) -> None:
        self._intake.absorb()
        at_end = {(s, 0) for s in SOURCES if self._fed[s] == len(self._shop[s])}
        events = self._intake.take(n, at_end, 0)
        if len(events):
            outcome = self._scoring.apply(events)
            self._intake.defer(outcome.deferred)
            self._keep(outcome.scored)

    def _keep(self, scored: Scored) -> None:
        places = zip(scored.events["source"].tolist(), scored.events["offset"].tolist(), strict=True)
        for place, number, intent in zip(places, scored.events_seen.tolist(), scored.intent, strict=True):
            self.repeated_otherwise += self.scores.get(place, (number, intent))[0] != number
            self.repeated_committed += place in self._published
            self._scored.add(place)
            self.scores[place] = (number, intent)

    def checkpoint(self) -> None:
        positions = {source: at for (source, _), at in self._intake.positions().items()}
        if self._deletes:
            self.deleted += self._expiry.delete(0, positions)
        for key, row in self._table.take_changed(0).to_bytes():
            if row is None:
                del self.rows[key]
            else:
                self.rows[key] = row
        self._table.durable(0)
        self._committed = positions
        self._published |= self._scored

    @property
    def done(self) -> bool:
        return self._fed == [len(records) for records in self._shop] and not self._intake.holds_any()

    @property
    def clocks_ms(self) -> list[int]:
        """How far each source has come, by event time."""
        return [at.order_ms for at in self._committed.values()]


def _ran(shop: Shop, rng: np.random.Generator, *, deletes: bool, kills: int) -> Worker:
    worker = Worker(shop, deletes=deletes)
    while not worker.done:
        what = rng.random()
        if what < 0.5:
            worker.feed(int(rng.choice(SOURCES)), int(rng.integers(1, 30)))
        elif what < 0.9 or not kills:
            worker.score(int(rng.integers(1, 40)))
        else:
            kills -= 1
            worker.start()
        if rng.random() < 0.3:
            worker.checkpoint()
    worker.checkpoint()
    return worker


@pytest.mark.parametrize("seed", [1, 2, 5])
def test_deleting_who_expired_changes_no_score_and_no_row_that_lives(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shop = _shop(rng, 160)
    kept = _ran(shop, rng, deletes=False, kills=0)
    deleting = _ran(shop, rng, deletes=True, kills=3 if seed % 2 else 0)
    assert deleting.deleted > 2
    assert deleting.repeated_otherwise == deleting.repeated_committed == 0
    assert deleting.scores.keys() == kept.scores.keys()
    for place, (number, intent) in kept.scores.items():
        found_number, found_intent = deleting.scores[place]
        assert found_number == number
        np.testing.assert_allclose(found_intent, intent, atol=1e-5)
    assert deleting.rows.keys() == kept.rows.keys()  # all have had an event at the end
    for key, row in kept.rows.items():
        found = deleting.rows[key]
        assert_rows_alike(found, _without_what_nobody_asks(row, found))


def _without_what_nobody_asks(row: bytes, found: bytes) -> bytes:
    """A row without offsets that the other has not: of events before the user began anew, which will not come again."""
    offsets, others = (np.frombuffer(value, HEADER, count=1)[0]["offsets"] for value in (row, found))
    header = np.frombuffer(row, HEADER, count=1).copy()
    header["offsets"] = np.where(others == NO_OFFSET, NO_OFFSET, offsets)
    return header.tobytes() + row[HEADER.itemsize :]


def test_a_topic_without_an_event_keeps_nobody() -> None:
    rng = np.random.default_rng(3)
    shop = _shop(rng, 160, farewell=False)
    shop[1].clear()
    assert _ran(shop, rng, deletes=True, kills=0).deleted > 2


def test_a_row_stays_while_a_replay_would_bring_its_events_again() -> None:
    shop: Shop = [[], [], []]
    for _ in range(31):
        _add(shop, 0, "bot", START_MS + 9 * DAY_MS)
    _add(shop, 0, "late", START_MS)  # expired as it comes, and applied before most of the bot's
    worker = Worker(shop, deletes=True)
    worker.feed(0, 32)
    for _ in range(3):
        worker.score(32)
        worker.checkpoint()
    assert b"late" in worker.rows
    worker.start()
    while not worker.done:
        worker.feed(0, 32)
        worker.score(32)
    assert worker.repeated_committed == 0
    for _ in range(2):
        worker.checkpoint()
    assert worker.rows.keys() == {b"bot"}


def test_in_the_end_nobody_is_left_who_expired() -> None:
    rng = np.random.default_rng(1)
    shop = _shop(rng, 160, farewell=False)
    worker = _ran(shop, rng, deletes=True, kills=0)
    for _ in range(2 * USERS):
        worker.checkpoint()
    clock_ms = min(worker.clocks_ms)
    lasts = [int(np.frombuffer(row, HEADER, count=1)[0]["last_time_ms"]) for row in worker.rows.values()]
    assert 0 < len(lasts) < USERS
    assert all(clock_ms - last_ms <= DAY_MS for last_ms in lasts)


def test_a_source_that_stands_still_keeps_everybody() -> None:
    """Its next event may be of any of them, and as old as the last."""
    shop: Shop = [[], [], []]
    _add(shop, 2, "early", START_MS)
    for day in range(9):
        _add(shop, 0, f"user-{day}", START_MS + day * DAY_MS)
    worker = _ran(shop, np.random.default_rng(0), deletes=True, kills=0)
    for _ in range(9):
        worker.checkpoint()
    assert worker.deleted == 0 and len(worker.rows) == 10
    _add(shop, 2, "late", START_MS + 9 * DAY_MS)
    worker.feed(2, 1)
    worker.score(10)
    for _ in range(9):
        worker.checkpoint()
    assert worker.rows.keys() == {b"user-7", b"user-8", b"late"}  # not longer than a day before the slowest source
