"""Which of the source topics plays which role."""

from __future__ import annotations

from stream.settings import Settings
from stream.shop_event import ROLES


def by_role(settings: Settings) -> dict[str, str]:
    """Role -> topic, as settings name them."""
    return dict(zip(ROLES, settings.source_topics, strict=True))
