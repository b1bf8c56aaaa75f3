from __future__ import annotations

import pytest

from stream.commands.demo_rankings import Shelf, Tally
from stream.commands.demo_summary import figures, sentences
from tests.demo_events import Shop

MINUTE, HOUR = 60.0, 3600.0
FRAUD = b'{"event_id":"e","user_id":"u","fraud":"scraper"}'


def likely(shop: Shop, now: float) -> list[str]:
    shop.state.tick(now, 0)
    return [history.user for history in shop.state.likely]


def strange(shop: Shop, now: float) -> list[str]:
    shop.state.tick(now, 0)
    return [event.user for event in shop.state.strange]


def test_a_shelf_keeps_what_it_shows_long_enough_to_be_read() -> None:
    shelf: Shelf[str] = Shelf(least_secs=5.0)
    assert shelf.settle(["a", "b", "c"], 2, now=0.0) == ["a", "b"]
    assert shelf.settle(["c", "d", "a"], 2, now=4.0) == ["a", "b"]
    assert shelf.settle(["c", "d", "a"], 2, now=5.0) == ["c", "d"]
    assert shelf.settle(["d", "c", "a"], 2, now=60.0) == ["d", "c"]


def test_the_likeliest_buyers_are_ranked_by_the_last_probability_of_each() -> None:
    shop = Shop()
    shop.event("low", "view_item", 1, soon=0.1)
    shop.event("high", "begin_checkout", 2, soon=0.7)
    shop.event("fell", "begin_checkout", 3, soon=0.9)
    shop.event("fell", "view_item", 4, soon=0.2)
    assert likely(shop, 5) == ["high", "fell", "low"]


def test_who_has_bought_or_was_quiet_for_the_horizon_is_no_longer_likely_to_buy() -> None:
    shop = Shop()
    shop.event("quiet", "begin_checkout", 0, soon=0.9)
    shop.event("buyer", "begin_checkout", 29 * MINUTE, soon=0.8)
    shop.event("buyer", "purchase", 30 * MINUTE, soon=0.3, value=10)
    shop.event("other", "view_item", 31 * MINUTE, soon=0.1)
    assert likely(shop, 31 * MINUTE) == ["other"]


def test_who_is_shown_and_buys_stays_a_while_with_the_probability_from_before() -> None:
    shop = Shop()
    shop.event("buyer", "begin_checkout", 1, soon=0.8)
    assert likely(shop, 2) == ["buyer"]
    shop.event("buyer", "purchase", 3, soon=0.01, value=10)
    assert likely(shop, 4.5) == ["buyer"]
    assert shop.state.likely[0].has_bought
    assert shop.state.likely[0].chance == 0.8
    assert likely(shop, 9) == []


def test_a_strange_event_gives_way_to_newer_ones_with_time() -> None:
    shop = Shop()
    for n in range(8):
        shop.event(f"first-{n}", "search", 0, anomaly=0.999)
    for n in range(8):
        shop.event(f"second-{n}", "search", 5, anomaly=0.99)
    assert {user[:5] for user in strange(shop, 6)} == {"first"}
    for n in range(8):
        shop.event(f"third-{n}", "search", 40, anomaly=0.99)
    assert {user[:5] for user in strange(shop, 41)} == {"third"}


def test_a_user_has_one_place_among_the_strangest_however_many_strange_events() -> None:
    shop = Shop()
    for n in range(100):
        shop.event("bot", "search", 0.01 * n, anomaly=0.999 + n * 1e-6)
        shop.event(f"user-{n}", "search", 0.01 * n, anomaly=0.9)
    assert strange(shop, 3).count("bot") == 1
    assert shop.state.strange[0].anomaly == pytest.approx(0.999099)


def test_the_reason_is_told_by_what_came_before_the_strange_event() -> None:
    shop = Shop()
    shop.event("u", "view_item_list", 0, item_category="hats")
    shop.event("u", "view_item_list", 9, item_category="watches", anomaly=0.999, parts={"category": 5.0})
    shop.event("u", "view_item_list", 12, item_category="watches", anomaly=0.5)
    shop.state.tick(20, 0)
    assert shop.state.strange[0].why == "first time in category watches"


def test_no_first_time_is_claimed_for_a_user_some_of_whose_events_are_not_known() -> None:
    shop = Shop()
    shop._seen["u"] = 3  # the worker has seen more of them than the demo
    shop.event("u", "view_item_list", 0, item_category="hats")
    shop.event("u", "view_item_list", 9, item_category="watches", anomaly=0.999, parts={"category": 5.0})
    shop.state.tick(20, 0)
    assert shop.state.strange[0].why == "an unexpected category: watches"


