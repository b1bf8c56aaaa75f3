from __future__ import annotations

from typing import Any

import pytest

from stream.commands.demo_history import Fact, Histories, History, read
from stream.commands.demo_words import doing, duration, fraud, short, what, why
from tests.demo_events import fact, history

BOOTS: dict[str, Any] = {"item_id": "sku-0412", "item_category": "boots", "price": "89.90"}
ACTION, CATEGORY, GAP, PRICE = ({part: 3.0} for part in ("action", "category", "gap", "price"))


def said(event: Fact, before: History, parts: dict[str, float], *, known: bool = True, first: bool = False) -> str:
    return why(event, before, parts, known=known, first_time_in=first)


def test_the_last_events_are_told_newest_first_and_an_item_is_named_once() -> None:
    facts = [
        fact("search", search_term="black boots"),
        fact("view_item_list", item_category="boots"),
        fact("view_item", **BOOTS),
        fact("view_item", **BOOTS),
        fact("add_to_cart", **BOOTS),
    ]
    assert doing(facts) == (
        "added sku-0412 boots 89.90 to the cart ← viewed it 2 times ← listed boots ← searched 'black boots'"
    )


def test_a_purchase_tells_its_value_and_currency_whether_a_number_or_a_string() -> None:
    for value in (1129.5, "1129.50"):
        assert what(fact("purchase", value=value, currency="EUR")) == "bought 1,129.50 EUR"


def test_nothing_that_a_terminal_obeys_gets_into_the_words() -> None:
    evil = "\x1b[2J\u202e\n"
    events = [
        fact("search", search_term=evil),
        fact("view_item", item_id=evil, item_category=evil, price=1.0),
        fact("purchase", value=1.0, currency=evil),
        fact("view_item_list", item_category=evil),
    ]
    for text in (
        doing(events),
        fraud(b'{"fraud":"\\u001b[2J"}'),
        said(events[3], history(events[0]), CATEGORY, first=True),
    ):
        assert text.isprintable()


@pytest.mark.parametrize(
    ("ms", "long", "brief"),
    [(400, "0.4 seconds", "0 s"), (40_000, "40 seconds", "40 s"), (60_000, "1 minute", "1 min"),
     (3 * 3_600_000, "3 hours", "3 h"), (9 * 86_400_000, "9 days", "9 d")],
)  # fmt: skip
def test_a_duration_is_told_in_the_largest_unit_that_it_fills(ms: int, long: str, brief: str) -> None:
    assert (duration(ms), short(ms)) == (long, brief)


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
     (GAP, "an unexpected moment: 7 seconds after the event before"), (PRICE, "an unexpected price: 89.90")],
)  # fmt: skip
def test_where_no_rule_applies_the_largest_part_is_told_plainly(parts: dict[str, float], expected: str) -> None:
    assert said(fact("view_item", 7, **BOOTS), history(fact("search", search_term="hats")), parts) == expected


def test_a_label_names_its_fraud_and_whatever_is_none_names_nothing() -> None:
    assert fraud(b'{"event_id":"e","user_id":"u","fraud":"card_testing"}') == "card testing"
    assert [fraud(label) for label in (None, b"", b"{", b"[]", b"{}")] == [""] * 5


def test_a_record_that_is_no_event_is_not_followed() -> None:
    assert [read(value) for value in (b"", b"{}", b"\xff", b'{"event_id":1,"event_name":"search"}')] == [None] * 4


def test_the_quietest_users_are_forgotten_once_there_are_too_many_facts() -> None:
    histories = Histories(facts=100)
    for n in range(300):
        user, events_seen = f"user-{n % 250}", 1 + n // 250
        histories.add(histories.before(user, events_seen), fact("search", n), events_seen)
    assert len(histories) == 100
    assert next(histories.newest_first()).user == "user-49"
    assert histories.get("user-249") is not None
    assert histories.get("user-100") is None


def test_a_history_with_a_hole_begins_anew() -> None:
    histories = Histories()
    for events_seen in (1, 2, 4):
        histories.add(histories.before("u", events_seen), fact("search", events_seen), events_seen)
    assert histories.before("u", 5).count == 1
    assert histories.before("u", 6).count == 0


def test_of_a_user_the_last_events_are_kept_and_all_are_counted() -> None:
    of = history(*(fact("search", n) for n in range(1000)))
    assert of.count == 1000
    assert len(of.facts) < 50
    assert of.facts[-1].time_ms - of.facts[0].time_ms == 1000 * (len(of.facts) - 1)
