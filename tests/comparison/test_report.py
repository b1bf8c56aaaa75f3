"""The page: whole in itself, and drawn by a real browser."""

from __future__ import annotations

import dataclasses
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from stream.comparison import report, streams, words
from stream.comparison.behaviour import read
from stream.comparison.result import Comparison
from stream.shop_event import ShopEvent
from tests.comparison.streams import event

pytest.importorskip("matplotlib")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
HOUR, WEEK = 3600.0, 7 * 86_400.0

# Put at the end of the page: tells, once all is loaded, what was loaded.
_TELL = """<script>addEventListener("load", () => {
  const images = [...document.images].map(image => [image.naturalWidth > 0, image.alt]);
  const fetched = performance.getEntriesByType("resource").map(entry => entry.name).filter(n => !n.startsWith("data:"));
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  document.title = JSON.stringify({images, fetched, wide});
})</script>"""


def shoppers(seed: int, *, prefix: str, begin: float = 0.0, days: int = 9) -> list[ShopEvent]:
    """Some hundred who look at things, come back to some, and buy some."""
    rng = np.random.default_rng(seed)
    events = []
    for user in range(400):
        at = begin + rng.random() * (days * 24 - 2) * HOUR
        for visit in range(1 + user % 3):
            for step in range(2 + int(rng.integers(6))):
                name = "purchase" if step and rng.random() < 0.12 else "view_item"
                fields = {"session_id": f"{visit}", "device_id": f"{prefix}{user // 2}"}
                item = f"item-{int(rng.zipf(1.8)) % 200}"
                events.append(event(f"{prefix}{user}", round(at), name, item, **fields))
                at += float(rng.lognormal(3.5, 1))
            at += HOUR * (1 + float(rng.exponential(4)))
            if at > begin + (days * 24 - 1) * HOUR:
                break
    return events


@pytest.fixture(scope="module")
def compared() -> Comparison:
    """A week and a half of each, and two dozen scrapers."""
    made = shoppers(2, prefix="made-", begin=-WEEK, days=20)
    for scraper in range(24):
        made += [
            event(f"<b>{scraper}", HOUR * scraper + 3 * page, item=f"item-{page}", session_id="s", fraud="scraper<")
            for page in range(60)
        ]
    how = streams.How(clock=True, warm_up_ms=0)
    return streams.compare(read(shoppers(1, prefix="real-")), made, how, lambda _: None)


@pytest.fixture(scope="module")
def page(compared: Comparison) -> str:
    from stream.comparison import pictures

    return report.page(compared, pictures.draw(compared), real_name="real<1>.parquet", simulated_name="made & sold")


def test_the_page_has_every_figure_with_its_aim(compared: Comparison, page: str) -> None:
    rows = compared.rows()
    assert {row.section for row in rows} == {"Distributions", "Rates", "Funnel", "Memory", "Rhythm", "Buyers", "Fraud"}
    for row in rows:
        assert html.escape(row.figure) in page
    assert sum(row.aim == "under 0.15" for row in rows) == 5
    assert page.count('class="met"') + page.count('class="missed"') == sum(row.met is not None for row in rows)


def test_what_comes_from_outside_is_escaped(page: str) -> None:
    assert "real&lt;1&gt;.parquet" in page
    assert "made &amp; sold" in page
    assert "scraper<" not in page


def test_the_scrapers_are_found_by_a_rule_and_left_out_of_behaviour(compared: Comparison) -> None:
    assert compared.fraud is not None
    (kind,) = compared.fraud.users
    assert (kind.name, kind.units, kind.rules[0].found) == ("scraper<", 24, 1.0)
    assert compared.view.simulated.users <= 400
    assert any(note.startswith("24 simulated users with a fraud label") for note in compared.notes)


def test_the_table_fits_a_terminal_and_the_object_is_json(compared: Comparison) -> None:
    lines = list(words.table(compared))
    assert all(len(line) <= 100 for line in lines)
    made = words.as_object(compared, real_name="a", simulated_name="b")
    again = json.loads(json.dumps(made, allow_nan=False))
    assert len(again["figures"]) == len(compared.rows())
    assert again["recorded"]["users"] == compared.view.real.users


@pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")
@pytest.mark.parametrize("width", [1200, 500])
def test_a_browser_draws_every_picture_fetches_nothing_and_complains_of_nothing(
    page: str, compared: Comparison, tmp_path: Path, width: int
) -> None:
    told = tmp_path / "page.html"
    told.write_text(page.replace("</body>", f"{_TELL}</body>"), encoding="utf-8")
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom",
            f"--window-size={width},900", f"--user-data-dir={tmp_path / 'browser'}", told.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert found is not None
    said = json.loads(html.unescape(found[1]))
    assert len(said["images"]) == page.count("<figure") == 18
    assert all(drawn and len(alt) > 40 for drawn, alt in said["images"])
    assert said["fetched"] == []
    assert said["wide"] <= 0  # what is wider scrolls in its own box
    assert "CONSOLE" not in done.stderr


def test_a_recording_without_a_clock_is_compared_by_its_sessions() -> None:
    from stream.comparison import pictures

    real, made = (read(shoppers(seed, prefix="s")) for seed in (1, 2))
    how = streams.How(clock=False, warm_up_ms=0, buyers=True, fraud=False)
    compared = streams.compare(real, shoppers(2, prefix="s"), how, lambda _: None)
    assert {row.section for row in compared.rows()} == {"Distributions", "Rates", "Funnel"}
    assert compared.view.simulated.users == made.behaviour.sessions
    assert dataclasses.astuple(compared)[-2] is None
    shown = report.page(compared, pictures.draw(compared), real_name="a", simulated_name="b")
    assert "local hour" not in shown
