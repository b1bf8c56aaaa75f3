"""The page: whole in itself, and drawn by a real browser, by day and by night."""

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

from stream.evaluation import report, words
from stream.evaluation.evaluate import evaluate
from stream.evaluation.result import Evaluation
from tests.evaluation.shop import shop

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("lightgbm")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

# Put at the end of the page: tells, once all is loaded, what was loaded.
_TELL = """<script>addEventListener("load", () => {
  const images = [...document.images].map(image => [image.naturalWidth > 0, image.alt, image.currentSrc]);
  const fetched = performance.getEntriesByType("resource").map(entry => entry.name).filter(n => !n.startsWith("data:"));
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  const page = getComputedStyle(document.body).backgroundColor;
  document.title = JSON.stringify({images, fetched, wide, page});
})</script>"""


@pytest.fixture(scope="module")
def found() -> Evaluation:
    of = shop(200, horizons=("30m", "24h", "session"))
    bought = of.bought.copy()
    bought[:, 1] = False
    return evaluate([dataclasses.replace(of, bought=bought)], resamples=50)


@pytest.fixture(scope="module")
def page(found: Evaluation) -> str:
    from stream.evaluation import pictures

    drawn = pictures.draw(found)
    return report.page(found, drawn.by_horizon, drawn.sessions, recording="shop<1>.parquet", model="mine & yours")


def test_the_page_has_every_figure_of_every_scorer_and_what_it_is_of(found: Evaluation, page: str) -> None:
    for horizon in (found.horizons[0], found.horizons[2]):
        assert html.escape(words.headline(horizon)) in page
        for figures in horizon.whole.scorers.values():
            for one in figures.values():
                assert f"<td>{words.number(one.value)}<i>" in page
    assert "Purchase later in the session" in page
    for note in found.notes:
        assert html.escape(note) in page


def test_a_horizon_without_figures_says_why(found: Evaluation, page: str) -> None:
    assert f"No figures: {found.horizons[1].whole.why}." in page


def test_what_comes_from_outside_is_escaped(page: str) -> None:
    assert "shop&lt;1&gt;.parquet" in page
    assert "mine &amp; yours" in page
    assert "<1>" not in page


def test_the_verdict_is_that_of_the_interval(found: Evaluation, page: str) -> None:
    whole = found.horizons[0].whole
    assert whole.best_baseline is not None
    low, high = whole.differences[whole.best_baseline]["auc"].interval or (0, 0)
    word = "better than" if low > 0 else "worse than" if high < 0 else "not to be told from"
    assert f"the model is <b>{word}</b> the best baseline, {words.name_of(whole.best_baseline)}" in page


@pytest.mark.skipif(BROWSER is None, reason="no chromium is installed")
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (500, True)])
def test_a_browser_draws_every_picture_fetches_nothing_and_complains_of_nothing(
    page: str, tmp_path: Path, width: int, dark: bool
) -> None:
    told = tmp_path / "page.html"
    told.write_text(page.replace("</body>", f"{_TELL}</body>"), encoding="utf-8")
    assert BROWSER is not None
    scheme = "--blink-settings=preferredColorScheme=" + ("0" if dark else "1")
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom", scheme,
            f"--window-size={width},900", f"--user-data-dir={tmp_path / 'browser'}", told.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title is not None
    said = json.loads(html.unescape(title[1]))
    assert len(said["images"]) == page.count("<figure") == 2 * 5 + 6
    assert all(drawn and len(alt) > 40 for drawn, alt, _ in said["images"])
    shown = {source for *_, source in said["images"]}
    by_day = set(re.findall(r'<img src="([^"]+)"', page))
    assert (shown & by_day == set()) if dark else (shown == by_day)
    assert said["page"] == ("rgb(21, 24, 29)" if dark else "rgb(255, 255, 255)")
    assert said["fetched"] == []
    assert said["wide"] <= 0  # what is wider scrolls in its own box
    assert "CONSOLE" not in done.stderr


def test_without_baselines_intervals_and_sessions_there_is_still_a_page() -> None:
    from stream.evaluation import pictures

    of = shop(20)
    evaluated = of.evaluated & (of.user == of.user[np.flatnonzero(of.evaluated & of.bought[:, 0])[0]])
    bought = of.bought.copy()
    bought[np.flatnonzero(evaluated)[0]] = False
    alone = dataclasses.replace(of, evaluated=evaluated, bought=bought, training=np.zeros(len(of), bool))
    found = dataclasses.replace(evaluate([alone], only_base_rate=True), sessions=())
    drawn = pictures.draw(found)
    assert list(found.horizons[0].whole.scorers) == ["model"]
    shown = report.page(found, drawn.by_horizon, drawn.sessions, recording="a", model="b")
    assert "users drawn again" not in shown
    assert 2 * 4 <= shown.count("<figure") <= 2 * 5
