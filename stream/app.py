"""`build_app(settings)`: the composition root, and the only place that names agents. Nothing happens at import."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, cast

import torch
from faust.types.tuples import TP

from stream import model_file
from stream.assembly import assemble
from stream.changing.offered import Offered
from stream.changing.trial import try_out
from stream.errors import PassingError, StateError
from stream.intake import Intake
from stream.kafka import faust_contract, models_topic, sources, transport
from stream.kafka.checkpoint import Checkpointer
from stream.kafka.frame_app import FrameApp, Frames, FrameSchema
from stream.kafka.local_copies import LocalCopies
from stream.kafka.outlets import AtOnce, InTransactions
from stream.kafka.publisher import Publisher
from stream.kafka.store import RowStore
from stream.kafka.transport import FrameConsumer
from stream.metrics import Metrics
from stream.restoring import Restoring
from stream.scorer import pick_device
from stream.scoring_loop import ScoringLoop
from stream.settings import Settings
from stream.warming import warm_up

logger = logging.getLogger(__name__)

# Messages that Faust queues per agent; each is what a poll brought of a topic.
_AGENT_QUEUE_MESSAGES = 16
_OBSERVE_SECS = 1.0


class WorkerApp(FrameApp):
    """A Faust app with the scoring loop as its committer, and with the state beside Faust's tables: it has none."""

    logger = logging.getLogger("faust.app")
    committer: ScoringLoop
    copies: LocalCopies
    restoring: Restoring
    broker_answers: Callable[[], bool] = staticmethod(lambda: True)
    read_topics: tuple[str, ...]

    async def before_revocation(self) -> None:
        """Restore and apply nothing more: a restore that ended now would open the scoring of what is others'."""
        await self.copies.release()
        await self.committer.quiesce()

    async def take(self, assigned: set[TP]) -> None:
        """Own what is assigned. Runs inside the assignment, without heartbeats: it must be short."""
        here = {topic: {tp.partition for tp in assigned if tp.topic == topic} for topic in self.read_topics}
        owned = set[int]().union(*here.values())
        for topic, partitions in here.items():
            if owned and not partitions:  # Faust leaves out a topic that it does not find
                raise PassingError(f"{topic}: gone, or not known yet to the broker that was asked")
            if partitions != owned:
                raise StateError(
                    f"assignment: this worker has partitions {sorted(owned)}, but of {topic} only "
                    f"{sorted(partitions)}; a user's events and row must be on one worker"
                )
        standby = {tp.partition for tp in self.assignor.assigned_standbys()} - owned
        logger.info(
            "assigned partitions %s%s", sorted(owned), f", standing by for {sorted(standby)}" if standby else ""
        )
        await self.copies.release()
        await self.committer.assigned(owned)
        await self.copies.take(owned, standby)

    def health(self) -> tuple[bool, dict[str, Any]]:
        """Whether it gets on, and by what that is told. Called from the metrics thread."""
        healthy, facts = self.committer.health()
        return healthy, facts | self.restoring.facts()

    async def on_stop(self) -> None:
        """Commit what is applied, then let go of everything."""
        await self.copies.close()
        try:
            await self.committer.quiesce()
            await self.committer.checkpoint()
        except Exception as error:  # raised from here, it would leave Faust's threads running
            self.log.warning("stopping without a last checkpoint: %s", error)
        await super().on_stop()
        await self.committer.close()


