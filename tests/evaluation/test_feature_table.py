"""Features of some of many events."""

from __future__ import annotations

import numpy as np
import pytest

from stream.evaluation import feature_table as module
from stream.evaluation.feature_table import feature_table
from stream.evaluation.running_features import running_features
from stream.evaluation.scored import behaviour
from tests.evaluation.shop import shop


def test_some_users_at_a_time_give_what_all_at_once_give(monkeypatch: pytest.MonkeyPatch) -> None:
    of = behaviour(shop(60))
    wanted = np.random.default_rng(0).random(len(of)) < 0.4
    wanted[of.user < 10] = False  # of whom nothing is made
    whole = running_features(of)
    monkeypatch.setattr(module, "_EVENTS_AT_ONCE", 50)
    table = feature_table(of, wanted)
    assert table.names == tuple(whole)
    events = np.flatnonzero(wanted)
    expected = np.column_stack(list(whole.values()))[events]
    np.testing.assert_allclose(table.of(events), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(table.of(events[::-1]), table.x[::-1])
    assert (table.place[~wanted] == -1).all()


def test_an_action_that_a_block_of_users_lacks_has_its_columns_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    of = behaviour(shop(60))
    monkeypatch.setattr(module, "_EVENTS_AT_ONCE", 1)
    table = feature_table(of, np.ones(len(of), bool))
    assert "purchase_so_far" in table.names
    assert table.x.shape == (len(of), len(table.names))
