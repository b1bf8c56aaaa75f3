"""Which model the next events are scored with, of which partitions, and which partitions change over: decided by what
their rows say, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from stream.cuts import ModelId


class Plan(NamedTuple):
    """What is to be done. While there is anything to cut, or another model in use, nothing is taken."""

    model: ModelId  # that scores next
    open: frozenset[int]  # partitions that it scores; of the others nothing is taken
    cut: frozenset[int]  # partitions whose row is to name the target before it scores them
    ahead: frozenset[int]  # partitions whose row names a model that is not known here


def plan(
    at: Mapping[int, ModelId | None],
    target: ModelId,
    *,
    unfinished: Collection[int],
    has: Callable[[ModelId], bool],
) -> Plan:
    """`at`: the model of each owned partition, None of one that has none yet; `target`: that of all, in the end.

    Of an `unfinished` partition its former owner may have published more than it has committed. That much is scored by
    the model of its row, so that no event has scores of two; where this worker has it not, it cannot be helped.

    One model scores at a time: of several that must, the oldest, and the others' partitions wait.
    """
    ahead = {p for p, model in at.items() if model is not None and model.version > target.version}
    behind = {p: model for p, model in at.items() if model != target and p not in ahead}
    to_finish = {p: model for p, model in behind.items() if model is not None and p in unfinished and has(model)}
    scoring = min(to_finish.values(), default=target)
    open_now = {p for p, model in (to_finish if to_finish else at).items() if model == scoring}
    return Plan(scoring, frozenset(open_now), frozenset(behind.keys() - to_finish.keys()), frozenset(ahead))