def build_app(settings: Settings, metrics: Metrics) -> WorkerApp:
    """A worker, ready to be run by `faust.Worker`. Raises SettingsError where it must not start."""
    faust_contract.check()
    transport.register()
    torch.set_num_threads(settings.torch_threads)
    loaded = model_file.load(settings.model)
    device = pick_device(settings.device)
    warm_up(settings, loaded)

    app = _bare_app(settings)
    metrics.show_model(loaded.name, loaded.hash, 0, str(device))

    def fail(error: BaseException) -> None:
        app.add_future(app.crash(error))

    store = RowStore(settings.data_dir, memory_bytes=settings.store_memory_bytes)
    core = assemble(settings, loaded, device, store.fetch)
    logger.info("model %s (%s) on %s, kernels: %s", loaded.name, loaded.hash, device, core.kernels.name)
    checkpointer = Checkpointer(settings, store, core.kernels)
    at_once = settings.guarantee == "at_least_once"
    outlets = AtOnce(settings) if at_once else InTransactions(checkpointer.producer)
    app.committer = loop = ScoringLoop(
        settings,
        intake=Intake(hold_max_ms=settings.merge_hold_max_ms, steps=settings.batch_max_steps),
        core=core,
        offered=Offered(loaded, try_out=lambda model: try_out(model, device), refused=metrics.models_refused.inc),
        publisher=Publisher(settings, core.encoder, outlets, core.kernels),
        checkpointer=checkpointer,
        store=store,
        metrics=metrics,
        reach=lambda: cast(FrameConsumer, app.consumer),
        look=lambda partitions: sources.look(settings, partitions),
        fail=fail,
    )

    def show_restore() -> None:
        metrics.show_restore(app.restoring, app.copies.standby_lag)

    def restoring() -> None:  # the tasks below begin after the first restore only
        loop.restoring()
        cast(FrameConsumer, app.consumer).still_here()
        show_restore()

    app.copies = LocalCopies(
        settings, store, app.restoring, on_restored=loop.recovered, on_progress=restoring, fail=fail
    )

    @app.on_partitions_assigned.connect
    async def take(*arguments: Any, **_: Any) -> None:
        await app.take(arguments[1])  # the first is who tells it

    @app.on_rebalance_complete.connect
    async def restored(*_: Any, **__: Any) -> None:
        """The sources are not resumed before this returns."""
        await app.copies.restored()

    for role, topic in zip(("clicks", "searches", "purchases"), settings.source_topics, strict=True):
        app.agent(_frame_topic(app, topic), name=role)(_enqueue_into(loop.deliver))
    app.agent(_frame_topic(app, settings.erasures_topic), name="erasures")(_enqueue_into(loop.deliver_requests))

    @app.task  # type: ignore[untyped-decorator]
    async def score() -> None:
        await loop.run()

    @app.task  # type: ignore[untyped-decorator]
    async def commit() -> None:
        # Each partition at its own moment; Faust's timer asks for all of them every few seconds, and finds them done.
        while not app.should_stop:
            await asyncio.sleep(loop.secs_until_due())
            await app.consumer.commit()

    @app.task  # type: ignore[untyped-decorator]
    async def hear_of_models() -> None:
        async for reading in models_topic.follow(settings):
            loop.cutover.hear(reading.announced, whole=reading.whole)

    @app.task  # type: ignore[untyped-decorator]
    async def change_models() -> None:
        await loop.cutover.run()

    @app.task  # type: ignore[untyped-decorator]
    async def refresh_carries() -> None:
        await loop.cutover.refreshing.run()

    @app.task  # type: ignore[untyped-decorator]
    async def observe() -> None:
        while not app.should_stop:
            loop.observe(broker_answers=app.broker_answers())
            show_restore()
            await app.copies.tidy()
            await asyncio.sleep(_OBSERVE_SECS)

    return app


def _bare_app(settings: Settings) -> WorkerApp:
    """Faust as it is used here: it fetches, and says what is whose."""
    app = WorkerApp(
        settings.app_id,
        broker=[f"{transport.SCHEME}://{server}" for server in settings.bootstrap_servers.split(",")],
        datadir=settings.data_dir,
        store="memory://",
        TableManager=transport.NoTables,
        autodiscover=False,
        web_enabled=False,
        topic_allow_declare=False,
        topic_disable_leader=True,
        topic_partitions=None,
        consumer_auto_offset_reset="none",
        stream_buffer_maxsize=_AGENT_QUEUE_MESSAGES,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        table_standby_replicas=settings.standby_replicas,  # of Faust's only the assignment: `local_copies` makes them
        broker_max_poll_records=settings.poll_max_records,
        broker_session_timeout=settings.session_timeout_ms / 1000.0,
        broker_heartbeat_interval=settings.session_timeout_ms / 1000.0 / 10,
        broker_request_timeout=max(90.0, settings.session_timeout_ms / 1000.0),
        worker_redirect_stdouts=False,
    )
    app.fetch_max_wait_ms = settings.fetch_max_wait_ms
    app.fetch_min_bytes = settings.fetch_min_bytes
    app.read_topics, app.changelog_topic = settings.read_topics, settings.changelog_topic
    app.restoring = Restoring()
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
