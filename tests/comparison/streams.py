"""Hand-made shop events for the comparison's tests."""

from __future__ import annotations

from typing import Any

import orjson

from stream.events import PURCHASE_NAMES
from stream.shop_event import Role, ShopEvent

START_MS = 1_519_862_400_000  # 2018-03-01T00:00:00Z, a Thursday


def event(
    user: str, secs: float, name: str = "view_item", item: str | None = None, *, fraud: str | None = None, **fields: Any
) -> ShopEvent:
    """An event `secs` after START_MS. An id of its own comes from who, when and what, unless `fields` bring one."""
    value: dict[str, Any] = {
        "event_id": f"{user}-{secs}-{name}-{item}",
        "event_name": name,
        "event_time": START_MS + round(1000 * secs),
        "user_id": user,
    }
    if item is not None:
        value |= {"items": [{"item_id": item}]} if name in PURCHASE_NAMES else {"item_id": item}
    value |= fields
    role: Role = "purchases" if name in PURCHASE_NAMES else "searches" if name == "search" else "clicks"
    label = {"event_id": value["event_id"], "user_id": user, "fraud": fraud, "case": f"{fraud}-0001"}
    return ShopEvent(
        role, user.encode(), orjson.dumps(value), START_MS + round(1000 * secs),
        None if fraud is None else orjson.dumps(label),
    )  # fmt: skip
