"""What an analyst sees of users and sessions, and what rules find."""

from __future__ import annotations

import numpy as np
import pytest

from stream.comparison import fraud_features, fraud_rules, shop_table
from stream.comparison.fraud_features import Units
from stream.evaluation.behaviour import NONE
from stream.events import ACTIONS
from stream.shop_event import ShopEvent
from tests.comparison.streams import event

HOUR = 3600.0


def test_a_table_has_every_hashed_field_and_none_of_an_events_own_ids() -> None:
    table = shop_table.read(
        [
            event("a", 1, device_id="d1", ip_hash="i", country="DE", session_id="s"),
            event("b", 0, "purchase", shipping_id="x", transaction_id="t", items=[{"item_id": 1, "quantity": 2}, {}]),
            event("b", 0, "search", search_term="boots", device_id="d1"),
        ]
    )
    assert set(table.ids) == {"device_id", "ip_hash", "country", "shipping_id"}
    assert table.ids["device_id"].tolist() == [0, NONE, 0]
    assert table.lines.tolist() == [0, 2, 0]
    assert table.quantity[1] == 3  # a line that says nothing is one piece
    assert table.term.tolist() == [NONE, NONE, 0]


def test_a_table_passes_over_what_comes_twice_and_what_is_no_event() -> None:
    bad = ShopEvent("clicks", b"a", b"[1]", 0)
    assert (
        len(shop_table.read([event("a", 1), event("a", 1), bad, event("a", 2, "tap"), event("a", 3, price="x")])) == 1
    )


def test_the_features_of_a_user_and_of_their_sessions() -> None:
    events = [
        event("ann", 0, item="x", price=10, session_id="1", device_id="d", fraud="take-over"),
        event("ann", 30, "add_payment_info", session_id="1", device_id="d"),
        event("ann", 60, "add_payment_info", session_id="1", device_id="d"),
        event("ann", 90, "purchase", "y", value=40, session_id="1", device_id="d"),
        event("ann", 30 * HOUR, item="x", price=30, session_id="2", device_id="e"),
        event("ann", 30 * HOUR + 10, "purchase", "x", value=80, session_id="2", device_id="e"),
        event("bob", 0, device_id="e", session_id="1"),
    ]
    users, sessions = fraud_features.units(shop_table.read(events))
    expected: dict[str, list[float]] = {
        "events": [6, 1],
        "sessions": [2, 1],
        "events in the busiest minute": [2, 1],  # 60 s apart is not within one
        "count of add_payment_info": [2, 0],
        "payment attempts without purchase": [0, 0],
        "highest of one session: payment attempts without purchase": [1, 0],
        "highest of one hour: events": [4, 1],
        "purchases of items not viewed before": [1, 0],
        "time to the first purchase, s": [90, np.nan],
        "gap min, s": [10, np.nan],
        "gap median, s": [30, np.nan],
        "order value max": [80, np.nan],
        "price max to median": [3, np.nan],
        "distinct device_id": [2, 1],
        "users with the same device_id": [2, 2],
        "new device_id at purchase": [1, 0],
        "change of price, halves": [np.log(31) - np.log(11), np.nan],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(users.features[name], values, err_msg=name)
    assert users.fraud.tolist() == [0, NONE]
    assert sessions.fraud.tolist() == [0, NONE, NONE]
    assert sessions.user.tolist() == [0, 0, 1]
    np.testing.assert_allclose(sessions.features["pause before, s"], [np.nan, 30 * HOUR - 90, np.nan])
    np.testing.assert_allclose(
        sessions.features["log order value to own past, max"], [np.nan, np.log(81) - np.log(41), np.nan]
    )


def test_an_analyst_has_more_than_thirty_features_of_every_unit() -> None:
    users, sessions = fraud_features.units(
        shop_table.read([event("a", secs, device_id="d", session_id="s") for secs in (0, 1)] + [event("b", 0)])
    )
    assert len(sessions.features) > 30
    assert len(users.features) > 2 * len(sessions.features)
    assert all(len(column) == 2 for column in users.features.values())


def some_units() -> Units:
    """1,000 honest users and 50 of a kind that a rule finds four fifths of: theirs is the lowest `pace` of all."""
    rng = np.random.default_rng(0)
    fraud = np.append(np.full(1000, NONE), np.zeros(50, np.int64))
    pace = np.append(np.linspace(1, 2, 1000), np.where(np.arange(50) < 40, 0.5, 1.5))
    noise = rng.random(1050)
    return Units({"noise": noise, "pace": pace, "unknown": np.full(1050, np.nan)}, fraud, np.arange(1050))


def test_the_best_rule_is_found_with_its_side_and_its_false_alarms() -> None:
    (kind,) = fraud_rules.examine(some_units(), ("slow",), combine=False)
    best = kind.rules[0]
    assert (kind.name, kind.units, kind.combination) == ("slow", 50, None)
    assert (best.feature, best.side, best.found) == ("pace", "<", 0.8)
    assert best.false_alarms == 10 / 1000  # as many as are allowed, and no more
    assert best.cut == pytest.approx(np.linspace(1, 2, 1000)[10])
    assert {rule.feature: rule.found for rule in kind.rules}["unknown"] == 0


def test_a_feature_that_many_honest_users_share_at_its_end_gives_no_rule() -> None:
    units = some_units()
    units.features["pace"][:30] = 0.5  # 3 % of the honest ones are as slow
    (kind,) = fraud_rules.examine(units, ("slow",), combine=False)
    assert {rule.feature: rule.found for rule in kind.rules}["pace"] == 0


def test_a_combination_finds_what_no_single_rule_does() -> None:
    """Two features sum to about 1 of honest users and to about 1.3 of fraud; each alone says little."""
    pytest.importorskip("lightgbm")
    rng = np.random.default_rng(0)
    fraud = np.where(np.arange(2000) < 200, 0, NONE)
    one = rng.random(2000) * np.where(fraud == 0, 0.8, 1.0)
    other = np.where(fraud == 0, 1.3, 1.0) - one + rng.normal(0, 0.03, 2000)
    units = Units({"one": one, "other": other}, fraud, np.arange(2000))
    (kind,) = fraud_rules.examine(units, ("both",))
    assert kind.rules[0].found < 0.5
    assert kind.combination is not None
    assert kind.combination > 0.8


def test_names_of_actions_are_those_that_features_count() -> None:
    users, _ = fraud_features.units(shop_table.read([event("a", 0, session_id="s")]))
    assert {f"count of {name}" for name in ACTIONS[1:]} <= users.features.keys()
