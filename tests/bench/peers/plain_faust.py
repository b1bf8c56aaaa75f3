"""`python -m tests.bench.peers.plain_faust`: Faust as its manual teaches it: an agent, a table, `topic.send`."""

from __future__ import annotations

from typing import Any

from tests.bench.peers import faust_app
from tests.bench.peers.faust_app import record_of
from tests.bench.peers.peer import flags
from tests.bench.peers.user_state import Job


def main() -> None:
    """Until SIGTERM."""
    peer = flags()
    job, source_of = Job.of(peer.model, peer.sources), peer.source_of
    app, sources, purchase_intent, anomaly_scores, users = faust_app.build(peer)

    async def score(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            key = message.key
            done = job.apply(users.get(key), record_of(source_of, message))
            if done is not None:
                users[key] = done.state
                await purchase_intent.send(key=key, value=done.intent, partition=message.partition)
                await anomaly_scores.send(key=key, value=done.anomaly, partition=message.partition)

    app.agent(sources, name="score")(score)
    faust_app.run(app)


if __name__ == "__main__":
    main()
