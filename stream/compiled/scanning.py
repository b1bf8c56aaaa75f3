"""JSON, byte by byte: where a value ends, and what it says where that is simple.

Each function gives a negative place for what is no JSON, and for what it does not look into: escapes that matter, text
that is no UTF-8, numbers that are written in an unusual way, and depths that nobody's events have. The array must have
8 bytes more than it says.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.compiled.compiling import compiled, load_64, trailing_zeros

UNSURE = -1
# What is in a text
ASCII, UTF_8, ESCAPED = range(3)
# What is in a number
WHOLE, DECIMAL = range(2)

_U = np.uint64
_ONES, _HIGHS = _U(0x0101_0101_0101_0101), _U(0x8080_8080_8080_8080)
_QUOTES, _BACKSLASHES, _CONTROLS = (_U(n) * _ONES for n in (0x22, 0x5C, 0x20))
_ONE, _SEVEN = _U(1), _U(7)

_QUOTE, _BACKSLASH, _MINUS, _POINT, _COMMA, _COLON = (ord(c) for c in '"\\-.,:')
_OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = (ord(c) for c in "{}[]")
_SPACE, _TAB, _LINE, _RETURN = (ord(c) for c in " \t\n\r")
_T, _F, _N, _E, _BIG_E, _PLUS, _ZERO = (ord(c) for c in "tfneE+0")
_TRUE, _FALSE, _NULL = (np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null"))
_IS_SIMPLE_ESCAPE = np.isin(np.arange(256), np.frombuffer(b'"\\/bfnrt', np.uint8))
DIGITS_MOST = 15  # which a double holds exactly
DEPTH_MOST = 60


@compiled
def space(data: Any, at: int, end: int) -> int:
    """-> what comes after it."""
    while at < end and (data[at] == _SPACE or data[at] == _LINE or data[at] == _TAB or data[at] == _RETURN):
        at += 1
    return at


@compiled
def text(data: Any, at: int, end: int) -> tuple[int, int]:
    """What comes after an opening quote -> (where its closing one is, what is in it)."""
    kind = ASCII
    while True:
        while at + 8 <= end:  # eight at a time, as long as they are plain
            word = load_64(data, at)
            quotes, escapes = word ^ _QUOTES, word ^ _BACKSLASHES
            special = (quotes - _ONES) & ~quotes | (escapes - _ONES) & ~escapes | (word - _CONTROLS) & ~word | word
            special &= _HIGHS
            if special:  # a borrow may mark more than there are, but none before the first
                at += trailing_zeros(special) >> 3
                break
            at += 8
        if at >= end:
            return UNSURE, kind
        byte = data[at]
        if byte == _QUOTE:
            return at, kind
        if byte < 32:
            return UNSURE, kind
        if byte < 128:
            at += 1
            if byte == _BACKSLASH:
                if at >= end or not _IS_SIMPLE_ESCAPE[data[at]]:
                    return UNSURE, kind
                at, kind = at + 1, ESCAPED
            continue
        at = _character(data, at, end)
        if at < 0:
            return UNSURE, kind
        kind = max(kind, UTF_8)


@compiled
def _character(data: Any, at: int, end: int) -> int:
    """-> what comes after a character of two to four bytes."""
    first = int(data[at])
    if 0xC2 <= first < 0xE0:
        more, least, most = 1, 0x80, 0xBF
    elif 0xE0 <= first < 0xF0:
        more, least, most = 2, 0xA0 if first == 0xE0 else 0x80, 0x9F if first == 0xED else 0xBF
    elif 0xF0 <= first < 0xF5:
        more, least, most = 3, 0x90 if first == 0xF0 else 0x80, 0x8F if first == 0xF4 else 0xBF
    else:
        return UNSURE
    if at + more >= end or not least <= int(data[at + 1]) <= most:
        return UNSURE
    for i in range(2, more + 1):
        if data[at + i] & 0xC0 != 0x80:
            return UNSURE
    return at + 1 + more


@compiled
def number(data: Any, at: int, end: int) -> tuple[int, int, int, int]:
    """Of 0 or more, in up to 15 digits without exponent -> (what comes after it, kind, its digits, how many of them
    come after the point)."""
    begin, digits, places, kind = at, 0, 0, WHOLE
    while at < end and _is_digit(data[at]):
        digits, at = 10 * digits + int(data[at]) - _ZERO, at + 1
        if at - begin > DIGITS_MOST:
            return UNSURE, kind, 0, 0
    if at == begin or (data[begin] == _ZERO and at - begin > 1):
        return UNSURE, kind, 0, 0
    if at < end and data[at] == _POINT:
        point, kind, at = at, DECIMAL, at + 1
        while at < end and _is_digit(data[at]):
            digits, at = 10 * digits + int(data[at]) - _ZERO, at + 1
            if at - begin > DIGITS_MOST + 1:
                return UNSURE, kind, 0, 0
        places = at - point - 1
        if not places:
            return UNSURE, kind, 0, 0
    if at < end and (data[at] == _E or data[at] == _BIG_E):
        return UNSURE, kind, 0, 0
    return at, kind, digits, places


@compiled
def _is_digit(byte: Any) -> bool:
    return bool(_ZERO <= byte <= _ZERO + 9)


@compiled
def skip(data: Any, at: int, end: int) -> int:
    """-> what comes after a value of any kind, which is well-formed."""
    if at < end and data[at] != _OPEN and data[at] != _OPEN_LIST:
        return _scalar(data, at, end)
    nested, depth = _U(0), 0  # a bit for each bracket that is open: 1 an object's
    while True:
        at = space(data, at, end)
        if at >= end:
            return UNSURE
        byte = data[at]
        if byte == _OPEN or byte == _OPEN_LIST:
            if depth == DEPTH_MOST:
                return UNSURE
            nested = nested << _ONE | _U(byte == _OPEN)
            depth += 1
            at = space(data, at + 1, end)
            if at < end and data[at] == (_CLOSE if byte == _OPEN else _CLOSE_LIST):
                nested >>= _ONE
                at, depth = at + 1, depth - 1
            elif byte == _OPEN:
                at = _name(data, at, end)
                if at < 0:
                    return UNSURE
                continue
            else:
                continue
        else:
            at = _scalar(data, at, end)
            if at < 0:
                return UNSURE
        while depth:
            at = space(data, at, end)
            if at >= end:
                return UNSURE
            is_object = nested & _ONE != _U(0)
            if data[at] == _COMMA:
                at += 1
                if is_object:
                    at = _name(data, space(data, at, end), end)
                    if at < 0:
                        return UNSURE
                break
            if data[at] != (_CLOSE if is_object else _CLOSE_LIST):
                return UNSURE
            nested >>= _ONE
            at, depth = at + 1, depth - 1
        else:
            return at


@compiled
def _name(data: Any, at: int, end: int) -> int:
    """-> what comes after a field's name and its colon."""
    if at >= end or data[at] != _QUOTE:
        return UNSURE
    at = text(data, at + 1, end)[0]
    if at < 0:
        return UNSURE
    at = space(data, at + 1, end)
    return at + 1 if at < end and data[at] == _COLON else UNSURE


@compiled
def _scalar(data: Any, at: int, end: int) -> int:
    byte = data[at]
    if byte == _QUOTE:
        closing = text(data, at + 1, end)[0]
        return closing + 1 if closing >= 0 else UNSURE
    if byte == _T:
        return _word(data, at, end, _TRUE)
    if byte == _F:
        return _word(data, at, end, _FALSE)
    if byte == _N:
        return _word(data, at, end, _NULL)
    if byte == _MINUS:
        at += 1
    return number(data, at, end)[0]


@compiled
def null(data: Any, at: int, end: int) -> int:
    """-> what comes after it."""
    return _word(data, at, end, _NULL)


@compiled
def _word(data: Any, at: int, end: int, word: Any) -> int:
    if at + len(word) > end:
        return UNSURE
    for i in range(len(word)):
        if data[at + i] != word[i]:
            return UNSURE
    return at + len(word)
