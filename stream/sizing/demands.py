"""What is asked for, and whether it can be asked for at all."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Self, get_args

from stream.errors import SettingsError
from stream.model import Sizes
from stream.rows import Sizes as RowSizes
from stream.rows import row_dtype
from stream.settings import Settings

Law = Literal["zipf", "uniform"]
LAWS: tuple[Law, ...] = get_args(Law)

_GATES = {"lstm": 4, "gru": 3, "rnn": 1}
_HEADROOM_MOST, _REPLICAS_MOST, _EXPONENT_MOST = 0.95, 9, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """Events and users of the whole, the model, and how a worker is to be set up.

    SettingsError, in a line, for what cannot be: what it is, what was expected, what came.
    """

    events_per_second: float
    users: int  # who have a row
    model: Sizes
    settings: Settings  # of each worker, but for the next
    memory_max_users: int | None = None  # of each worker; None: as the settings say, or all, where there are fewer
    replication_factor: int = 3  # of all topics
    law: Law = "zipf"
    zipf_exponent: float = 1.1
    user_max_events_per_second: float = 1.0  # nobody acts faster
    active_share: float | None = None  # of users, who act at all, all of them alike: instead of a law
    active_users_per_checkpoint: int | None = None  # so many in an interval, all of them alike: instead of a law
    cores_per_worker: float = 1.0
    headroom: float = 0.5  # of each worker, to be left free
    worker_memory_bytes: float | None = None

    def __post_init__(self) -> None:
        for problem in (*_ranges(self), *_together(self)):
            raise SettingsError(problem)

    @property
    def row_bytes(self) -> int:
        """Of a user, in changelog and store, without key and framing."""
        sizes = RowSizes(self.settings.sequence_events, self.model.parts, self.model.layers, self.model.hidden)
        return row_dtype(sizes).itemsize

    @property
    def room(self) -> int:
        """Users whom a worker holds in memory at most."""
        return self.memory_max_users or self.settings.memory_max_users

    @property
    def interval_secs(self) -> float:
        """Between a partition's checkpoints."""
        return self.settings.checkpoint_interval_ms / 1000

    def times(self, factor: float) -> Self:
        """The same shop, so many times as large."""
        users, at_once = max(1, round(self.users * factor)), self.active_users_per_checkpoint
        return dataclasses.replace(
            self,
            events_per_second=self.events_per_second * users / self.users,
            users=users,
            memory_max_users=self.memory_max_users and min(self.memory_max_users, users),
            active_users_per_checkpoint=at_once and max(1, math.floor(at_once * users / self.users)),
        )


def multiply_adds(model: Sizes) -> int:
    """Of one event: input and recurrent products of each layer, and the heads."""
    gates, hidden = _GATES[model.cell], model.hidden
    inputs = [model.width] + [hidden] * (model.layers - 1)
    recurrent = sum(gates * hidden * (of_input + hidden) for of_input in inputs)
    horizons = len(model.horizons)
    return recurrent + hidden * (sum(model.part_classes) + horizons) + model.width * horizons


def _ranges(demands: Demands) -> Iterator[str]:
    """What is wrong with a number by itself."""
    number = demands.events_per_second
    if not 0 < number < math.inf:
        yield f"--events-per-second={number:g}: expected more than 0"
    if demands.users < 1:
        yield f"--users={demands.users}: expected 1 or more"
    if not 0 <= demands.headroom <= _HEADROOM_MOST:
        yield f"--headroom={demands.headroom:g}: expected a share from 0 to {_HEADROOM_MOST:g}"
    if not 1 <= demands.replication_factor <= _REPLICAS_MOST:
        yield f"--replication-factor={demands.replication_factor}: expected 1 to {_REPLICAS_MOST}"
    if not 0 < demands.zipf_exponent <= _EXPONENT_MOST:
        yield f"--zipf-exponent={demands.zipf_exponent:g}: expected more than 0, at most {_EXPONENT_MOST:g}"
    if demands.active_share is not None and not 0 < demands.active_share <= 1:
        yield f"--active-share={demands.active_share:g}: expected more than 0, at most 1"
    for name in ("cores_per_worker", "user_max_events_per_second", "worker_memory_bytes"):
        value = getattr(demands, name)
        if value is not None and not 0 < value < math.inf:
            yield f"--{name.replace('_', '-')}={value:g}: expected more than 0"


def _together(demands: Demands) -> Iterator[str]:
    """What is wrong with numbers beside each other."""
    if demands.memory_max_users is not None and not 1 <= demands.memory_max_users <= demands.users:
        yield f"--memory-max-users={demands.memory_max_users}: expected 1 to --users={demands.users}"
    share, at_once = demands.active_share, demands.active_users_per_checkpoint
    if share is not None and at_once is not None:
        yield "--active-share and --active-users-per-checkpoint: expected one of them, got both"
    if at_once is not None:
        events = demands.events_per_second * demands.interval_secs
        most = min(demands.users, math.floor(events))
        if not 1 <= at_once <= most:
            yield (
                f"--active-users-per-checkpoint={at_once}: expected 1 to {most}: there are --users={demands.users}, "
                f"and {events:g} events in --checkpoint-interval-ms={demands.settings.checkpoint_interval_ms}"
            )
    if demands.law == "zipf" and share is None and at_once is None:
        most_per_second = demands.users * demands.user_max_events_per_second
        if demands.events_per_second > most_per_second:
            yield (
                f"--events-per-second={demands.events_per_second:g}: expected at most {most_per_second:g}, which is "
                f"--user-max-events-per-second={demands.user_max_events_per_second:g} of each of "
                f"--users={demands.users}"
            )
