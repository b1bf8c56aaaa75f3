import re
from pathlib import Path

import msgspec
import pytest

from stream.errors import SettingsError
from stream.simulator import scenario
from stream.simulator.simulate import simulate

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
WEEK_MS = 7 * 86_400_000


def write(folder: Path, text: str) -> str:
    path = folder / "shop.toml"
    path.write_text(text, "utf-8")
    return str(path)


def test_every_scenario_that_comes_along_is_one() -> None:
    assert {"default", "jdata"} <= set(scenario.names())
    for name in scenario.names():
        scenario.load(name)


def test_what_a_file_leaves_out_is_the_defaults(tmp_path: Path) -> None:
    own, default = scenario.load(write(tmp_path, "[catalogue]\nbrands = 3\n")), scenario.load()
    assert own.catalogue.brands == 3
    assert own.catalogue.items_per_category == default.catalogue.items_per_category
    assert own.fraud == default.fraud


def test_countries_are_stated_as_a_whole(tmp_path: Path) -> None:
    assert scenario.load(write(tmp_path, "[shop.countries]\nFR = 1\n")).shop.countries == {"FR": 1}


def test_an_empty_file_is_the_default(tmp_path: Path) -> None:
    assert scenario.load(write(tmp_path, "")) == scenario.load()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[catalogue]\nbrand = 3", "unknown key 'brand' - at 'catalogue'; expected one of items_per_category, brands,"),
        ("[fraud.scraper]\nrate = 1", "unknown key 'rate' - at 'fraud.scraper'; expected one of cases_per_1000"),
        ("[fraud.phishing]\nrate = 1", "unknown key 'phishing' - at 'fraud'; expected one of scraper, card_testing,"),
        ("[shopper]\nusers = 1", "unknown key 'shopper'; expected one of shop, catalogue,"),
        ("[sessions]\ntypo_share = 2", "Expected 'float' <= 1.0, got 2 - at 'sessions.typo_share'"),
        ("[sessions]\ntypo_share = 'many'", "Expected 'float', got 'str' - at 'sessions.typo_share'"),
        ("[sessions]\ntypo_share = nan", "Expected a number, got nan - at 'sessions.typo_share'"),
        ("[sessions]\ndwell_factor = inf", "Expected a number, got inf - at 'sessions.dwell_factor'"),
        ("[shop]\nhour_weights = [1]", "Expected 'array' of length >= 24"),
        ("[shop]\nweekday_weights = [0, 0, 0, 0, 0, 0, 0]", "the shop would never open"),
        ("[shop.countries]\nDE = 0", "expected a country of a weight above 0"),
        ("[shop]\ncurrency = 'euro'", "Expected 'str' matching regex '^[A-Z]{3}$', got euro - at 'shop.currency'"),
        ("[shop]\ngerman_speaking = ['de']", "Expected 'str' matching regex '^[A-Z]{2}$', got ['de']"),
        ("[shop]\nweekday_weights = [1, 1, 1, 1, 1, 1, 1e-200]", "expected weights of 0, or of 0.001 and more"),
        ("[sessions]\ndwell_factor = 1e9", "Expected 'float' <= 1000.0, got 1000000000.0 - at 'sessions.dwell_factor'"),
        ("[shoppers]\nsessions_per_day_median = 1e-300", "Expected 'float' >= 1e-06, got 1e-300"),
        ("[needs]\nreturn_hours_median = 1e308", "Expected 'float' <= 10000.0, got 1e+308"),
        ("[catalogue]\nitem_steepness = 160", "Expected 'float' <= 5.0, got 160"),
        ("[shop.countries]\nDE = 1e308\nFR = 1e308", "Expected 'float' <= 1000000.0"),
        ("[fraud.scraper]\ncases_per_1000_shoppers_per_day = 1e9", "Expected 'float' <= 100.0, got 1000000000.0"),
        ("[disorder]\nlate_share = 0.7\nswapped_share = 0.5", "expected shares of at most 1 together"),
        ("[disorder]\nlate_secs_median = 1e12", "Expected 'float' <= 21600.0, got 1000000000000.0"),
        ("shop = 3", "Expected 'object', got 'int' - at 'shop'"),
        ("[shop", "expected TOML: "),
    ],
)
def test_a_key_or_a_value_that_is_none_is_named_with_what_was_expected(tmp_path: Path, text: str, words: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(SettingsError, match=re.escape(words)) as raised:
        scenario.load(path)
    assert str(raised.value).startswith(f"scenario {path}: ")


def test_a_name_that_is_none_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(SettingsError, match="scenario defualt: expected one of default, demo, jdata"):
        scenario.load("defualt")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shop.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="expected TOML"):
        scenario.load(str(path))


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        scenario.load(str(tmp_path))


