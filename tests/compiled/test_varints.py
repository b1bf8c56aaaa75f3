"""Kafka's numbers of variable length: as aiokafka writes them, and read back."""

from __future__ import annotations

import numpy as np
from aiokafka.record.util import encode_varint
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.compiled import varints
from stream.record_batches import varint

_MOST = 2**62 - 1
_ROOM, _FILL = 16, 0xAA
NUMBERS = st.one_of(
    st.integers(-_MOST, _MOST),
    st.builds(lambda bits, away: (1 << bits) + away, st.integers(0, 60), st.integers(-2, 2)),
    st.builds(lambda bits, away: -(1 << bits) + away, st.integers(0, 60), st.integers(-2, 2)),
)


def _written(number: int) -> bytes:
    written = bytearray()
    encode_varint(number, written.append)
    return bytes(written)


@given(NUMBERS)
@example(_MOST)
@example(-_MOST)
@settings(max_examples=500)
def test_a_number_is_written_as_aiokafka_writes_it_and_no_byte_beside_it(number: int) -> None:
    out = np.full(_ROOM, _FILL, np.uint8)
    end = varints.write(out, 3, number)
    assert out[3:end].tobytes() == _written(number)
    assert varints.size(number) == end - 3
    assert set(out[:3].tolist() + out[end:].tolist()) == {_FILL}


@given(NUMBERS, st.binary(max_size=4))
@settings(max_examples=500)
def test_a_number_is_read_back_and_never_from_beyond_the_end(number: int, after: bytes) -> None:
    written = _written(number)
    data = np.frombuffer(written + after, np.uint8)
    if len(written) <= 9:
        assert varints.read(data, 0, len(data)) == (number, len(written))
    for end in range(len(written)):
        assert varints.read(data, 0, end) == (0, -1)


@given(st.binary(min_size=1, max_size=12))
@settings(max_examples=500)
def test_any_bytes_are_the_number_that_they_are_to_the_reference_or_none(data: bytes) -> None:
    number, end = varints.read(np.frombuffer(data, np.uint8), 0, len(data))
    if end >= 0:
        assert (number, end) == varint(data, 0)
    else:
        assert len(data) < 9 or all(byte > 127 for byte in data[:9])
