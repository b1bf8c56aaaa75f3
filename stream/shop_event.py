"""One shop event on its way to Kafka: what the simulator and the replay make, and `simulator.load` sends."""

from __future__ import annotations

from typing import Literal, NamedTuple

Role = Literal["clicks", "searches", "purchases"]
ROLES: tuple[Role, Role, Role] = ("clicks", "searches", "purchases")


class ShopEvent(NamedTuple):
    """A record before it has a topic and a partition."""

    topic: Role  # the source's role; settings say which topic plays it
    key: bytes  # the user id
    value: bytes  # one JSON object with Google Analytics 4's names
    sent_ms: int  # the record's own time; event time, in `value`, is the same, or earlier where the event is late
    # JSON: which fraud it is part of (`fraud`: a kind, or true), or that it is part of none (false). For a side topic,
    # a file or training: the scorer never sees it.
    label: bytes | None = None