def test_a_small_strange_shop_still_opens(tmp_path: Path) -> None:
    """Two items a category, all out of stock or on promotion, one country, everyone late or twice."""
    shop = scenario.load(
        write(
            tmp_path,
            """
            [shop]
            branches = 1
            [shop.countries]
            AT = 1
            [catalogue]
            items_per_category = 2
            brands = 1
            price_median = 1.0
            stock_out_share = 0.5
            stock_out_days = 30.0
            promotion_share = 0.5
            [sessions]
            typo_share = 1.0
            payment_refused_share = 1.0
            [disorder]
            late_share = 0.4
            repeated_share = 0.3
            swapped_share = 0.3
            """,
        )
    )
    events = list(simulate(shop, seed=1, users=100, start_ms=START_MS, end_ms=START_MS + 10 * 86_400_000))
    assert len(events) > 500


@pytest.mark.parametrize(
    "text",
    [
        "[sessions]\ndwell_factor = 1000\nlength_factor = 1000",
        "[sessions]\ndwell_factor = 0.001\nlength_factor = 0.001",
        "[shoppers]\nsessions_per_day_median = 1e-6",
        "[shoppers]\nsessions_per_day_median = 1e4\nsessions_per_day_max = 1e4\n"
        "[shop]\nhour_weights = [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]\n"
        "weekday_weights = [0, 0, 0, 1, 0, 0, 0]",
        "[catalogue]\nitem_steepness = 5\ncategory_steepness = 5\ndrift_spread = 5\nbrands = 100000",
        "[needs]\nreturn_hours_median = 0.001\nreturn_share = 1\narising_share = 1\nstrength = 5",
    ],
)
def test_the_ends_of_what_is_permitted_make_a_shop_too(tmp_path: Path, text: str) -> None:
    shop = scenario.load(write(tmp_path, text))
    last: dict[bytes, int] = {}
    for event in simulate(
        scenario.honest_and_orderly(shop), seed=1, users=20, start_ms=START_MS, end_ms=START_MS + WEEK_MS
    ):
        if b'"refund"' not in event.value:
            assert event.sent_ms > last.get(event.key, 0)  # no user has two at once
            last[event.key] = event.sent_ms


def test_the_demos_shop_is_the_default_with_fifteen_times_the_fraud() -> None:
    default, demo = scenario.load(), scenario.load("demo")
    assert msgspec.structs.replace(demo, fraud=default.fraud) == default
    for kind in scenario.Fraud.__struct_fields__:
        rates = [getattr(shop.fraud, kind).cases_per_1000_shoppers_per_day for shop in (default, demo)]
        assert rates[1] == pytest.approx(15 * rates[0])


def test_an_honest_shop_has_no_fraud_and_an_orderly_one_nothing_out_of_place_either() -> None:
    shop = scenario.load()
    honest, orderly = scenario.honest(shop), scenario.honest_and_orderly(shop)
    assert msgspec.structs.replace(honest, fraud=shop.fraud) == shop
    for kind in scenario.Fraud.__struct_fields__:
        assert getattr(honest.fraud, kind).cases_per_1000_shoppers_per_day == 0
    assert honest.disorder.swapped_share > 0
    assert orderly.fraud == honest.fraud
    assert (orderly.disorder.late_share, orderly.disorder.repeated_share, orderly.disorder.swapped_share) == (0, 0, 0)
