from collections import Counter, defaultdict
from typing import Any

import msgspec
import orjson
import pytest

from stream.decode import TimeBounds, decode
from stream.events import Frame
from stream.shop_event import ROLES, ShopEvent
from stream.simulator import scenario, words
from stream.simulator.scenario import Fraud, Kind
from stream.simulator.simulate import simulate
from tests.simulator.test_simulate import Record

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
DAY_MS = 86_400_000
KINDS = set(Fraud.__struct_fields__)


def with_cases(**per_1000_a_day: float) -> scenario.Scenario:
    """The default shop, every event in its place, with so many cases of the named kinds and none of the others."""
    shop = scenario.honest_and_orderly(scenario.load())
    kinds = {kind: Kind(cases_per_1000_shoppers_per_day=rate) for kind, rate in per_1000_a_day.items()}
    return msgspec.structs.replace(shop, fraud=msgspec.structs.replace(shop.fraud, **kinds))


@pytest.fixture(scope="module")
def events() -> list[ShopEvent]:
    """Twelve days of 1,500 shoppers, and many cases of every kind."""
    shop = with_cases(**dict.fromkeys(KINDS, 0.6))
    return list(simulate(shop, seed=9, users=1_500, start_ms=START_MS, end_ms=START_MS + 12 * DAY_MS))


@pytest.fixture(scope="module")
def labelled(events: list[ShopEvent]) -> dict[str, list[tuple[dict[str, Any], dict[str, Any]]]]:
    """kind -> (label, event) in order."""
    found = defaultdict(list)
    for event in events:
        if event.label is not None:
            label = orjson.loads(event.label)
            found[label["fraud"]].append((label, orjson.loads(event.value)))
    return found


def purchases_by_case(
    labelled: list[tuple[dict[str, Any], dict[str, Any]]],
) -> list[list[dict[str, Any]]]:
    cases = defaultdict(list)
    for label, event in labelled:
        if event["event_name"] == "purchase":
            cases[label["case"]].append(event)
    return list(cases.values())


def test_every_kind_happens_in_several_cases(labelled: dict[str, list[Any]]) -> None:
    assert set(labelled) == KINDS
    for kind, pairs in labelled.items():
        assert len({label["case"] for label, _ in pairs}) >= 3, kind


def test_a_label_is_about_its_event_and_the_event_says_nothing_of_it(
    labelled: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]],
) -> None:
    for kind, pairs in labelled.items():
        for label, event in pairs:
            assert (label["event_id"], label["user_id"]) == (event["event_id"], event["user_id"])
            text = orjson.dumps(event).decode()
            assert "fraud" not in text
            assert label["case"] not in text
            assert kind not in text


def test_events_of_fraud_have_no_field_that_others_lack(events: list[ShopEvent]) -> None:
    fields: dict[bool, dict[str, set[str]]] = {True: defaultdict(set), False: defaultdict(set)}
    for event in events:
        value = orjson.loads(event.value)
        fields[event.label is not None][value["event_name"]].update(value)
    for name, found in fields[True].items():
        assert found <= fields[False][name], name


def test_the_scorer_reads_every_event_of_fraud(events: list[ShopEvent]) -> None:
    for source, role in enumerate(ROLES):
        mine = [event for event in events if event.label is not None and event.topic == role]
        records = [Record(event.key, event.value, offset, event.sent_ms) for offset, event in enumerate(mine)]
        _, rejects = decode(Frame(source, 0, records, len(records)), TimeBounds(0, 0))
        assert not rejects


def test_a_scraper_reads_many_items_and_buys_nothing(labelled: dict[str, list[Any]]) -> None:
    pairs = labelled["scraper"]
    by_user = defaultdict(set)
    for _, event in pairs:
        assert event["event_name"] not in ("begin_checkout", "purchase")
        by_user[event["user_id"]].add(event.get("item_id"))
    assert max(map(len, by_user.values())) > 30


def test_a_card_tester_tries_cards_that_no_one_else_has(labelled: dict[str, list[Any]]) -> None:
    cards = Counter(
        event["payment_id"] for _, event in labelled["card_testing"] if event["event_name"] == "add_payment_info"
    )
    assert len(cards) == sum(cards.values()) > 20


