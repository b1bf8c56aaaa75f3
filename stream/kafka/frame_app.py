"""What Faust is told of frames: an app whose topics they are, and what an agent finds in an event."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

import faust
from faust.types.tuples import TP

# What a message carries: per topic partition, the records of one poll in offset order.
Frames = list[tuple[TP, Sequence[Any]]]


class Committer(Protocol):
    """Who knows what was applied."""

    async def checkpoint(self) -> Mapping[TP, int]:
        """Commit all that is applied -> the offsets committed by it."""

    async def checkpoint_due(self) -> Mapping[TP, int]:
        """Commit what is applied where it is time -> the offsets committed by it."""

    async def quiesce(self) -> None:
        """Apply nothing more until the next assignment; returns when what was in flight is applied."""

    def starts(self) -> Mapping[TP, int]:
        """The offset from which each owned source partition is to be read; none before its rows are here."""

    def polled(self) -> None:
        """A poll has ended, with or without records."""


class FrameApp(faust.App):
    """A Faust app all of whose topics are frame topics, and who commits for them."""

    committer: Committer
    fetch_max_wait_ms: int
    fetch_min_bytes: int
    changelog_topic: str
    before_revocation: Callable[[], Awaitable[None]]  # apply nothing more until the next assignment


class FrameSchema(faust.Schema):  # type: ignore[type-arg]  # generic in its stubs only
    """Skips codecs: the value of an event is its `Frames`."""

    def compile(self, app: Any, **kwargs: Any) -> Any:
        create_event = app.create_event

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return create_event(None, message.value, message.headers, message)

        return decode
