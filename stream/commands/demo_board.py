"""The board of the demo: what is known, as a picture of so many columns and lines for a terminal. Pure: no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from stream.commands.demo_history import History
from stream.commands.demo_rankings import Strange
from stream.commands.demo_state import Bought, DemoState
from stream.commands.demo_words import doing, money, short, what
from stream.commands.score_lines import readable, within

_BARS = "▁▂▃▄▅▆▇█"
_FRAME = "bright_black"
_WIDTH_MAX = 170  # wider lines are not read
_ROOMY_COLUMNS, _ROOMY_LINES = 100, 32  # from here on with frames
_USER_COLUMNS = 12
_TWO_COLUMNS, _HAPPENED_COLUMNS = 116, 44
_LIKELY_LEAST, _STRANGE_LEAST, _BOUGHT_LEAST = 5, 3, 2
_VERY_STRANGE = 0.999
_HIGH, _MIDDLE = 0.6, 0.25  # probabilities worth a colour: among simulated shoppers 1 in 100 and 1 in 20 visits


@dataclass(frozen=True, slots=True)
class _Figure:
    """One of the figures at the top: its name, its value in words, and its course."""

    name: str
    value: str
    course: Sequence[float]
    colour: str


def board(state: DemoState, *, width: int, height: int, now: float, lag: int) -> RenderableType:
    """As many lines as fit into `height`, none longer than `width`; times as in `DemoState`."""
    width = min(width, _WIDTH_MAX)
    roomy = width >= _ROOMY_COLUMNS and height >= _ROOMY_LINES
    inner = width - 4 if roomy else width
    parts: list[RenderableType] = [_heading(state, now, width), _figures(state, lag, width, roomy)]
    frame_lines = 2 if roomy else 1
    left = height - 1 - (5 if roomy else 3) - 1  # heading, figures, foot
    likely, strange, bought = _places(left - 3 * frame_lines)
    for title, colour, lines, places in (
        (_likely_title(state), "green", [_likely(h, state, inner) for h in state.likely], likely),
        ("strangest now, and why", "yellow", [_strange(e, inner) for e in state.strange], strange),
        ("bought", "cyan", [_bought(b, inner) for b in state.bought], bought),
    ):
        if places > 0:
            parts.append(_section(title, colour, lines[:places], places, roomy))
    parts.append(_foot(state, width))
    return Group(*parts)


def too_small(width: int, height: int) -> bool:
    """Whether there is no room for the board, only for `few_words`."""
    return width < 60 or height < 16


def few_words(state: DemoState, *, width: int, height: int, lag: int) -> RenderableType:
    """The figures alone, for a terminal that is too small for the board."""
    lines = [Text(f"{figure.value} {figure.name}", figure.colour) for figure in _all_figures(state, lag)]
    lines += [Text(f"{h.chance:.2f} {readable(h.user, 20)}") for h in state.likely]
    return Group(*(_cut(line, width) for line in lines[: max(height - 1, 1)]))


def spark(course: Sequence[float], columns: int) -> str:
    """The last of it as bars, one a column, from 0 to the highest; right-aligned."""
    last = list(course)[-columns:]
    highest = max(last, default=0.0)
    steps = len(_BARS) - 1
    bars = "".join(_BARS[round(steps * value / highest) if highest > 0 else 0] for value in last)
    return bars.rjust(columns)


def _places(lines: int) -> tuple[int, int, int]:
    """How many lines each of the three lists gets."""
    likely = max(_LIKELY_LEAST, min(8, lines * 4 // 10))
    strange = max(_STRANGE_LEAST, min(8, (lines - likely) * 6 // 10))
    bought = min(12, lines - likely - strange)
    if bought < _BOUGHT_LEAST:
        return max(0, lines - strange), strange, 0
    return likely, strange, bought


def _heading(state: DemoState, now: float, width: int) -> Text:
    shop = datetime.fromtimestamp(state.shop_ms / 1000, UTC)
    day = 1 + (state.shop_ms - state.shop_begun_ms) // 86_400_000
    running = int(now - state.begun_secs)
    left = Text.assemble(
        ("behaviour-stream demo", "bold"),
        ("   shop clock ", "dim"),
        (f"{shop:%a %d %b %H:%M}", "bold cyan"),
        (f"  day {day}", "dim"),
    )
    right = Text.assemble(("running ", "dim"), f"{running // 60}:{running % 60:02d}")
    return _apart(left, right, width)


def _all_figures(state: DemoState, lag: int) -> list[_Figure]:
    latency = state.latency_ms()
    p50, p99 = (f"{ms:,.0f} ms" for ms in latency) if latency else ("-", "-")
    series = state.series
    rate = series["rate"][-1] if series["rate"] else 0.0
    return [
        _Figure("events/s", f"{rate:,.0f}", series["rate"], "green"),
        _Figure("not yet scored", f"{lag:,}", series["lag"], "magenta"),
        _Figure("latency p50", p50, series["p50"], "blue"),
        _Figure("latency p99", p99, series["p99"], "blue"),
        _Figure("users known", f"{state.users:,}", series["users"], "cyan"),
    ]


def _figures(state: DemoState, lag: int, width: int, roomy: bool) -> RenderableType:
    figures = _all_figures(state, lag)
    grid = Table.grid(expand=False, padding=0)
    share, rest = divmod(width, len(figures))
    cells = []
    for place, figure in enumerate(figures):
        columns = share + (place < rest)
        inner = columns - 4 if roomy else columns - 2
        lines = [Text(figure.name, "dim"), Text(figure.value, "bold"), Text(spark(figure.course, inner), figure.colour)]
        text = Text("\n").join(_cut(line, inner) for line in lines)
        cells.append(Panel(text, box=box.ROUNDED, border_style=_FRAME, width=columns) if roomy else text)
        grid.add_column(width=columns)
    grid.add_row(*cells)
    return grid


def _likely_title(state: DemoState) -> str:
    shown = dict.fromkeys((*state.horizons[:1], *state.horizons[-1:]))
    return "likeliest to buy now: " + ", ".join((*map(within, shown), "last seen so long ago"))


def _likely(history: History, state: DemoState, width: int) -> Text:
    quiet_ms = state.shop_ms - history.last_ms
    line = Text.assemble(
        (f"{readable(history.user, _USER_COLUMNS):<{_USER_COLUMNS}} ", "bold"),
        (f"{history.chance:4.2f} ", _chance_colour(history.chance)),
        ("     " if history.has_bought else f"{history.day:4.2f} ", _chance_colour(history.day)),
        (f"{short(quiet_ms):>6}  ", "dim"),
    )
    # Whose last prediction no longer holds is shown a while longer, to be read.
    over = quiet_ms > state.horizon_ms and not history.has_bought
    said = Text(doing(history.facts), "dim" if over else "")
    if history.has_bought:
        said.stylize("bold green", 0, len(what(history.facts[-1])))
    return _cut(line + said, width)


def _strange(event: Strange, width: int) -> Text:
    """Where there is room, what happened and why that is strange below each other's; else what is strange first."""
    happened, reason = Text(what(event.fact)), Text(event.why, "yellow")
    if event.fraud:
        reason = Text.assemble((f"simulated fraud: {event.fraud}", "bold red"), "; ", reason)
    line = Text.assemble(
        (f"{readable(event.user, _USER_COLUMNS):<{_USER_COLUMNS}} ", "bold"),
        (f"{min(event.anomaly, 0.99999):.5f}  ", "bold red" if event.anomaly > _VERY_STRANGE else "yellow"),
    )
    if width >= _TWO_COLUMNS:
        happened = _cut(happened, _HAPPENED_COLUMNS)
        return _cut(Text.assemble(line, happened, " " * (_HAPPENED_COLUMNS - happened.cell_len + 2), reason), width)
    return _cut(Text.assemble(line, reason, ("  · ", "dim"), happened), width)


