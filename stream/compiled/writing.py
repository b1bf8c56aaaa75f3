"""Numbers and texts as JSON, into an array of bytes: each function takes where to write and gives where it ended."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stream.compiled.compiling import compiled, copy_bytes

# Beyond it a double's shortest decimal is no longer the rounded number's own digits.
DIGITS_MAX = 1e15
_ZERO, _MINUS, _POINT, _E, _QUOTE, _BACKSLASH = (ord(c) for c in '0-.e"\\')
_HEX = np.frombuffer(b"0123456789abcdef", np.uint8)
# By character: 0 as it is, 1 as \u00XX, else the letter after a backslash.
_ESCAPES = np.zeros(256, np.uint8)
_ESCAPES[:32] = 1
for _character, _letter in zip(b'"\\\b\f\n\r\t', b'"\\bfnrt', strict=True):
    _ESCAPES[_character] = _letter
_POWERS = np.array([10**n for n in range(19)], np.int64)
_THREE = np.frombuffer(b"".join(b"%03d" % n for n in range(1000)), np.uint8)
_TENS = _POWERS.astype(np.float64)


@compiled
def copy(out: Any, at: int, source: Any, begin: int, end: int) -> int:
    """Bytes as they are."""
    copy_bytes(out, at, source, begin, end - begin)
    return at + end - begin


@compiled
def digits_of(number: int) -> int:
    """How many a number of 0 or more has."""
    digits = 1
    while digits < 19 and number >= _POWERS[digits]:
        digits += 1
    return digits


@compiled
def _digits(out: Any, at: int, number: int, digits: int) -> int:
    place = at + digits
    while place - at > 2:  # three at a time: each division waits for the one before
        thousands = number // 1000
        three = 3 * (number - 1000 * thousands)
        place, number = place - 3, thousands
        out[place], out[place + 1], out[place + 2] = _THREE[three], _THREE[three + 1], _THREE[three + 2]
    if place - at == 2:
        out[at], out[at + 1] = _THREE[3 * number + 1], _THREE[3 * number + 2]
    elif place - at == 1:
        out[at] = _ZERO + number
    return at + digits


@compiled
def integer(out: Any, at: int, number: int) -> int:
    """A 64-bit integer but the smallest."""
    if number < 0:
        out[at] = _MINUS
        at, number = at + 1, -number
    return _digits(out, at, number, digits_of(number))


@compiled
def rounded(out: Any, at: int, number: float, places: int) -> int:
    """A double, rounded as numpy does, in the shortest form that reads back as that.

    -1 where it has more digits than are known to be its own.
    """
    if not math.isfinite(number):
        return copy(out, at, _NULL, 0, 4)
    scaled = np.rint(number * _TENS[places])
    if abs(scaled) > DIGITS_MAX:
        return -1
    if math.copysign(1.0, scaled) < 0:
        out[at] = _MINUS
        at, scaled = at + 1, -scaled
    left: Any = np.int64(scaled)
    power = -places
    if left == 0:
        return copy(out, at, _NOTHING, 0, 3)
    while left % 10 == 0:
        left, power = left // 10, power + 1
    digits = digits_of(left)
    point = digits + power  # so many digits stand before it
    if power >= 0:
        at = _digits(out, at, left, digits)
        for _ in range(power):
            out[at] = _ZERO
            at += 1
        return copy(out, at, _NOTHING, 1, 3)
    if point > 0:
        whole = left // _POWERS[-power]
        at = _digits(out, at, whole, point)
        out[at] = _POINT
        return _digits(out, at + 1, left - whole * _POWERS[-power], -power)
    if point > -5:
        at = copy(out, at, _NOTHING, 0, 2)
        return _digits(out, at, left, -power)
    first = left // _POWERS[digits - 1]
    out[at] = _ZERO + first
    at += 1
    if digits > 1:
        out[at] = _POINT
        at = _digits(out, at + 1, left - first * _POWERS[digits - 1], digits - 1)
    out[at] = _E
    return integer(out, at + 1, point - 1)


_NULL = np.frombuffer(b"null", np.uint8)
_NOTHING = np.frombuffer(b"0.0", np.uint8)


@compiled
def text(out: Any, at: int, source: Any, begin: int, end: int) -> int:
    """UTF-8 in quotes."""
    out[at] = _QUOTE
    at += 1
    for i in range(begin, end):
        character = source[i]
        escape = _ESCAPES[character]
        if escape == 0:
            out[at] = character
            at += 1
            continue
        out[at] = _BACKSLASH
        if escape > 1:
            out[at + 1] = escape
            at += 2
            continue
        out[at + 1] = 117  # u
        out[at + 2] = out[at + 3] = _ZERO
        out[at + 4], out[at + 5] = _HEX[character >> 4], _HEX[character & 15]
        at += 6
    out[at] = _QUOTE
    return at + 1


TEXT_MOST = 6  # bytes that one of a text may become
