import re
from pathlib import Path

import pytest

from stream.errors import SettingsError
from stream.simulator import scenario
from stream.simulator.simulate import simulate

START_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z


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
            late_share = 0.3
            repeated_share = 0.3
            swapped_share = 0.3
            """,
        )
    )
    events = list(simulate(shop, seed=1, users=100, start_ms=START_MS, end_ms=START_MS + 10 * 86_400_000))
    assert len(events) > 500
