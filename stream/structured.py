"""Structured arrays, moved element by element: numpy moves them field by field, which takes 5 to 20 times as long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Structured = NDArray[np.void]


def take(array: Structured, index: Any) -> Structured:
    """`array[index]`, a copy unless the index is a slice."""
    taken: Structured = _opaque(array)[index].view(array.dtype)
    return taken


def put(array: Structured, index: Any, values: Structured) -> None:
    """`array[index] = values`, both of one dtype."""
    _opaque(array)[index] = _opaque(values)


def concat(arrays: Sequence[Structured]) -> Structured:
    """One after the other; at least one, all of one dtype."""
    return np.concatenate([_opaque(array) for array in arrays]).view(arrays[0].dtype)


def as_bytes(array: Structured) -> NDArray[np.uint8]:
    """[N, itemsize] the bytes of each of N elements, as a view."""
    return array.view(np.uint8).reshape(len(array), array.dtype.itemsize)


def _opaque(array: Structured) -> Structured:
    return array.view(np.dtype((np.void, array.dtype.itemsize)))
