"""An evaluation -> one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import chain
from math import nan

from stream.evaluation import baselines
from stream.evaluation.result import DIFFERENCES, Estimate, Evaluation, Horizon, Part
from stream.evaluation.words import MEANINGS, TITLES, estimate, headline, name_of, number, title_of
from stream.pages import page as pages
from stream.pages.drawing import Picture

_BY_SEEN = ("auc", "pr_auc", "log_loss", "ece")
_CSS = """
td i { display: block; font-style: normal; font-size: .8rem; color: var(--faint); white-space: nowrap; }
tbody td:nth-child(2) { font-weight: 600; } tbody td:nth-child(2) i { font-weight: 400; }
"""


def page(
    of: Evaluation, pictures: dict[str, list[Picture]], sessions: Sequence[Picture], *, recording: str, model: str
) -> str:
    """The whole page: `pictures` by horizon, and those of some sessions."""
    drawn = f" Intervals: 95 %, users drawn again {of.resamples:,} times." if of.resamples else ""
    body = (
        "<h1>Purchase intent, beside what a team would use instead</h1>",
        f'<p class="lead">{escape(model)} on {escape(recording)}: {of.rows:,} events of {of.users:,} users.{drawn}</p>',
        *(text for horizon in of.horizons for text in _horizon(horizon, pictures.get(horizon.name, ()))),
        *_sessions(sessions),
        "<h2>How to read it</h2>",
        f"<p>{escape(MEANINGS)}</p>",
        "<p>Baselines learned from the training part of the same events, by running features of each user's past. A "
        "difference is the model less the baseline, each resample by itself: above 0 the model has the higher ROC-AUC, "
        "below 0 it has the lower log loss. An event counts where its horizon was watched to its end; purchases and "
        "refunds are events of the past, and are not scored.</p>",
        *([f"<ul>{''.join(f'<li>{escape(note)}</li>' for note in of.notes)}</ul>"] if of.notes else ()),
    )
    return pages.page(f"Purchase intent of {model} on {recording}", body, _CSS)


def _horizon(of: Horizon, pictures: Sequence[Picture]) -> Iterator[str]:
    yield f"<h2>{escape(title_of(of))}</h2>"
    if of.whole.why:
        yield f"<p>No figures: {escape(of.whole.why)}.</p>"
        return
    yield f"<p>{escape(headline(of))}.{_verdict(of.whole)}</p>"
    yield _table(_names(of.whole), (
        (title, [figures[figure] for figures in of.whole.scorers.values()]) for figure, title in TITLES.items()
    ))  # fmt: skip
    if of.whole.differences:
        yield _table(
            ["The model less", *(TITLES[figure] for figure in DIFFERENCES)],
            ((name_of(name), list(figures.values())) for name, figures in of.whole.differences.items()),
            sign=True,
        )
    yield pages.figures(pictures)
    yield from _by_events_seen(of)


def _verdict(of: Part) -> str:
    """Whether the model is better than the best baseline, as far as the interval tells."""
    best = of.best_baseline
    if best in (None, baselines.BASE_RATE):
        return ""
    difference = of.differences[best]["auc"]
    if difference.interval is None:
        return ""
    low, high = difference.interval
    better = "better than" if low > 0 else "worse than" if high < 0 else "not to be told from"
    return (
        f" By ROC-AUC the model is <b>{better}</b> the best baseline, {escape(name_of(best))}: "
        f"{escape(estimate(difference, sign=True))}."
    )


def _by_events_seen(of: Horizon) -> Iterator[str]:
    parts = [part for part in of.by_events_seen if not part.why]
    yield _table(
        ["By events seen", *_names(of.whole)[1:]],
        chain.from_iterable(
            [
                (TITLES[figure], None),
                *((_seen(part), [_of(part, scorer, figure) for scorer in of.whole.scorers]) for part in parts),
            ]
            for figure in _BY_SEEN
        ),
    )
    for part in of.by_events_seen:
        if part.why:
            yield f"<p>{escape(part.name)}: no figures: {escape(part.why)}.</p>"


def _seen(of: Part) -> str:
    return f"{of.name} ({of.rows:,} events, base rate {number(of.base_rate)})"


def _of(part: Part, scorer: str, figure: str) -> Estimate:
    return part.scorers[scorer][figure] if scorer in part.scorers else Estimate(nan)


def _names(of: Part) -> list[str]:
    return ["", *map(name_of, of.scorers)]


_Row = tuple[str, Sequence[Estimate] | None]  # None: the title is that of the rows below it


def _table(head: Sequence[str], rows: Iterable[_Row], *, sign: bool = False) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(_line(title, estimates, len(head), sign=sign) for title, estimates in rows)
    return f'<div class="scroll"><table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>'


def _line(title: str, estimates: Sequence[Estimate] | None, columns: int, *, sign: bool) -> str:
    if estimates is None:
        return f'<tr class="section"><th colspan="{columns}">{escape(title)}</th></tr>'
    return f"<tr><td>{escape(title)}</td>{''.join(_cell(one, sign=sign) for one in estimates)}</tr>"


def _cell(of: Estimate, *, sign: bool) -> str:
    if of.interval is None:
        return f"<td>{number(of.value, sign=sign)}</td>"
    low, high = (number(end, sign=sign) for end in of.interval)
    return f"<td>{number(of.value, sign=sign)}<i>{low} to {high}</i></td>"


def _sessions(pictures: Sequence[Picture]) -> Iterator[str]:
    if not pictures:
        return
    yield "<h2>Some sessions</h2><p>Real ones, drawn by chance and not chosen: those with a purchase first. A mark is "
    yield "an event; between them the score stays.</p>"
    yield pages.figures(pictures)
