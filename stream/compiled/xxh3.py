"""XXH3, 64 bits, without seed: what `xxhash.xxh3_64_intdigest` gives of up to 240 bytes.

After the specification in xxHash 0.8 (Collet), whose names the steps have.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.compiled.compiling import compiled, load_32, load_64, multiply_fold

BYTES_MOST = 240

_U = np.uint64
_SECRET = np.frombuffer(
    bytes.fromhex(
        "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221b8084674f743248e"
        "e03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8a8fa763fe39c343ff9dcbbc7c70b4f1d8a"
        "51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8f"
        "f8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e"
    ),
    np.uint8,
)
_PRIME_1, _PRIME_2, _PRIME_3 = _U(0x9E3779B185EBCA87), _U(0xC2B2AE3D27D4EB4F), _U(0x165667B19E3779F9)
_AVALANCHE, _RRMXMX = _U(0x165667919E3779F9), _U(0x9FB21C651E98DF25)


def _secret(at: int) -> np.uint64:
    return _U(int.from_bytes(_SECRET[at : at + 8].tobytes(), "little"))


_FLIP_3 = (_secret(0) ^ (_secret(0) >> _U(32))) & _U(0xFFFF_FFFF)
_FLIP_8 = _secret(8) ^ _secret(16)
_FLIP_LOW, _FLIP_HIGH = _secret(24) ^ _secret(32), _secret(40) ^ _secret(48)
_S8, _S16, _S24, _S28, _S29, _S32, _S33, _S35, _S37, _S40, _S48, _S49, _S56 = (
    _U(n) for n in (8, 16, 24, 28, 29, 32, 33, 35, 37, 40, 48, 49, 56)
)


@compiled
def digest(data: Any, begin: int, end: int) -> Any:
    """Of 1 to 240 bytes of an array."""
    size = end - begin
    if size <= 3:
        first, middle, last = _U(data[begin]), _U(data[begin + (size >> 1)]), _U(data[end - 1])
        h = (first << _S16 | middle << _S24 | last | _U(size) << _S8) ^ _FLIP_3
        h ^= h >> _S33
        h *= _PRIME_2
        h ^= h >> _S29
        h *= _PRIME_3
        return h ^ h >> _S32
    if size <= 8:
        h = (load_32(data, end - 4) + (load_32(data, begin) << _S32)) ^ _FLIP_8
        h ^= (h << _S49 | h >> (_U(64) - _S49)) ^ (h << _S24 | h >> _S40)
        h *= _RRMXMX
        h ^= (h >> _S35) + _U(size)
        h *= _RRMXMX
        return h ^ h >> _S28
    if size <= 16:
        low, high = load_64(data, begin) ^ _FLIP_LOW, load_64(data, end - 8) ^ _FLIP_HIGH
        return _avalanche(_U(size) + _swapped(low) + high + multiply_fold(low, high))
    h = _U(size) * _PRIME_1
    if size <= 128:
        rounds = (size - 1) >> 5
        for i in range(rounds, -1, -1):
            h += _mixed(data, begin + 16 * i, 32 * i)
            h += _mixed(data, end - 16 * (i + 1), 32 * i + 16)
        return _avalanche(h)
    for i in range(8):
        h += _mixed(data, begin + 16 * i, 16 * i)
    h = _avalanche(h)
    for i in range(8, size >> 4):
        h += _mixed(data, begin + 16 * i, 16 * (i - 8) + 3)
    return _avalanche(h + _mixed(data, end - 16, 136 - 17))


@compiled
def _mixed(data: Any, at: int, secret: int) -> Any:
    return multiply_fold(
        load_64(data, at) ^ load_64(_SECRET, secret), load_64(data, at + 8) ^ load_64(_SECRET, secret + 8)
    )


@compiled
def _avalanche(h: Any) -> Any:
    h ^= h >> _S37
    h *= _AVALANCHE
    return h ^ h >> _S32


@compiled
def _swapped(h: Any) -> Any:
    """The bytes the other way round."""
    swapped = _U(0)
    for _ in range(8):
        swapped = swapped << _S8 | h & _U(255)
        h >>= _S8
    return swapped
