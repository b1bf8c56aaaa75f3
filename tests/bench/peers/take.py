"""A batch of events through the step together, in as few steps as its busiest user has events."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.bench.peers.reading import Record
from tests.bench.peers.user_state import Begun, Done, Job


def apply_all(
    job: Job,
    records: Sequence[Record],
    state_of: Callable[[bytes], bytes | None],
    keep: Callable[[bytes, bytes], None],
) -> list[tuple[bytes, Done]]:
    """(user, what becomes of the event) of a batch's events, each user's in their order.

    A user's state is asked for once and kept once. Their second event waits for the first one's carry: it goes with the
    others of its kind in a step of their own.
    """
    done: list[tuple[bytes, Done]] = []
    states: dict[bytes, bytes] = {}
    left: Sequence[Record] = records
    while left:
        users: set[bytes] = set()
        begun: list[Begun] = []
        keys: list[bytes] = []
        later: list[Record] = []
        for record in left:
            key = record.key
            if key in users:
                later.append(record)
                continue
            users.add(key)
            event = job.begin(len(begun), states[key] if key in states else state_of(key), record)
            if event is not None:
                begun.append(event)
                keys.append(key)
        together = job.apply_begun(begun) if begun else []
        for key, event_done in zip(keys, together, strict=True):
            states[key] = event_done.state
        done += zip(keys, together, strict=True)
        left = later
    for key, state in states.items():
        keep(key, state)
    return done
