"""Events and their predecessors -> x, and what came in the words of the next-event heads.

Everything is made from the raw event and from the one that its user had before it, so that a rolling sequence is enough
to run a model again from the start.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stream.events import ACTIONS

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

# The version of what is computed here; a model's card holds it, and a model of another one is refused.
FEATURES_FORMAT = 1

# Hash buckets. Items: 2,048 of 8 numbers are 64 KiB of a model that is to stay small. Categories: at most about 128, or
# the softmax over them becomes the dearest part of an event (256 classes: 0.5 us, 5,000: 28 us).
ITEM_BUCKETS = 2048
CATEGORY_BUCKETS = 64

# Next-event classes. A gap or price is told to within a factor of about two: bins by powers, class 0 for "none".
GAP_EDGES_S = np.array([1, 2, 4, 8, 15, 30, 60, 120, 300, 900, 1800, 3600, 7200, 14400, 28800, 57600,
                        86400, 172800, 345600, 691200, 1382400, 2764800])  # fmt: skip
PRICE_EDGES = np.array([1, 2, 4, 7, 10, 15, 22, 33, 50, 75, 110, 165, 250, 370, 550, 830, 1250, 2500, 5000, 10000.0])

PARTS = ("action", "category", "gap", "price")  # of the surprise
PART_CLASSES = (len(ACTIONS), CATEGORY_BUCKETS, len(GAP_EDGES_S) + 2, len(PRICE_EDGES) + 2)

# [F] the real-valued features, in order.
REAL = ("gap", "first", "price", "no_price", "hour_sin", "hour_cos", "same_item", "same_category")

_DAY_MS = 86_400_000


class Statistics(NamedTuple):
    """Mean and standard deviation over the training part; a model's card holds them."""

    gap_mean: float  # of ln(1 + seconds)
    gap_std: float
    price_mean: float  # of ln(1 + price)
    price_std: float


class Features(NamedTuple):
    """N events as the model's input."""

    action: Ints  # [N] index into ACTIONS
    item: Ints  # [N] bucket
    category: Ints  # [N] bucket, 0: none
    real: Floats  # [N, F]


class Outcome(NamedTuple):
    """What really came: the class of each event in each part of the surprise."""

    classes: Ints  # [N, 4] in the order of PARTS
    first: NDArray[np.bool_]  # [N] a user's first event has no gap to be surprised at


def build(
    now: NDArray[np.void], before: NDArray[np.void], gap_ms: Ints, first: NDArray[np.bool_], statistics: Statistics
) -> tuple[Features, Outcome]:
    """Features and outcome of N raw events (`rows.RAW_EVENT`), each with its predecessor and the gap to it.

    `gap_ms` is 0 or more; where `first`, there is no predecessor, and `before` and `gap_ms` are not looked at.
    """
    gap_s = gap_ms / 1000.0
    no_price = np.isnan(now["price"])
    price = np.where(no_price, 0.0, now["price"])
    hour = (now["time_ms"] % _DAY_MS) * (2 * np.pi / _DAY_MS)
    category = np.where(now["category"] == 0, 0, 1 + now["category"] % (CATEGORY_BUCKETS - 1)).astype(np.int64)

    real = np.empty((len(now), len(REAL)), np.float32)
    real[:, 0] = np.where(first, 0.0, (np.log1p(gap_s) - statistics.gap_mean) / statistics.gap_std)
    real[:, 1] = first
    real[:, 2] = np.where(no_price, 0.0, (np.log1p(price) - statistics.price_mean) / statistics.price_std)
    real[:, 3] = no_price
    real[:, 4] = np.sin(hour)
    real[:, 5] = np.cos(hour)
    real[:, 6] = ~first & (now["item"] != 0) & (now["item"] == before["item"])
    real[:, 7] = ~first & (now["category"] != 0) & (now["category"] == before["category"])

    classes = np.empty((len(now), len(PARTS)), np.int64)
    classes[:, 0] = now["action"]
    classes[:, 1] = category
    classes[:, 2] = np.where(first, 0, 1 + np.searchsorted(GAP_EDGES_S, gap_s, side="right"))
    classes[:, 3] = np.where(no_price, 0, 1 + np.searchsorted(PRICE_EDGES, price, side="right"))
    features = Features(now["action"].astype(np.int64), (now["item"] % ITEM_BUCKETS).astype(np.int64), category, real)
    return features, Outcome(classes, first)
