"""How a picture is drawn: one hand, few colours; SVG text for a page, or a file. matplotlib is imported here alone."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

# Told apart by those who see few colours, and in grey
REAL, SIMULATED, AIM = "#1b4965", "#d9731a", "#8a8f98"
FIRST, SECOND, THIRD, GREY = REAL, SIMULATED, "#9b4f96", AIM
SHADE = "#eef1f4"  # behind what is drawn
_DOTS_PER_INCH = 150  # sharp on a screen of twice the usual density
_TEXT, _LINE, _GRID = "#3c424b", "#5b616b", "#e6e8eb"
# The same on a dark page. Colours that are not here, as those of a heat map and what is written on it, stay.
_DARK = {FIRST: "#79b8e0", SECOND: "#f29b4b", THIRD: "#d69ad2", GREY: "#9aa1ad", SHADE: "#232830", _TEXT: "#d3d8df",
         _LINE: "#a7aeb9", _GRID: "#30363f"}  # fmt: skip
_STYLE: Any = {
    "font.family": "sans-serif", "font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": _LINE, "axes.labelcolor": _TEXT, "xtick.color": _LINE, "ytick.color": _LINE, "text.color": _TEXT,
    "axes.grid": True, "grid.color": _GRID, "axes.axisbelow": True, "legend.frameon": False,
    "svg.fonttype": "path", "svg.hashsalt": "behaviour-stream",
}  # fmt: skip


class Picture(NamedTuple):
    """An SVG document, what it shows in HTML, and the same in words for those who do not see it."""

    svg: str
    caption: str
    alt: str
    wide: bool = False


def svg(draw_on: Callable[..., None], inches: tuple[float, float], columns: int = 1) -> str:
    """`draw_on` gets as many axes as there are columns."""
    with mpl.rc_context(_STYLE):
        file = io.StringIO()
        _drawn(draw_on, inches, columns).savefig(
            file, format="svg", transparent=True, metadata={"Date": None, "Creator": None}
        )
    return file.getvalue()


def save(path: Path, draw_on: Callable[..., None], inches: tuple[float, float], columns: int = 1) -> None:
    """The same as a file of its own, of the kind that its name says: .png, .svg, .pdf."""
    with mpl.rc_context(_STYLE):
        _drawn(draw_on, inches, columns).savefig(path, dpi=_DOTS_PER_INCH)


def _drawn(draw_on: Callable[..., None], inches: tuple[float, float], columns: int) -> Figure:
    figure = Figure(figsize=inches, layout="constrained")
    draw_on(*figure.subplots(1, columns, squeeze=False)[0])
    return figure


def for_the_dark(svg: str) -> str:
    """The same picture in the colours of a dark page."""
    return re.sub("|".join(_DARK), lambda found: _DARK[found[0]], svg)
