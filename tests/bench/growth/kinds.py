"""What grows: its base case, some values that take minutes, and what a run of a value is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from stream.settings import Settings
from tests.models import untaught_in


class Variant(NamedTuple):
    """A run: what differs from the base case."""

    fields: Mapping[str, Any] = {}
    workers: int = 1
    partitions: int = Settings().partitions
    hot_share: float = 0.0  # of all events, one user's


class Kind(NamedTuple):
    """One that is measured over a backlog of simulated shoppers; `users` is not."""

    base: float
    values: tuple[float, ...]
    variant: Callable[[float, Path], Variant]


def _hidden(value: float, folder: Path) -> Variant:
    return Variant({"model": untaught_in(folder, hidden=int(value))})


def _layers(value: float, folder: Path) -> Variant:
    return Variant({"model": untaught_in(folder, hidden=64, layers=int(value))})


KINDS: Mapping[str, Kind] = {
    "sequence": Kind(16, (8, 64, 256), lambda value, _: Variant({"sequence_events": int(value)})),
    "hidden": Kind(64, (32, 128, 256), _hidden),
    "layers": Kind(1, (2, 4), _layers),
    "partitions": Kind(4, (1, 2, 12), lambda value, _: Variant(partitions=int(value))),
    "workers": Kind(1, (2, 3), lambda value, _: Variant(workers=int(value))),
    "hot": Kind(0, (0.1, 0.25, 0.5, 0.75), lambda value, _: Variant(hot_share=value)),
}
USERS = "users"
USERS_BASE, USERS_VALUES = 10_000, (100_000.0, 1_000_000.0)
NAMES = (USERS, *KINDS)


def parsed_values(text: str) -> tuple[str, tuple[float, ...]]:
    """`hidden=32,512` -> its kind and values. ValueError for what is neither."""
    what, _, numbers = text.partition("=")
    if what not in NAMES:
        raise ValueError(f"expected one of {', '.join(NAMES)}, got {what!r}")
    values = tuple(float(number) for number in numbers.split(","))
    if not all(0 < value < (1 if what == "hot" else float("inf")) for value in values):
        raise ValueError(f"expected values above 0{', shares below 1' * (what == 'hot')}, got {numbers}")
    return what, values
