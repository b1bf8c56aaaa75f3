"""Running figures are what a loop over each group's past gives."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.evaluation.behaviour import Floats
from stream.evaluation.running_groups import RunningGroups, decayed_counts

values = st.one_of(st.none(), st.integers(-5, 5))
some_rows = st.lists(st.tuples(st.integers(0, 3), values, st.booleans()), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(some_rows)
def test_every_figure_is_of_the_groups_rows_so_far(rows: list[tuple[int, int | None, bool]]) -> None:
    group = np.array([g for g, _, _ in rows])
    value = np.array([math.nan if v is None else v for _, v, _ in rows], float)
    counted = np.array([c for _, _, c in rows])
    place = np.arange(len(rows), dtype=float) ** 2
    found = RunningGroups(group)
    for at in range(len(rows)):
        past = [k for k in range(at + 1) if group[k] == group[at]]
        known = [value[k] for k in past if not math.isnan(value[k])]
        last = [k for k in past if counted[k]]
        expected: dict[str, tuple[Floats, float]] = {
            "so_far": (found.so_far(counted), sum(counted[past])),
            "sum": (found.sum(value), sum(known)),
            "mean": (found.mean(value), np.mean(known) if known else math.nan),
            "max": (found.max(value), max(known, default=math.nan)),
            "previous": (found.previous(value), value[past[-2]] if len(past) > 1 else math.nan),
            "three ago": (found.previous(value, 3), value[past[-4]] if len(past) > 3 else math.nan),
            "since_last": (found.since_last(counted, place), place[at] - place[last[-1]] if last else math.nan),
        }
        for name, (column, right) in expected.items():
            np.testing.assert_allclose(float(column[at]), right, err_msg=name, atol=1e-12)
        assert found.rank[at] == len(past) - 1
        assert found.start[at] == past[0]
        assert found.first[at] == (len(past) == 1)


def test_a_count_is_halved_by_each_half_life_that_passes() -> None:
    user = np.array([0, 0, 0, 1])
    gap = np.array([0.0, 60.0, 120.0, 0.0])
    kind = np.array([0, 1, 0, 1])
    found = decayed_counts(user, gap, kind, 2, np.array([60.0, 120.0]))
    np.testing.assert_allclose(found[:, 0], [[1.0, 0.0], [1 / 2, 1.0], [1 / 8 + 1, 1 / 4], [0.0, 1.0]])
    np.testing.assert_allclose(found[2, 1], [2**-1.5 + 1, 1 / 2])