def test_a_purchase_is_listed_with_the_highest_probability_of_the_day_before_it() -> None:
    shop = Shop()
    shop.event("u", "begin_checkout", 0, soon=0.99)
    shop.event("u", "begin_checkout", 25 * HOUR, soon=0.62)
    shop.event("u", "view_item", 25 * HOUR + 100, soon=0.2)
    shop.event("u", "purchase", 25 * HOUR + 240, value=129.9)
    shop.state.tick(25 * HOUR + 240, 0)
    shop.event("u", "purchase", 25 * HOUR + 250, value=5)
    shop.event("new", "purchase", 25 * HOUR + 260, value=5)
    shop.state.tick(25 * HOUR + 260, 0)
    unknown, again, bought = shop.state.bought
    assert (bought.fact.price, bought.soon, bought.before_ms) == (129.9, 0.62, 240_000)
    assert again.soon is None  # what came before the first purchase was about that one
    assert unknown.soon is None


def test_of_many_purchases_at_once_only_the_last_are_listed_and_all_are_counted() -> None:
    shop = Shop()
    for n in range(100):
        shop.event(f"user-{n}", "purchase", n / 1000, value=5)
    shop.state.tick(3, 0)
    assert [bought.user for bought in shop.state.bought] == ["user-99", "user-98"]
    assert shop.state.purchases == 100


def test_the_share_that_bought_counts_purchases_within_the_horizon_after_each_score() -> None:
    shop = Shop()
    for n in range(10):
        shop.event(f"user-{n}", "view_item", n, soon=0.9 if n == 3 else n / 100)
    shop.event("user-3", "purchase", 20 * MINUTE, soon=0.0, value=1)  # hit
    shop.event("user-4", "purchase", 31 * MINUTE, soon=0.0, value=1)  # too late
    assert shop.state.likeliest_tenth() is None
    shop.event("later", "search", 3 * HOUR)
    shop.state.tick(3 * HOUR, 0)
    assert shop.state.likeliest_tenth() == pytest.approx((1 / 2, 1 / 12))  # the highest tenth of 12 are 2
    assert shop.state.outcomes.count == 12


def test_the_highest_share_of_a_tally_holds_the_highest_values() -> None:
    tally = Tally()
    for n in range(1000):
        tally.add(n / 1000, hit=n >= 950)
    assert tally.highest(0.1) == (100, 50)
    assert Tally().highest(0.1) == (0, 0)


def test_figures_are_those_of_the_last_seconds() -> None:
    shop = Shop()
    for n in range(1, 41):
        shop.event(f"user-{n % 10}", "search", n / 10)
        shop.state.tick(n / 10, n)
    state = shop.state
    assert state.series["rate"][-1] == pytest.approx(10, abs=1.1)
    assert state.series["lag"][-1] >= 30
    assert state.users == 10
    assert state.latency_ms() == pytest.approx((20, 20))
    assert state.rate_per_sec() == pytest.approx(10, rel=0.05)


def test_latency_of_what_waited_for_the_first_score_is_left_out() -> None:
    shop = Shop()
    shop.event("u", "search", 1)
    shop.state.tick(3, 0)
    assert shop.state.latency_ms() is None
    assert sentences(shop.state, 5, 0) == ["Scored 1 of 5 simulated events, of 1 shoppers."]
    (line,) = sentences(shop.state, 5, 2)
    assert line == "Scored 1 of 3 simulated events, of 1 shoppers (sent twice and scored once: 2)."


def test_without_labels_nothing_is_said_of_fraud_and_with_them_how_many_were_found() -> None:
    shop = Shop()
    for n in range(198):
        shop.event(f"user-{n}", "search", n / 10, anomaly=0.004 * n)
    assert figures(shop.state, 200, 0)["strangest_percent"] is None
    shop.event("bot", "search", 21, anomaly=0.9999, label=FRAUD)
    shop.event("odd", "search", 22, anomaly=0.9998)
    shop.event("sly", "search", 23, anomaly=0.1, label=FRAUD)
    shop.state.tick(24, 0)
    assert figures(shop.state, 201, 0)["strangest_percent"] == {
        "events": 3,
        "simulated_fraud": 1,
        "simulated_fraud_of_all": 2,
    }
    assert [event.fraud for event in shop.state.strange if event.user == "bot"] == ["scraper"]


def test_horizons_are_times_and_the_session_is_none_of_them() -> None:
    shop = Shop()
    shop.event("buyer", "begin_checkout", 1, soon=0.8, day=0.9)
    assert shop.state.horizons == ("30m", "24h")
    assert shop.state.horizon_ms == 30 * 60_000
    assert likely(shop, 2) == ["buyer"]
    assert (shop.state.likely[0].chance, shop.state.likely[0].day) == (0.8, 0.9)


def test_a_model_that_foretells_the_session_alone_is_shown_by_it() -> None:
    shop = Shop(horizons=("session",))
    shop.event("buyer", "begin_checkout", 1, soon=0.8)
    assert shop.state.horizons == ("session",)
    assert shop.state.horizon_ms == 30 * 60_000  # the pause that ends one
    assert likely(shop, 2) == ["buyer"]
