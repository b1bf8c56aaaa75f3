"""Numbers and texts as JSON: byte for byte what the libraries write."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.compiled import writing
from stream.compiled.writing import DIGITS_MAX, TEXT_MOST

_ROOM, _FILL, _AT = 64, 0xAA, 3
_PLACES = (6, 15)


def _rounded(number: float, places: int) -> bytes | None:
    """None where it is said to have too many digits; nothing is written beside it."""
    out = np.full(_ROOM, _FILL, np.uint8)
    end = writing.rounded(out, _AT, number, places)
    if end < 0:
        return None
    assert set(out[:_AT].tolist() + out[end:].tolist()) == {_FILL}
    return out[_AT:end].tobytes()


def _expected(number: float, places: int) -> bytes:
    with np.errstate(over="ignore"):
        return orjson.dumps(float(np.round(np.float64(number), places)))


def _assert_written(numbers: NDArray[np.float64]) -> None:
    for number in numbers.tolist():
        for places in _PLACES:
            written = _rounded(number, places)
            if math.isfinite(number) and abs(number) * 10.0**places > DIGITS_MAX + 1:
                assert written is None
            else:
                assert written == _expected(number, places), (number, places)


def test_numbers_of_every_magnitude() -> None:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=20_000) * 10.0 ** rng.uniform(-25, 12, 20_000)
    _assert_written(numbers)
    _assert_written(rng.random(5_000))
    _assert_written(1 - rng.random(5_000) ** 8 * 1e-12)
    _assert_written(rng.random(5_000).astype(np.float32).astype(np.float64))


def test_numbers_halfway_between_two_and_beside_it() -> None:
    for places in _PLACES:
        halves = (np.r_[np.arange(0, 300), 10 ** np.arange(0, 15)] + 0.5) / 10.0**places
        _assert_written(np.r_[halves, np.nextafter(halves, 0), np.nextafter(halves, np.inf), -halves])


def test_numbers_of_few_digits_and_those_beside_them() -> None:
    few = np.array([digits * 10.0**power for digits in (1, 2, 9, 10, 12, 123, 999_999) for power in range(-20, 9)])
    _assert_written(np.r_[few, -few, np.nextafter(few, 0), np.nextafter(few, np.inf)])


@pytest.mark.parametrize(
    "number", [0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, -5e-324, 2.2e-308, 1.8e308, -1.8e308, 1e9, 1e15, 1e16]
)
def test_numbers_at_the_ends(number: float) -> None:
    _assert_written(np.array([number]))


@given(st.floats())
@example(999_999_999.999_999_5)
@example(1_000_000_000.000_000_1)
@settings(max_examples=1_000)
def test_any_number(number: float) -> None:
    for places in _PLACES:
        written = _rounded(number, places)
        assert written in (None, _expected(number, places))


@given(st.integers(-(2**63) + 1, 2**63 - 1))
@example(0)
@example(2**63 - 1)
@example(-(2**63) + 1)
@settings(max_examples=500)
def test_any_integer(number: int) -> None:
    out = np.full(_ROOM, _FILL, np.uint8)
    end = writing.integer(out, _AT, number)
    assert out[_AT:end].tobytes() == str(number).encode()
    assert set(out[:_AT].tolist() + out[end:].tolist()) == {_FILL}


def test_integers_of_every_number_of_digits() -> None:
    out = np.zeros(_ROOM, np.uint8)
    for power in range(19):
        for number in (10**power - 1, 10**power, 10**power + 1):
            assert out[: writing.integer(out, 0, number)].tobytes() == str(number).encode()
            assert writing.digits_of(number) == len(str(number))


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\\x00\x1f\x7f\n/'), max_size=60))
@example("".join(map(chr, range(256))))
@example("\u2028\u2029\ufeff\U0010ffff")
@settings(max_examples=500)
def test_any_text(text: str) -> None:
    source = np.frombuffer(b"xx" + text.encode() + b"yy", np.uint8)
    room = _AT + TEXT_MOST * len(source) + 2
    out = np.full(room, _FILL, np.uint8)
    end = writing.text(out, _AT, source, 2, len(source) - 2)
    assert out[_AT:end].tobytes() == msgspec.json.encode(text)
    assert set(out[:_AT].tolist() + out[end:].tolist()) == {_FILL}
