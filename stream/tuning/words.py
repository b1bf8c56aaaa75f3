"""A search as a table, the best trial first."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from stream.tuning.gain import Gain
from stream.tuning.search import Tried, best_of

_WIDTH, _INDENT = 100, 7


def table(tried: Sequence[Tried], gain: Gain | None) -> Iterator[str]:
    """Lines, without line ends."""
    by_heads, title = tried[0].judged.by_heads, objective(tried[0])
    # Of heads that nothing trained there is nothing to tell, and surprise is told once
    heads = list(dict.fromkeys(head for one in tried for head in one.judged.heads)) if by_heads else []
    titles = "".join(f"{f'AUC {head}':>13}" for head in heads) + (f"{'surprise':>10}" if by_heads else "")
    yield f"trial  {title}{titles}{'epochs':>8}{'seconds':>9}"
    for one in sorted(tried, key=lambda one: (one.hopeless, one.judged.objective)):
        judged = one.judged
        aucs = "".join(f"{judged.heads[head].auc:>13.4f}" if head in judged.heads else f"{'-':>13}" for head in heads)
        told = f"{aucs}{judged.nats:>10.4f}" if by_heads else ""
        yield f"{one.number:>5}  {judged.objective:>{len(title)}.4f}{told}{one.epochs:>8}{one.seconds:>9.0f}"
        yield from textwrap.wrap(
            _what(one), _WIDTH, initial_indent=" " * _INDENT, subsequent_indent=" " * _INDENT, break_long_words=False
        )
    yield ""
    yield from textwrap.wrap(_conclusion(tried, gain), _WIDTH)


def objective(of: Tried) -> str:
    """What a trial is judged by."""
    return "log loss" if of.judged.by_heads else "surprise, nats"


def _what(one: Tried) -> str:
    turned = ", ".join(
        f"{name} {f'{value:g}' if isinstance(value, float) else value}" for name, value in one.what.items()
    )
    return (turned or "the default") + ("; given up" if one.hopeless else "")


def _conclusion(tried: Sequence[Tried], gain: Gain | None) -> str:
    best = best_of(tried)
    if not best.number:
        return "No trial was better than the default on what was held out."
    if gain is None:
        return f"Trial {best.number} is best."
    return (
        f"Trial {best.number} less the default: {objective(best)} {gain.mid:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}] "
        f"over users held out, the best of {len(tried)} on these very users: on others it will gain less."
    )
