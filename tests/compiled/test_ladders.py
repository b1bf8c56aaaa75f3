"""Numbers among sorted ones: what numpy interpolates, bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.compiled.ladders import interpolated

_PLACES = st.lists(
    st.floats(-100, 100).map(lambda x: round(x, 6)) | st.integers(-3, 3).map(float), min_size=2, max_size=40
)
_NUMBERS = st.lists(st.floats() | st.integers(-4, 4).map(float), max_size=30)


@given(_PLACES, _NUMBERS)
@example([0.0, 0.0], [-1.0, 0.0, 1.0, np.nan])
@example([1.0] * 9, [0.0, 1.0, 2.0, np.nan, np.inf, -np.inf])
@settings(max_examples=500)
def test_any_number_is_interpolated_as_by_numpy(places: list[float], numbers: list[float]) -> None:
    ladder = np.sort(np.array(places))
    values = np.linspace(0.0, 0.99, len(ladder))
    wanted = np.array([*numbers, *ladder, *np.nextafter(ladder, -np.inf), *np.nextafter(ladder, np.inf)], np.float64)
    found = interpolated(wanted, ladder, values)
    assert found.tobytes() == np.interp(wanted, ladder, values).tobytes()


def test_many_numbers_on_a_long_ladder() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 3, 199, 200, 201):
        ladder = np.asarray(np.sort(rng.exponential(size=n)).round(2), np.float64)  # with ties
        numbers = rng.exponential(size=20_000)
        values = np.linspace(0.0, 0.99, n)
        assert interpolated(numbers, ladder, values).tobytes() == np.interp(numbers, ladder, values).tobytes()
