"""`python -m tests.bench.peers.faust_take`: Faust with batches of `stream.take_events`, one step for all users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from faust.streams import _current_event

from tests.bench.peers import faust_app, settings
from tests.bench.peers.faust_app import record_of
from tests.bench.peers.peer import flags
from tests.bench.peers.take import apply_all
from tests.bench.peers.user_state import Job


def main() -> None:
    """Until SIGTERM."""
    peer = flags()
    job, source_of = Job.of(peer.model, peer.sources, settings.FAUST_TAKE), peer.source_of
    app, sources, purchase_intent, anomaly_scores, users = faust_app.build(peer)

    async def score(stream: Any) -> None:
        async for events in stream.take_events(settings.FAUST_TAKE, within=settings.FAUST_TAKE_SECS):
            event_of = {event.message.key: event for event in events}

            def at(key: bytes, event_of: dict[bytes, Any] = event_of) -> None:
                # A table asks the event at hand for its partition, and a batch has none at hand.
                _current_event.set(ref(event_of[key]))

            done = apply_all(
                job, [record_of(source_of, event.message) for event in events], _getter(users, at), _setter(users, at)
            )
            for key, event_done in done:
                partition = event_of[key].message.partition
                await purchase_intent.send(key=key, value=event_done.intent, partition=partition)
                await anomaly_scores.send(key=key, value=event_done.anomaly, partition=partition)

    app.agent(sources, name="score")(score)
    faust_app.run(app)


def _getter(users: Any, at: Callable[[bytes], None]) -> Callable[[bytes], bytes | None]:
    def get(key: bytes) -> bytes | None:
        at(key)
        state: bytes | None = users.get(key)
        return state

    return get


def _setter(users: Any, at: Callable[[bytes], None]) -> Callable[[bytes, bytes], None]:
    def put(key: bytes, state: bytes) -> None:
        at(key)
        users[key] = state

    return put


if __name__ == "__main__":
    main()
