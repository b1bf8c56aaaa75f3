"""What a simulated shop is like: the numbers of a scenario file. `scenarios/default.toml` says what each means.

A file of one's own states what differs from the default; every number has bounds, and a key that is none is refused.
"""

from __future__ import annotations

import math
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from stream.errors import SettingsError

# By hour or weekday; less than this share of the peak would be looked for in vain
_WEIGHT_LEAST = 1e-3
_FOLDER = Path(__file__).with_name("scenarios")

Share = Annotated[float, Meta(ge=0, le=1)]
Spread = Annotated[float, Meta(ge=0, le=5)]  # a standard deviation
Weight = Annotated[float, Meta(ge=0, le=1e6)]
Steepness = Annotated[float, Meta(ge=0, le=5)]
Factor = Annotated[float, Meta(ge=1e-3, le=1e3)]
Rate = Annotated[float, Meta(ge=1e-6, le=1e4)]
Hours = Annotated[float, Meta(ge=1e-3, le=1e4)]
Days = Annotated[float, Meta(ge=1, le=1e4)]
Count = Annotated[int, Meta(ge=1, le=100_000)]
Country = Annotated[str, Meta(pattern="^[A-Z]{2}$")]


class _Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: every key must be there (the default has them all), and no other."""


class Shop(_Table, frozen=True):
    currency: Annotated[str, Meta(pattern="^[A-Z]{3}$")]
    utc_offset_hours: Annotated[float, Meta(ge=-12, le=14)]
    branches: Count
    countries: Annotated[dict[Country, Weight], Meta(min_length=1)]
    german_speaking: list[Country]
    hour_weights: Annotated[list[Share], Meta(min_length=24, max_length=24)]
    weekday_weights: Annotated[list[Share], Meta(min_length=7, max_length=7)]

    def __post_init__(self) -> None:
        if not any(self.countries.values()):
            raise ValueError("expected a country of a weight above 0")
        for weights in (self.hour_weights, self.weekday_weights):
            if not any(weights):
                raise ValueError("expected an hour and a weekday of a weight above 0: the shop would never open")
            if any(0 < weight < _WEIGHT_LEAST for weight in weights):
                raise ValueError(f"expected weights of 0, or of {_WEIGHT_LEAST:g} and more: less is never")


class Catalogue(_Table, frozen=True):
    items_per_category: Annotated[int, Meta(ge=2, le=10_000)]
    brands: Count
    price_median: Annotated[float, Meta(ge=1, le=100_000)]
    category_price_spread: Spread
    item_price_spread: Spread
    category_steepness: Steepness
    item_steepness: Steepness
    drift_days: Days
    drift_spread: Spread
    stock_out_share: Annotated[float, Meta(ge=0, le=0.5)]
    stock_out_days: Days
    promotion_share: Annotated[float, Meta(ge=0, le=0.5)]
    promotion_days: Days
    promotion_discounts: Annotated[list[Annotated[float, Meta(gt=0, lt=1)]], Meta(min_length=1)]


class Shoppers(_Table, frozen=True):
    sessions_per_day_median: Rate
    sessions_per_day_spread: Spread
    sessions_per_day_max: Rate
    propensity_spread: Spread
    household_share: Share
    public_device_share: Share
    second_device_share: Share
    business_share: Share
    text_share: Share


class Needs(_Table, frozen=True):
    arising_share: Share
    dropped_share: Share
    return_share: Share
    return_hours_median: Hours
    strength: Annotated[float, Meta(ge=-5, le=5)]


class Sessions(_Table, frozen=True):
    dwell_factor: Factor
    dwell_spread: Spread
    length_factor: Factor
    length_spread: Spread
    look_again_share: Share
    typo_share: Share
    new_device_share: Share
    mobile_network_share: Share
    away_share: Share
    branch_share: Share
    payment_refused_share: Share
    welcome_share: Share
    coupon_share: Share
    refund_share: Share


class Kind(_Table, frozen=True):
    """A kind of fraud."""

    cases_per_1000_shoppers_per_day: Annotated[float, Meta(ge=0, le=100)]


class Fraud(_Table, frozen=True):
    scraper: Kind
    card_testing: Kind
    account_takeover: Kind
    bulk_resale: Kind
    coupon_ring: Kind


class Disorder(_Table, frozen=True):
    late_share: Share
    late_secs_median: Annotated[float, Meta(gt=0, le=21_600)]
    repeated_share: Share
    swapped_share: Share

    def __post_init__(self) -> None:
        if (total := self.late_share + self.repeated_share + self.swapped_share) > 1:
            raise ValueError(
                f"expected shares of at most 1 together, since an event is one of the three: got {total:g}"
            )


class Scenario(_Table, frozen=True):
    """A whole scenario."""

    shop: Shop
    catalogue: Catalogue
    shoppers: Shoppers
    needs: Needs
    sessions: Sessions
    fraud: Fraud
    disorder: Disorder


def load(name_or_path: str = "default") -> Scenario:
    """The scenario of that name, or of the TOML file at that path; what the file leaves out is the default's.

    Raises SettingsError naming the file and the key, what was expected and what came.
    """
    path = _FOLDER / f"{name_or_path}.toml" if name_or_path in names() else Path(name_or_path)
    try:
        own = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        known = ", ".join(names())
        raise SettingsError(
            f"scenario {name_or_path}: expected one of {known}, or a TOML file; it is neither"
        ) from None
    except OSError as error:
        raise SettingsError(f"scenario {path}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"scenario {path}: expected TOML: {error}") from None
    values = _over(tomllib.loads((_FOLDER / "default.toml").read_text("utf-8")), own)
    try:
        _finite(values)
        return msgspec.convert(values, Scenario)
    except msgspec.ValidationError as error:
        raise SettingsError(f"scenario {path}: {_words(error, values)}") from None


def names() -> list[str]:
    """The scenarios that come with the package."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def honest(scenario: Scenario) -> Scenario:
    """The same shop with no fraud in it: normal traffic to learn from, with what is late, twice or swapped in it."""
    none = Kind(cases_per_1000_shoppers_per_day=0.0)
    return msgspec.structs.replace(scenario, fraud=Fraud(**dict.fromkeys(Fraud.__struct_fields__, none)))


