"""JSON byte by byte: what is taken for a value is one, and what is simple is taken for one."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.compiled import scanning
from stream.compiled.scanning import ASCII, DECIMAL, DEPTH_MOST, DIGITS_MOST, ESCAPED, UTF_8, WHOLE
from tests.compiled import hostile

_PADDED = 8


def _array(text: bytes, after: bytes = b"") -> NDArray[np.uint8]:
    return np.frombuffer(text + after + bytes(_PADDED), np.uint8)


def _skipped(text: bytes, after: bytes = b"") -> int:
    return int(scanning.skip(_array(text, after), 0, len(text)))


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
        text.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return True


def test_what_is_skipped_is_json_and_ends_where_it_ends() -> None:
    skipped = 0
    for text in hostile.TEXTS:
        end = _skipped(text)
        if end >= 0:
            assert _is_json(text[:end]), text
            skipped += 1
    assert skipped > 200


@given(st.sampled_from(hostile.TEXTS), st.integers(0, 2_000), st.binary(max_size=3), st.integers(0, 3))
@settings(max_examples=1_000)
def test_what_is_skipped_is_json_however_it_was_changed(text: bytes, at: int, put: bytes, lost: int) -> None:
    at %= len(text) + 1
    changed = b"[" + text[:at] + put + text[at + lost :] + b"]"
    end = _skipped(changed)
    assert end < 0 or _is_json(changed[:end])


_SIMPLE: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**DIGITS_MOST) + 1, 10**DIGITS_MOST - 1) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=20,
)


@given(_SIMPLE, st.sampled_from([None, 1]), st.binary(max_size=9))
def test_simple_json_is_skipped_whole_whatever_follows(value: Any, indent: int | None, after: bytes) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent).encode("utf-8", "replace")
    if b"\\u" not in text and not (text[-1:].isdigit() and after[:1] in b"0123456789.eE"):
        assert _skipped(text, after) == len(text)


@pytest.mark.parametrize("depth", [DEPTH_MOST - 1, DEPTH_MOST, DEPTH_MOST + 1])
def test_brackets_are_followed_as_deep_as_there_are_bits_for_them(depth: int) -> None:
    for nested in hostile.nested(depth):
        assert _skipped(nested) == (len(nested) if nested.count(b"[") + nested.count(b"{") <= DEPTH_MOST else -1)


def test_every_kind_of_bracket_is_closed_by_its_own() -> None:
    for bits in range(2**6):
        opened = [bits >> i & 1 for i in range(6)]
        text = b"".join(b'{"a":' if is_object else b"[" for is_object in opened) + b"1"
        closing = [b"}" if is_object else b"]" for is_object in reversed(opened)]
        assert _skipped(text + b"".join(closing)) == len(text) + 6
        for i, bracket in enumerate(closing):
            wrong = b"]" if bracket == b"}" else b"}"
            assert _skipped(text + b"".join([*closing[:i], wrong, *closing[i + 1 :]])) < 0


@given(st.binary(max_size=40), st.integers(0, 20))
@settings(max_examples=500)
def test_a_text_ends_at_the_first_quote_and_is_utf_8_without_controls(inside: bytes, before: int) -> None:
    text = b"x" * before + inside + b'"'
    end, kind = scanning.text(_array(text), 0, len(text))
    if end < 0:
        return
    within = text[:end]
    assert text[end : end + 1] == b'"' and not any(byte < 32 for byte in within)
    within.decode()
    assert kind == (ESCAPED if b"\\" in within else ASCII if within.isascii() else UTF_8)
    assert json.loads(b'"' + within + b'"') is not None
    assert (b'"' in within) <= (kind == ESCAPED)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\')), st.integers(0, 9))
def test_a_text_without_anything_special_is_read_at_any_place(text: str, before: int) -> None:
    encoded = text.encode()
    array = _array(b" " * before + encoded + b'"' + b"\xff")
    end, kind = scanning.text(array, before, before + len(encoded) + 1)
    assert (end, kind) == (before + len(encoded), ASCII if text.isascii() else UTF_8)
    assert scanning.text(array, before, before + len(encoded))[0] < 0  # it never ends


def test_every_sequence_of_bytes_that_begins_a_character_is_one_or_is_refused() -> None:
    more = (0x00, 0x22, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xFF)
    for first in range(0x80, 0x100):
        for rest in ((), *((a,) for a in more), *((a, b) for a in more for b in more)):
            for last in ((), (0x80,), (0xBF,), (0xC0,)):
                character = bytes((first, *rest, *last))
                end, _ = scanning.text(_array(character + b'"'), 0, len(character) + 1)
                if end >= 0:
                    character[:end].decode()
                else:
                    with pytest.raises(UnicodeDecodeError):
                        _refused(character)


def _refused(text: bytes) -> None:
    """As far as a text goes: to its quote, and to a control character, by which it is none."""
    if any(byte < 32 for byte in text.split(b'"')[0]):
        raise UnicodeDecodeError("utf-8", text, 0, 1, "a control character")
    text.split(b'"')[0].decode()


@given(st.integers(0, 10**17), st.integers(0, 17), st.sampled_from([b"", b",", b"}", b" ", b"x", b"-", b'"']))
@settings(max_examples=500)
def test_a_number_is_its_digits_and_how_many_come_after_the_point(digits: int, places: int, after: bytes) -> None:
    text = format(Decimal(digits).scaleb(-places), "f").encode()
    end, kind, found, after_point = scanning.number(_array(text, after), 0, len(text) + len(after))
    if len(text.replace(b".", b"")) > DIGITS_MOST:
        assert end < 0
        return
    assert end == len(text)
    assert kind == (DECIMAL if b"." in text else WHOLE)
    assert Decimal(found).scaleb(-after_point) == Decimal(text.decode())
    assert found / 10.0**after_point == float(text)  # which is how a price is read


@pytest.mark.parametrize(
    "text",
    [b"", b"-1", b"+1", b"00", b"01", b"01.5", b"1.", b".5", b"1.e5", b"1e5", b"1E5", b"1.5e5", b"x", b"1" * 16, b"."],
)
def test_a_number_that_is_written_in_an_unusual_way_is_left_alone(text: bytes) -> None:
    assert scanning.number(_array(text), 0, len(text))[0] < 0


def test_nothing_is_read_beyond_the_end() -> None:
    for text in (b"12", b"1.2", b"null", b"true", b'"ab"', b'"\xc3\xa9"', b"[1]", b'{"a":1}', rb'"\n"', b"[[]]", b"-1"):
        for end in range(len(text)):
            found = scanning.skip(_array(text), 0, end)
            assert found <= end, (text, end)
    assert scanning.null(_array(b"null"), 0, 3) < 0
    assert scanning.space(_array(b"  \n\t\r"), 0, 3) == 3
