"""`build_app(settings)`: the composition root, and the only place that names agents. Nothing happens at import."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from math import inf
from typing import Any, cast

import torch

from stream import model_file
from stream.assembly import assemble
from stream.intake import Intake
from stream.kafka import faust_contract, transport
from stream.kafka.checkpoint import Checkpointer
from stream.kafka.collection import UserTable
from stream.kafka.publisher import Publisher
from stream.kafka.store import RowStore
from stream.kafka.transport import FrameApp, FrameConsumer, Frames, FrameSchema
from stream.metrics import Metrics
from stream.scorer import pick_device
from stream.scoring_loop import ScoringLoop
from stream.settings import Settings

# Messages that Faust queues per agent; each is what a poll brought of a topic.
_AGENT_QUEUE_MESSAGES = 16
_OBSERVE_SECS = 1.0
_LEFT_BEHIND_SECS = 3_600.0  # between looks for copies of what others have had for a day
# Faust asks for commits so many times an interval; each partition has its own turn.
_COMMIT_TURNS = 8


class WorkerApp(FrameApp):
    """A Faust app with the scoring loop as its committer."""

    logger = logging.getLogger("faust.app")
    committer: ScoringLoop
    metrics: Metrics

    async def on_stop(self) -> None:
        """Commit what is applied before the tables stop, then let go of everything."""
        try:
            await self.committer.quiesce()
            await self.committer.checkpoint()
        except Exception as error:  # raised from here, it would leave Faust's threads running
            self.log.warning("stopping without a last checkpoint: %s", error)
        await super().on_stop()
        await self.committer.close()


def build_app(settings: Settings) -> WorkerApp:
    """A worker, ready to be run by `faust.Worker`. Raises SettingsError where it must not start."""
    faust_contract.check()
    transport.register()
    torch.set_num_threads(settings.torch_threads)
    loaded = model_file.load(settings.model)
    device = pick_device(settings.device)

    app = WorkerApp(
        settings.app_id,
        broker=[f"{transport.SCHEME}://{server}" for server in settings.bootstrap_servers.split(",")],
        datadir=settings.data_dir,
        store="memory://",
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=None,
        consumer_auto_offset_reset="earliest",
        stream_buffer_maxsize=_AGENT_QUEUE_MESSAGES,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        table_standby_replicas=0,  # each would be restored as an active one is; a move restores from the changelog
        broker_max_poll_records=settings.poll_max_records,
        broker_commit_interval=settings.checkpoint_interval_ms / 1000.0 / _COMMIT_TURNS,
        broker_session_timeout=settings.session_timeout_ms / 1000.0,
        broker_heartbeat_interval=settings.session_timeout_ms / 1000.0 / 10,
        broker_request_timeout=max(90.0, settings.session_timeout_ms / 1000.0),
        worker_redirect_stdouts=False,
    )
    app.fetch_max_wait_ms = settings.fetch_max_wait_ms
    app.fetch_min_bytes = settings.fetch_min_bytes
    app.metrics = metrics = Metrics(settings.source_topics)
    metrics.model.info({"name": loaded.name, "hash": loaded.hash, "device": str(device)})

    def fail(error: BaseException) -> None:
        app.add_future(app.crash(error))

    store = RowStore(settings.data_dir)
    core = assemble(settings, loaded, device, store.fetch)
    app.committer = loop = ScoringLoop(
        settings,
        intake=Intake(hold_max_ms=settings.merge_hold_max_ms, steps=settings.batch_max_steps),
        core=core,
        publisher=Publisher(settings, core.encoder),
        checkpointer=Checkpointer(settings, store),
        store=store,
        metrics=metrics,
        horizons=loaded.card.sizes.horizons,
        reach=lambda: cast(FrameConsumer, app.consumer),
        fail=fail,
    )
    app.tables.add(
        UserTable(
            app,
            name="users",
            changelog_topic=_frame_topic(app, settings.changelog_topic),
            source_topics=settings.read_topics,
            store=store,
            on_assigned=loop.assigned,
            on_recovered=loop.recovered,
            on_restoring=loop.restoring,
        )
    )
    for role, topic in zip(("clicks", "searches", "purchases"), settings.source_topics, strict=True):
        app.agent(_frame_topic(app, topic), name=role)(_enqueue_into(loop.deliver))
    app.agent(_frame_topic(app, settings.erasures_topic), name="erasures")(_enqueue_into(loop.deliver_requests))

    @app.task  # type: ignore[untyped-decorator]
    async def score() -> None:
        await loop.run()

    @app.task  # type: ignore[untyped-decorator]
    async def observe() -> None:
        looked_at = -inf
        while not app.should_stop:
            loop.observe()
            if time.monotonic() - looked_at > _LEFT_BEHIND_SECS:
                looked_at = time.monotonic()
                store.remove_left_behind()
            await asyncio.sleep(_OBSERVE_SECS)

    return app


def _frame_topic(app: WorkerApp, name: str) -> Any:
    # acks=False: Faust keeps no books on frames. Stock acks an event even when its agent failed, and commits past it.
    return app.topic(name, schema=FrameSchema(), acks=False, internal=True)


def _enqueue_into(deliver: Callable[[Frames], None]) -> Any:
    async def enqueue(stream: Any) -> None:
        async for event in stream.events():
            message = event.message
            if message.generation_id != stream.app.consumer_generation_id:
                continue  # fetched before a rebalance: it comes again, here or elsewhere
            try:
                deliver(message.value)
            except Exception as error:  # Faust would log it and go on behind a frame that was never applied
                await stream.app.crash(error)

    return enqueue