def honest_and_orderly(scenario: Scenario) -> Scenario:
    """With no fraud, and with every event once and in its place."""
    orderly = msgspec.structs.replace(scenario.disorder, late_share=0.0, repeated_share=0.0, swapped_share=0.0)
    return msgspec.structs.replace(honest(scenario), disorder=orderly)


def _over(default: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The default with what is stated in its place; `countries` is one value, not merged."""
    merged = dict(default)
    for key, value in own.items():
        both = isinstance(value, dict) and isinstance(default.get(key), dict) and key != "countries"
        merged[key] = _over(default[key], value) if both else value
    return merged


def _words(error: msgspec.ValidationError, values: Mapping[str, Any]) -> str:
    """msgspec's words with the file's way to write a key; with what came, or with the keys that there are."""
    text = str(error).replace("`", "'").replace("$.", "")
    what, _, where = text.partition(" - at ")
    found: Any = values
    for key in re.sub(r"\[[\d.]+\]", "", where.strip("'")).split("."):
        found = found.get(key, found) if isinstance(found, dict) else found
    if "unknown field" in what:
        known = ", ".join(key for key in found if f"'{key}'" not in what)
        return f"{text.replace('Object contains unknown field', 'unknown key')}; expected one of {known}"
    return text if ", got" in what or isinstance(found, dict) else f"{what}, got {found} - at {where}"


def _finite(values: Any, where: str = "") -> None:
    if isinstance(values, dict):
        for key, value in values.items():
            _finite(value, f"{where}.{key}".lstrip("."))
    elif isinstance(values, list):
        for value in values:
            _finite(value, where)
    elif isinstance(values, float) and not math.isfinite(values):
        raise msgspec.ValidationError(f"Expected a number, got {values} - at `{where}`")
