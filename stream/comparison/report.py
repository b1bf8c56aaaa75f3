"""A comparison -> one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby

from stream.comparison.fraud_rules import FALSE_ALARMS, FOUND_AIM, Kind
from stream.comparison.result import Comparison, Row, counts
from stream.comparison.words import number, side
from stream.pages import page as pages
from stream.pages.drawing import REAL, SIMULATED, Picture

_RULES_SHOWN = 5  # of a kind of fraud

_CSS = f"""
:root {{ --real: {REAL}; --simulated: {SIMULATED}; }}
.sides {{ display: flex; gap: 2.5rem; flex-wrap: wrap; margin: 1.6rem 0; }}
.sides div {{ border-left: 4px solid; padding-left: .8rem; }}
.sides b {{ display: block; }}
.sides .real {{ border-color: var(--real); }} .sides .simulated {{ border-color: var(--simulated); }}
"""


def page(of: Comparison, pictures: Sequence[Picture], *, real_name: str, simulated_name: str) -> str:
    """The whole page."""
    rows = of.rows()
    judged = [row for row in rows if row.met is not None]
    met = sum(row.met is True for row in judged)
    body = (
        "<h1>How near simulated shoppers are to recorded ones</h1>",
        f'<p class="lead">{met} of {len(judged)} aims are met.</p>',
        '<div class="sides">',
        _side("real", "Recorded", real_name, counts(of.view.real)),
        _side("simulated", "Simulated", simulated_name, counts(of.view.simulated)),
        "</div>",
        "<h2>What is compared</h2>",
        "<p>A recording is a selection. The simulated side was selected in the same way:</p>",
        f"<ul>{''.join(f'<li>{escape(step)}</li>' for step in (*of.view.steps, *of.notes))}</ul>",
        "<h2>Pictures</h2>",
        pages.figures(pictures),
        "<h2>Figures</h2>",
        '<p>Of a distribution, the mean, with the median in brackets. "By chance" is the distance between two '
        "random halves of the recording's users, which is about what chance alone makes.</p>",
        *_figures(rows),
        *_buyers(of),
        *_fraud(of),
    )
    return pages.page(f"Simulated shoppers beside {real_name}", body, _CSS)


def _side(css: str, title: str, name: str, size: dict[str, int]) -> str:
    size_text = ", ".join(f"{number:,} {unit}" for unit, number in size.items())
    return f'<div class="{css}"><b>{title}: {escape(name)}</b>{size_text}</div>'


def _figures(rows: Sequence[Row]) -> Iterator[str]:
    yield '<div class="scroll"><table><thead><tr><th>Figure</th><th class="text">Unit</th><th>Recorded</th>'
    yield "<th>Simulated</th><th>Distance</th><th>By chance</th><th>Aim</th><th>Met</th></tr></thead><tbody>"
    for section, members in groupby(rows, lambda row: row.section):
        yield f'<tr class="section"><th colspan="8">{section}</th></tr>'
        said = ""
        for row in members:
            note = "" if row.definition == said else f"<small>{escape(row.definition)}</small>"
            said = row.definition
            cells = (
                f"<td>{escape(row.figure)}{note}</td>",
                f'<td class="text">{escape(row.unit)}</td>',
                f"<td>{side(row.real, row.real_median)}</td>",
                f"<td>{side(row.simulated, row.simulated_median)}</td>",
                f'<td title="{row.distance_kind}">{number(row.distance)}</td>',
                f"<td>{number(row.own_distance)}</td>",
                f'<td class="whole">{row.aim}</td>',
                f"<td>{_met(row.met)}</td>",
            )
            yield f"<tr>{''.join(cells)}</tr>"
    yield "</tbody></table></div>"


def _buyers(of: Comparison) -> Iterator[str]:
    if not of.buyers:
        return
    yield "<h2>Buyers</h2><p>Every event that is no purchase is scored for a purchase of its user strictly later and "
    yield "within 6 h, from running features of the user's past in the stretch of time that is compared. Learned on "
    yield "its first two thirds, scored on the last; events whose 6 h run past what is watched are left out. Earlier "
    yield "purchases enter the features only where it says so. Intervals: 95 %, users drawn again.</p>"
    yield '<div class="scroll"><table><thead><tr><th>Events</th><th>Boosting, AUC</th><th>Regression, AUC</th>'
    yield "<th>Base rate</th><th>Learned from</th><th>Scored</th><th>Users</th></tr></thead><tbody>"
    for case in of.buyers:
        if (found := case.found) is None:
            yield f'<tr><td>{escape(case.title)}</td><td class="text" colspan="6">{escape(case.why_not)}</td></tr>'
            continue
        models = "".join(
            "<td>not installed</td>"
            if interval is None
            else f"<td>{interval.auc:.3f} ({interval.low:.3f} to {interval.high:.3f})</td>"
            for interval in (found.boosting, found.regression)
        )
        yield f"<tr><td>{escape(case.title)}</td>{models}<td>{found.base_rate:.3f}</td>"
        yield f"<td>{found.training_events:,}</td><td>{found.scored_events:,}</td><td>{found.scored_users:,}</td></tr>"
    yield "</tbody></table></div>"


def _fraud(of: Comparison) -> Iterator[str]:
    if (fraud := of.fraud) is None:
        return
    yield "<h2>Fraud</h2><p>Over all simulated time. A rule is one feature and a cut, with false alarms for at most "
    yield f"{FALSE_ALARMS:.0%} of the "
    yield f"{fraud.unlabelled_users:,} users and {fraud.unlabelled_sessions:,} sessions without a label. "
    yield f"{fraud.features} features of a user were tried, each from above and from below, and the best rules are "
    yield "shown; cuts are set on the units that they are judged by, so rules look better here than they would be. No "
    yield f"rule should find more than {FOUND_AIM:.0%} of a kind. All features together: LightGBM, each unit scored "
    yield "by a model that has not seen its user.</p>"
    for unit, kinds in (("users", fraud.users), ("sessions", fraud.sessions)):
        yield from _rules(unit, kinds)


def _rules(unit: str, kinds: Iterable[Kind]) -> Iterator[str]:
    yield f'<div class="scroll"><table><caption>By {unit}</caption><thead><tr><th>Kind</th><th class="text">Rule</th>'
    yield "<th>Found</th><th>False alarms</th><th>All features together</th></tr></thead><tbody>"
    for kind in kinds:
        for place, rule in enumerate(kind.rules[:_RULES_SHOWN]):
            first = place == 0
            together = "not known" if kind.combination is None else f"{kind.combination:.1%}"
            yield f"<tr><td>{f'{escape(kind.name)} ({kind.units:,})' if first else ''}</td>"
            yield f'<td class="text">{escape(rule.feature)} {escape(rule.side)} {number(rule.cut)}</td>'
            yield f"<td>{rule.found:.1%}</td><td>{rule.false_alarms:.2%}</td><td>{together if first else ''}</td></tr>"
    yield "</tbody></table></div>"


def _met(met: bool | None) -> str:
    return "" if met is None else '<span class="met">yes</span>' if met else '<span class="missed">no</span>'
