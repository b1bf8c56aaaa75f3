"""Old record times meet a topic's retention: Kafka deletes by them, so a recording of 2017 would be gone in minutes."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from stream.errors import SettingsError
from stream.settings import Settings

_HOUR_MS = 3_600_000


async def refuse_what_would_be_deleted(settings: Settings, oldest_ms: int) -> None:
    """SettingsError if records as old as `oldest_ms` are past the retention of their topics."""
    age_ms = int(time.time() * 1000) - oldest_ms
    short = {name: ms for name, ms in (await _retention_ms(settings)).items() if 0 <= ms < age_ms}
    if not short:
        return
    held = ", ".join(f"{name} keeps {ms / _HOUR_MS:g} h" for name, ms in short.items())
    day = datetime.fromtimestamp(oldest_ms / 1000, UTC).date()
    raise SettingsError(
        f"records of {day}, {age_ms // _HOUR_MS} h old, would be deleted soon after they arrive: {held}. "
        "`behaviour-stream topics --retention-hours -1` makes topics that keep them; those that exist do after "
        f"`kafka-configs --alter --topic {next(iter(short))} --add-config retention.ms=-1`; "
        "--ignore-retention sends the records anyway"
    )


async def _retention_ms(settings: Settings) -> dict[str, int]:
    """Source topic -> its retention in force, -1 for ever; a topic that is not there is left out."""
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.bootstrap_servers)
    try:
        await admin.start()
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, name) for name in settings.source_topics]
        )
    finally:
        await admin.close()
    found = {}
    for resource in (resource for answer in answers for resource in answer.to_object()["resources"]):
        configs = {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}
        if not resource["error_code"] and configs["cleanup.policy"] != "compact":
            found[resource["resource_name"]] = int(configs["retention.ms"])
    return found
