from __future__ import annotations

from typing import Any

import pytest

from stream.commands.demo_history import Histories, read
from stream.commands.demo_reasons import why
from stream.commands.demo_words import doing, duration, fraud, short, what
from tests.demo_events import fact, history

BOOTS: dict[str, Any] = {"item_id": "sku-0412", "item_category": "boots", "price": "89.90"}


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
        why(events[3], history(events[0]), {"category": 3.0}, known=True, first_time_in=True),
        why(events[1], history(events[0]), {"item": 3.0}, known=True, first_time_in=True),
    ):
        assert text.isprintable()


@pytest.mark.parametrize(
    ("ms", "long", "brief"),
    [(400, "0.4 seconds", "0 s"), (40_000, "40 seconds", "40 s"), (60_000, "1 minute", "1 min"),
     (3 * 3_600_000, "3 hours", "3 h"), (9 * 86_400_000, "9 days", "9 d")],
)  # fmt: skip
def test_a_duration_is_told_in_the_largest_unit_that_it_fills(ms: int, long: str, brief: str) -> None:
    assert (duration(ms), short(ms)) == (long, brief)


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