def _bought(bought: Bought, width: int) -> Text:
    line = Text.assemble(
        (f"{readable(bought.user, _USER_COLUMNS):<{_USER_COLUMNS}} ", "bold"),
        (f"{money(bought.fact.price, bought.fact.currency):>14}  ", "green"),
    )
    if bought.soon is None:
        line.append("without an event in the day before", "dim")
    else:
        line.append("predicted ", "dim").append(f"{bought.soon:.2f} ", _chance_colour(bought.soon))
        line.append(f"{short(bought.before_ms):>6} before", "dim")
    if bought.fact.item is not None:
        line.append(f"  {readable(bought.fact.item, 20)} {readable(bought.fact.category or '', 20)}")
    return _cut(line, width)


def _section(title: str, colour: str, lines: Iterable[Text], places: int, roomy: bool) -> RenderableType:
    """A list under its title, always of as many lines, so that nothing below it moves."""
    name, filled = Text(title, f"bold {colour}"), [*lines]
    filled += [Text()] * (places - len(filled))
    if roomy:
        return Panel(Group(*filled), title=name, title_align="left", box=box.ROUNDED, border_style=_FRAME)
    return Group(Rule(name, align="left", style=_FRAME), *filled)


def _foot(state: DemoState, width: int) -> Text:
    tenth = state.likeliest_tenth()
    said = Text()
    if tenth is not None:
        said = Text.assemble(
            ("bought within ", "dim"),
            state.horizons[0],
            (": of the likeliest tenth ", "dim"),
            (f"{tenth[0]:.0%}", "bold green"),
            (", of all ", "dim"),
            f"{tenth[1]:.0%}",
        )
    return _apart(said, Text("ctrl-C ends it", "dim"), width)


def _chance_colour(chance: float) -> str:
    return "bold green" if chance >= _HIGH else "green" if chance >= _MIDDLE else ""


def _apart(left: Text, right: Text, width: int) -> Text:
    """One at the left end, the other at the right one if there is room for it."""
    space = width - left.cell_len - right.cell_len
    return _cut(left if space < 2 else left + Text(" " * space) + right, width)


def _cut(text: Text, width: int) -> Text:
    text.no_wrap = True
    text.truncate(width, overflow="ellipsis")
    return text
