"""The public data sets that are known: each a map of its columns and words, as a shop's own file has one in TOML.

None of them names what was searched for; what is not in a file is left out of its events, never made up.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal, get_args

from stream.replay.fields import UnfitError, text_of
from stream.replay.files import Kind
from stream.replay.mapped import Adapt
from stream.replay.rows import shown
from stream.replay.shop_map import Columns, CsvLayout, ShopMap
from stream.replay.times import Period

Format = Literal["ga4", "rees46", "taobao", "jdata", "jd"]
FORMATS: tuple[Format, ...] = get_args(Format)

# JD's sessions have no clock: the first begins here (2020-01-01), each a minute after the one before it.
JD_START_MS, JD_SPACING_MS = 1_577_836_800_000, 60_000
# Taobao's is of 25 November to 3 December 2017; a few of its rows say 1970 or 2037.
_TAOBAO_PERIOD: Period = (1_509_494_400_000, 1_514_764_800_000)  # November and December 2017


@dataclasses.dataclass(frozen=True, slots=True)
class KnownFormat:
    """One layout of a data set."""

    kinds: tuple[Kind, ...]
    shop_map: ShopMap
    adapt: Adapt | None = None
    period: Period | None = None

    @property
    def format(self) -> str:
        return self.shop_map.name

    @property
    def columns(self) -> tuple[str, ...]:
        """What must be there."""
        return tuple(dict.fromkeys(chain.from_iterable(self.shop_map.columns.sources().values())))


def _on_a_clock(values: Sequence[Any]) -> Sequence[Any]:
    """JD's row with its time in ms, from when its session began; a session is a user, for nobody says whose it is."""
    session, seconds = text_of("session", values[0]), text_of("seconds_since_start", values[1])
    for field, text in (("session", session), ("seconds_since_start", seconds)):
        if not (text.isascii() and text.isdigit() and len(text) < 10):  # 30 years of either
            raise UnfitError("bad_time", f"{field}: expected a whole number of at most 9 digits, got {shown(text)}")
    time_ms = JD_START_MS + int(session) * JD_SPACING_MS + int(seconds) * 1000
    return (values[0], str(time_ms), *values[2:])


_TAOBAO_WORDS = {"view": "view_item", "cart": "add_to_cart", "fav": "add_to_wishlist", "purchase": "purchase"}
_TAOBAO_CSV_WORDS = {"pv": "view_item", "cart": "add_to_cart", "fav": "add_to_wishlist", "buy": "purchase"}

KNOWN: Sequence[KnownFormat] = (
    KnownFormat(
        ("CSV", "Parquet"),
        ShopMap(
            name="rees46",
            columns=Columns(
                user_id="user_id",
                event_time="event_time",
                event_name="event_type",
                session_id="user_session",
                item_id="product_id",
                item_category=("category_code", "category_id"),  # the first is words, and often empty
                price="price",
                value="price",  # a row is one item bought
            ),
            events={
                "view": "view_item",
                "cart": "add_to_cart",
                "remove_from_cart": "remove_from_cart",
                "purchase": "purchase",
            },
            time_zone="UTC",
        ),
    ),
    KnownFormat(
        ("Parquet", "CSV"),
        ShopMap(
            name="taobao",
            columns=Columns(user_id="user", event_time="ts", event_name="type", item_id="item", item_category="cat"),
            events=_TAOBAO_WORDS | _TAOBAO_CSV_WORDS,
            time_zone="UTC",
        ),
    ),
    KnownFormat(
        ("CSV",),
        ShopMap(
            name="taobao",
            columns=Columns(
                user_id="user", event_time="seconds", event_name="behaviour", item_id="item", item_category="category"
            ),
            events=_TAOBAO_CSV_WORDS,
            time_format="s",
            csv=CsvLayout(columns=("user", "item", "category", "behaviour", "seconds")),
        ),
        period=_TAOBAO_PERIOD,
    ),
    KnownFormat(
        ("Parquet", "CSV"),
        ShopMap(
            name="jdata",
            columns=Columns(user_id="user", event_time="ts", event_name="type", session_id="session", item_id="item"),
            events={"view": "view_item", "follow": "add_to_wishlist", "purchase": "purchase"},
            ignore=("comment",),  # GA4 has no word for it
            time_zone="UTC",
        ),
    ),
    KnownFormat(
        ("Parquet", "CSV"),
        ShopMap(
            name="jd",
            # The first two in this order: `_on_a_clock` reads them
            columns=Columns(
                user_id="session",
                event_time="seconds_since_start",
                event_name="action",
                session_id="session",
                item_id="item",
                item_category="category",
            ),
            events={
                # A click in a list of home page, shop, sale, search or cart; then parts of the item's page
                "home2product": "select_item",
                "shoplist2product": "select_item",
                "sale2product": "select_item",
                "cart2product": "select_item",
                "searchlist2product": "select_item",
                "detail_comments": "view_item",
                "detail_spec": "view_item",
                "detail_bottom": "view_item",
                "cart": "add_to_cart",
                "order": "purchase",
            },
            time_format="ms",
        ),
        adapt=_on_a_clock,
    ),
)


def needs(name: Format) -> str:
    """What a file of the format holds, in words."""
    if name == "ga4":
        return "JSON lines with event_name, user_id and event_time, or BigQuery's event_timestamp"
    layouts = [known for known in KNOWN if known.format == name]
    return ", or ".join(
        f"{' or '.join(known.kinds)} with {'no header and ' if known.shop_map.csv.columns else ''}"
        f"the columns {', '.join(known.shop_map.csv.columns or known.columns)}"
        for known in layouts
    )


NEEDS: Mapping[Format, str] = {name: needs(name) for name in FORMATS}
