"""Asks that a user be forgotten, and waits until the workers have done so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.client import AIOKafkaClient

from stream.errors import SettingsError
from stream.events import ID_MAX_LENGTH
from stream.kafka import inquiry, topics
from stream.settings import Settings

_POLL_SECS, _SAY_SECS = 0.25, 10.0


def key_of(user: str) -> bytes:
    """The key of a user's records and row. SettingsError for what can be no user's id."""
    if not 1 <= len(user) <= ID_MAX_LENGTH:
        raise SettingsError(f"expected a user id of 1 to {ID_MAX_LENGTH} characters, got {len(user)}")
    return user.encode()


async def ask(settings: Settings, user: str) -> dict[int, int]:
    """Send a request to every partition -> the offset of each.

    To every one, since not all producers place a key alike: a user is where the shop's own have put their events.
    """
    names = (settings.erasures_topic, settings.clicks_topic)
    partitions = await topics.equal_partitions(settings.bootstrap_servers, names)
    key, value = key_of(user), msgspec.json.encode({"user_id": user})
    async with AIOKafkaProducer(
        bootstrap_servers=settings.bootstrap_servers, acks="all", enable_idempotence=True
    ) as producer:
        sent = await asyncio.gather(
            *(
                producer.send_and_wait(settings.erasures_topic, value, key=key, partition=partition)
                for partition in range(partitions)
            )
        )
    return {record.partition: record.offset for record in sent}


async def until_granted(
    settings: Settings, asked: Mapping[int, int], *, wait_secs: float, say: Callable[[str], None]
) -> Sequence[int]:
    """Wait until the workers have committed past these requests, by partition -> the partitions where they have not."""
    deadline, say_at = time.monotonic() + wait_secs, time.monotonic() + _SAY_SECS
    places = {partition: TopicPartition(settings.erasures_topic, partition) for partition in asked}
    client = AIOKafkaClient(bootstrap_servers=settings.bootstrap_servers)
    async with AIOKafkaConsumer(bootstrap_servers=settings.bootstrap_servers) as consumer:
        try:
            await client.bootstrap()
            while True:
                done = await inquiry.committed_offsets(client, settings.app_id)
                ends = await consumer.end_offsets(list(places.values()))
                # An offset beyond the end was committed of a former topic of this name.
                left = [p for p, tp in places.items() if not asked[p] < done.get((tp.topic, p), -1) <= ends[tp]]
                now = time.monotonic()
                if not left or now > deadline:
                    return left
                if now > say_at:
                    say_at = now + _SAY_SECS
                    members = (await inquiry.describe_group(client, settings.app_id)).members
                    say(
                        f"waiting for the workers of {settings.app_id}, {members or 'none'} of whom "
                        f"{'is' if members == 1 else 'are'} there, to commit partitions {left} of "
                        f"{settings.erasures_topic}; {deadline - now:.0f} s left"
                    )
                await asyncio.sleep(_POLL_SECS)
        finally:
            await client.close()
