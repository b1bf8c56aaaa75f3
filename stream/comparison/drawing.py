"""How a picture of the report is drawn: one hand, two colours, SVG text. matplotlib is imported here alone."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.figure import Figure

REAL, SIMULATED, AIM = "#1b4965", "#d9731a", "#8a8f98"  # told apart by those who see few colours, and in grey
_STYLE: Any = {
    "font.family": "sans-serif", "font.size": 9.5, "axes.spines.top": False, "axes.spines.right": False,
    "axes.edgecolor": "#5b616b", "axes.labelcolor": "#3c424b", "xtick.color": "#5b616b", "ytick.color": "#5b616b",
    "axes.grid": True, "grid.color": "#e6e8eb", "axes.axisbelow": True, "legend.frameon": False,
    "svg.fonttype": "path", "svg.hashsalt": "behaviour-stream",
}  # fmt: skip


class Picture(NamedTuple):
    """An SVG document, what it shows, and the same in words for those who do not see it."""

    svg: str
    caption: str
    alt: str
    wide: bool = False


def svg(draw_on: Callable[..., None], inches: tuple[float, float], columns: int = 1) -> str:
    """`draw_on` gets as many axes as there are columns."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=inches, layout="constrained")
        axes = figure.subplots(1, columns, squeeze=False)[0]
        draw_on(*axes)
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return file.getvalue()
