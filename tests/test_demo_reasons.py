from __future__ import annotations

from typing import Any

import pytest

from stream.commands.demo_history import Fact, History
from stream.commands.demo_reasons import why
from stream.features import PARTS
from tests.demo_events import fact, history

BOOTS: dict[str, Any] = {"item_id": "sku-0412", "item_category": "boots", "price": "89.90"}
ACTION, ITEM, CATEGORY, GAP, RHYTHM, PRICE, CONTEXT = ({part: 3.0} for part in PARTS)


def said(event: Fact, before: History, parts: dict[str, float], *, known: bool = True, first: bool = False) -> str:
    return why(event, before, parts, known=known, first_time_in=first)


def test_a_cart_without_a_view_is_said_of_the_visit_unless_all_of_the_user_is_known() -> None:
    add = fact("add_to_cart", 10_000, **BOOTS)
    assert said(add, history(fact("search", 9_990)), ACTION) == "added to the cart without a view of it"
    seen_long_ago = history(fact("view_item", 0, **BOOTS), fact("search", 9_990))
    assert said(add, seen_long_ago, ACTION, known=False) == "added to the cart without a view of it in this visit"
    assert "without" not in said(add, seen_long_ago, ACTION)
    assert "without" not in said(add, history(fact("view_item", 9_990, **BOOTS)), ACTION)


def test_no_view_is_missed_where_the_visit_began_before_what_is_remembered() -> None:
    before = history(fact("view_item", 0, **BOOTS), *(fact("search", s) for s in range(1, 40)))
    assert "without" not in said(fact("add_to_cart", 40, **BOOTS), before, ACTION)


def test_a_purchase_right_after_the_view_of_its_item_says_how_long_after() -> None:
    buy = fact("purchase", 100.4, value=89.9, items=[{"item_id": "sku-0412"}])
    assert said(buy, history(fact("view_item", 100, **BOOTS)), ACTION).startswith(
        "a purchase 0.4 seconds after its item was viewed"
    )
    assert "viewed" not in said(buy, history(fact("view_item", 0, **BOOTS)), ACTION)


def test_a_burst_counts_the_events_of_the_last_minute_and_says_more_where_it_cannot() -> None:
    burst = history(fact("search", 0), *(fact("view_item", 1000 + s) for s in range(14)))
    assert said(fact("view_item", 1015), burst, GAP) == "15 events in a minute"
    endless = history(*(fact("view_item", s) for s in range(50)))
    assert said(fact("view_item", 50), endless, GAP) == "25 or more events in a minute"


def test_an_absence_is_told_in_days() -> None:
    assert said(fact("search", 9.5 * 86_400), history(fact("search")), GAP) == "after 9 days away"


def test_a_price_is_set_against_the_median_of_what_the_user_looks_at() -> None:
    habit = history(*(fact("view_item", s, price=p) for s, p in enumerate((8.0, 10.0, 1000.0))))
    assert said(fact("view_item", 9, price=120.0), habit, PRICE) == "price 12 times what they usually look at"
    assert said(fact("view_item", 9, price=2.0), habit, PRICE) == "price 1/5 of what they usually look at"
    two = history(fact("view_item", price=8.0), fact("view_item", price=10.0))
    assert said(fact("view_item", 9, price=120.0, currency="EUR"), two, PRICE) == "an unexpected price: 120.00 EUR"


def test_a_first_time_in_a_category_is_said_only_if_every_event_of_the_user_is_known() -> None:
    watches = fact("view_item_list", 9, item_category="watches")
    assert said(watches, history(fact("search")), CATEGORY, first=True) == "first time in category watches"
    for known, first in ((False, True), (True, False)):
        assert said(watches, history(fact("search")), CATEGORY, known=known, first=first) == (
            "an unexpected category: watches"
        )


def test_a_device_never_seen_is_named_beside_the_largest_part() -> None:
    before = history(fact("search", device_id="phone"))
    event = fact("view_item_list", 9, item_category="watches", device_id="laptop")
    assert said(event, before, CATEGORY, first=True) == (
        "first time in category watches; from a device never seen for this user"
    )
    assert "device" not in said(fact("search", 9, device_id="phone"), before, CATEGORY)
    assert "device" not in said(event, before, CATEGORY, known=False)
    assert "device" not in said(event, history(fact("search")), CATEGORY)  # no event before had one


def test_the_reason_is_of_the_part_that_surprised_most() -> None:
    habit = history(*(fact("view_item", s, price=10.0, item_category="hats") for s in range(3)))
    event = fact("view_item", 9, price=120.0, item_category="watches")
    parts = {"action": 0.1, "category": 2.0, "gap": 0.3, "price": 5.0}
    assert said(event, habit, parts, first=True) == (
        "price 12 times what they usually look at; first time in category watches"
    )
    assert said(event, habit, parts | {"category": 0.5}, first=True) == "price 12 times what they usually look at"


