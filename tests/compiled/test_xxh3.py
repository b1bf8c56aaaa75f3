"""XXH3 of up to 240 bytes: what the library gives."""

from __future__ import annotations

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from stream.compiled import xxh3

# What may be read behind the end; it must not matter what is there.
_BEYOND = 16


@pytest.mark.parametrize("fill", [0, 255, None])
def test_of_every_length_it_is_what_the_library_gives(fill: int | None) -> None:
    rng = np.random.default_rng(0)
    for size in range(1, xxh3.BYTES_MOST + 1):
        for begin in (0, 1, 7):
            data = rng.integers(0, 256, begin + size + _BEYOND, np.uint8)
            if fill is not None:
                data[begin : begin + size] = fill
            assert xxh3.digest(data, begin, begin + size) == xxhash.xxh3_64_intdigest(
                data[begin : begin + size].tobytes()
            )


@given(st.binary(min_size=1, max_size=xxh3.BYTES_MOST))
def test_of_any_bytes_it_is_what_the_library_gives(data: bytes) -> None:
    array = np.frombuffer(data + bytes(_BEYOND), np.uint8)
    assert xxh3.digest(array, 0, len(data)) == xxhash.xxh3_64_intdigest(data)


@pytest.mark.parametrize("size", [1, 3, 4, 8, 9, 16, 17, 32, 33, 64, 65, 96, 97, 128, 129, 160, 161, 239, 240])
def test_no_bit_of_it_is_passed_over(size: int) -> None:
    data = np.zeros(size, np.uint8)
    digests = {int(xxh3.digest(data, 0, size))}
    for at in range(size):
        for bit in range(8):
            data[at] ^= 1 << bit
            digests.add(int(xxh3.digest(data, 0, size)))
            data[at] ^= 1 << bit
    assert len(digests) == 1 + 8 * size
