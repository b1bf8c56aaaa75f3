"""Words and pictures -> one HTML page that needs nothing but itself: no script, no font, no picture from elsewhere.

Light or dark as its reader has it, and no wider than a telephone: what is wider scrolls in its own box.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from stream.pages.drawing import Picture, for_the_dark

_CSS = """
:root { color-scheme: light dark; --text: #20252c; --soft: #4a515c; --faint: #666d78; --line: #e6e8eb; --rule: #c9ced6;
  --page: #fff; --good: #1e6b3c; --bad: #a4262c; }
@media (prefers-color-scheme: dark) { :root { --text: #e3e6ea; --soft: #b4bac4; --faint: #98a0ac; --line: #30363f;
  --rule: #4c5460; --page: #15181d; --good: #6cc48f; --bad: #f08a8f; } }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--text);
  background: var(--page); margin: 0 auto; padding: 3rem 1.5rem 5rem; max-width: 62rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 3rem 0 .8rem; }
p, ul { max-width: 46rem; overflow-wrap: break-word; }
.lead { color: var(--soft); font-size: 1.05rem; margin-top: 0; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .8rem 0 .3rem; }
th, td { padding: .32rem .6rem; text-align: right; border-bottom: 1px solid var(--line); vertical-align: top; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.text, th.text { text-align: left; } td.whole { white-space: nowrap; }
thead th { border-bottom: 2px solid var(--rule); font-weight: 600; }
tr.section th { text-align: left; padding-top: 1.2rem; color: var(--soft); }
small { color: var(--faint); display: block; line-height: 1.35; max-width: 26rem; }
.met { color: var(--good); font-weight: 600; } .missed { color: var(--bad); font-weight: 600; }
.pictures { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 2rem 1.6rem; }
figure { margin: 0; } figure.wide { grid-column: 1 / -1; }
figure img { width: 100%; height: auto; display: block; }
figcaption { font-size: .9rem; color: var(--soft); margin-top: .3rem; }
.scroll { overflow-x: auto; margin: 1.2rem 0; }
@media (max-width: 44rem) { .pictures { grid-template-columns: 1fr; } body { padding: 1.5rem 1rem 3rem; } }
@media print { body { max-width: none; padding: 0; } figure, tr { break-inside: avoid; } }
"""


def page(title: str, body: Iterable[str], css: str = "") -> str:
    """The whole page. `body` and `css` are taken as they are: text from outside is escaped where it enters them."""
    return "".join(
        (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',  # a browser asks the server for one otherwise
            f"<title>{escape(title)}</title><style>{_CSS}{css}</style></head><body><main>",
            *body,
            "</main></body></html>\n",
        )
    )


def figures(pictures: Sequence[Picture]) -> str:
    """Pictures beside each other, or below each other where there is no room."""
    return f'<div class="pictures">{"".join(map(_figure, pictures))}</div>'


def _figure(picture: Picture) -> str:
    css = ' class="wide"' if picture.wide else ""
    return (
        f"<figure{css}><picture>"
        f'<source media="(prefers-color-scheme: dark)" srcset="{_inline(for_the_dark(picture.svg))}">'
        f'<img src="{_inline(picture.svg)}" alt="{escape(picture.alt)}"></picture>'
        f"<figcaption>{picture.caption}</figcaption></figure>"
    )


def _inline(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"