@pytest.mark.parametrize(
    ("parts", "expected"),
    [(ACTION, "an unexpected step after: searched 'hats'"), (CATEGORY, "an unexpected category: boots"),
     (ITEM, "an unexpected item: sku-0412"), (GAP, "an unexpected moment: 7 seconds after the event before"),
     (RHYTHM, "an unexpected rhythm: 7 seconds after the event before"), (PRICE, "an unexpected price: 89.90"),
     (CONTEXT, "an unexpected device, country or place")],
)  # fmt: skip
def test_where_no_rule_applies_the_largest_part_is_told_plainly(parts: dict[str, float], expected: str) -> None:
    assert said(fact("view_item", 7, **BOOTS), history(fact("search", search_term="hats")), parts) == expected


def viewed(time_s: float, item: str) -> Fact:
    return fact("view_item", time_s, item_id=item)


def test_the_same_item_again_and_again_is_counted() -> None:
    before = history(fact("search"), *(viewed(60 * n, "sku-1") for n in range(6)))
    assert said(viewed(400, "sku-1"), before, ITEM) == "7 events in a row on the same item"
    assert said(viewed(400, "sku-2"), before, ITEM) == "an unexpected item: sku-2"
    endless = history(*(viewed(60 * n, "sku-1") for n in range(40)))
    assert said(viewed(2400, "sku-1"), endless, ITEM) == "25 or more events in a row on the same item"


def test_many_items_in_a_visit_and_none_of_them_twice_are_counted() -> None:
    crawl = [viewed(60 * n, f"sku-{n}") for n in range(12)]
    assert said(viewed(800, "sku-99"), history(*crawl), ITEM) == "13 items in this visit, none of them twice"
    assert said(viewed(800, "sku-3"), history(*crawl), ITEM) == "an unexpected item: sku-3"
    assert "visit" not in said(viewed(80_000, "sku-99"), history(*crawl), ITEM)  # another visit
    assert said(fact("search", 800), history(*crawl), ITEM) == "an unexpected item: none"


def test_a_machines_rhythm_is_told_by_its_pace() -> None:
    ticking = history(fact("search"), *(fact("view_item", 100 + 7 * n) for n in range(5)))
    assert said(fact("view_item", 135.1), ticking, RHYTHM) == "6 events, each 7 seconds after the one before"
    assert said(fact("view_item", 150), ticking, RHYTHM) == "an unexpected rhythm: 22 seconds after the event before"
    endless = history(*(fact("view_item", 2 * n) for n in range(40)))
    assert said(fact("view_item", 80), endless, RHYTHM) == "25 or more events, each 2 seconds after the one before"


def test_of_a_late_event_or_a_first_no_rhythm_is_told() -> None:
    assert (
        said(fact("search", -5), history(fact("search"), fact("search", 5)), RHYTHM) == "unexpected: mostly its rhythm"
    )
    assert said(fact("search"), history(), RHYTHM) == "unexpected: mostly its rhythm"


def test_a_device_a_country_and_a_place_never_seen_are_one_reason() -> None:
    home: dict[str, Any] = {"device_id": "phone", "country": "DE", "location_id": "b-1"}
    away: dict[str, Any] = {"device_id": "laptop", "country": "FR", "location_id": "b-2"}
    before = history(fact("search", **home))
    assert said(fact("search", 9, **away), before, CONTEXT) == (
        "from a device and a country and a place never seen for this user"
    )
    assert said(fact("search", 9, **(home | {"country": "FR"})), before, CONTEXT) == (
        "from a country never seen for this user"
    )
    assert said(fact("search", 9, **home), before, CONTEXT) == "an unexpected device, country or place"
    assert said(fact("search", 9, **away), before, CONTEXT, known=False) == "an unexpected device, country or place"


def test_of_a_user_with_many_devices_none_is_called_new() -> None:
    many = history(*(fact("search", n, device_id=f"device-{n}") for n in range(5)))
    assert "never seen" not in said(fact("search", 9, device_id="another"), many, CONTEXT)


def test_new_whereabouts_are_told_once_whether_their_part_is_large_or_small() -> None:
    before = history(fact("search", device_id="phone"))
    event = fact("view_item_list", 9, item_category="watches", device_id="laptop")
    for parts in (CATEGORY, CATEGORY | CONTEXT, CATEGORY | {"context": 5.0}):
        assert said(event, before, parts, first=True).count("from a device never seen for this user") == 1


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_words_of_its_own(part: str) -> None:
    event = fact("view_item", 7, device_id="d", **BOOTS)
    told = said(event, history(fact("search"), fact("search", 6)), {part: 3.0})
    assert told and "mostly its" not in told
