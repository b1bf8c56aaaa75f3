"""Kafka's numbers of variable length: zigzag, then seven bits a byte, the lowest first."""

from __future__ import annotations

from typing import Any

from stream.compiled.compiling import compiled


@compiled
def write(out: Any, at: int, number: int) -> int:
    """-> where it ended."""
    left = number << 1 if number >= 0 else ~(number << 1)
    while left > 127:
        out[at] = left & 127 | 128
        at, left = at + 1, left >> 7
    out[at] = left
    return at + 1


@compiled
def size(number: int) -> int:
    """In bytes."""
    left = number << 1 if number >= 0 else ~(number << 1)
    n = 1
    while left > 127:
        n, left = n + 1, left >> 7
    return n


@compiled
def read(data: Any, at: int, end: int) -> tuple[int, int]:
    """(number, where it ended); -1 for the latter where it is not whole before `end`, or longer than 64 bits."""
    number, shift = 0, 0
    while at < end and shift < 63:
        byte = int(data[at])
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return (number >> 1) ^ -(number & 1), at
    return 0, -1
