"""When each event of a load is meant to be sent. Made beforehand: nothing that happens meanwhile moves it.

A load that waits for its system sends less while that is slow, and what it did not send is in no figure (coordinated
omission). Here the i-th event is due i / rate seconds after the start, however late those before it were.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

HALF = "half"  # of the peak that a backlog run has found
Rate = float | Literal["half"]


def parsed_rates(text: str) -> tuple[Rate, ...]:
    """`1000,10000,half` -> what it says. ValueError with the word that is no rate."""
    return tuple(_rate(word.strip()) for word in text.split(","))


def _rate(word: str) -> Rate:
    if word == HALF:
        return "half"
    try:
        rate = float(word)
    except ValueError:
        rate = 0.0
    if not 0 < rate < float("inf"):  # also refuses NaN
        raise ValueError(f"expected events per second above 0, or {HALF}, got {word!r}")
    return rate


def due_secs(n: int, rate_per_sec: float) -> NDArray[np.float64]:
    """[n] seconds after the start: an even pace."""
    return np.arange(n) / rate_per_sec
