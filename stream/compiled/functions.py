"""The functions of a neural network, to the last two bits of a float32, written so that whole vectors go through them.

The exponential after Cephes' `expf` (Moshier): the power of two apart, a polynomial for the rest.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stream.compiled.compiling import compiled

_F = np.float32
_LOG2_E, _LN2_HIGH, _LN2_LOW = _F(1.4426950408889634), _F(0.693359375), _F(-2.12194440e-4)
_LEAST, _MOST = _F(-87.0), _F(87.0)
_WHOLE = _F(12_582_912.0)  # what is added to it and taken away again is rounded to a whole number
_C0, _C1, _C2, _C3, _C4, _C5 = (
    _F(c)
    for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)
_BIAS, _MANTISSA_BITS = np.int32(127), np.int32(23)
ONE, TWO = _F(1), _F(2)


@compiled
def exp(x: Any) -> Any:
    """e^x of a float32, of at most 87 and at least -87."""
    x = min(max(x, _LEAST), _MOST)
    power = (x * _LOG2_E + _WHOLE) - _WHOLE
    rest = x - power * _LN2_HIGH - power * _LN2_LOW
    series = _C0 * rest + _C1
    series = series * rest + _C2
    series = series * rest + _C3
    series = series * rest + _C4
    series = series * rest + _C5
    series = series * rest * rest + rest + ONE
    return series * np.int32((np.int32(power) + _BIAS) << _MANTISSA_BITS).view(np.float32)


@compiled
def sigmoid(x: Any) -> Any:
    return ONE / (ONE + exp(-x))


@compiled
def tanh(x: Any) -> Any:
    """To 2e-7; near 0, where it is as small itself, not to its last bits."""
    return ONE - TWO / (exp(TWO * x) + ONE)
