"""A thread that asks the broker now and then, and ends a worker that should begin anew, or hangs.

It has an event loop and clients of its own, so that it goes on where the worker's do not: aiokafka, left to itself,
waits in silence for a broker that is away, and neither knows nor says that a topic was made anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient

from stream.errors import BehaviourStreamError, PassingError, StalledError
from stream.health import Health
from stream.kafka import backlog, faults
from stream.kafka.inquiry import Topic, describe_topics
from stream.metrics import Metrics
from stream.settings import Settings
from stream.watchdog import Watchdog

logger = logging.getLogger(__name__)

_ASK_SECS = 2.0
_ANSWER_SECS = 3.0  # a broker that takes longer is said to be silent; it may be collecting its garbage
# Of one round at most, so that what this process has slept through does not count.
_ROUND_SECS = 2 * (_ASK_SECS + _ANSWER_SECS)
_CLOSE_SECS = 5.0


class Watched(Protocol):
    """What is asked of the worker, from this thread."""

    def moved_at(self) -> float:
        """When something was last committed or restored, by the monotonic clock."""

    def topic_ids(self) -> Mapping[str, str]:
        """The ids of the source topics that are being read; none before that is known, or where the broker has none."""

    def stands(self) -> Mapping[TopicPartition, int] | None:
        """The committed offset of each owned source partition; None before the first assignment."""


class Watch:
    """Watches from `start` to `close`."""

    def __init__(
        self,
        settings: Settings,
        watched: Watched,
        *,
        health: Health,
        metrics: Metrics,
        end: Callable[[BehaviourStreamError], None],
    ) -> None:
        """`end` is called from this thread, at most once."""
        self._settings, self._watched, self._metrics, self._end = settings, watched, metrics, end
        self._for_broker, self._for_leaders = health.patience(), health.patience()
        self._watchdog = Watchdog(settings.watchdog_secs)
        self._client: AIOKafkaClient | None = None
        self._missing: frozenset[str] = frozenset()  # at the last answer
        self._closing = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._watch()), name="watch", daemon=True)
        self.answers = True

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(_CLOSE_SECS)

    async def _watch(self) -> None:
        moved_at, round_at = self._watched.moved_at(), time.monotonic()
        try:
            while not await asyncio.to_thread(self._closing.wait, _ASK_SECS):
                reason: BehaviourStreamError | None = self._told(await self._ask())
                now, moved_at_now = time.monotonic(), self._watched.moved_at()
                passed_secs = min(now - round_at, _ROUND_SECS)
                moved, moved_at, round_at = moved_at_now != moved_at, moved_at_now, now
                if self._watchdog.passes(passed_secs, moved=moved, answers=self.answers):
                    reason = reason or await self._hangs()
                if reason is not None:
                    self._end(reason)
                    return
        except Exception as error:  # without a watch a worker works, but nobody would know of what is no longer said
            logger.exception("the watch over the broker has failed")
            self._end(BehaviourStreamError(f"the watch over the broker has failed ({error!r})"))
        finally:
            await self._disconnect()

    async def _ask(self) -> Mapping[str, Topic] | str:
        """All topics that this worker reads and writes, as far as they are there; or why the broker does not answer."""
        settings = self._settings
        try:
            async with asyncio.timeout(_ANSWER_SECS):
                if self._client is None:
                    self._client = AIOKafkaClient(bootstrap_servers=settings.bootstrap_servers)
                    await self._client.bootstrap()
                names = (*settings.read_topics, *settings.output_topics, settings.changelog_topic)
                return await describe_topics(self._client, names)
        except faults.KAFKA_FAULTS as error:
            await self._disconnect()
            return type(error).__name__

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(*faults.KAFKA_FAULTS):
                await client.close()

    def _told(self, answer: Mapping[str, Topic] | str) -> PassingError | None:
        """Say what there is to say of an answer -> why to begin anew, if that is to be."""
        servers = self._settings.bootstrap_servers
        self.answers = not isinstance(answer, str)
        self._metrics.broker_answers.set(self.answers)
        if isinstance(answer, str):
            self._for_broker.waits(f"broker {servers} does not answer ({answer})")
            if self._for_broker.secs * 1000 > self._settings.session_timeout_ms:
                return PassingError(
                    f"broker {servers} has not answered for {self._for_broker.secs:.0f} s, longer than "
                    f"--session-timeout-ms={self._settings.session_timeout_ms}"
                )
            return None
        self._for_broker.over(f"broker {servers} answers")
        self._tell_leaders(answer)
        return self._changed(answer)

    def _tell_leaders(self, topics: Mapping[str, Topic]) -> None:
        leaderless = [f"{name}[{p.number}]" for name, topic in topics.items() for p in topic.partitions if p.leader < 0]
        if leaderless:
            self._for_leaders.waits(f"no leader for {', '.join(leaderless)}")
        else:
            self._for_leaders.over("all topic partitions have leaders")

    def _changed(self, topics: Mapping[str, Topic]) -> PassingError | None:
        settings = self._settings
        names = (*settings.read_topics, *settings.output_topics, settings.changelog_topic)
        missing = frozenset(names) - topics.keys()
        twice, self._missing = missing & self._missing, missing  # a broker that has just begun may not know all yet
        if twice:
            return PassingError(f"{', '.join(sorted(twice))}: gone")
        read = self._watched.topic_ids()
        other = sorted(name for name, known in read.items() if name in topics and known and topics[name].id != known)
        return PassingError(f"{', '.join(other)}: deleted and made anew") if other else None

    async def _hangs(self) -> StalledError | None:
        try:
            waits = await backlog.waiting(self._settings, self._watched.stands())
        except faults.KAFKA_FAULTS as error:
            logger.warning("the watchdog cannot tell what waits (%r)", error)
            return None
        reason = self._watchdog.hangs(waits)
        return StalledError(reason) if reason else None