def test_an_account_that_is_taken_over_was_a_users_before(
    events: list[ShopEvent], labelled: dict[str, list[Any]]
) -> None:
    first_of: dict[str, ShopEvent] = {}
    for event in events:
        first_of.setdefault(event.key.decode(), event)
    victims = {label["user_id"] for label, _ in labelled["account_takeover"]}
    assert victims
    assert all(first_of[victim].label is None for victim in victims)


def test_a_reseller_buys_what_is_on_promotion(labelled: dict[str, list[Any]]) -> None:
    lines = [line for _, e in labelled["bulk_resale"] if e["event_name"] == "purchase" for line in e["items"]]
    assert sum("discount" in line for line in lines) > 0.9 * len(lines)
    assert sum(line["quantity"] for line in lines) > 2 * len(lines)


def test_the_accounts_of_a_coupon_ring_share_devices_addresses_or_payments(labelled: dict[str, list[Any]]) -> None:
    rings = [ring for ring in purchases_by_case(labelled["coupon_ring"]) if len(ring) >= 5]
    assert rings
    for ring in rings:
        assert len({order["user_id"] for order in ring}) == len(ring)  # an order for each account
        shared = [len(ring) - len({o[f] for o in ring}) for f in ("device_id", "address_hash", "payment_id", "ip_hash")]
        assert sum(shared) >= len(ring) // 2


def test_offenders_search_in_the_language_of_their_accounts_country(events: list[ShopEvent]) -> None:
    """Else a search in English, of a German, would give them away."""
    english = {word for category in words.CATEGORIES for word in category.english}
    german = {word for category in words.CATEGORIES for word in category.german}
    home: dict[bytes, Counter[str]] = defaultdict(Counter)
    for event in events:
        if event.label is None and event.topic != "purchases":
            home[event.key][orjson.loads(event.value)["country"]] += 1
    searched: Counter[bool] = Counter()
    for event in events:
        if event.label is not None and event.topic == "searches" and home[event.key]:
            term = orjson.loads(event.value)["search_term"]
            if term in german ^ english:
                is_german = home[event.key].most_common(1)[0][0] in ("DE", "AT")
                searched[(term in german) == is_german] += 1
    assert searched[True] > 20
    assert searched[True] > 20 * searched[False]


def test_a_scraper_misses_no_page_of_its_categories() -> None:
    shop = with_cases(scraper=30.0)
    seen: dict[str, set[str]] = defaultdict(set)
    for event in simulate(shop, seed=4, users=100, start_ms=START_MS, end_ms=START_MS + 20 * DAY_MS):
        if event.label is not None and event.topic == "clicks":
            value = orjson.loads(event.value)
            if "item_id" in value:
                seen[value["item_category"]].add(value["item_id"])
    assert max(map(len, seen.values())) > 0.9 * shop.catalogue.items_per_category


def test_one_label_tells_of_an_event_that_is_sent_twice() -> None:
    shop = with_cases(account_takeover=20.0)
    shop = msgspec.structs.replace(shop, disorder=msgspec.structs.replace(shop.disorder, repeated_share=0.5))
    events = list(simulate(shop, seed=1, users=200, start_ms=START_MS, end_ms=START_MS + 10 * DAY_MS))
    labels = [event.label for event in events if event.label is not None]
    assert labels
    assert len(set(labels)) == len(labels)


def test_a_welcome_coupon_is_for_the_first_order_of_an_account(events: list[ShopEvent]) -> None:
    orders: dict[bytes, list[str | None]] = defaultdict(list)
    for event in events:
        if event.topic == "purchases" and b'"refund"' not in event.value:
            orders[event.key].append(orjson.loads(event.value).get("coupon"))
    assert any(coupons[0] == "WELCOME10" for coupons in orders.values())
    assert not any("WELCOME10" in coupons[1:] for coupons in orders.values())


def test_a_shop_without_fraud_has_no_label() -> None:
    shop = scenario.honest_and_orderly(scenario.load())
    assert not any(e.label for e in simulate(shop, seed=1, users=300, start_ms=START_MS, end_ms=START_MS + 5 * DAY_MS))


def test_cases_come_at_the_rate_that_the_scenario_says() -> None:
    shop = with_cases(account_takeover=2.0)
    events = simulate(shop, seed=2, users=1_000, start_ms=START_MS, end_ms=START_MS + 20 * DAY_MS)
    cases = {orjson.loads(event.label)["case"] for event in events if event.label}
    assert 25 <= len(cases) <= 45  # 40 were begun; some found nobody who had been here three times
