"""Scores of events whose ids are hard to write, and the encoder of tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st

from stream.encode import Encoder, Scored
from stream.events import EVENT, EventBatch
from stream.features import PARTS

TOPICS = ("clicks", "searches.v2", "shop_purchases-eu")
MODEL, HASH, HORIZONS = "shoppers-h64", "0123456789ab", ("30m", "24h", "session")
NOW_MS = 1_790_000_123_456
ENCODER = Encoder(topics=TOPICS, model=MODEL, model_hash=HASH, horizons=HORIZONS)

# What breaks text that is put together by hand; `%` most of all, for the encoder's templates are filled by it.
NASTY = (
    '"', "\\", '\\"', "%", "%%", "%b%d%s%(x)s", "{}", "\x00\x1f\x7f\n\r\t\b\f", "\u2028\u2029",
    "é", "👩\u200d👩\u200d👧", "</x>",
)  # fmt: skip
LONGEST = ("🛒" * 256, '"' * 256, "\\" * 256, "\x00" * 256, "%" * 256)
IDS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\%\x00\x1f\n{}🛒'), min_size=1, max_size=256
)


def scored_events(ids: Sequence[tuple[str, str]], seed: int = 0, **columns: Any) -> Scored:
    """An event with random scores for each (user id, event id); `columns` replaces those given."""
    rng, n = np.random.default_rng(seed), len(ids)
    events = EventBatch.of(np.zeros(n, EVENT), [user.encode() for user, _ in ids], [event for _, event in ids])
    events["source"][:] = rng.integers(3, size=n)
    events["partition"][:] = rng.choice([0, 1, 7, 1000], n)
    events["offset"][:] = rng.integers(2**53, size=n)
    events["time_ms"][:] = rng.integers(253_402_300_800_000, size=n)
    events["time_bounded"][:] = rng.random(n) < 0.5
    scores: dict[str, Any] = {
        "events_seen": rng.integers(1, 2**40, n),
        "late": rng.random(n) < 0.5,
        "carry_rebuilt": rng.random(n) < 0.5,
        "intent": (rng.random((n, len(HORIZONS))) ** rng.integers(1, 40)).astype(np.float32),
        "surprise_parts": rng.exponential(3.0, (n, len(PARTS))).astype(np.float32),
        "strain": rng.normal(0.0, 3.0, n),
        "anomaly": rng.random(n),
        "fraud": rng.random(n).astype(np.float32) if seed % 2 else None,
    }
    return Scored(events=events, **(scores | columns))
