"""Numbers of users, of whom only some have room in memory: by the parts of `tests.bench.users`."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import msgspec

from stream.bench.bed import Bed, make_topics, of_its_own
from stream.bench.by_rate import Steady, at_a_rate
from stream.bench.generator import Placed
from stream.processes import ANYWHERE
from stream.settings import Settings
from tests.bench.filling import partition_of, user
from tests.bench.growth import costs
from tests.bench.users import Draw, prepare, run

EXPONENT = 1.1  # of Zipf's law


class Crowds:
    """Runs of as many events with different numbers of users, each with a row of all of them in its local copy."""

    def __init__(self, here: Bed, events: int, in_memory: int) -> None:
        self._here, self._events, self._in_memory = here, events, in_memory
        self._prepared: dict[int, Settings] = {}
        self._seeds = itertools.count()  # no event comes twice

    def per_second(self, users: int) -> float:
        draw = Draw(users, EXPONENT, next(self._seeds))
        return asyncio.run(run(self._settings(users), draw, self._events, self._here.folder)).events_per_second

    def latency_ms(self, users: int, steady: Steady) -> dict[str, float]:
        """After all runs of `per_second`: it is of today's events, those are of years ago."""
        settings = self._settings(users)
        n = int(steady.rate_per_sec * (steady.warm_up_secs + steady.seconds))
        records = self._records(Draw(users, EXPONENT, next(self._seeds)), n, settings)
        above = msgspec.structs.replace(settings, data_dir=settings.data_dir.parent)  # the first worker's is below it
        return at_a_rate(above, self._here, steady, records, ANYWHERE).latency_ms

    def read_us(self, users: int) -> float:
        """Of a row that is on disk."""
        return costs.read_us(self._settings(users), users)

    def _records(self, draw: Draw, n: int, settings: Settings) -> Iterator[Placed]:
        for number, value in draw.events(n):
            yield 0, partition_of(number, settings), user(number), value

    def _settings(self, users: int) -> Settings:
        """Of a worker with that many in its local copy."""
        if users not in self._prepared:
            settings = of_its_own(
                self._here.settings,
                f"crowd-{users}",
                self._here.folder,
                memory_max_users=self._in_memory,
                user_expiry_days=0,  # the rows are years old
            )
            settings = msgspec.structs.replace(settings, data_dir=settings.data_dir / "0")
            settings.data_dir.mkdir(parents=True)
            asyncio.run(make_topics(settings))
            asyncio.run(prepare(settings, users))
            self._prepared[users] = settings
        return self._prepared[users]
